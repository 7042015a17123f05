package video

import (
	"bufio"
	"bytes"
	"context"
	"image"
	"io"
	"net"
	"sync"
	"time"
)

// A fileReader reads the pictures of a file one after the other.
type fileReader interface {
	// next returns a picture and when it is due, since the first.
	next() (Frame, error)
	close() error
}

// newFileReader tells the kinds of files apart by how they begin.
func newFileReader(r io.Reader) (fileReader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, err := b.Peek(4)
	if err != nil {
		return nil, ErrFormat
	}
	switch {
	case bytes.Equal(head, []byte("YUV4")):
		return newY4MReader(b)
	case bytes.Equal(head, []byte("DKIF")):
		return newIVFReader(b)
	}
	return nil, ErrFormat
}

// newFileSource plays a file in real time.
func newFileSource(r fileReader, closing func() error) Source {
	return &fileSource{file: r, closing: closing, pace: newPacer()}
}

type fileSource struct {
	pace *pacer

	mu      sync.Mutex // held while the file is read
	file    fileReader
	closing func() error
}

func (s *fileSource) Read(ctx context.Context) (Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace.Stopped() {
		return Frame{}, net.ErrClosed
	}
	f, err := s.file.next()
	if err != nil {
		return Frame{}, err
	}
	if err := s.pace.Wait(ctx, s.pace.began().Add(f.Time)); err != nil {
		return Frame{}, err
	}
	return f, nil
}

func (s *fileSource) Close() error {
	if !s.pace.Stop() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing()
}

// fileFPS is the rate of the files that are written.
const fileFPS = 30

// A fileWriter takes pictures of one size, fileFPS a second.
type fileWriter interface {
	add(*image.YCbCr) error
	close() error
}

// maxHeld is how many pictures in a row a steadyWriter repeats: two seconds.
const maxHeld = 2 * fileFPS

// A steadyWriter turns what is received into what a file holds: upright, of one
// size, at one rate.
type steadyWriter struct {
	file    fileWriter
	first   time.Duration
	written int // pictures
	size    image.Point
	turned  *image.YCbCr
	scaled  *image.YCbCr
}

func (s *steadyWriter) write(f Frame) error {
	m := f.Image
	if f.Rotation != 0 {
		s.turned = Rotate(s.turned, m, f.Rotation)
		m = s.turned
	}
	if s.size == (image.Point{}) {
		s.size, s.first = m.Rect.Size(), f.Time
	}
	if m.Rect.Size() != s.size {
		s.scaled = Scale(s.scaled, m, s.size.X, s.size.Y)
		m = s.scaled
	}
	due := int((f.Time-s.first).Seconds()*fileFPS+0.5) + 1
	if due-s.written > maxHeld { // a gap is cut
		s.first += time.Duration(due-s.written-1) * time.Second / fileFPS
		due = s.written + 1
	}
	for ; s.written < due; s.written++ {
		if err := s.file.add(m); err != nil {
			return err
		}
	}
	return nil
}
