//go:build integration && race

package device

// slow is set when the race detector makes the pure Go Opus fifty times slower.
const slow = true
