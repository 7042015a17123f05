package exchange

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A folder is the receiving folder. Everything goes through os.Root, so that
// no name and no symbolic link leads outside, and through the folder last
// used, because files come folder by folder.
type folder struct {
	top  *os.Root
	last *os.Root // nil, or the folder named by path
	path string
}

func openFolder(dir string) (*folder, error) {
	top, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder for received files: %w", err)
	}
	return &folder{top: top}, nil
}

// in returns the folder that holds name, and the last part of name.
func (f *folder) in(name string) (*os.Root, string, error) {
	dir, base := filepath.Dir(name), filepath.Base(name)
	if dir == "." {
		return f.top, base, nil
	}
	if f.last != nil && f.path == dir {
		return f.last, base, nil
	}
	r, err := f.top.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	if f.last != nil {
		f.last.Close()
	}
	f.last, f.path = r, dir
	return r, base, nil
}

func (f *folder) open(name string, mode int) (*os.File, error) {
	r, base, err := f.in(name)
	if err != nil {
		return nil, err
	}
	return r.OpenFile(base, mode, 0o666)
}

func (f *folder) mkdir(name string) error {
	r, base, err := f.in(name)
	if err != nil {
		return err
	}
	if err := r.Mkdir(base, 0o777); !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := r.Lstat(base)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	return err
}

func (f *folder) remove(name string) error {
	r, base, err := f.in(name)
	if err != nil {
		return err
	}
	return r.Remove(base)
}

func (f *folder) chtimes(name string, t time.Time) error {
	r, base, err := f.in(name)
	if err != nil {
		return err
	}
	return r.Chtimes(base, t, t)
}

// executable sets the bits that the file's own mode leaves to those who may read.
func (f *folder) executable(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	m := info.Mode().Perm()
	return file.Chmod(m | m&0o444>>2)
}

// settle makes everything below durable.
func (f *folder) settle() error {
	d, err := f.top.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return settle(d)
}

func (f *folder) close() {
	if f.last != nil {
		f.last.Close()
	}
	f.top.Close()
}

// bits is a set of block numbers.
type bits []uint64

func newBits(n int64) bits      { return make(bits, (n+63)/64) }
func (b bits) has(i int64) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bits) set(i int64)      { b[i/64] |= 1 << (i % 64) }

// CheckDir reports whether files can be received into dir, and makes it when
// it is not there.
func CheckDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("open the folder for received files: %w", err)
	}
	f, err := os.CreateTemp(dir, ".carillon-*")
	if err != nil {
		return fmt.Errorf("write to the folder for received files: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
