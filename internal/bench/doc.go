// Package bench measures what a user feels: how soon after accepting the first
// sound is heard, how long sound travels from mouth to ear, what a call costs,
// and how many fit into one process; Dino next to it where it is installed.
// "make bench" runs it, BENCHMARKS.md says what to make of it.
//
// The measurements carry the build tag bench. They print what they found and
// fail only when something could not be measured.
package bench
