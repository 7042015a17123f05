package video

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/media/internal/newfile"
)

// An OpenError says why a source or sink could not be opened.
type OpenError struct {
	Spec string // as the user wrote it
	Err  error
	Hint string // what may help, "" if nothing is known
}

func (e *OpenError) Error() string { return fmt.Sprintf("open %s: %v", e.Spec, e.Err) }

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

var (
	// ErrSpec is the cause when a source or sink is written in a way that is
	// not understood.
	ErrSpec = errors.New("not understood")
	// ErrFormat is the cause when a file is not of a kind that can be read.
	ErrFormat = errors.New("unsupported video file")
	// ErrNoCodec is the cause when a codec is needed that this program was
	// built without.
	ErrNoCodec = errors.New("this program was built without that video codec (-tags native has VP8, VP9, AV1 and H.264)")
)

const (
	sourceHint = "sources are pattern[:WIDTHxHEIGHT[@FPS]] and file:PATH (Y4M or IVF)"
	sinkHint   = "sinks are null, file:PATH (.y4m or .ivf), and in the programs window"
)

// Of a pattern whose size is not said.
const (
	defaultWidth, defaultHeight = 640, 480
	defaultFPS                  = 30
	maxFPS                      = 120
)

// OpenSource opens a source written as one of
//
//	pattern[:WxH[@FPS]]  a moving test picture with a Code, 640x480@30 if not said
//	file:PATH            a Y4M or IVF file (VP8, VP9, AV1), played once
//
// Cameras and screens are opened by media/capture. Errors are of type
// *OpenError.
func OpenSource(spec string) (Source, error) {
	kind, arg, given := strings.Cut(spec, ":")
	switch kind {
	case "pattern":
		w, h, fps := defaultWidth, defaultHeight, float64(defaultFPS)
		if given {
			var err error
			if w, h, fps, err = ParseMode(arg); err != nil {
				return nil, &OpenError{spec, err, "write the size and pictures a second, for example pattern:640x480@30"}
			}
		}
		return NewPatternSource(w, h, fps), nil
	case "file":
		s, err := openFile(arg)
		if err != nil {
			return nil, &OpenError{spec, err, fileHint(err, arg)}
		}
		return s, nil
	}
	return nil, &OpenError{spec, ErrSpec, sourceHint}
}

// ParseMode reads WxH[@FPS]; fps is 30 if not said.
func ParseMode(s string) (w, h int, fps float64, err error) {
	size, rate, hasRate := strings.Cut(s, "@")
	ws, hs, ok := strings.Cut(size, "x")
	fps = defaultFPS
	if ok {
		w, err = strconv.Atoi(ws)
	}
	if ok && err == nil {
		h, err = strconv.Atoi(hs)
	}
	if ok && err == nil && hasRate {
		fps, err = strconv.ParseFloat(rate, 64)
	}
	if !ok || err != nil || !(fps >= 0.1 && fps <= maxFPS) {
		return 0, 0, 0, fmt.Errorf("size %q %w", s, ErrSpec)
	}
	return w, h, fps, CheckSize(w, h)
}

// OpenSink opens a sink written as one of
//
//	null         nothing is kept
//	file:PATH    a new Y4M file, or IVF with VP8 if PATH ends in .ivf, with the
//	             size of the first picture and 30 pictures a second; when the
//	             name is taken it counts up to one that is free
//
// Errors are of type *OpenError.
func OpenSink(spec string) (Sink, error) {
	kind, arg, given := strings.Cut(spec, ":")
	switch kind {
	case "null":
		if !given {
			return Discard(), nil
		}
	case "file":
		s, err := createFile(arg)
		if err != nil {
			return nil, &OpenError{spec, err, fileHint(err, arg)}
		}
		return s, nil
	}
	return nil, &OpenError{spec, ErrSpec, sinkHint}
}

func fileHint(err error, path string) string {
	switch {
	case path == "":
		return "write the path after the colon, for example file:clip.y4m"
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("check that %s exists", filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("check the permissions of %s", path)
	case errors.Is(err, ErrFormat):
		return "convert it first, for example with: ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m"
	}
	return ""
}

// cause leaves out what an OpenError says already: "open" and the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func openFile(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	r, err := newFileReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return newFileSource(r, func() error { return errors.Join(r.close(), f.Close()) }), nil
}

func createFile(path string) (Sink, error) {
	ivf := strings.EqualFold(filepath.Ext(path), ".ivf")
	var codec Codec
	if ivf {
		var ok bool
		if codec, ok = FindCodec(Codecs(), "VP8"); !ok {
			return nil, ErrNoCodec
		}
	}
	if err := newfile.Possible(path); err != nil {
		return nil, cause(err)
	}
	// The file comes with the first picture, and in place of no other.
	var file *os.File
	var pictures *steadyWriter
	write := func(frame Frame) error {
		if pictures == nil {
			f, _, err := newfile.Create(path)
			if err != nil {
				return cause(err)
			}
			file, pictures = f, &steadyWriter{file: newY4MWriter(f)}
			if ivf {
				pictures.file = newIVFWriter(f, codec)
			}
		}
		return pictures.write(frame)
	}
	end := func() error {
		if pictures == nil {
			return nil
		}
		return errors.Join(pictures.file.close(), file.Close())
	}
	return &funcSink{write: write, close: end}, nil
}
