package turn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"
)

// The relay ends connections that do not speak TURN, and serves on.
func TestStreamsThatAreNotTURNEnd(t *testing.T) {
	conf := testConfig(t)
	conf.FrameTimeout, conf.HandshakeTimeout, conf.AllocationTimeout = 50*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	s := start(t, conf)
	talker, p := connect(t, s, TCP, "u", "p"), newPeer(t)
	talker.allocate()
	talker.bindChannel(0x4000, p.address())
	half := func(n int) string {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("x"))
		return string(m.Raw[:n])
	}
	for name, text := range map[string]string{
		// This one makes older pion spin: its length wraps to 0.
		"a length that wraps":   "\x40\x00\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00",
		"HTTP":                  "GET / HTTP/1.1\r\n\r\n",
		"TLS":                   "\x16\x03\x01\x02\x00\x01",
		"a reserved first byte": "\xc0",
		"one byte":              half(1),
		"half a header":         half(10),
		"half a message":        half(22),
		"a length not of 4":     "\x00\x01\x00\x03\x21\x12\xa4\x42123456789012",
		"no cookie":             "\x00\x01\x00\x00\x00\x00\x00\x00123456789012",
		"nothing":               "",
	} {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []Transport{TCP, TLS} {
				conn, err := net.Dial("tcp4", addressOf(t, s, tr))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
				expectClosed(t, conn)
			}
			conn, err := tls.Dial("tcp4", addressOf(t, s, TLS), &tls.Config{InsecureSkipVerify: true})
			for try := 1; err != nil && try < 20; try++ { // a busy machine needs longer than the timeout for a handshake
				conn, err = tls.Dial("tcp4", addressOf(t, s, TLS), &tls.Config{InsecureSkipVerify: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			expectClosed(t, conn)
		})
	}
	talker.sendChannel(0x4000, "still served")
	p.expect("still served")
}

// A length that wraps when the header or the padding is added to it in 16 bits
// ends the stream at once, with nothing more read or kept.
func TestLengthsThatWrap(t *testing.T) {
	for name, text := range map[string]string{
		"the frame that makes older pion spin": "\x40\x00\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00",
		"channel data, by its padding":         "\x40\x00\xff\xfd\x00\x00\x00\x00",
		"channel data, the longest":            "\x7f\xff\xff\xff\x00\x00\x00\x00",
		"channel data, to one header":          "\x40\x00\xff\xf9",
		"STUN, to nothing":                     "\x00\x01\xff\xec\x21\x12\xa4\x42123456789012",
		"STUN, to one header":                  "\x00\x16\xff\xfc\x21\x12\xa4\x42123456789012",
		"STUN, not of 4":                       "\x00\x01\xff\xff\x21\x12\xa4\x42123456789012",
		"behind a frame that is good":          "\x40\x00\x00\x01x---\x40\x00\xff\xfc\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			for piece := 1; piece <= len(text); piece++ {
				in := &trickle{rest: []byte(text + strings.Repeat("\x00", maxFrame)), piece: piece}
				c := &clientConn{Conn: in, frameTimeout: time.Second}
				frame, err := c.next()
				if err == nil && strings.HasPrefix(text, string(frame)) {
					frame, err = c.next()
				}
				if !errors.Is(err, errFrame) {
					t.Fatalf("in pieces of %d: frame %x, %v, want the end", piece, frame, err)
				}
				if read := len(text) + maxFrame - len(in.rest); read > len(text)+piece || len(c.store) > readBuffer {
					t.Fatalf("in pieces of %d: %d bytes read, %d kept for", piece, read, len(c.store))
				}
			}
		})
	}
}

