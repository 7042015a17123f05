//go:build native

package cli

const build = "system libraries"
