//go:build native && !linux

package main

import "runtime/debug"

// giveBack returns memory that is not used to the system.
func giveBack() { debug.FreeOSMemory() }