// A client that is logged in may ask for permissions as fast as it can: it gets
// those of one allocation, others are served, and nothing is left of it.
func TestPermissionFlood(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for _, tr := range []Transport{UDP, TCP} {
			conf := testConfig(t)
			conf.Portable = portable
			s := start(t, conf)
			flooder, other, p := connect(t, s, tr, "u", "p"), connect(t, s, UDP, "v", "q"), newPeer(t)
			flooder.allocate()
			other.allocate()
			other.bindChannel(0x4000, p.address())
			build := func(peers ...int) []byte {
				set := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)}
				for _, n := range peers {
					set = append(set, peerAttr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(n >> 8), byte(n)}), 9)))
				}
				return stun.MustBuild(append(set, stun.NewUsername("u"), flooder.realm, flooder.nonce, flooder.key)...).Raw
			}
			var requests [][]byte
			for n := range 1000 {
				requests = append(requests, build(n))
			}
			var many []int
			for n := range 400 { // in one request: all or nothing
				many = append(many, 1000+n)
			}
			requests = append(requests, build(many...))
			ended, answered := make(chan struct{}), make(chan struct{}, len(requests))
			var wait sync.WaitGroup
			wait.Go(func() {
				b := make([]byte, maxFrame)
				for {
					if _, _, err := flooder.conn.ReadFrom(b); err != nil {
						return
					}
					select {
					case answered <- struct{}{}:
					case <-ended:
						return
					}
				}
			})
			// Over UDP it has some requests under way at any time. Were it more
			// than the socket's queue holds, the kernel would lose those of all,
			// which is any flood's and says nothing of this one. A stream holds
			// it back by itself.
			inFlight := 64
			if tr == TCP {
				inFlight = cap(answered)
			}
			wait.Go(func() {
				for i := 0; ; i++ {
					if i >= inFlight {
						select {
						case <-ended:
							return
						case <-answered:
						}
					}
					if _, err := flooder.conn.WriteTo(requests[i%len(requests)], flooder.server); err != nil {
						t.Error(err)
						return
					}
				}
			})
			most := conf.Limits.withDefaults().PerAllocation.Permissions
			await(t, "the limit reached", func() bool { return s.Status().Refusals[reasonOwnPermissions] > 0 })
			for range 100 {
				other.mustRequest(stun.MethodRefresh)
				other.sendChannel(0x4000, "still served")
				p.expect("still served")
			}
			close(ended)
			s.mu.Lock()
			if n := s.users[Account{testRealm, "u"}].permissions; n == 0 || n > most {
				t.Errorf("portable %v, %s: %d permissions, want at most %d", portable, tr, n, most)
			}
			s.mu.Unlock()
			flooder.conn.SetReadDeadline(time.Now())
			wait.Wait()
			for _, a := range s.list() {
				a.close("test")
			}
			await(t, "nothing left", func() bool { return s.left() == "" })
		}
	}
}

func TestConnectionsAreBoundedAndReleased(t *testing.T) {
	for name, limits := range map[string]Limits{"in total": {Connections: 2}, "of one address": {ConnectionsPerAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			conf := testConfig(t)
			conf.Limits = limits
			s := start(t, conf)
			a, b := connect(t, s, TCP, "u", "p"), connect(t, s, TCP, "u", "p")
			a.allocate()
			b.allocate()
			third, err := net.Dial("tcp4", addressOf(t, s, TCP))
			if err != nil {
				t.Fatal(err)
			}
			defer third.Close()
			expectClosed(t, third)
			a.conn.Close()
			await(t, "the allocation ends with its connection", func() bool { return len(s.Status().Allocations) == 1 })
			await(t, "room for another", func() bool {
				conn, err := net.Dial("tcp4", addressOf(t, s, TCP))
				if err != nil {
					return false
				}
				defer conn.Close()
				c := &client{t: t, conn: &framed{Conn: conn}, server: conn.RemoteAddr()}
				m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
				if _, err := conn.Write(m.Raw); err != nil {
					return false
				}
				conn.SetReadDeadline(time.Now().Add(patience))
				_, _, err = c.conn.ReadFrom(make([]byte, 1500))
				return err == nil
			})
		})
	}
}

