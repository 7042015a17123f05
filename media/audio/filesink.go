package audio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/carillon-im/carillon/media/internal/newfile"
)

// A FileSink keeps sound in a file that it creates with the first frame. It
// overwrites nothing: when the name is taken it counts up to one that is free.
type FileSink struct {
	pacedSink
	asked string // the path as asked for
	plain bool   // neither a pipe nor a device: it gets a name of its own
	new   func(io.Writer) (encoder, error)

	// These are guarded by pacedSink.mu.
	name string
	f    *os.File // nil before the first frame
	w    encoder
}

// An encoder writes frames in the format of a file.
type encoder interface {
	Write(Frame) error
	Close() error
}

// createFile returns a sink for a file of the kind its name says. What would
// stand in the way of creating it is found now.
func createFile(path string) (*FileSink, error) {
	s := &FileSink{asked: path, plain: true, new: func(w io.Writer) (encoder, error) { return NewWAVWriter(w) }}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil, syscall.EISDIR
	case err == nil && !info.Mode().IsRegular():
		s.plain = false
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, cause(err)
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".opus" || ext == ".ogg":
		s.new = func(w io.Writer) (encoder, error) { return NewOggWriter(w) }
	case ext != ".wav" && s.plain && path != "":
		return nil, fmt.Errorf("ending %q %w", ext, ErrSpec)
	}
	if s.plain {
		if err := newfile.Possible(path); err != nil {
			return nil, cause(err)
		}
	}
	s.pacedSink = pacedSink{pace: newPacer(), write: s.keep, close: s.end}
	return s, nil
}

// Path is the name of the file, "" while there is none because nothing was
// written.
func (s *FileSink) Path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// keep writes a frame.
func (s *FileSink) keep(f Frame) error {
	if s.f == nil {
		if err := s.create(); err != nil {
			return fmt.Errorf("keep %s: %w", s.asked, cause(err))
		}
	}
	if err := s.w.Write(f); err != nil {
		return fmt.Errorf("keep %s: %w", s.name, err)
	}
	return nil
}

func (s *FileSink) create() error {
	open := newfile.Create
	if !s.plain {
		open = func(path string) (*os.File, string, error) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			return f, path, err
		}
	}
	f, name, err := open(s.asked)
	if err != nil {
		return err
	}
	w, err := s.new(f)
	if err != nil {
		f.Close()
		return err
	}
	s.f, s.name, s.w = f, name, w
	return nil
}

// end completes the file.
func (s *FileSink) end() error {
	if s.w == nil {
		return nil
	}
	if err := errors.Join(s.w.Close(), s.f.Close()); err != nil {
		return fmt.Errorf("keep %s: %w", s.name, err)
	}
	return nil
}
