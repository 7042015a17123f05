package video

import (
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/internal/pace"
)

// A pacer says when the next of a series of pictures is due. Pictures that
// nobody asked for in time are left out.
type pacer struct {
	pace.Waiter
	mu    sync.Mutex // guards what follows
	start time.Time
}

func newPacer() *pacer { return &pacer{Waiter: pace.New()} }

// began returns the moment of the first call.
func (p *pacer) began() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start.IsZero() {
		p.start = time.Now()
	}
	return p.start
}