// An address that shows no credentials gets a bounded number of answers; one
// that does is served although the first flooded.
func TestNoAmplification(t *testing.T) {
	for _, portable := range []bool{false, true} {
		conf := testConfig(t)
		conf.Portable = portable
		conf.Limits.UnauthenticatedReplies = 1 // and a burst of 10
		s := start(t, conf)
		u, err := net.Dial("udp4", addressOf(t, s, UDP))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		begin := time.Now()
		const asked = 100
		for range asked {
			m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
			if _, err := u.Write(m.Raw); err != nil {
				t.Fatal(err)
			}
		}
		// Another address (and so bucket) is answered behind all of that.
		other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
		if err != nil {
			t.Skipf("127.0.0.9: %v", err)
		}
		defer other.Close()
		c := connect(t, s, UDP, "u", "p")
		c.conn.Close()
		c.conn = other
		c.allocate()
		got := 0
		b := make([]byte, 1500)
		for {
			u.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := u.Read(b)
			if err != nil {
				break
			}
			if n > 200 {
				t.Errorf("an answer of %d bytes to one who shows no credentials", n)
			}
			got++
		}
		if most := 10 + int(time.Since(begin).Seconds()) + 1; got == 0 || got > most {
			t.Errorf("portable %v: %d answers to %d requests without credentials, want 1 to %d", portable, got, asked, most)
		}
	}
}

func TestGarbageOverUDPIsIgnored(t *testing.T) {
	s := start(t, testConfig(t))
	c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
	c.allocate()
	c.bindChannel(0x4000, p.address())
	for _, b := range [][]byte{
		{0}, {0x40}, {0x40, 0, 0, 5, 'a'}, {0x40, 0, 0xff, 0xff}, {0x80, 1}, bytes.Repeat([]byte{0}, 1400), bytes.Repeat([]byte{0x41}, 1400),
		append(binary.BigEndian.AppendUint32([]byte{0, 0x16, 0, 4}, magicCookie), make([]byte, 16)...), // Send without anything
	} {
		c.write(b)
	}
	c.sendChannel(0x4001, "no such channel")
	c.sendIndication(netip.MustParseAddrPort("127.0.0.7:7"), "no permission")
	c.sendChannel(0x4000, "good")
	p.expect("good")
	if got := s.Status().Allocations[0].Traffic; got.UpPackets != 1 || got.Dropped != 2 {
		t.Errorf("meters say %+v, want one packet up and two dropped", got)
	}
}

// A channel of one client is nothing to another.
func TestStrangersDoNotUseOthersChannels(t *testing.T) {
	s := start(t, testConfig(t))
	c, stranger, p := connect(t, s, UDP, "u", "p"), connect(t, s, UDP, "u", "p"), newPeer(t)
	c.allocate()
	c.bindChannel(0x4000, p.address())
	stranger.sendChannel(0x4000, "not mine")
	stranger.sendIndication(p.address(), "not mine")
	stranger.allocate()
	stranger.sendChannel(0x4000, "not mine")
	c.sendChannel(0x4000, "mine")
	p.expect("mine")
}

func TestNothingIsLeftAfterManyAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	s := start(t, testConfig(t))
	round := func() {
		c := connect(t, s, UDP, "u", "p")
		p := newPeer(t)
		c.allocate()
		c.bindChannel(0x4000, p.address())
		c.mustRequest(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
		c.conn.Close()
		p.conn.Close()
	}
	round()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 1000 {
		round()
	}
	const others = 10 // files that the runtime and earlier tests open meanwhile
	if n := openFiles(t); n > files+others {
		t.Errorf("%d open files after 1000 allocations, were %d", n, files)
	}
	await(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	await(t, "everything is forgotten", func() bool { return s.left() == "" })
	for _, p := range s.portsOf {
		if p.free != defaultMaxPort-defaultMinPort+1 {
			t.Errorf("%d ports are free, want all", p.free)
		}
	}
}

// left names what the relay still holds of allocations.
func (s *Server) left() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agenda.mu.Lock()
	defer s.agenda.mu.Unlock()
	if s.total.allocations+s.total.permissions+s.total.channels+len(s.allocations)+len(s.users)+len(s.addresses)+len(s.agenda.heap)+len(s.peers) == 0 {
		return ""
	}
	return fmt.Sprintf("%d counted, %d permissions, %d channels, %d allocations, %d users, %d addresses, %d due, %d connections to peers",
		s.total.allocations, s.total.permissions, s.total.channels, len(s.allocations), len(s.users), len(s.addresses), len(s.agenda.heap), len(s.peers))
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("count open files: %v", err)
	}
	return len(all)
}

// The socket of a TCP allocation over UDP would make one peer's silence
// everybody's.
func TestTCPAllocationNeedsTCPClient(t *testing.T) {
	s := start(t, testConfig(t))
	wantTCP := attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}
	if m := connect(t, s, UDP, "u", "p").request(stun.MethodAllocate, wantTCP); m.Type.Class != stun.ClassErrorResponse {
		t.Error("a client on UDP was given a TCP allocation")
	}

	c := connect(t, s, TCP, "u", "p")
	c.mustRequest(stun.MethodAllocate, wantTCP)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := c.mustRequest(stun.MethodConnect, peerAttr(l.Addr().(*net.TCPAddr).AddrPort()))
	id, err := m.Get(stun.AttrType(0x002A))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	data := connect(t, s, TCP, "u", "p")
	data.mustRequest(stun.MethodConnectionBind, attribute{stun.AttrType(0x002A), id})
	text := strings.Repeat("\xffnot a frame", 5000)
	go func() { data.conn.(*framed).Write([]byte(text)) }()
	got := make([]byte, len(text))
	peer.SetReadDeadline(time.Now().Add(patience))
	if _, err := readFull(peer, got); err != nil || string(got) != text {
		t.Fatalf("the peer read something else: %v", err)
	}
	if _, err := peer.Write([]byte("back")); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, 4)
	data.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := readFull(data.conn.(*framed).Conn, back); err != nil || string(back) != "back" {
		t.Fatalf("the client read %q, %v", back, err)
	}
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Read(b[n:])
		n += m
	}
	return n, err
}

// Without a descriptor left, calls go on, the relay says why it refuses, and
// serves again when there are some.
func TestNoDescriptorsLeft(t *testing.T) {
	s := start(t, testConfig(t))
	c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
	c.allocate()
	c.bindChannel(0x4000, p.address())
	second := connect(t, s, UDP, "u", "p")
	second.request(stun.MethodRefresh) // which fetches realm and nonce
	waiting, err := net.Dial("tcp4", addressOf(t, s, TCP))
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	restore := exhaustFiles(t)
	code := codeOf(second.request(stun.MethodAllocate, wantUDP))
	c.sendChannel(0x4000, "goes on")
	p.expect("goes on")
	restore()
	if code != stun.CodeInsufficientCapacity {
		t.Errorf("without a descriptor the answer is %d, want 508", code)
	}
	if n := s.Status().Refusals[reasonSystem]; n == 0 {
		t.Errorf("refusals %v, want one for %q", s.Status().Refusals, reasonSystem)
	}
	second.allocate()
	connect(t, s, TCP, "u", "p").allocate()
}

