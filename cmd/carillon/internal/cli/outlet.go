package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// An outlet is an output that is no terminal. When nobody reads it any more,
// as after "| head", the program ends politely.
type outlet struct {
	w io.Writer

	mu     sync.Mutex
	err    error       // the first
	broken func(error) // is told it; nil while there is nothing to end
}

// newOutlet returns w itself when it is a terminal, and then no outlet.
func newOutlet(w io.Writer) (io.Writer, *outlet) {
	o := &outlet{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return w, o
	}
	return o, o
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = fmt.Errorf("write the output: %w", err)
			if o.broken != nil {
				o.broken(o.err)
			}
		}
	}
	return n, err
}

// onBroken says who ends the program.
func (o *outlet) onBroken(f func(error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken = f; o.err != nil {
		f(o.err)
	}
}

// left reports what went wrong, and whether it is only that nobody reads.
func (o *outlet) left() (err error, quiet bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err, errors.Is(o.err, syscall.EPIPE)
}
