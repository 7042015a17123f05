//go:build integration

package turn

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// After 100,000 allocations nothing is left of them: no descriptor, goroutine,
// memory, or entry of a table. Tagged, so that it runs once.
func TestIntegrationHundredThousandAllocations(t *testing.T) {
	const (
		clients = 8
		total   = 100_000
	)
	conf := testConfig(t)
	conf.AllowPeers = nil
	// As a program does that is a relay, see DefaultLoops.
	procs := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(procs + conf.Loops)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	s := start(t, conf)
	all := make([]*client, clients)
	for i := range all {
		all[i] = connect(t, s, UDP, "u", "p")
		all[i].request(stun.MethodRefresh) // which fetches realm and nonce
	}
	round := func(each int) {
		var wait sync.WaitGroup
		for _, c := range all {
			wait.Go(func() {
				for range each {
					if !c.cycle() {
						t.Error("an allocation was refused")
						return
					}
				}
			})
		}
		wait.Wait()
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	round(500)
	goroutines, files, heap := runtime.NumGoroutine(), openFiles(t), memory()
	round(total/clients - 500)
	if left := s.left(); left != "" {
		t.Errorf("left: %s", left)
	}
	for _, p := range s.portsOf {
		if p.free != defaultMaxPort-defaultMinPort+1 {
			t.Errorf("%d ports are free, want all", p.free)
		}
	}
	const some = 1 << 20
	if now := memory(); now > heap+some {
		t.Errorf("%d bytes of heap, were %d after the first thousands", now, heap)
	}
	if n := openFiles(t); n > files+2 {
		t.Errorf("%d open files, were %d", n, files)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, were %d", n, goroutines)
	}
}

// retransmit is how long a client waits for an answer before it asks again.
const retransmit = 500 * time.Millisecond

// cycle makes an allocation and ends it. Requests are written by our own codec,
// which is quicker than a client's.
func (c *client) cycle() bool {
	ask := func(method uint16, attr uint16, v []byte) bool {
		var a answer
		transaction := stun.NewTransactionID()
		a.begin(method, classRequest, transaction[:])
		a.add(attr, v)
		a.add(attrUsername, []byte(c.user))
		a.add(attrRealm, c.realm)
		a.add(attrNonce, c.nonce)
		a.sign(c.key, false)
		var b [1500]byte
		for try := range 20 { // UDP loses, when the machine is busy
			if _, err := c.conn.WriteTo(a.b, c.server); err != nil {
				return false
			}
			c.conn.SetReadDeadline(time.Now().Add(retransmit))
			for {
				n, _, err := c.conn.ReadFrom(b[:])
				if err != nil {
					if e, ok := err.(net.Error); ok && e.Timeout() {
						break
					}
					return false
				}
				if m, ok := parseMessage(b[:n]); ok && string(m.raw[8:stunHeader]) == string(transaction[:]) {
					return m.class() == classSuccess || try > 0 // what the first one did
				}
			}
		}
		return false
	}
	return ask(methodAllocate, attrRequestedTransport, []byte{protocolUDP, 0, 0, 0}) && ask(methodRefresh, attrLifetime, []byte{0, 0, 0, 0})
}