// A certificate that vanishes or breaks is served on until there is another.
func TestCertificatesVanish(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	conf := testConfig(t)
	var told []error
	files := &certificateFiles{cert: cert, key: key, failed: func(err error) { told = append(told, err) }}
	if err := files.load(); err != nil {
		t.Fatal(err)
	}
	for i := range conf.Listeners {
		conf.Listeners[i].TLS = files.config()
	}
	s := start(t, conf)
	// The next handshake looks at the files, as after certificateCheck.
	again := func() { files.mu.Lock(); defer files.mu.Unlock(); files.checked = time.Time{} }
	connect(t, s, TLS, "u", "p").allocate()
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	again()
	connect(t, s, TLS, "u", "p").allocate()
	if err := os.WriteFile(cert, []byte("half a certifi"), 0o600); err != nil {
		t.Fatal(err)
	}
	again()
	connect(t, s, DTLS, "u", "p").allocate()
	again()
	connect(t, s, TLS, "u", "p").allocate()
	files.mu.Lock()
	first := files.current
	if len(told) != 2 { // once for what is wrong
		t.Errorf("told of %v, want a file that vanished and one that is no certificate", told)
	}
	files.mu.Unlock()
	writeCertificate(t, cert, key)
	again()
	connect(t, s, TLS, "u", "p").allocate()
	if files.mu.Lock(); files.current == first {
		t.Error("a new certificate is not taken")
	}
	files.mu.Unlock()
}

// Hellos from addresses that never answer cost nothing that stays, send nobody
// more than was sent, and keep no real client out of DTLS.
func TestDTLSFlood(t *testing.T) {
	conf := testConfig(t)
	s := start(t, conf)
	at := netip.MustParseAddrPort(addressOf(t, s, DTLS))
	listener := dtlsOf(t, s)
	hello := clientHelloOf(t)
	for i := range 600 {
		u, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, byte(i/250), byte(5+i%250))}, net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Skipf("addresses of loopback: %v", err)
		}
		if _, err := u.Write(hello); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2000)
		u.SetReadDeadline(time.Now().Add(patience))
		n, err := u.Read(b)
		if err != nil || n > len(hello) || n != len(handshakeRecord([6]byte{}, helloVerifyRequest, make([]byte, 3+cookieLength))) {
			t.Fatalf("%d bytes for a hello of %d, %v", n, len(hello), err)
		}
		u.Close()
	}
	listener.mu.Lock()
	if n := len(listener.peers); n != 0 {
		t.Errorf("%d of those who never answered are remembered", n)
	}
	listener.mu.Unlock()
	if n := s.Status().Connections; n != 0 {
		t.Errorf("%d connections of those who never answered", n)
	}
	connect(t, s, DTLS, "u", "p").allocate()
	if n := s.Status().Connections; n != 1 {
		t.Errorf("%d connections, want that of the real one", n)
	}
}

func dtlsOf(t *testing.T, s *Server) *dtlsListener {
	t.Helper()
	for _, c := range s.sockets {
		if l, ok := c.(*dtlsListener); ok {
			return l
		}
	}
	t.Fatal("no DTLS")
	return nil
}

// withCookie is the second hello of a client, from its first.
func withCookie(t testing.TB, first []byte, cookie []byte) []byte {
	t.Helper()
	h, ok := parseHello(first)
	if !ok {
		t.Fatal("the hello of a client is not understood")
	}
	h.record[5]++
	b := handshakeRecord(h.record, clientHello, h.start, append([]byte{byte(len(cookie))}, cookie...), h.rest)
	b[recordHeader+5] = 1
	return b
}

