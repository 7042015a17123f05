package datachannel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/webrtc/v4"
)

// A browser is a peer that is made as those of other people are: a
// PeerConnection, and elements translated to and from SDP. It behaves as
// Conversations does in quirks of the format: a channel of its own to write to,
// messages of 4096 bytes, and no end but the count of bytes.
type browser struct {
	t   testing.TB
	pc  *webrtc.PeerConnection
	own *webrtc.DataChannel

	opened   chan struct{} // own channel may be written to
	received chan []byte
	labels   chan string
}

func newBrowser(t testing.TB, label, protocol string) *browser {
	t.Helper()
	var se webrtc.SettingEngine
	se.LoggerFactory = icepath.Logger(slog.New(slog.DiscardHandler))
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.GracefulClose() })
	b := &browser{t: t, pc: pc, opened: make(chan struct{}), received: make(chan []byte, 1<<16), labels: make(chan string, 4)}
	pc.OnDataChannel(func(c *webrtc.DataChannel) {
		b.labels <- c.Label() + " " + c.Protocol()
		c.OnMessage(func(m webrtc.DataChannelMessage) { b.received <- m.Data })
	})
	if label != "" {
		if b.own, err = pc.CreateDataChannel(label, &webrtc.DataChannelInit{Protocol: &protocol}); err != nil {
			t.Fatal(err)
		}
		b.own.OnOpen(func() { close(b.opened) })
	}
	return b
}

// sdp writes an element as SDP.
func sdp(t *iceudp.Transport, port uint16, maxMessage uint32) string {
	f := t.Fingerprints[0]
	return strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:0",
		"a=ice-ufrag:" + t.Ufrag, "a=ice-pwd:" + t.Pwd, "a=ice-options:trickle",
		"a=fingerprint:" + f.Hash + " " + f.Value, "a=setup:" + string(f.Setup),
		fmt.Sprintf("a=sctp-port:%d", port), fmt.Sprintf("a=max-message-size:%d", maxMessage), "",
	}, "\r\n")
}

// element reads SDP as an element.
func element(s string) *iceudp.Transport {
	t := &iceudp.Transport{Fingerprints: make([]iceudp.Fingerprint, 1)}
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "a=ice-ufrag":
			t.Ufrag = value
		case "a=ice-pwd":
			t.Pwd = value
		case "a=fingerprint":
			t.Fingerprints[0].Hash, t.Fingerprints[0].Value, _ = strings.Cut(value, " ")
		case "a=setup":
			t.Fingerprints[0].Setup = iceudp.Setup(value)
		}
	}
	return t
}

// join negotiates between the browser and n, which has the role.
func (b *browser) join(ctx context.Context, n ft.Negotiation, role jingle.Role, xep bool) ft.Stream {
	b.t.Helper()
	check := func(err error) {
		if err != nil {
			b.t.Error(err)
		}
	}
	wrap := func(t *iceudp.Transport, first bool) jingle.Transport {
		if !xep {
			return &datachannel.Transport{SCTPPort: 5000, MaxMessageSize: 262144, ICE: t}
		}
		if first {
			datachannel.WithMap(t, datachannel.SCTPMap{Number: 5000, Protocol: datachannel.Protocol, Streams: 1024})
		}
		return t
	}
	var (
		mu    sync.Mutex
		creds *iceudp.Transport
		early []iceudp.Candidate
	)
	tell := func(c iceudp.Candidate) {
		check(n.Remote(overWire(b.t, wrap(&iceudp.Transport{Ufrag: creds.Ufrag, Pwd: creds.Pwd, Candidates: []iceudp.Candidate{c}}, false))))
	}
	b.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		el := iceudp.Candidate{Component: 1, Foundation: c.Foundation, ID: c.Foundation, IP: c.Address, Port: c.Port, Priority: c.Priority, Protocol: "udp", Type: iceudp.CandidateType(c.Typ.String())}
		mu.Lock()
		defer mu.Unlock()
		if creds == nil {
			early = append(early, el)
			return
		}
		tell(el)
	})
	describe := func(typ webrtc.SDPType) {
		el := iceOf(overWire(b.t, must(n.Local(ctx))))
		check(b.pc.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: sdp(el, 5000, 262144)}))
	}
	hear := func(d webrtc.SessionDescription) {
		check(b.pc.SetLocalDescription(d))
		el := element(d.SDP)
		mu.Lock()
		defer mu.Unlock()
		check(n.Remote(overWire(b.t, wrap(el, true))))
		creds = el
		for _, c := range early {
			tell(c)
		}
	}
	if role == jingle.Initiator {
		describe(webrtc.SDPTypeOffer)
		hear(must(b.pc.CreateAnswer(nil)))
	} else {
		hear(must(b.pc.CreateOffer(nil)))
		describe(webrtc.SDPTypeAnswer)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		mid := "0"
		for {
			select {
			case info := <-n.Infos():
				c := iceOf(overWire(b.t, info)).Candidates[0]
				if strings.Contains(c.IP, ":") {
					continue
				}
				check(b.pc.AddICECandidate(webrtc.ICECandidateInit{SDPMid: &mid, Candidate: fmt.Sprintf("candidate:%s 1 udp %d %s %d typ %s", c.Foundation, c.Priority, c.IP, c.Port, c.Type)}))
			case <-stop:
				return
			}
		}
	})
	s, err := n.Open(ctx)
	close(stop)
	wg.Wait()
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// send writes data as Conversations does.
func (b *browser) send(ctx context.Context, data []byte) {
	select {
	case <-b.opened:
	case <-ctx.Done():
		b.t.Error("our side does not answer to the channel")
		return
	}
	for len(data) > 0 {
		n := min(4096, len(data))
		if err := b.own.Send(data[:n]); err != nil {
			b.t.Error(err)
			return
		}
		data = data[n:]
	}
}

func TestOthers(t *testing.T) {
	for _, tt := range []struct {
		name            string
		carrier         ft.Carrier
		label, protocol string
		want            string // of our channel
	}{
		{"Conversations", Carrier{}, "test", "xmpp-jingle", "test xmpp-jingle"},
		{"stanza.js", XEP0343{}, "filetransfer", "", "filetransfer "},
	} {
		for _, role := range []jingle.Role{jingle.Initiator, jingle.Responder} {
			t.Run(fmt.Sprintf("%s, we are %v", tt.name, role), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				xep := tt.protocol == ""
				b := newBrowser(t, tt.label, tt.protocol)
				n, err := tt.carrier.New(ft.Env{Loopback: true}, role)
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				s := b.join(ctx, n, role, xep)
				defer s.Close()
				data := make([]byte, 300_000)
				rand.NewChaCha8([32]byte{3}).Read(data)

				go b.send(ctx, data)
				got := make([]byte, len(data))
				s.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("from the peer: %v", err)
				}
				if _, err := s.Write(data); err != nil {
					t.Fatal(err)
				}
				var to []byte
				for len(to) < len(data) {
					select {
					case m := <-b.received:
						if len(m) > 16<<10 {
							t.Fatalf("a message of %d bytes", len(m))
						}
						to = append(to, m...)
					case <-ctx.Done():
						t.Fatalf("%d bytes of %d came", len(to), len(data))
					}
				}
				if !bytes.Equal(to, data) {
					t.Error("other bytes came")
				}
				if got := <-b.labels; got != tt.want {
					t.Errorf("our channel is %q, want %q", got, tt.want)
				}
				// The peer ends it by closing its connection.
				b.pc.Close()
				s.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, err := s.Read(got); err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("at the end: %d bytes, %v", n, err)
				}
			})
		}
	}
}
