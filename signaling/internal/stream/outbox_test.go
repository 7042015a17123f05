package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestCountersWrapAround(t *testing.T) {
	o := outbox{counts: true, acked: 1<<32 - 2}
	for i := range 5 {
		o.put(&item{data: fmt.Append(nil, i), kind: kindMessage})
	}
	o.take(nil, 1<<20)
	if o.ack(4) {
		t.Error("acknowledged more than was sent")
	}
	if o.ack(1<<32 - 3) {
		t.Error("acknowledged less than before")
	}
	if !o.ack(1) || o.sent != 2 || len(o.items) != 2 {
		t.Errorf("after 3 of 5: sent %d, kept %d", o.sent, len(o.items))
	}
	if !o.resume(2) || o.sent != 0 || string(o.items[0].data) != "4" {
		t.Errorf("after resuming: %d sent, %d kept", o.sent, len(o.items))
	}
}

// The whole table of rebind.
func TestWhatIsSentAgainInANewSession(t *testing.T) {
	kinds := []itemKind{kindMessage, kindPresence, kindSubscription, kindRequest, kindAnswer}
	for _, tt := range []struct {
		name            string
		known, sameName bool
		want            []itemKind // of the handled, sent and unsent ones of each kind
	}{
		{"h unknown", false, true, []itemKind{
			kindMessage, kindSubscription, kindAnswer, kindMessage, kindSubscription, kindAnswer,
			kindMessage, kindSubscription, kindRequest, kindAnswer}},
		{"h known", true, true, []itemKind{
			kindMessage, kindSubscription, kindRequest, kindAnswer, kindMessage, kindSubscription, kindRequest, kindAnswer}},
		{"other name", true, false, []itemKind{kindMessage, kindSubscription, kindMessage, kindSubscription}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := outbox{counts: true}
			var all []*item
			for _, stage := range []int{0, 1, 2} {
				for _, k := range kinds {
					it := &item{data: []byte("x"), kind: k}
					all = append(all, it)
					o.put(it)
				}
				if stage == 1 {
					o.take(nil, 1<<20)
				}
			}
			o.rebind(uint32(len(kinds)), tt.known, tt.sameName, true)
			var got []itemKind
			for _, it := range o.items {
				got = append(got, it.kind)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("kept %v, want %v", got, tt.want)
			}
			for _, it := range all {
				if it.gone == slices.Contains(o.items, it) {
					t.Errorf("item %d: gone is %v", it.seq, it.gone)
				}
			}
			if o.sent != 0 || o.acked != 0 || o.bytes != len(o.items) {
				t.Errorf("sent %d, acked %d, %d bytes", o.sent, o.acked, o.bytes)
			}
		})
	}
}

// A server that counts, whatever happens, gets every message at least once and
// in order, and exactly once as long as it remembers the session.
func FuzzCounting(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3, 0, 1, 4})
	f.Add([]byte{0, 1, 0, 1, 5, 9, 200, 3, 3, 2, 6, 7, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 500 {
			t.Skip("long enough")
		}
		o := outbox{counts: true}
		var (
			next, got []int  // put, and handled by the server
			wire      []int  // written and not yet handled
			h         uint32 // the server's counter
			forgot    bool
		)
		write := func(budget int) {
			for _, p := range o.take(nil, budget) {
				var n int
				fmt.Sscan(string(p), &n)
				wire = append(wire, n)
			}
		}
		handle := func(n int) {
			for range min(n, len(wire)) {
				got = append(got, wire[0])
				wire = wire[1:]
				h++
			}
		}
		for _, op := range ops {
			n := int(op >> 3)
			switch op & 7 {
			case 0:
				next = append(next, len(next))
				o.put(&item{data: fmt.Append(nil, len(next)-1), kind: kindMessage})
			case 1:
				write(n + 1)
			case 2:
				handle(n + 1)
			case 3:
				if !o.ack(h) {
					t.Fatal("true acknowledgement refused")
				}
			case 4: // lost and resumed
				wire = nil
				if !o.resume(h) {
					t.Fatal("true resumption refused")
				}
			case 5: // lost and forgotten, and the server says what it handled
				wire = nil
				o.rebind(h, true, true, true)
				h = 0
			case 6: // lost and forgotten
				wire = nil
				o.rebind(0, false, true, true)
				h, forgot = 0, true
			case 7: // nonsense never removes what was not acknowledged
				if before := len(o.items); o.ack(h+uint32(n)+1) && int(h)+n+1 > int(o.acked) {
					t.Fatalf("acknowledged %d of %d", before-len(o.items), before)
				} else if o.acked > h {
					// A lie within what was sent cannot be seen; the server only cheats itself.
					return
				}
			}
			if o.sent > len(o.items) || o.sent < 0 {
				t.Fatalf("%d of %d sent", o.sent, len(o.items))
			}
		}
		write(1 << 30)
		handle(1 << 30)
		if !forgot {
			if !slices.Equal(got, next) {
				t.Fatalf("handled %v of %d", got, len(next))
			}
			return
		}
		seen := map[int]bool{}
		var once []int
		for _, n := range got {
			if !seen[n] {
				seen[n] = true
				once = append(once, n)
			}
		}
		if !slices.Equal(once, next) {
			t.Fatalf("handled %v of %d", got, len(next))
		}
	})
}

// A request that nobody waits for any more is taken back unless it was sent, also
// that of a stream in band that was closed; but a client that closes lets it go
// out, and waits for nothing.
func TestRequestsOfWhoCloses(t *testing.T) {
	for _, tt := range []struct {
		cause error
		left  int
	}{{errors.New("changed my mind"), 0}, {net.ErrClosed, 0}, {ErrUnheard, 1}} {
		s := New(Config{JID: jid.MustParse("a@example.org")}, Handler{})
		s.phase = phaseRunning // without a connection that would send it
		wait, err := s.Ask(t.Context(), jid.MustParse("b@example.org"), stanza.SetIQ, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(tt.cause)
		if _, err := wait(ctx); !errors.Is(err, tt.cause) {
			t.Errorf("got %v, want %v", err, tt.cause)
		}
		if len(s.out.items) != tt.left || len(s.waiting) != 0 {
			t.Errorf("%v: %d requests are to be sent and %d are waited for, want %d and none", tt.cause, len(s.out.items), len(s.waiting), tt.left)
		}
	}
}
