//go:build native

package main

/*
#include <malloc.h>

// The C libraries get one heap for all threads. Otherwise each has its own, and
// what codecs free in one of them is not used by the next call, which is in
// another: the app grew by 4 MB with every call. It has to be said before there
// is a second thread, of which Go makes some at once.
__attribute__((constructor)) static void one_heap(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}

static void give_back(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

import "runtime/debug"

// giveBack returns memory that is not used to the system, Go's and C's.
func giveBack() {
	debug.FreeOSMemory()
	C.give_back()
}
