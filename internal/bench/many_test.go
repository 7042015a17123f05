//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

const (
	together = 8 // calls being set up at any time
	manyTime = 10 * time.Second
)

// Many calls at once, with both ends of each, the server and all clients in
// this process: what one costs, and whether all who talk are heard. 200 calls in
// which everybody talks are 400 encoders and 400 decoders, more than two cores
// do in time; so in that many one end in ten sends, and what talking costs is
// measured with fewer.
func TestBenchManyCalls(t *testing.T) {
	for _, b := range []struct {
		calls int
		codec string
		talk  int // one end in so many says something
	}{{20, "opus", 1}, {20, "PCMU", 1}, {200, "opus", 10}} {
		t.Run(fmt.Sprintf("%d calls, %s, one in %d talks", b.calls, b.codec, b.talk), func(t *testing.T) { manyCalls(t, b.calls, b.codec, b.talk) })
	}
}

func manyCalls(t *testing.T, calls int, codec string, talk int) {
	var codecs []audio.Codec
	for _, c := range audio.Codecs() {
		if strings.EqualFold(c.Name, codec) {
			codecs = append(codecs, c)
		}
	}
	if len(codecs) == 0 {
		t.Fatalf("no codec %s", codec)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cfg := xmpptest.Config{Accounts: map[string]string{"bot@example.org": "secret"}}
	for i := range calls {
		cfg.Accounts[callerName(i)] = "secret"
	}
	server := xmpptest.NewServer(cfg)
	t.Cleanup(server.Close) // after the clients' farewells
	dial := func(name string) *signaling.Client {
		c, err := signaling.Dial(ctx, signaling.Config{
			JID: jid.MustParse(name), Password: "secret", Server: server.Addr(), RootCAs: server.CertPool(),
			Features: signaling.CallFeatures(false), Busy: signaling.BusyRing,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	bot := dial("bot@example.org")
	var clients []*signaling.Client
	for i := range calls {
		server.Befriend(callerName(i), "bot@example.org")
		clients = append(clients, dial(callerName(i)))
	}
	ends := &ends{t: t, codecs: codecs, talk: talk, closing: make(chan struct{})}
	defer ends.close()
	var answering sync.WaitGroup
	defer answering.Wait()
	answering.Go(func() {
		for n := 0; n < calls; n++ {
			select {
			case in := <-bot.Incoming():
				if err := in.Accept(ctx, ends.open()); err != nil {
					t.Errorf("accept: %v", err)
				}
			case <-ctx.Done():
				return
			}
		}
	})

	heap, rss := memory(t)
	goroutines := runtime.NumGoroutine()
	began := time.Now()
	want := 2 * calls
	wait := func(connected int) {
		for ends.connected.Load() < int64(connected) {
			select {
			case <-ctx.Done():
				t.Fatalf("%d of %d ends are connected", ends.connected.Load(), want)
			case <-time.After(time.Millisecond):
			}
		}
	}
	called := 0
	for _, c := range clients {
		if _, err := c.Call(ctx, jid.MustParse("bot@example.org"), ends.open(), signaling.CallOptions{}); err != nil {
			t.Fatal(err)
		}
		called++
		wait(2 * (called - together))
	}
	wait(want)
	setup := time.Since(began)
	cpu0, frames0, began := processTime(t), ends.frames.Load(), time.Now()
	time.Sleep(manyTime)
	d := time.Since(began)
	used, frames := processTime(t)-cpu0, ends.frames.Load()-frames0
	heap2, rss2 := memory(t)
	t.Logf("%d %s calls at once (both ends in this process), all connected within %.1f s, %d at a time", calls, codec, setup.Seconds(), together)
	t.Logf("memory per call, both ends: %d KiB of Go heap and stacks, %d KiB resident; %d goroutines", (heap2-heap)/int64(calls)>>10, (rss2-rss)/int64(calls)>>10, (runtime.NumGoroutine()-goroutines)/calls)
	t.Logf("tone heard %.1f %% of the time at the other end of those who talk; %.2f cores used, %.2f %% of a core per end",
		100*float64(frames)*0.01/(d.Seconds()*float64(want/talk)), used.Seconds()/d.Seconds(), 100*used.Seconds()/d.Seconds()/float64(want))
}

func callerName(i int) string { return fmt.Sprintf("caller%d@example.org", i) }

// ends are the media of all calls.
type ends struct {
	t         *testing.T
	codecs    []audio.Codec
	talk      int // one in so many says a tone, the others send nothing
	opened    atomic.Int64
	connected atomic.Int64
	frames    atomic.Int64 // of 10 ms in which the tone was heard
	closing   chan struct{}

	mu    sync.Mutex
	calls []*media.Call
	wg    sync.WaitGroup
}

func (e *ends) open() *media.Call {
	var source audio.Source // nil sends nothing
	if e.opened.Add(1)%int64(e.talk) == 0 {
		var err error
		if source, err = audio.OpenSource("tone:440"); err != nil {
			e.t.Error(err)
		}
	}
	c, err := media.NewCall(media.Config{Audio: media.Audio{
		Source: source, Codecs: e.codecs,
		Sink: audio.NewSink(func(f audio.Frame) error {
			if audio.HasTone(f, 440) {
				e.frames.Add(int64(len(f) / (audio.SampleRate / 100)))
			}
			return nil
		}),
	}})
	if err != nil {
		e.t.Error(err)
		return nil
	}
	e.mu.Lock()
	e.calls = append(e.calls, c)
	e.mu.Unlock()
	e.wg.Go(func() {
		for ev := range c.Events() {
			switch ev := ev.(type) {
			case media.Connected:
				e.connected.Add(1)
			case media.Ended:
				select {
				case <-e.closing:
				default:
					e.t.Errorf("a call ended: %+v: %v", ev, c.Err())
				}
			}
		}
	})
	return c
}

func (e *ends) close() {
	close(e.closing)
	e.mu.Lock()
	calls := e.calls
	e.mu.Unlock()
	for _, c := range calls {
		c.Close()
	}
	e.wg.Wait()
}

// memory returns what Go uses for live objects and stacks, and what the process
// has of the machine.
func memory(t *testing.T) (goBytes, resident int64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return int64(m.HeapAlloc + m.StackInuse), pages * int64(os.Getpagesize())
}
