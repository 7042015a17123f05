package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carillon-im/carillon/media/video"
)

// until returns what f does, or that ctx has ended: a driver or a display that
// does not answer cannot be told to give up. What f returns too late, if it ever
// does, goes to late.
func until[T any](ctx context.Context, f func() (T, error), late func(T)) (v T, err error) {
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	go func() {
		v, err := f()
		select {
		case done <- result{v, err}:
		case <-ctx.Done():
			if err == nil {
				late(v)
			}
		}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return v, fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

func closeSource(s video.Source) { s.Close() }

// closeTime is how long a display that does not answer is waited for at the end.
const closeTime = time.Second

var errSilent = errors.New("the display does not answer")

// soon waits until f returns, for closeTime at most.
func soon(f func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_, err := until(ctx, func() (struct{}, error) { f(); return struct{}{}, nil }, func(struct{}) {})
	if err != nil {
		return errSilent
	}
	return nil
}
