// Package roof contains C.
package roof

// int answer(void) { return 42; }
import "C"

// Answer returns what C says.
func Answer() int { return int(C.answer()) }
