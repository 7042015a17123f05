package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// FuzzMessage: what we take for a message is one, and its attributes are those
// that pion's decoder sees before the integrity.
func FuzzMessage(f *testing.F) {
	key := stun.NewLongTermIntegrity("u", testRealm, "p")
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername("u"), key, stun.Fingerprint).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), family(family6), integrity256("key")).Raw)
	f.Add([]byte("\x00\x01\xff\xfc\x21\x12\xa4\x42------------\x00\x06\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseMessage(b)
		if !ok {
			return
		}
		if messageType(m.method(), m.class()) != m.typ {
			t.Fatalf("type %#x is method %#x and class %#x", m.typ, m.method(), m.class())
		}
		m.signedBy([]byte("key"))
		m.unknown(knownAttribute)
		p := &stun.Message{Raw: bytes.Clone(m.raw)}
		if p.Decode() != nil {
			return
		}
		i := 0
		m.each(func(typ uint16, v []byte) bool {
			// pion gives some retired types other names.
			if i >= len(p.Attributes) || !bytes.Equal(p.Attributes[i].Value, v) {
				t.Fatalf("attribute %d is %#x %x, pion sees %v", i, typ, v, p.Attributes)
			}
			i++
			return true
		})
	})
}

// FuzzAnswer: what we write can be read back.
func FuzzAnswer(f *testing.F) {
	f.Add(uint16(attrSoftware), []byte("hello"), []byte("key"), true)
	f.Fuzz(func(t *testing.T, typ uint16, v, key []byte, with256 bool) {
		switch typ {
		case attrMessageIntegrity, attrMessageIntegritySHA256, attrFingerprint:
			return
		}
		if len(v) > 500 {
			return
		}
		var a answer
		a.begin(methodAllocate, classSuccess, []byte("transaction."))
		a.add(typ, v)
		a.sign(key, with256)
		a.mark()
		m, ok := parseMessage(a.b)
		if got, has := m.get(typ); !ok || !has || !bytes.Equal(got, v) || !m.signedBy(key) || m.method() != methodAllocate {
			t.Fatalf("wrote %x", a.b)
		}
	})
}

// A recorder is a link that keeps what is sent.
type recorder struct{ sent [][]byte }

func (r *recorder) send(b []byte, _ netip.AddrPort) error {
	r.sent = append(r.sent, bytes.Clone(b))
	return nil
}

// States of a connection that FuzzServer begins in.
const (
	stateNothing = iota
	stateAllocated
	stateBound
	stateDual
	states
)

