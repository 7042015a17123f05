package interrupt

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestFirstEndsTheContextSecondQuits(t *testing.T) {
	defer goleak.VerifyNone(t)
	quit := 0
	ctx, i := Context(context.Background(), func() { quit++ })
	defer i.Stop()
	i.Now()
	if err := context.Cause(ctx); !errors.Is(err, ErrInterrupted) || quit != 0 {
		t.Fatalf("after the first: cause = %v, quit %d times", err, quit)
	}
	i.Now()
	if quit != 1 {
		t.Errorf("after the second: quit %d times", quit)
	}
}

func TestSignalEndsTheContext(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot interrupt itself here")
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
	ctx, i := Context(context.Background(), func() { t.Error("one signal is enough to quit") })
	defer i.Stop()
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the signal was not noticed")
	}
}

func TestStopEndsTheContextAndMayBeCalledTwice(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
	ctx, i := Context(context.Background(), func() {})
	i.Stop()
	i.Stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cause = %v", err)
	}
}
