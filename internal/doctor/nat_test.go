package doctor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

func TestClassify(t *testing.T) {
	addr := netip.MustParseAddrPort
	local := []netip.Addr{netip.MustParseAddr("192.168.1.2")}
	saw := func(server, seen string) mapping { return mapping{addr(server), addr(seen)} }
	for _, tt := range []struct {
		name  string
		got   []mapping
		asked int
		want  NAT
	}{
		{"no server to ask", nil, 0, NothingSeen},
		{"nobody answers", nil, 2, UDPBlocked},
		{"our own address is seen", []mapping{saw("1.1.1.1:3478", "192.168.1.2:5000")}, 1, NoNAT},
		{"one server cannot tell", []mapping{saw("1.1.1.1:3478", "9.9.9.9:5000")}, 1, UnknownNAT},
		{"the same for all", []mapping{saw("1.1.1.1:3478", "9.9.9.9:5000"), saw("2.2.2.2:3478", "9.9.9.9:5000")}, 2, Cone},
		{"the other family counts on its own", []mapping{saw("1.1.1.1:3478", "9.9.9.9:5000"), saw("[2001:db8::1]:3478", "[2001:db8::9]:5000")}, 2, UnknownNAT},
		{"another port for each", []mapping{saw("1.1.1.1:3478", "9.9.9.9:5000"), saw("2.2.2.2:3478", "9.9.9.9:5001")}, 2, Symmetric},
		{"another address for each", []mapping{saw("1.1.1.1:3478", "9.9.9.9:5000"), saw("2.2.2.2:3478", "9.9.9.8:5000")}, 2, Symmetric},
	} {
		if got := classify(local, tt.got, tt.asked); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// relay runs a TURN server on loopback, over UDP and TCP, and returns its port.
func relay(t *testing.T, allowed bool) (udp, tcp string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	generator := func() turn.RelayAddressGenerator {
		return &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	}
	permit := func(net.Addr, net.IP) bool { return allowed }
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey("alice", r.Realm, "secret"), r.Username == "alice"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: pc, RelayAddressGenerator: generator(), PermissionHandler: permit}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: l, RelayAddressGenerator: generator(), PermissionHandler: permit}},
		LoggerFactory:     &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return pc.LocalAddr().String(), l.Addr().String()
}

// examine runs the checks of relays and returns them by name.
func examine(t *testing.T, servers ...media.ICEServer) map[string]Check {
	t.Helper()
	got := make(map[string]Check)
	e := &examination{Config: Config{Relays: servers}, report: func(c Check) { got[c.Name] = c }}
	e.relays(t.Context(), nil)
	return got
}

func TestRelayThatWorks(t *testing.T) {
	udp, tcp := relay(t, true)
	got := examine(t,
		media.ICEServer{URL: "turn:" + udp + "?transport=udp", Username: "alice", Password: "secret"},
		media.ICEServer{URL: "turn:" + tcp + "?transport=tcp", Username: "alice", Password: "secret"},
	)
	if c := got["turn udp "+udp]; c.Status != OK || !strings.HasPrefix(c.Detail, "an echo came back in ") {
		t.Errorf("over UDP: %+v", c)
	}
	if c := got["turn tcp "+tcp]; c.Status != OK || !strings.HasPrefix(c.Detail, "an echo came back in ") {
		t.Errorf("over TCP: %+v", c)
	}
	if c := got["stun "+udp]; c.Status != OK || !strings.HasPrefix(c.Detail, "sees us as 127.0.0.1:") {
		t.Errorf("STUN: %+v", c)
	}
	if c := got["nat"]; c.Status != OK || !strings.HasPrefix(c.Detail, "none: ") {
		t.Errorf("NAT: %+v", c)
	}
	if c, ok := got["turn"]; ok {
		t.Errorf("a summary although relays work: %+v", c)
	}
}

func TestRelayThatDoesNotReachUsStillWorks(t *testing.T) {
	udp, _ := relay(t, false)
	c := examine(t, media.ICEServer{URL: "turn:" + udp, Username: "alice", Password: "secret"})["turn udp "+udp]
	if c.Status != OK || !strings.Contains(c.Detail, "does not relay to this machine itself") {
		t.Errorf("got %+v", c)
	}
}

func TestRelaysThatDoNotWork(t *testing.T) {
	udp, _ := relay(t, true)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	got := examine(t,
		media.ICEServer{URL: "turn:" + udp, Username: "mallory", Password: "guess"},
		media.ICEServer{URL: "turn:" + nobody + "?transport=tcp", Username: "alice", Password: "secret"},
		media.ICEServer{URL: "turns:" + nobody + "?transport=tcp", Username: "alice", Password: "secret"},
	)
	if c := got["turn udp "+udp]; c.Status != Warn || !strings.Contains(c.Means, "credentials") {
		t.Errorf("wrong password: %+v", c)
	}
	if c := got["turn tcp "+nobody]; c.Status != Warn || !strings.Contains(c.Means, "over TCP") {
		t.Errorf("closed port: %+v", c)
	}
	if c := got["turn tls "+nobody]; c.Status != Warn || !strings.Contains(c.Means, "over TLS") {
		t.Errorf("closed port, TLS: %+v", c)
	}
	if c := got["turn"]; c.Status != Fail {
		t.Errorf("summary: %+v", c)
	}
}

func TestBindIgnoresWhatIsNotItsAnswer(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 1500)
		for i := 0; ; i++ {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if i == 0 {
				continue // lost
			}
			request := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
			if request.Decode() != nil {
				continue
			}
			server.WriteTo([]byte("noise"), from)
			other := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(6, 6, 6, 6), Port: 666})
			server.WriteTo(other.Raw, from)
			answer := stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(9, 9, 9, 9), Port: 5000})
			server.WriteTo(answer.Raw, from)
		}
	}()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := bind(ctx, conn, netip.MustParseAddrPort(server.LocalAddr().String()))
	if err != nil || m.seen.String() != "9.9.9.9:5000" {
		t.Errorf("bind = %+v, %v", m, err)
	}
	server.Close()
	<-served
}

func TestBindEndsWithItsContext(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := bind(ctx, conn, netip.MustParseAddrPort(conn.LocalAddr().String())); !errors.Is(err, stop) {
		t.Errorf("error = %v, want %v", err, stop)
	}
}