// A cookie is good for one address and port, one hello and two minutes.
func TestCookies(t *testing.T) {
	first := clientHelloOf(t)
	now := int64(0)
	c := newCookies(func() int64 { return now })
	from := netip.MustParseAddrPort("192.0.2.1:1")
	h, ok := parseHello(first)
	if !ok || len(h.cookie) != 0 || h.sequence != 0 {
		t.Fatalf("%+v, %v", h, ok)
	}
	if verify := h.verify(c.make(from, &h)); len(verify) > len(first) || verify[10] != h.record[5] {
		t.Errorf("a request for a cookie of %d bytes, number %d", len(verify), verify[10])
	}
	again, ok := parseHello(withCookie(t, first, c.make(from, &h)))
	if !ok || again.sequence != 1 {
		t.Fatalf("%+v, %v", again, ok)
	}
	other := again
	other.start = append([]byte(nil), again.start...)
	other.start[5]++
	weaker := again
	weaker.rest = again.rest[:len(again.rest)-1]
	for name, x := range map[string]struct {
		from  string
		hello *hello
		after time.Duration
		good  bool
	}{
		"itself": {"192.0.2.1:1", &again, 0, true}, "another address": {"192.0.2.2:1", &again, 0, false}, "another port": {"192.0.2.1:2", &again, 0, false},
		"another random": {"192.0.2.1:1", &other, 0, false}, "other suites": {"192.0.2.1:1", &weaker, 0, false},
		"in a minute": {"192.0.2.1:1", &again, cookieTime + time.Second, true}, "later": {"192.0.2.1:1", &again, 2 * cookieTime, false},
	} {
		now = int64(x.after)
		if got := c.good(netip.MustParseAddrPort(x.from), x.hello); got != x.good {
			t.Errorf("%s: good is %v", name, got)
		}
	}
	// Whatever is cut off, and whatever length lies.
	for n := range len(first) {
		if h, ok := parseHello(first[:n]); ok {
			t.Errorf("%d bytes of %d are a hello: %+v", n, len(first), h)
		}
	}
	if !pionTakesCookies() {
		t.Error("pion's cookie is not where it was")
	}
}

// A cookie that another address was sent makes no session, and neither does a
// made-up one.
func TestCookiesOfOthers(t *testing.T) {
	s := start(t, testConfig(t))
	listener := dtlsOf(t, s)
	first := clientHelloOf(t)
	var sockets [2]net.Conn
	for i := range sockets {
		u, err := net.Dial("udp4", addressOf(t, s, DTLS))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		u.SetReadDeadline(time.Now().Add(patience))
		sockets[i] = u
	}
	cookieFor := func(u net.Conn) []byte {
		t.Helper()
		b := make([]byte, 2000)
		if _, err := u.Write(first); err != nil {
			t.Fatal(err)
		}
		n, err := u.Read(b)
		if err != nil || !isHandshake(b[:n], helloVerifyRequest) {
			t.Fatalf("no cookie: %x, %v", b[:n], err)
		}
		return b[n-cookieLength : n]
	}
	// Who speaks another version is told so, in fewer bytes than he sent.
	old := bytes.Clone(first)
	old[recordHeader+handshakeHeader+1] = 0xFF
	sockets[0].Write(old)
	alert := make([]byte, 100)
	if n, err := sockets[0].Read(alert); err != nil || n != recordHeader+2 || alert[0] != recordAlert {
		t.Errorf("to DTLS 1.0: %x, %v", alert[:n], err)
	}
	cookie := cookieFor(sockets[0])
	sockets[1].Write(withCookie(t, first, cookie))
	sockets[1].Write(withCookie(t, first, make([]byte, cookieLength)))
	cookieFor(sockets[1]) // what came before has been read
	listener.mu.Lock()
	if n := len(listener.peers); n != 0 {
		t.Errorf("%d sessions by cookies of others", n)
	}
	listener.mu.Unlock()
	sockets[0].Write(withCookie(t, first, cookie))
	await(t, "a session by a cookie", func() bool { return s.Status().Connections == 1 })
}

