package capture

import (
	"log/slog"
	"sync"
	"sync/atomic"
)

// An easel is what a window that shows pictures works with. One goroutine draws,
// another reads what the server says.
type easel struct {
	d    *display
	log  *slog.Logger
	news chan struct{} // has room for one: there is something to draw
	stop chan struct{}
	once sync.Once
	gone atomic.Bool // closed, by us, or with the window
	wg   sync.WaitGroup
}

func newEasel(d *display, log *slog.Logger) easel {
	return easel{d: d, log: log, news: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (e *easel) wake() {
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// end has both goroutines return.
func (e *easel) end() {
	e.gone.Store(true)
	e.once.Do(func() { close(e.stop) })
}

// Close takes the window away for good. A display that does not answer is waited
// for no longer than a second; the window goes once it does.
func (e *easel) Close() error {
	e.end()
	return soon(e.wg.Wait)
}
