package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A standing is a loop that nobody runs, with one allocation.
type standing struct {
	loop     *loop
	listener *listenerSock
	relay    *relaySock
	client   *net.UDPConn
	peer     *net.UDPConn
	server   netip.AddrPort
	relayed  netip.AddrPort
}

func stand(t testing.TB) *standing {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := newLoop()
	check(err)
	t.Cleanup(func() { unix.Close(l.epoll); unix.Close(l.wake) })
	s := &Server{started: time.Now()}
	p := &plane{server: s, loops: []*loop{l}}
	at := netip.AddrPortFrom(loopback, 0)
	st := &standing{loop: l}
	check(p.listen(Listener{Transport: UDP, Address: at}, func(local netip.AddrPort) *entrance {
		st.server = local
		return newEntrance(s, Listener{Transport: UDP}, local)
	}))
	st.listener = s.sockets[0].(*listenerSock)
	t.Cleanup(func() { st.listener.Close() })
	st.client, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	check(err)
	t.Cleanup(func() { st.client.Close() })
	st.peer, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	check(err)
	t.Cleanup(func() { st.peer.Close() })
	a := &allocation{server: s, scopes: scopes{&scope{}, &scope{}, &scope{}}}
	f := p.flow(st.listener, a)
	relay, err := p.relay(f, at)
	check(err)
	st.relay = relay.(*relaySock)
	t.Cleanup(func() { st.relay.Close() })
	st.relayed, err = localOf(st.relay.fd)
	check(err)
	f.start(st.client.LocalAddr().(*net.UDPAddr).AddrPort())
	peer := st.peer.LocalAddr().(*net.UDPAddr).AddrPort()
	f.permit(peer.Addr(), verdictAllowed)
	f.bind(0x4000, peer)
	return st
}

func (st *standing) round() {
	st.loop.mu.Lock()
	st.loop.read(&st.listener.sock)
	st.loop.read(&st.relay.sock)
	st.loop.flush()
	st.loop.mu.Unlock()
}

func TestForwardingMakesNoGarbage(t *testing.T) {
	st := stand(t)
	packet := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
	server, buf := st.server, make([]byte, 2000)
	if n := testing.AllocsPerRun(100, func() {
		st.client.WriteToUDPAddrPort(packet, server)
		st.peer.WriteToUDPAddrPort(packet[4:], st.relayed)
		st.round()
		if n, _, err := st.peer.ReadFromUDPAddrPort(buf); n != 160 || err != nil {
			t.Fatalf("the peer got %d bytes, %v", n, err)
		}
		if n, _, err := st.client.ReadFromUDPAddrPort(buf); n != 164 || err != nil {
			t.Fatalf("the client got %d bytes, %v", n, err)
		}
	}); n != 0 {
		t.Errorf("%v heap allocations for two packets, want none", n)
	}
}

// Trains keep packets whole and in order, whatever their sizes.
func TestTrainsKeepPacketsAndOrder(t *testing.T) {
	for _, gso := range []bool{true, false} {
		st := stand(t)
		st.relay.gso = gso
		server, buf := st.server, make([]byte, 2000)
		sizes := []int{1200, 1200, 1200, 700, 1200, 1, 1, 2, 1472, 1472, 10, 0, 5, 5, 5}
		for i, n := range sizes {
			b := make([]byte, 4+n)
			b[0], b[2], b[3] = 0x40, byte(n>>8), byte(n)
			if n > 0 {
				b[4] = byte(i)
			}
			if _, err := st.client.WriteToUDPAddrPort(b, server); err != nil {
				t.Fatal(err)
			}
		}
		st.round()
		for i, want := range sizes {
			n, _, err := st.peer.ReadFromUDPAddrPort(buf)
			if err != nil || n != want || n > 0 && buf[0] != byte(i) {
				t.Fatalf("packet %d (gso %v): %d bytes, first %d, %v; want %d", i, gso, n, buf[0], err, want)
			}
		}
		for i, n := range sizes {
			b := make([]byte, n)
			if n > 0 {
				b[0] = byte(i)
			}
			if _, err := st.peer.WriteToUDPAddrPort(b, st.relayed); err != nil {
				t.Fatal(err)
			}
		}
		for range len(sizes)/4 + 1 {
			st.round()
		}
		for i, want := range sizes {
			n, _, err := st.client.ReadFromUDPAddrPort(buf)
			if err != nil || n != want+4 || buf[0] != 0x40 || int(buf[2])<<8|int(buf[3]) != want || want > 0 && buf[4] != byte(i) {
				t.Fatalf("packet %d to the client: %d bytes, %v; want %d", i, n, err, want+4)
			}
		}
	}
}

func BenchmarkForward(b *testing.B) {
	st := stand(b)
	packet := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
	server := st.server
	b.ReportAllocs()
	for b.Loop() {
		st.client.WriteToUDPAddrPort(packet, server)
		st.round()
	}
}

// A port that somebody else has costs no descriptor.
func TestFailedBindLeaksNothing(t *testing.T) {
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	before := openFiles(t)
	for range 50 {
		if fd, _, err := bindUDP(u.LocalAddr().(*net.UDPAddr).AddrPort(), false, relayBuffer); err == nil {
			unix.Close(fd)
			t.Fatal("bound a port twice")
		}
	}
	if n := openFiles(t); n > before+10 {
		t.Errorf("%d open files, were %d", n, before)
	}
}
