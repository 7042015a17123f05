// Package safefile keeps small files that only their owner may read, and never
// leaves half of one behind.
package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// An ExposedError reports a private file that others may read.
type ExposedError struct {
	Path string
	Mode fs.FileMode
}

func (e *ExposedError) Error() string {
	return fmt.Sprintf("%s can be read by others (mode %04o)", e.Path, e.Mode.Perm())
}

// Hint is what to do about it.
func (e *ExposedError) Hint() string { return "chmod 600 " + e.Path }

// Check returns an [*ExposedError] when others than the owner may read or
// write the file. Windows keeps no such bits; there the folders of a user are
// private.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return &ExposedError{Path: path, Mode: info.Mode()}
	}
	return nil
}

// Read returns the content of a private file of at most limit bytes, nil when
// there is none.
func Read(path string, limit int64) ([]byte, error) {
	switch err := Check(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: %d bytes is more than %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// Write replaces the content of a private file in one step and makes its
// folder when there is none.
func Write(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".tmp-*") // created with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
