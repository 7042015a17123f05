package courier_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/race"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/jingle"
	js5b "github.com/carillon-im/carillon/jingle/s5b"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A walled carrier hears of no address of the peer but those that edit leaves.
type walled struct {
	ft.Negotiation
	edit func(jingle.Transport)
}

func (w walled) Remote(t jingle.Transport) error {
	w.edit(t)
	return w.Negotiation.Remote(t)
}

type tcpWall struct {
	tcp.Carrier
	edit func(*tcp.Transport)
}

func (c tcpWall) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := c.Carrier.New(env, role)
	return walled{n, func(t jingle.Transport) { c.edit(t.(*tcp.Transport)) }}, err
}

type quicWall struct{ quic.Carrier }

// Patience keeps the test short: nothing can come.
func (quicWall) Patience() time.Duration { return time.Second }

func (c quicWall) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := c.Carrier.New(env, role)
	return walled{n, func(t jingle.Transport) {
		if q := t.(*quic.Transport); q.ICE != nil {
			q.ICE.Candidates = nil
		}
	}}, err
}

// An s5bWall lets proxies through, or nothing.
type s5bWall struct {
	s5b.Carrier
	proxies bool
}

func (c s5bWall) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := c.Carrier.New(env, role)
	return walled{n, func(t jingle.Transport) {
		s := t.(*js5b.Transport)
		s.Candidates = slices.DeleteFunc(s.Candidates, func(k js5b.Candidate) bool { return !c.proxies || k.Type != js5b.Proxy })
	}}, err
}

// A raceWall blocks one of those that race, or both, or leads TCP elsewhere.
type raceWall struct {
	race.Carrier
	tcp, quic bool
	lead      func(*tcp.Transport)
}

// Patience keeps the test short: nothing can come.
func (c raceWall) Patience() time.Duration {
	if c.tcp && c.quic {
		return time.Second
	}
	return 10 * time.Second
}

func (c raceWall) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := c.Carrier.New(env, role)
	return walled{n, func(t jingle.Transport) {
		r := t.(*race.Transport)
		if c.tcp && r.TCP != nil {
			r.TCP.Candidates = nil
		}
		if c.lead != nil && r.TCP != nil {
			c.lead(r.TCP)
		}
		if c.quic && r.QUIC != nil {
			r.QUIC.ICE.Candidates = nil
		}
	}}, err
}

var blockedTCP = tcpWall{edit: func(t *tcp.Transport) { t.Candidates = nil }}

// stalling leads every connection through a network that takes n bytes and then
// nothing more, without a word.
func stalling(t *testing.T, n int64) tcpWall {
	return tcpWall{edit: func(tr *tcp.Transport) {
		for i, c := range tr.Candidates[:min(1, len(tr.Candidates))] {
			to := net.TCPAddr{IP: net.ParseIP(c.IP), Port: int(c.Port)}
			tr.Candidates[i] = tcp.Candidate{IP: "127.0.0.1", Port: stallingRelay(t, to.String(), n)}
		}
		tr.Candidates = tr.Candidates[:min(1, len(tr.Candidates))]
	}}
}

func stallingRelay(t *testing.T, to string, n int64) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return 0
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { in.Close(); out.Close() })
			wg.Go(func() { io.CopyN(out, in, n) })
			wg.Go(func() { io.CopyN(in, out, n) })
		}
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// A failover is a transfer whose first carriers do not work.
type failover struct {
	name   string
	plain  bool // as to another client
	try    func(*testing.T) []ft.Carrier
	want   string // what the sender is told, and the user in as many lines
	server bool   // needs the proxy of a real server, or much time
}

func list(c ...ft.Carrier) func(*testing.T) []ft.Carrier {
	return func(*testing.T) []ft.Carrier { return c }
}