// A DTLS client that has lost its session begins anew from the same port; its
// old allocation ends. RFC 6347#section-4.2.8
func TestDTLSBeginsAnew(t *testing.T) {
	s := start(t, testConfig(t))
	at, err := net.ResolveUDPAddr("udp4", addressOf(t, s, DTLS))
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	var before netip.AddrPort
	for range 2 {
		// Closing a session must not close the socket, nor say goodbye.
		silent := &forgetful{PacketConn: u}
		u.SetReadDeadline(time.Time{})
		conn, err := dtls.ClientWithOptions(silent, at, dtls.WithInsecureSkipVerify(true))
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, conn: &packets{conn}, server: at, user: "u", password: "p"}
		now := c.allocate()
		if now == before {
			t.Errorf("relayed at %v again", now)
		}
		before = now
		silent.gone.Store(true)
		u.SetReadDeadline(time.Now()) // ends pion's reading
		conn.Close()
	}
	await(t, "the old session ended", func() bool { st := s.Status(); return len(st.Allocations) == 1 && st.Connections == 1 })
}

// A forgetful is a socket of a client that has crashed: what it sends then is lost.
type forgetful struct {
	net.PacketConn
	gone atomic.Bool
}

func (f *forgetful) WriteTo(b []byte, to net.Addr) (int, error) {
	if f.gone.Load() {
		return len(b), nil
	}
	return f.PacketConn.WriteTo(b, to)
}

func (f *forgetful) Close() error { return nil }

// Requests from thousands of addresses leave nothing behind.
func TestSpoofedFloodLeavesNothing(t *testing.T) {
	for _, portable := range []bool{false, true} {
		conf := testConfig(t)
		conf.Portable = portable
		s := start(t, conf)
		at := netip.MustParseAddrPort(addressOf(t, s, UDP))
		c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
		c.allocate()
		c.bindChannel(0x4000, p.address())
		requests := [][]byte{
			stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP).Raw,
			stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), peerAttr(p.address())).Raw,
			stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), stun.NewUsername("u"), stun.NewRealm(testRealm), stun.NewNonce("x"), stun.MessageIntegrity("x")).Raw,
		}
		for i := range 1000 {
			u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(5+i%250))})
			if err != nil {
				t.Skipf("addresses of loopback: %v", err)
			}
			for _, r := range requests {
				u.WriteToUDPAddrPort(r, at) // a full queue may refuse it
			}
			u.Close()
		}
		// What finds the socket's queue full is lost, as on any full link.
		await(t, "still served", func() bool {
			c.sendChannel(0x4000, "still served")
			p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _, err := p.conn.ReadFromUDPAddrPort(make([]byte, 100))
			return err == nil
		})
		c.mustRequest(stun.MethodRefresh)
		s.mu.Lock()
		if len(s.users) != 1 || len(s.addresses) != 1 || len(s.allocations) != 1 {
			t.Errorf("%d users, %d addresses, %d allocations, want one each", len(s.users), len(s.addresses), len(s.allocations))
		}
		s.mu.Unlock()
	}
}

// A client that takes nothing loses its own packets, and its connection in the
// end; others notice nothing.
func TestClientThatDoesNotRead(t *testing.T) {
	s := start(t, testConfig(t))
	deaf, other, p := connect(t, s, TCP, "u", "p"), connect(t, s, TCP, "u", "p"), newPeer(t)
	to, good := deaf.allocate(), other.allocate()
	deaf.permitPeer(p.address())
	other.permitPeer(p.address())
	big := strings.Repeat("x", 8000)
	for range 2000 { // more than the buffers of a connection
		p.send(to, big)
	}
	p.send(good, "prompt")
	other.expect("prompt", 0)
}

// A refusal says why, once, however often it happens.
func TestFloodsDoNotFloodTheLog(t *testing.T) {
	var log lockedBuilder
	conf := testConfig(t)
	conf.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := start(t, conf)
	for range 1000 {
		s.refuse("nothing", reasonPolicy, "user", "u")
	}
	if n := strings.Count(log.String(), "nothing"); n == 0 || n > 2*linesPerSecond {
		t.Errorf("%d lines for 1000 refusals, want at most %d a second", n, linesPerSecond)
	}
	if n := s.Status().Refusals[reasonPolicy]; n != 1000 {
		t.Errorf("%d counted, want 1000", n)
	}
}
