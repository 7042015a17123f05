package exchange

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/carillon-im/carillon/ft/internal/safename"
)

// A Source is what a sender offers: a manifest and where its entries lie.
type Source struct {
	Manifest Manifest
	Skipped  int // symbolic links, sockets, devices: not sent
	// Unread are the folders, and files whose attributes are not told, that
	// cannot be read: not sent, nor what is in them. Send adds them to its
	// result as failed.
	Unread []FileResult
	local  []string
}

// Local returns where entry i lies on this machine.
func (s *Source) Local(i int) string { return s.local[i] }

// Scan lists the files and folders named by paths, folders with everything in
// them. Symbolic links inside folders are skipped and counted; one named
// itself is followed, as the person means what it points to. What cannot be read
// inside a folder is left out and told in Source.Unread; one named itself is an
// error.
func Scan(ctx context.Context, paths ...string) (*Source, error) {
	return scanWith(ctx, os.ReadDir, paths)
}

func scanWith(ctx context.Context, readDir func(string) ([]os.DirEntry, error), paths []string) (*Source, error) {
	s := &scanner{Source: &Source{}, readDir: readDir}
	roots := make(map[string]bool)
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", p, err)
		}
		info, err := os.Stat(abs)
		if err != nil {
			return nil, fmt.Errorf("read what is to be sent: %w", err)
		}
		root := safename.Name(filepath.Base(abs))
		for i, base := 1, root; roots[root]; i++ {
			root = numbered(base, i)
		}
		roots[root] = true
		if err := s.add(ctx, abs, root, info); err != nil {
			return nil, err
		}
	}
	switch {
	case len(s.Manifest) == 0 && s.Skipped > 0:
		return nil, errors.New("nothing to send: devices and sockets are not sent")
	case len(s.Manifest) == 0:
		return nil, errors.New("nothing to send: no file or folder is named")
	}
	return s.Source, nil
}

type scanner struct {
	*Source
	readDir func(string) ([]os.DirEntry, error)
}

// add appends what lies at local under the given name, depth first.
func (s *scanner) add(ctx context.Context, local, name string, info fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		s.Skipped++
		return nil
	}
	if len(s.Manifest) == MaxEntries {
		return fmt.Errorf("%w: more than %d files and folders; send them in parts", ErrManifest, MaxEntries)
	}
	if _, err := safename.Path(name); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	var children []os.DirEntry
	if info.IsDir() {
		var err error
		if children, err = s.readDir(local); err != nil {
			if !strings.Contains(name, "/") {
				return fmt.Errorf("list folder: %w", err)
			}
			s.Unread = append(s.Unread, FileResult{Path: name, Err: err})
			return nil
		}
	}
	e := Entry{Path: name, Dir: info.IsDir(), ModTime: info.ModTime()}
	if !e.Dir {
		e.Size, e.Exec = info.Size(), info.Mode()&0o111 != 0
	}
	s.Manifest = append(s.Manifest, e)
	s.local = append(s.local, local)
	if !e.Dir {
		return nil
	}
	used := make(map[string]bool, len(children))
	for _, c := range children {
		info, err := c.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the folder was read
		}
		safe := safename.Name(c.Name())
		for i, base := 1, safe; used[safe]; i++ {
			safe = numbered(base, i)
		}
		used[safe] = true
		if err != nil {
			s.Unread = append(s.Unread, FileResult{Path: name + "/" + safe, Err: err})
			continue
		}
		if err := s.add(ctx, filepath.Join(local, c.Name()), name+"/"+safe, info); err != nil {
			return err
		}
	}
	return nil
}
