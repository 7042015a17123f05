//go:build race

package audio

// slow is set when the race detector makes the pure Go Opus fifty times slower.
// Tests that only compute, and share nothing, then do less.
const slow = true
