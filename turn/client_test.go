package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRealm = "test"
	patience  = 5 * time.Second
)

var loopback = netip.MustParseAddr("127.0.0.1")

// testConfig serves on loopback, by all transports, peers on loopback allowed.
func testConfig(t testing.TB) Config {
	t.Helper()
	at := netip.AddrPortFrom(loopback, 0)
	return Config{
		Realm: testRealm, Users: map[string]Secret{"u": "p", "v": "q"},
		Listeners:  []Listener{{Transport: UDP, Address: at}, {Transport: TCP, Address: at}, {Transport: TLS, Address: at, TLS: testTLS(t)}, {Transport: DTLS, Address: at, TLS: testTLS(t)}},
		AllowPeers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Loops:      2,
	}
}

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func start(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func addressOf(t testing.TB, s *Server, tr Transport) string {
	t.Helper()
	for _, l := range s.Addresses() {
		if l.Transport == tr {
			return l.Address.String()
		}
	}
	t.Fatalf("no listener for %s", tr)
	return ""
}

// A client speaks TURN word for word, so that tests see every answer.
type client struct {
	t          testing.TB
	conn       net.PacketConn
	server     net.Addr
	user       string
	password   string
	realm      stun.Realm
	nonce      stun.Nonce
	key        stun.MessageIntegrity
	unexpected [][]byte // what came while an answer was awaited
}

func connect(t testing.TB, s *Server, tr Transport, user, password string) *client {
	t.Helper()
	c := &client{t: t, user: user, password: password}
	address := addressOf(t, s, tr)
	switch tr {
	case UDP:
		u, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.conn = u
		if c.server, err = net.ResolveUDPAddr("udp4", address); err != nil {
			t.Fatal(err)
		}
	case DTLS:
		at, err := net.ResolveUDPAddr("udp4", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dtls.DialWithOptions("udp4", at, dtls.WithInsecureSkipVerify(true))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		c.conn, c.server = &packets{conn}, conn.RemoteAddr()
	default:
		conn, err := net.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		if tr == TLS {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		c.conn, c.server = &framed{Conn: conn}, conn.RemoteAddr()
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// packets is a connection of datagrams.
type packets struct{ net.Conn }

func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.RemoteAddr(), err
}

func (p *packets) WriteTo(b []byte, _ net.Addr) (int, error) { return p.Write(b) }

// framed reads frames of a stream.
type framed struct {
	net.Conn
	buf []byte
}

func (f *framed) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if n, _ := frameLength(f.buf); n > 0 && n <= len(f.buf) {
			copy(b, f.buf[:n])
			f.buf = f.buf[n:]
			return n, f.RemoteAddr(), nil
		}
		n, err := f.Read(b)
		if err != nil {
			return 0, nil, err
		}
		f.buf = append(f.buf, b[:n]...)
	}
}

func (f *framed) WriteTo(b []byte, _ net.Addr) (int, error) { return f.Write(b) }

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteTo(b, c.server); err != nil {
		c.t.Fatal(err)
	}
}

// read waits for the next packet.
func (c *client) read() []byte {
	c.t.Helper()
	b := make([]byte, 65536)
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	n, _, err := c.conn.ReadFrom(b)
	if err != nil {
		c.t.Fatalf("read from relay: %v", err)
	}
	return b[:n]
}

// readAgain is read, and sends a datagram again for which there is no answer: a
// relay that is flooded may lose it. RFC 8489#section-6.2.1
func (c *client) readAgain(request []byte) []byte {
	c.t.Helper()
	if c.conn.LocalAddr().Network() != "udp" {
		return c.read()
	}
	b := make([]byte, 65536)
	for deadline := time.Now().Add(patience); ; c.write(request) {
		if err := c.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			c.t.Fatal(err)
		}
		n, _, err := c.conn.ReadFrom(b)
		if err == nil {
			return b[:n]
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline) {
			c.t.Fatalf("read from relay: %v", err)
		}
	}
}

// request sends a request, authenticates when asked to, and returns the answer.
func (c *client) request(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	for range 3 {
		set := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
		if c.key != nil {
			set = append(set, stun.NewUsername(c.user), c.realm, c.nonce, c.key)
		}
		m, err := stun.Build(set...)
		if err != nil {
			c.t.Fatal(err)
		}
		c.write(m.Raw)
		answer := &stun.Message{}
		for {
			b := c.readAgain(m.Raw)
			answer.Raw = b
			if stun.IsMessage(b) && answer.Decode() == nil && answer.TransactionID == m.TransactionID {
				break
			}
			c.unexpected = append(c.unexpected, b)
		}
		code := codeOf(answer)
		if code != stun.CodeUnauthorized && code != stun.CodeStaleNonce || c.key != nil && !answer.Contains(stun.AttrNonce) {
			return answer
		}
		if c.key != nil && code == stun.CodeUnauthorized {
			return answer
		}
		if c.realm.GetFrom(answer) != nil || c.nonce.GetFrom(answer) != nil {
			c.t.Fatal("challenge without realm or nonce")
		}
		c.key = stun.NewLongTermIntegrity(c.user, c.realm.String(), c.password)
	}
	c.t.Fatal("the relay asks for credentials again and again")
	return nil
}

