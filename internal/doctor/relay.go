package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/signaling"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// maxServers bounds how many STUN and TURN servers are tried.
const maxServers = 16

// relays checks the STUN and TURN servers that a call would use. client may be nil.
func (e *examination) relays(ctx context.Context, client *signaling.Client) {
	servers := append([]media.ICEServer(nil), e.Relays...)
	if client != nil {
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		services, err := client.Services(ask)
		cancel()
		if err != nil {
			e.trouble("relays", Warn, err)
		}
		for _, s := range services {
			servers = append(servers, media.ICEServer{URL: s.URL(), Username: s.Username, Password: media.Secret(s.Password)})
		}
	}
	var stuns, turns []*stun.URI
	secrets := make(map[*stun.URI]media.ICEServer)
	for _, s := range servers[:min(len(servers), maxServers)] {
		u, err := stun.ParseURI(s.URL)
		if err != nil {
			e.add("relays", Warn, "", "%s: %v", s.URL, err)
			continue
		}
		secrets[u] = s
		if u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS {
			turns = append(turns, u)
		}
		if u.Proto == stun.ProtoTypeUDP && (u.Scheme == stun.SchemeTypeSTUN || u.Scheme == stun.SchemeTypeTURN) {
			stuns = append(stuns, u) // a TURN server is a STUN server, too
		}
	}
	e.nat(ctx, stuns)
	if len(turns) == 0 {
		e.add("turn", Warn, `calls between two strict firewalls will not connect; start a relay with "carillon-turn", or ask the operator of the server`, "no TURN relay is known")
		return
	}
	working := 0
	for _, u := range turns {
		if e.turn(ctx, u, secrets[u]) {
			working++
		}
	}
	if working == 0 {
		e.add("turn", Fail, "calls connect only where a direct path exists", "none of %d relays works", len(turns))
	}
}

// nat asks all servers over one socket how they see us.
func (e *examination) nat(ctx context.Context, servers []*stun.URI) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", ":0")
	if err != nil {
		e.add("stun", Warn, "", "no UDP socket: %v", err)
		return
	}
	defer conn.Close()
	var got []mapping
	asked := make(map[netip.AddrPort]bool)
	for _, u := range servers {
		which := hostPort(u)
		addr, err := resolve(ctx, u)
		if err != nil {
			e.addOne("stun", which, Warn, text(""), "%v", err)
			continue
		}
		if asked[addr] {
			continue
		}
		asked[addr] = true
		one, cancel := context.WithTimeout(ctx, stunTimeout)
		m, err := bind(one, conn, addr)
		cancel()
		if err != nil {
			e.addOne("stun", which, Warn, text("UDP may be blocked, or the server is down"), "%v", err)
			continue
		}
		e.addOne("stun", which, OK, text(""), "sees us as %s", m.seen)
		got = append(got, m)
	}
	switch classify(ownAddrs(), got, len(asked)) {
	case NothingSeen:
		e.add("nat", Skip, "behind NAT, without STUN, calls reach only your own network", "no STUN server is known")
	case UDPBlocked:
		e.add("nat", Warn, "calls need a relay over TCP or TLS", "no STUN server answers: UDP seems to be blocked")
	case NoNAT:
		e.add("nat", OK, "others can reach you directly", "none: the address of this machine is the one others see")
	case Cone:
		e.add("nat", OK, "most calls connect directly", "one address for everybody (endpoint-independent mapping)")
	case Symmetric:
		e.add("nat", Warn, "calls with people behind a NAT like this need a relay", "another address for each server (symmetric)")
	default:
		e.add("nat", OK, "most calls connect directly", "there is one; its kind shows only with two STUN servers")
	}
}

func hostPort(u *stun.URI) string { return net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) }

func resolve(ctx context.Context, u *stun.URI) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(ips) == 0 {
		return netip.AddrPort{}, fmt.Errorf("%s has no address", u.Host)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(u.Port)), nil
}

