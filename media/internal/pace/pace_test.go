package pace

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		began := time.Now()
		if err := w.Wait(t.Context(), began.Add(time.Second)); err != nil || time.Since(began) != time.Second {
			t.Errorf("woken after %v, %v", time.Since(began), err)
		}
		if err := w.Wait(t.Context(), began); err != nil {
			t.Errorf("for a moment that is over: %v", err)
		}
		why := errors.New("enough")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(why) })
		if err := w.Wait(ctx, time.Now().Add(time.Hour)); err != why {
			t.Errorf("when the context ends: %v", err)
		}
		time.AfterFunc(time.Second, func() {
			if !w.Stop() || w.Stop() {
				t.Error("Stop does not know the first call")
			}
		})
		before := time.Now()
		if err := w.Wait(t.Context(), before.Add(time.Hour)); err != net.ErrClosed || time.Since(before) != time.Second {
			t.Errorf("when it is stopped: %v after %v", err, time.Since(before))
		}
		if err := w.Wait(t.Context(), before); err != net.ErrClosed || !w.Stopped() {
			t.Errorf("afterwards: %v", err)
		}
	})
}