// codeOf is 0 for a success.
func codeOf(m *stun.Message) stun.ErrorCode {
	var e stun.ErrorCodeAttribute
	if m.Type.Class != stun.ClassErrorResponse || e.GetFrom(m) != nil {
		return 0
	}
	return e.Code
}

func (c *client) mustRequest(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	m := c.request(method, attrs...)
	if m.Type.Class != stun.ClassSuccessResponse {
		c.t.Fatalf("%v answered with %v", method, codeOf(m))
	}
	return m
}

type attribute struct {
	typ stun.AttrType
	v   []byte
}

func (a attribute) AddTo(m *stun.Message) error { m.Add(a.typ, a.v); return nil }

var wantUDP = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

type peerAttr netip.AddrPort

func (p peerAttr) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func (c *client) allocate(attrs ...stun.Setter) netip.AddrPort {
	c.t.Helper()
	m := c.mustRequest(stun.MethodAllocate, append(attrs, wantUDP)...)
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		c.t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(relayed.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
}

func channelAttr(number uint16) attribute {
	return attribute{stun.AttrChannelNumber, []byte{byte(number >> 8), byte(number), 0, 0}}
}

func (c *client) bindChannel(number uint16, peer netip.AddrPort) {
	c.t.Helper()
	c.mustRequest(stun.MethodChannelBind, channelAttr(number), peerAttr(peer))
}

func (c *client) permitPeer(peer netip.AddrPort) {
	c.t.Helper()
	c.mustRequest(stun.MethodCreatePermission, peerAttr(peer))
}

func (c *client) sendChannel(number uint16, data string) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	c.write(b)
}

func (c *client) sendIndication(peer netip.AddrPort, data string) {
	c.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAttr(peer), attribute{stun.AttrData, []byte(data)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)
}

// receive returns the next relayed data, with its channel or 0.
func (c *client) receive() (string, uint16) {
	c.t.Helper()
	b := c.read()
	if number, data, ok := channelData(b); ok {
		return string(data), number
	}
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		c.t.Fatalf("neither channel data nor STUN: %v", err)
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		c.t.Fatalf("no data in %v", m)
	}
	return string(data), 0
}

// A peer is somebody on the other side of the relay.
type peer struct {
	t    testing.TB
	conn *net.UDPConn
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return &peer{t, u}
}

func (p *peer) address() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *peer) expect(want string) {
	p.t.Helper()
	b := make([]byte, 65536)
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	n, _, err := p.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		p.t.Fatalf("read at peer, waiting for %q: %v", want, err)
	}
	if got := string(b[:n]); got != want {
		p.t.Fatalf("the peer got %.40q, want %.40q", got, want)
	}
}

func (p *peer) send(to netip.AddrPort, data string) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(data), to); err != nil {
		p.t.Fatal(err)
	}
}

func (c *client) expect(want string, number uint16) {
	c.t.Helper()
	got, n := c.receive()
	if got != want || n != number {
		c.t.Fatalf("the client got %.40q on channel %#x, want %.40q on %#x", got, n, want, number)
	}
}

// await polls until ok, for what happens by a timer.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not in %v", what, patience)
		}
	}
}

// expectClosed waits for the relay to end a connection.
func expectClosed(t testing.TB, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the relay keeps the connection")
	}
}

func ipAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// connectTLS asks for a server name.
func connectTLS(t testing.TB, s *Server, name, user, password string) *client {
	t.Helper()
	conn, err := tls.Dial("tcp4", addressOf(t, s, TLS), &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: &framed{Conn: conn}, server: conn.RemoteAddr(), user: user, password: password}
}

// release ends the client's allocation.
func release(c *client) {
	c.t.Helper()
	c.mustRequest(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
}

func writeCertificate(t testing.TB, cert, key string) {
	t.Helper()
	pair := testTLS(t).Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// clientHelloOf is the first datagram of a DTLS client.
func clientHelloOf(t testing.TB) []byte {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	conn, err := dtls.DialWithOptions("udp4", u.LocalAddr().(*net.UDPAddr), dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { conn.HandshakeContext(ctx) })
	defer wait.Wait()
	defer conn.Close()
	defer cancel()
	b := make([]byte, 2000)
	u.SetReadDeadline(time.Now().Add(patience))
	n, _, err := u.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// A lockedBuilder is a log that several goroutines write.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