// turn checks one relay: an allocation, and an echo through it.
func (e *examination) turn(ctx context.Context, u *stun.URI, secret media.ICEServer) bool {
	way := strings.ToUpper(u.Proto.String())
	if u.Scheme == stun.SchemeTypeTURNS {
		way = "TLS"
	}
	kind, which := "turn "+strings.ToLower(way), hostPort(u)
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	began := time.Now()
	rtt, err := echo(ctx, u, secret, e.tlsConfig(u.Host))
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		e.addOne(kind, which, OK, text(""), "gives an address in %d ms; it does not relay to this machine itself (%v)", refused.allocated.Sub(began).Milliseconds(), refused.err)
	case err != nil:
		means := text("calls that need this relay over %s do not connect", way)
		if strings.Contains(err.Error(), "error 401") { // pion has no type for it
			means = text("the relay does not know the credentials; tell the operator")
		}
		e.addOne(kind, which, Warn, means, "%v", err)
		return false
	default:
		e.addOne(kind, which, OK, text(""), "an echo came back in %d ms", rtt.Milliseconds())
	}
	return true
}

func (e *examination) tlsConfig(host string) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: e.roots(), MinVersion: tls.VersionTLS12}
}

// A refusedError reports a relay that works and does not want to reach us.
type refusedError struct {
	allocated time.Time
	err       error
}

func (e *refusedError) Error() string { return e.err.Error() }

// echo gets an address on a relay and sends something there and back. It
// returns how long that took.
func echo(ctx context.Context, u *stun.URI, secret media.ICEServer, tlsConfig *tls.Config) (time.Duration, error) {
	addr, err := resolve(ctx, u)
	if err != nil {
		return 0, err
	}
	conn, err := dialRelay(ctx, u, addr, tlsConfig)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: addr.String(), TURNServerAddr: addr.String(), Conn: conn,
		Username: secret.Username, Password: string(secret.Password),
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		return 0, err
	}
	relayed, err := client.AllocateWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("allocate: %w", err)
	}
	defer relayed.Close()
	allocated := time.Now()

	// A permission is for an address and all its ports, so it is enough to know
	// how the relay sees our address on the connection we have. RFC 8656 §9
	us, err := client.SendBindingRequest()
	if err != nil {
		return 0, fmt.Errorf("ask for our address: %w", err)
	}
	if err := client.CreatePermission(us); err != nil {
		return 0, &refusedError{allocated, err}
	}
	peer, err := (&net.ListenConfig{}).ListenPacket(ctx, udp(addr), ":0")
	if err != nil {
		return 0, err
	}
	defer peer.Close()
	return bounce(ctx, peer, relayed)
}

// udp is the network of sockets that reach addr: an allocation is of the family
// of the socket.
func udp(addr netip.AddrPort) string {
	if addr.Addr().Is4() {
		return "udp4"
	}
	return "udp6"
}

func dialRelay(ctx context.Context, u *stun.URI, addr netip.AddrPort, tlsConfig *tls.Config) (net.PacketConn, error) {
	if u.Proto == stun.ProtoTypeUDP && u.Scheme == stun.SchemeTypeTURN {
		return (&net.ListenConfig{}).ListenPacket(ctx, udp(addr), ":0")
	}
	if u.Proto == stun.ProtoTypeUDP {
		return nil, errors.New("TURN over DTLS is not used by calls")
	}
	var conn net.Conn
	var err error
	if u.Scheme == stun.SchemeTypeTURNS {
		conn, err = (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, "tcp", addr.String())
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	}
	if err != nil {
		return nil, err
	}
	return turn.NewSTUNConn(conn), nil
}

// bounce sends from peer to the relayed address and back.
func bounce(ctx context.Context, peer, relayed net.PacketConn) (time.Duration, error) {
	deadline, _ := ctx.Deadline()
	for _, c := range []net.PacketConn{peer, relayed} {
		if err := c.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	word := []byte(rand.Text())
	answered := make(chan error, 1)
	go func() { // ends when the answer is sent, or at the deadline
		buf := make([]byte, 1500)
		for {
			n, from, err := relayed.ReadFrom(buf)
			if err == nil && !bytes.Equal(buf[:n], word) {
				continue
			}
			if err == nil {
				_, err = relayed.WriteTo(buf[:n], from)
			}
			answered <- err
			return
		}
	}()
	began := time.Now()
	if _, err := peer.WriteTo(word, relayed.LocalAddr()); err != nil {
		relayed.Close()
		<-answered
		return 0, fmt.Errorf("echo: %w", err)
	}
	if err := <-answered; err != nil {
		return 0, fmt.Errorf("echo: nothing came through the relay: %w", err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := peer.ReadFrom(buf)
		if err != nil {
			return 0, fmt.Errorf("echo: nothing came back from the relay: %w", err)
		}
		if bytes.Equal(buf[:n], word) {
			return time.Since(began), nil
		}
	}
}
