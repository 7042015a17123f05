//go:build !race

package audio

const slow = false