// FuzzServer sends requests whose attributes are arbitrary to a whole server,
// in each state of the client, without and with credentials. Whatever it
// answers is a message to that request, and in the end nothing is left.
func FuzzServer(f *testing.F) {
	peer := stun.MustBuild(peerAttr(netip.MustParseAddrPort("127.0.0.1:9"))).Raw[stunHeader:]
	f.Add(uint8(stateNothing), uint16(methodAllocate), true, []byte("\x00\x19\x00\x04\x11\x00\x00\x00"))
	f.Add(uint8(stateNothing), uint16(methodAllocate), true, []byte("\x00\x19\x00\x04\x11\x00\x00\x00\x00\x18\x00\x01\x80\x00\x00\x00"))
	f.Add(uint8(stateNothing), uint16(methodBinding), false, []byte("\x00\x03\x00\x04\x00\x00\x00\x06"))
	f.Add(uint8(stateAllocated), uint16(methodCreatePermission), true, peer)
	f.Add(uint8(stateAllocated), uint16(methodChannelBind), true, append([]byte("\x00\x0c\x00\x04\x40\x00\x00\x00"), peer...))
	f.Add(uint8(stateBound), uint16(methodRefresh), true, []byte("\x00\x0d\x00\x04\x00\x00\x00\x00"))
	f.Add(uint8(stateDual), uint16(methodRefresh), true, []byte("\x00\x17\x00\x04\x02\x00\x00\x00\x00\x0d\x00\x04\x00\x00\x00\x00"))
	f.Add(uint8(stateBound), uint16(methodConnect), true, peer)
	f.Add(uint8(stateBound), uint16(methodConnectionBind), true, []byte("\x00\x2a\x00\x04\x00\x00\x00\x01"))
	f.Add(uint8(stateBound), uint16(methodSend), false, peer)
	f.Fuzz(func(t *testing.T, state uint8, method uint16, signed bool, attributes []byte) {
		if len(attributes) > 600 {
			return
		}
		conf := testConfig(t)
		conf.Portable = true
		conf.Listeners = []Listener{{Transport: UDP, Address: netip.AddrPortFrom(loopback, 0)}}
		conf.Relays = []Relay{{Address: loopback}, {Address: loopback6}}
		s, err := New(conf)
		if err != nil {
			t.Skip(err)
		}
		defer func() {
			s.Close()
			if left := s.left(); left != "" {
				t.Fatal("left: " + left)
			}
		}()
		out := &recorder{}
		r := request{entrance: s.entrances[0], link: out, from: netip.MustParseAddrPort("127.0.0.1:5")}
		keys := s.keyring.Load()
		ask := func(method uint16, body []byte, signed bool) []byte {
			var a answer
			a.begin(method, classRequest, []byte("transaction."))
			a.b = append(a.b, body...)
			for len(a.b)%4 != 0 {
				a.b = append(a.b, 0)
			}
			a.measure(0)
			if signed {
				a.add(attrUsername, []byte("u"))
				a.add(attrRealm, []byte(testRealm))
				a.add(attrNonce, keys.nonces.make(time.Now(), loopback, keys.first.features))
				a.sign(longTermKey(algorithmMD5, "u", testRealm, "p"), false)
			}
			out.sent = nil
			r.serve(a.b)
			if len(out.sent) == 0 {
				return nil
			}
			return out.sent[0]
		}
		udp := []byte("\x00\x19\x00\x04\x11\x00\x00\x00")
		switch state % states {
		case stateAllocated:
			ask(methodAllocate, udp, true)
		case stateBound:
			ask(methodAllocate, udp, true)
			ask(methodChannelBind, append([]byte("\x00\x0c\x00\x04\x40\x00\x00\x00"), peer...), true)
		case stateDual:
			ask(methodAllocate, append(udp[:8:8], []byte("\x80\x00\x00\x04\x02\x00\x00\x00")...), true)
		}
		b := ask(method&0xFFF, attributes, signed)
		if len(out.sent) > 1 {
			t.Fatalf("%d answers to one request", len(out.sent))
		}
		if b != nil {
			m, ok := parseMessage(b)
			if !ok || m.class() != classSuccess && m.class() != classError || m.method() != method&0xFFF || !bytes.Equal(m.raw[8:stunHeader], []byte("transaction.")) {
				t.Fatalf("answered with %x", b)
			}
			if !signed && len(b) > 256 {
				t.Fatalf("an answer of %d bytes to one who shows no credentials", len(b))
			}
		}
		// The same bytes as data.
		if a := s.entrances[0].of(r.from); a != nil {
			a.fromClient(attributes)
			a.fromClient(append(binary.BigEndian.AppendUint16([]byte{0x40, 0}, uint16(len(attributes))), attributes...))
		}
	})
}

// A trickle is a connection that gives a few bytes at a time.
type trickle struct {
	net.Conn
	rest  []byte
	piece int
}

func (c *trickle) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.rest[:min(c.piece, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

func (c *trickle) SetReadDeadline(time.Time) error { return nil }

// FuzzStream: frames of a stream are its bytes in order, whole, however they
// arrive.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\x40\x00\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00"), uint8(1))
	f.Add([]byte("\x40\x00\x00\x01x---\x00\x01\x00\x00\x21\x12\xa4\x42------------"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		c := &clientConn{Conn: &trickle{rest: bytes.Clone(b), piece: int(piece) + 1}, frameTimeout: time.Second}
		at := 0
		for {
			frame, err := c.next()
			if err != nil {
				if !errors.Is(err, errFrame) && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return
			}
			if len(frame) < channelHeader || len(frame) > maxFrame || at+len(frame) > len(b) || !bytes.Equal(frame, b[at:at+len(frame)]) {
				t.Fatalf("frame %x at %d of %x", frame, at, b)
			}
			at += len(frame)
		}
	})
}

// What begins like a ClientHello neither makes the listener panic nor is it
// answered with more than it has.
func FuzzClientHello(f *testing.F) {
	f.Add(clientHelloOf(f))
	c := newCookies(func() int64 { return 0 })
	from := netip.MustParseAddrPort("192.0.2.1:1")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHello(b)
		if !ok {
			return
		}
		if n := len(h.verify(c.make(from, &h))); len(h.cookie) == 0 && n > len(b) {
			t.Errorf("%d bytes for %d", n, len(b))
		}
		if n := len(h.unspoken()); n > len(b) {
			t.Errorf("%d bytes for %d", n, len(b))
		}
		first, ok := parseHello(h.first())
		if !ok || string(first.start) != string(h.start) || string(first.rest) != string(h.rest) || len(first.cookie) != 0 {
			t.Errorf("%+v becomes %+v", h, first)
		}
	})
}
