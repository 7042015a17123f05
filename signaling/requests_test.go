package signaling

import (
	"context"
	"errors"
	"testing"

	"github.com/carillon-im/carillon/signaling/internal/stream"
)

// A client that closes waits for no answer, and says so: what it has asked stays in
// the queue.
func TestAwaitEndsWithTheClient(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &Client{ctx: ctx}
	_, err := c.await(func(ctx context.Context) (*stream.Stanza, error) {
		cancel()
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	if !errors.Is(err, stream.ErrUnheard) {
		t.Errorf("%v, want %v", err, stream.ErrUnheard)
	}
}
