package audio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// ErrSpec is the cause when a source or sink is written in a way that is not
// understood.
var ErrSpec = errors.New("not understood")

const (
	sourceHint = "sources are tone:HZ, speech, silence, file:PATH (WAV or Ogg Opus) and device[:NAME]"
	sinkHint   = "sinks are null, file:PATH (.wav, .opus or .ogg) and device[:NAME]"
)

// OpenSource opens a source written as one of
//
//	tone:HZ      a sine at half scale, 20 to 20000 Hz
//	speech[:N]   speech-like sound; N chooses one of many voices, 1 by default
//	silence      nothing
//	file:PATH    a WAV or Ogg Opus file, played once
//
// Sound cards are opened by media/device. Errors are of type *OpenError.
func OpenSource(spec string) (Source, error) {
	kind, arg, given := strings.Cut(spec, ":")
	switch kind {
	case "tone":
		hz, err := strconv.ParseFloat(strings.TrimSuffix(strings.ToLower(arg), "hz"), 64)
		if err != nil || !(hz >= 20 && hz <= 20000) {
			return nil, &OpenError{spec, fmt.Errorf("frequency %q %w", arg, ErrSpec), "write the frequency in Hz, for example tone:440"}
		}
		return NewSource(&Tone{Hz: hz}), nil
	case "speech":
		n := uint64(1)
		if given {
			var err error
			if n, err = strconv.ParseUint(arg, 10, 32); err != nil {
				return nil, &OpenError{spec, fmt.Errorf("voice %q %w", arg, ErrSpec), "write a number, for example speech:2"}
			}
		}
		return NewSource(NewSpeech(uint32(n))), nil
	case "silence":
		if !given {
			return NewSource(Silence{}), nil
		}
	case "file":
		s, err := openFile(arg)
		if err != nil {
			return nil, &OpenError{spec, err, sourceFileHint(err, arg)}
		}
		return s, nil
	}
	return nil, &OpenError{spec, ErrSpec, sourceHint}
}

// OpenSink opens a sink written as one of
//
//	null         nothing is kept
//	file:PATH    a new WAV file, or Ogg Opus if PATH ends in .opus or .ogg;
//	             the file is complete up to the last second at any time
//
// A file is created with the first frame and never overwritten: where PATH
// exists, "heard-2.wav" is made instead of "heard.wav", and so on. The sink
// then is a [*FileSink], which knows the name.
//
// Sound cards are opened by media/device. Errors are of type *OpenError.
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
			return nil, &OpenError{spec, err, sinkFileHint(err, arg)}
		}
		return s, nil
	}
	return nil, &OpenError{spec, ErrSpec, sinkHint}
}

func sourceFileHint(err error, path string) string {
	switch {
	case path == "":
		return "write the path after the colon, for example file:greeting.wav"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path; it counts from the current folder"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("check the permissions of %s", path)
	case errors.Is(err, ErrFormat):
		return "convert it first, for example with: ffmpeg -i INPUT -ac 1 -ar 48000 OUTPUT.wav"
	}
	return ""
}

func sinkFileHint(err error, path string) string {
	switch {
	case path == "":
		return "write the path after the colon, for example file:heard.wav"
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("check that the folder %s exists", filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("check the permissions of the folder %s", filepath.Dir(path))
	case errors.Is(err, ErrSpec):
		return "let its name end in .wav, .opus or .ogg"
	}
	return ""
}

// ErrFormat is the cause when a file is not of a kind that can be read.
var ErrFormat = errors.New("unsupported audio file")

// openFile opens a WAV or Ogg Opus file as a Source, told apart by content.
func openFile(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	r, err := NewFileReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &pacedSource{pace: newPacer(), fill: r.fill, close: func() error {
		r.Close()
		return f.Close()
	}}, nil
}

// cause leaves out what an OpenError says already: "open" and the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
