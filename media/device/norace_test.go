//go:build integration && !race

package device

const slow = false
