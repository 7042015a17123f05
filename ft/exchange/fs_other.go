//go:build !linux

package exchange

import "os"

// lock is not there on this system: two programs that receive the same name
// into the same folder at once are kept apart only by their final names.
func lock(*os.File) (bool, error) { return true, nil }

// lockedByOther is not there either.
func lockedByOther(*os.File) (bool, error) { return false, nil }

// renameNew renames without replacing anything.
func renameNew(from, to string) error { return renameChecked(from, to) }

// Free returns -1: the system is not asked.
func Free(string) int64 { return -1 }

// settle makes f durable.
func settle(f *os.File) error { return f.Sync() }