var failovers = []failover{
	{name: "from TCP to QUIC", try: list(blockedTCP, quic.Carrier{}), want: "tcp failed, quic"},
	{name: "from TCP and QUIC to SOCKS5", try: list(blockedTCP, quicWall{}, s5b.Carrier{}), want: "tcp failed, quic failed, s5b"},
	{name: "TCP before QUIC in a race", try: list(race.Carrier{}, tcp.Carrier{}, quic.Carrier{}, ibb.Carrier{}), want: "tcp"},
	{name: "QUIC in a race without TCP", try: list(raceWall{tcp: true}, tcp.Carrier{}, quic.Carrier{}, ibb.Carrier{}), want: "quic"},
	{name: "from a race to in band", try: list(raceWall{tcp: true, quic: true}, tcp.Carrier{}, quic.Carrier{}, s5bWall{}, ibb.Carrier{}), want: "race failed, s5b failed, ibb"},
	{name: "without a race, to another client", plain: true, try: list(race.Carrier{}, tcp.Carrier{}, ibb.Carrier{}), want: "tcp"},
	{name: "from SOCKS5 to in band", try: list(s5bWall{}, ibb.Carrier{}), want: "s5b failed, ibb"},
	{name: "from SOCKS5 to in band, to another client", plain: true, try: list(s5bWall{}, ibb.Carrier{}), want: "s5b failed, ibb"},
	{name: "from everything to in band", try: list(blockedTCP, quicWall{}, s5bWall{}, ibb.Carrier{}), want: "tcp failed, quic failed, s5b failed, ibb"},
	{name: "to the proxy when nothing is direct", server: true, try: list(blockedTCP, quicWall{}, s5bWall{proxies: true}, ibb.Carrier{}), want: "tcp failed, quic failed, s5b relayed"},
	{name: "to the proxy, to another client", server: true, plain: true, try: list(s5bWall{proxies: true}, ibb.Carrier{}), want: "s5b relayed"},
	{name: "from a network that goes silent", server: true, want: "tcp, tcp failed, tcp, tcp failed, quic", try: func(t *testing.T) []ft.Carrier {
		return []ft.Carrier{stalling(t, 100_000), quic.Carrier{}}
	}},
	{name: "from a network that goes silent after a race", server: true, want: "tcp, race failed, tcp, race failed, quic", try: func(t *testing.T) []ft.Carrier {
		return []ft.Carrier{raceWall{lead: stalling(t, 100_000).edit}, tcp.Carrier{}, quic.Carrier{}, ibb.Carrier{}}
	}},
}

// closing bounds the end of a receiver whose transfer is done or paused. Its own
// limits end it earlier.
const closing = 30 * time.Second

func (f failover) run(t *testing.T, alice, bob *signaling.Client) {
	t.Parallel()
	carriers := f.try(t)
	data := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{9}).Read(data)
	path, inbox := filepath.Join(t.TempDir(), "f.bin"), t.TempDir()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	type end struct {
		done *courier.Done
		err  error
	}
	got := make(chan end, 1)
	theirs := courier.Courier{Client: bob, Carriers: carriers, Loopback: true}
	r, err := theirs.Receive(courier.ReceiveConfig{Dir: inbox, OnDone: func(d *courier.Done, err error) { got <- end{d, err} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	defer func() { // not for ever, where a transfer does not end
		closed := make(chan struct{})
		go func() { r.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(closing):
			t.Errorf("the receiver is not closed within %v", closing)
		}
	}()
	src, err := exchange.Scan(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	var events []string // from one goroutine
	ours := courier.Courier{Client: alice, Carriers: carriers, Loopback: true}
	done, err := ours.Send(ctx, bob.JID(), src, courier.SendOptions{Plain: f.plain, OnEvent: func(e courier.Event) {
		switch e := e.(type) {
		case courier.Broken:
			events = append(events, "begun again")
		case courier.Happened:
			switch e := e.What.(type) {
			case ft.Carrying:
				events = append(events, e.Stream.Kind)
				if e.Stream.Relayed && e.Stream.Kind == "s5b" {
					events[len(events)-1] += " relayed"
				}
			case ft.Failing:
				i := slices.IndexFunc(carriers, func(c ft.Carrier) bool { return c.Namespace() == e.Kind })
				names := map[string]string{tcp.NS: "tcp", quic.NS: "quic", race.NS: "race", js5b.NS: "s5b"}
				events = append(events, names[carriers[i].Namespace()]+" failed")
			}
		}
	}})
	if err != nil {
		t.Fatalf("sender: %v; %s", err, strings.Join(events, ", "))
	}
	if s := strings.Join(events, ", "); s != f.want {
		t.Errorf("the sender was told %q, want %q", s, f.want)
	}
	select {
	case e := <-got:
		if e.err != nil || !e.done.Verified || !done.Verified {
			t.Fatalf("receiver: %+v, %v; sender: verified %t", e.done, e.err, done.Verified)
		}
		if b, err := os.ReadFile(e.done.Paths[0]); err != nil || !bytes.Equal(b, data) {
			t.Errorf("what arrived is not what was sent: %d bytes, %v", len(b), err)
		}
	case <-ctx.Done():
		t.Fatal("the receiver does not end")
	}
}

func login(t *testing.T, cfg signaling.Config) *signaling.Client {
	t.Helper()
	cfg.Registry, cfg.NoCalls = courier.NewRegistry(), true
	c, err := signaling.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCarriersFailOver(t *testing.T) {
	for _, f := range failovers {
		if f.server {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "pw", "bob@example.org": "pw"}})
			srv.Befriend("alice@example.org", "bob@example.org")
			dial := func(account string) *signaling.Client {
				return login(t, signaling.Config{JID: jid.MustParse(account), Password: "pw", Server: srv.Addr(), RootCAs: srv.CertPool()})
			}
			f.run(t, dial("alice@example.org"), dial("bob@example.org"))
		})
	}
}
