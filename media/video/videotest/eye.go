package videotest

import (
	"context"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/video"
)

// maxSeen bounds the pictures that an Eye remembers.
const maxSeen = 100_000

// An Eye is a sink that knows what it saw.
type Eye struct {
	video.Sink
	news chan struct{}

	mu     sync.Mutex // guards what follows
	seen   []Glimpse
	looked int
}

// A Glimpse is one picture that was seen.
type Glimpse struct {
	Code          video.Code
	Coded         bool // there was a code
	At            time.Time
	Time          time.Duration // as the frame says
	Width, Height int
	Rotation      int
}

// Age is how old the picture was when it was shown.
func (g Glimpse) Age() time.Duration { return g.Code.Age(g.At) }

// NewEye returns an eye.
func NewEye() *Eye {
	e := &Eye{news: make(chan struct{}, 1)}
	e.Sink = video.NewSink(func(f video.Frame) error {
		c, ok := video.ReadCode(f.Image)
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.seen) < maxSeen {
			e.seen = append(e.seen, Glimpse{c, ok, time.Now(), f.Time, f.Image.Rect.Dx(), f.Image.Rect.Dy(), f.Rotation})
		}
		select {
		case e.news <- struct{}{}:
		default:
		}
		return nil
	})
	return e
}

// Wait returns the first picture not looked at yet that fits.
func (e *Eye) Wait(ctx context.Context, fits func(Glimpse) bool) (Glimpse, error) {
	for {
		e.mu.Lock()
		for e.looked < len(e.seen) {
			g := e.seen[e.looked]
			e.looked++
			if fits(g) {
				e.mu.Unlock()
				return g, nil
			}
		}
		e.mu.Unlock()
		select {
		case <-e.news:
		case <-ctx.Done():
			return Glimpse{}, context.Cause(ctx)
		}
	}
}

// All returns what was seen so far.
func (e *Eye) All() []Glimpse {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Glimpse(nil), e.seen...)
}

// Forget makes Wait look at what comes from now on.
func (e *Eye) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked = len(e.seen)
}
