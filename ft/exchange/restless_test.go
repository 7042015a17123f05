package exchange

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// stingy copies as the proxy of Prosody 0.12 does: it hands on at most 4 KiB of
// what it has read, and then waits for more to come although it holds as much
// again.
func stingy(from, to net.Conn) {
	defer to.Close()
	const most = 4096
	var held []byte
	for {
		buf := make([]byte, 2*most-len(held))
		n, err := from.Read(buf)
		held = append(held, buf[:n]...)
		k := min(most, len(held))
		if err != nil {
			k = len(held)
		}
		if _, werr := to.Write(held[:k]); werr != nil || err != nil {
			from.Close()
			return
		}
		held = append([]byte(nil), held[k:]...)
	}
}

type restless struct{ net.Conn }

func (restless) Restless() time.Duration { return 10 * time.Millisecond }

// What a proxy holds back is driven out by pings, long before the usual ones.
func TestBytesHeldBackArrive(t *testing.T) {
	dir := t.TempDir()
	random(t, filepath.Join(dir, "f.bin"), 3<<20+5000, 1)
	src, err := Scan(t.Context(), filepath.Join(dir, "f.bin"))
	if err != nil {
		t.Fatal(err)
	}
	a, pa := streams(t)
	b, pb := streams(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { stingy(pa, pb) })
	wg.Go(func() { stingy(pb, pa) })
	began := time.Now()
	o := exchange(t, restless{a}, restless{b}, src, SendOptions{}, ReceiveOptions{Dir: t.TempDir(), Peer: "alice@example.org"})
	if o.sendErr != nil || o.getErr != nil || o.got.Bytes != 3<<20+5000 {
		t.Fatalf("sender: %v; receiver: %+v, %v", o.sendErr, o.got, o.getErr)
	}
	if took := time.Since(began); took > pingEvery {
		t.Errorf("it took %v, as long as without the pings", took)
	}
}
