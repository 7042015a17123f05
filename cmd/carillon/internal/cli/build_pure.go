//go:build !native

package cli

const build = "pure Go"
