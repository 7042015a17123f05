// Package newfile creates the files that recordings go to: with the first
// thing that is recorded, and never in place of another file.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxNames is how many names are tried before creating a file fails.
const maxNames = 10_000

// Create creates a file of the given name or, when that is taken, of one
// counted up from it: "talk.wav", "talk-2.wav". It returns the name as well.
func Create(path string) (f *os.File, name string, err error) {
	ext := filepath.Ext(path)
	for n := 1; n <= maxNames; n++ {
		name = path
		if n > 1 {
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
		}
		f, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, name, err
}

// Possible reports why Create would fail, without leaving anything behind.
func Possible(path string) error {
	if path == "" {
		return fs.ErrNotExist
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".carillon-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
