package capture

import (
	"context"
	"image"
	"net"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/video"
)

// latest hands pictures from the goroutine that takes them to the reader, who
// gets the newest and misses those he was too slow for.
type latest struct {
	mu     sync.Mutex // guards what follows
	fresh  *image.YCbCr
	at     time.Duration
	spare  []*image.YCbCr
	err    error
	signal chan struct{} // has room for one; something is new

	reading *image.YCbCr // of the reader
}

func newLatest() *latest { return &latest{signal: make(chan struct{}, 1)} }

// space returns a picture that nobody looks at, or nil.
func (l *latest) space() *image.YCbCr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.spare); n > 0 {
		m := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return m
	}
	return nil
}

// put hands over a picture.
func (l *latest) put(m *image.YCbCr, at time.Duration) {
	l.mu.Lock()
	if l.fresh != nil {
		l.spare = append(l.spare, l.fresh)
	}
	l.fresh, l.at = m, at
	l.mu.Unlock()
	l.wake()
}

// end says that no more pictures come. The first error counts.
func (l *latest) end(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
	l.wake()
}

func (l *latest) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// take returns the newest picture, nil if there is none that was not taken yet.
// It is the caller's until the next.
func (l *latest) take() *image.YCbCr {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.fresh
	if m == nil {
		return nil
	}
	l.fresh = nil
	if l.reading != nil {
		l.spare = append(l.spare, l.reading)
	}
	l.reading = m
	return m
}

func (l *latest) read(ctx context.Context) (video.Frame, error) {
	for {
		l.mu.Lock()
		m, at, err := l.fresh, l.at, l.err
		if m != nil && err != net.ErrClosed {
			l.fresh = nil
			if l.reading != nil {
				l.spare = append(l.spare, l.reading)
			}
			l.reading = m
			l.mu.Unlock()
			return video.Frame{Image: m, Time: at}, nil
		}
		l.mu.Unlock()
		if err != nil {
			return video.Frame{}, err
		}
		select {
		case <-l.signal:
		case <-ctx.Done():
			return video.Frame{}, context.Cause(ctx)
		}
	}
}

// again returns the picture that the reader has, which is whole for as long as
// no other is read; nil before the first.
func (l *latest) again() *image.YCbCr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reading
}
