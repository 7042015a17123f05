// Package icepath finds a path to the peer for a carrier: one ICE agent (RFC
// 8445) on a UDP socket of ours, negotiated by the elements of XEP-0176.
//
//	Local     opens the socket, gathers, and returns what the peer must know
//	Remote    takes what the peer says, at once or candidate by candidate
//	Connect   waits for the pair that both sides agree on
//	Close     ends it, with whatever uses the path
//
// Addresses of the peer are literal, of a device of somebody else, and bounded
// in number; nothing is asked of DNS for it.
package icepath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/addr"
	"github.com/carillon-im/carillon/internal/relaydial"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/ice/v4"
)

// Limits of a path.
const (
	maxRemote    = iceudp.MaxCandidates // of the peer, in all its elements
	maxLocal     = 32                   // of ours
	maxAddresses = 8                    // of this machine; each is checked with each of the peer
	maxServices  = 8
	socketBuffer = 4 << 20 // bytes; the system may grant less
)

// Times of a path.
const (
	gatherPatience = 150 * time.Millisecond // for STUN and TURN to get into the first element; later they trickle
	checkInterval  = 50 * time.Millisecond  // nomination waits for it, too
	maxChecks      = 100                    // of a pair; afterwards it only answers
	// A direct path is worth waiting for when a longer one works already.
	reflexiveWait = 100 * time.Millisecond
	relayWait     = 500 * time.Millisecond
	keepalive     = 2 * time.Second
	disconnected  = 5 * time.Second  // without a packet
	gone          = 15 * time.Second // after that, the path is lost
)

// A Config says how a path is found.
type Config struct {
	Env  ft.Env
	Role jingle.Role // the initiator of the session controls
	// Share returns what ICE may read and write of the UDP socket, when the
	// carrier has the socket itself. It is closed with the path, before the
	// socket. Nil leaves the socket to ICE.
	Share func(*net.UDPConn) net.PacketConn
	// Split makes Connect return a connection for DTLS that goes around ICE
	// where it can.
	Split bool
	// Inline puts the candidates that are found at once into the element of
	// Local. Otherwise each of them goes into an info.
	Inline bool
	// Element makes the transport that is sent of our part of it.
	Element func(*iceudp.Transport) jingle.Transport
}

// A Path is one way to the peer. Its methods may be called from several
// goroutines.
type Path struct {
	cfg   Config
	log   *slog.Logger
	infos chan jingle.Transport

	known    chan struct{} // closed when the peer's credentials are
	gathered chan struct{} // closed when no more candidates of ours come
	last     sync.Once     // closes it
	fail     sync.Once     // closes lost
	lost     chan struct{} // closed when a path that worked does not any more

	ctx    context.Context // of what is opened for gathering
	cancel context.CancelFunc

	mu         sync.Mutex
	closed     bool
	agent      *ice.Agent
	mux        *mux
	socket     *net.UDPConn
	hosts      []netip.Addr // that the socket listens on
	split      *Split
	pump       sync.WaitGroup   // of what the agent receives
	mine       iceudp.Transport // credentials of ours, and candidates until they were told
	told       bool
	ufrag, pwd string // of the peer
	early      []ice.Candidate
	taken      int
}

// New returns a path that nothing was opened for. The error is ErrNoPath when
// addresses must stay secret and there is no relay.
func New(cfg Config) (*Path, error) {
	p := &Path{
		cfg: cfg, log: cfg.Env.Log().With("path", "ice"),
		infos:    make(chan jingle.Transport, maxLocal),
		known:    make(chan struct{}),
		gathered: make(chan struct{}),
		lost:     make(chan struct{}),
	}
	if cfg.Env.RelayOnly && !hasRelay(p.services()) {
		return nil, fmt.Errorf("%w: our address is to stay secret, and no relay is known", ft.ErrNoPath)
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Infos yields what is to be sent in transport-infos.
func (p *Path) Infos() <-chan jingle.Transport { return p.infos }

// Lost is closed when the path worked and the peer is not heard any more.
func (p *Path) Lost() <-chan struct{} { return p.lost }

// Local opens the socket, begins to gather, and returns what the peer must
// know first.
func (p *Path) Local(ctx context.Context) (*iceudp.Transport, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	if p.cfg.Inline {
		timer := time.NewTimer(gatherPatience)
		defer timer.Stop()
		select {
		case <-p.gathered:
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.mine
	if !p.cfg.Inline {
		first.Candidates = nil
		for _, c := range p.mine.Candidates {
			p.tell(c)
		}
	}
	p.told, p.mine.Candidates = true, nil
	return &first, nil
}

func (p *Path) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.agent != nil {
		return net.ErrClosed
	}
	opts, err := p.options()
	if err != nil {
		return err
	}
	agent, err := ice.NewAgentWithOptions(opts...)
	if err != nil {
		return fmt.Errorf("make an ICE agent: %w", err)
	}
	p.agent = agent
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		return fmt.Errorf("make ICE credentials: %w", err)
	}
	p.mine = iceudp.Transport{Ufrag: ufrag, Pwd: pwd, Trickle: new(iceudp.Option)}
	if err := agent.OnCandidate(p.found); err != nil {
		return fmt.Errorf("listen for candidates: %w", err)
	}
	if err := agent.OnConnectionStateChange(p.changed); err != nil {
		return fmt.Errorf("listen for the state of ICE: %w", err)
	}
	if p.split != nil {
		if err := agent.OnSelectedCandidatePairChange(p.split.conn.changed); err != nil {
			return fmt.Errorf("listen for pairs: %w", err)
		}
	}
	for _, c := range p.early {
		if err := agent.AddRemoteCandidate(c); err != nil {
			p.log.Debug("candidate of the peer is not used", "err", err)
		}
	}
	p.early = nil
	if err := agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	return nil
}

// options opens the socket and describes the agent. p.mu is held.
func (p *Path) options() ([]ice.AgentOption, error) {
	env := p.cfg.Env
	netw, err := newNetwork(p.ctx)
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	opts := []ice.AgentOption{
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithUrls(p.services()),
		ice.WithNet(netw),
		ice.WithLoggerFactory(pionLog{p.log}),
		ice.WithRemoteIPFilter(func(ip net.IP) bool { return usable(ip, env.Loopback) }),
		ice.WithCheckInterval(checkInterval),
		ice.WithMaxBindingRequests(maxChecks),
		ice.WithKeepaliveInterval(keepalive),
		ice.WithDisconnectedTimeout(disconnected),
		ice.WithFailedTimeout(gone),
	}
	if env.RootCAs != nil {
		var urls []string
		for _, s := range env.Services {
			urls = append(urls, s.URL)
		}
		opts = append(opts, ice.WithProxyDialer(relaydial.New(p.ctx, urls, env.RootCAs)))
	}
	if env.Loopback {
		opts = append(opts, ice.WithIncludeLoopback())
	}
	if env.RelayOnly {
		return append(opts,
			ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeRelay}),
			ice.WithRelayAcceptanceMinWait(0), // there is nothing else to wait for
		), nil
	}
	if p.socket, err = net.ListenUDP("udp", nil); err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	buffers(p.socket)
	var conn net.PacketConn = p.socket
	switch {
	case p.cfg.Share != nil:
		conn = p.cfg.Share(p.socket)
	case p.cfg.Split:
		p.split = newSplit(p.socket)
		conn = p.split
	}
	port := p.socket.LocalAddr().(*net.UDPAddr).Port
	p.mux = newMux(conn, port, addr.Own(env.Loopback), p.log)
	p.hosts = p.mux.all
	return append(opts,
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost, ice.CandidateTypeServerReflexive, ice.CandidateTypeRelay}),
		ice.WithUDPMux(p.mux),
		ice.WithUDPMuxSrflx(p.mux.reflexive()),
		ice.WithSrflxAcceptanceMinWait(reflexiveWait),
		ice.WithPrflxAcceptanceMinWait(reflexiveWait),
		ice.WithRelayAcceptanceMinWait(relayWait),
	), nil
}

// found takes a candidate of ours; nil is the last.
func (p *Path) found(c ice.Candidate) {
	if c == nil {
		p.last.Do(func() { close(p.gathered) })
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, el := range p.candidates(c) {
		switch {
		case p.told:
			p.tell(el)
		case len(p.mine.Candidates) < maxLocal:
			p.mine.Candidates = append(p.mine.Candidates, el)
		}
	}
}

// tell sends a candidate in an info of its own. p.mu is held.
//
// interop Monal 6, Conversations 2.19: one candidate in each, always with the
// credentials.
func (p *Path) tell(c iceudp.Candidate) {
	info := p.cfg.Element(&iceudp.Transport{Ufrag: p.mine.Ufrag, Pwd: p.mine.Pwd, Candidates: []iceudp.Candidate{c}})
	select {
	case p.infos <- info:
	default: // more than there can be
	}
}

func (p *Path) changed(s ice.ConnectionState) {
	p.log.Debug("state of ICE", "state", s.String())
	if s == ice.ConnectionStateFailed {
		p.failed()
	}
}

func (p *Path) failed() { p.fail.Do(func() { close(p.lost) }) }

// Remote takes credentials and candidates of the peer.
func (p *Path) Remote(t *iceudp.Transport) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ufrag != "" && t.Ufrag != "" && (t.Ufrag != p.ufrag || t.Pwd != p.pwd):
		return errors.New("the peer restarts ICE, which a transfer does not")
	case p.ufrag == "" && (t.Ufrag == "" || t.Pwd == ""):
		return errors.New("the peer names no ICE credentials")
	case p.ufrag == "":
		p.ufrag, p.pwd = t.Ufrag, t.Pwd
		close(p.known)
	}
	for _, c := range t.Candidates {
		if p.taken == maxRemote {
			p.log.Debug("the peer has too many candidates", "limit", maxRemote)
			break
		}
		rc, err := remoteCandidate(c, p.cfg.Env.Loopback)
		if err != nil {
			p.log.Debug("candidate of the peer is not used", "err", err)
			continue
		}
		p.taken++
		if p.agent == nil {
			p.early = append(p.early, rc)
		} else if err := p.agent.AddRemoteCandidate(rc); err != nil {
			p.log.Debug("candidate of the peer is not used", "err", err)
		}
	}
	return nil
}

// A Pair is what both sides agreed on.
type Pair struct {
	Local, Remote iceudp.CandidateType
	// Peer is where packets to the peer go.
	Peer *net.UDPAddr
}

// Direct reports whether our end of the pair is the socket itself.
func (p Pair) Direct() bool { return p.Local != iceudp.Relay }

// Info describes a stream over the pair.
func (p Pair) Info(kind string) ft.StreamInfo {
	return ft.StreamInfo{
		Kind: kind, Relayed: p.Local == iceudp.Relay || p.Remote == iceudp.Relay,
		Local: string(p.Local), Remote: string(p.Remote),
	}
}

// Connect waits for a path. The connection is closed with the path.
func (p *Path) Connect(ctx context.Context) (net.Conn, Pair, error) {
	select {
	case <-p.known:
	case <-ctx.Done():
		return nil, Pair{}, fmt.Errorf("%w: no answer: %w", ft.ErrNoPath, context.Cause(ctx))
	}
	p.mu.Lock()
	agent, split, ufrag, pwd := p.agent, p.split, p.ufrag, p.pwd
	p.mu.Unlock()
	if agent == nil {
		return nil, Pair{}, net.ErrClosed
	}
	connect := agent.Dial
	if p.cfg.Role == jingle.Responder {
		connect = agent.Accept
	}
	conn, err := connect(ctx, ufrag, pwd)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, Pair{}, fmt.Errorf("%w over UDP: %w", ft.ErrNoPath, err)
	}
	pair, err := agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return nil, Pair{}, fmt.Errorf("%w over UDP: the path is gone", ft.ErrNoPath)
	}
	out := Pair{Local: kind(pair.Local.Type()), Remote: kind(pair.Remote.Type())}
	if out.Peer, err = net.ResolveUDPAddr("udp", net.JoinHostPort(pair.Remote.Address(), fmt.Sprint(pair.Remote.Port()))); err != nil {
		return nil, Pair{}, fmt.Errorf("address of the peer: %w", err)
	}
	p.log.Debug("path is found", "local", out.Local, "remote", out.Remote)
	if split == nil {
		return conn, out, nil
	}
	split.conn.selected(pair.Local, pair.Remote)
	p.pump.Go(func() { split.conn.pump(conn) })
	return &split.conn, out, nil
}

// Close ends the path and what was opened for it. It may be called twice.
func (p *Path) Close() error {
	p.cancel()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	agent, mux, socket := p.agent, p.mux, p.socket
	p.mu.Unlock() // the agent's callbacks take it while they end
	if agent != nil {
		agent.GracefulClose()
	}
	if mux != nil {
		mux.Close() // closes what Share returned, or the socket
	}
	if socket != nil {
		socket.Close()
	}
	p.pump.Wait()
	return nil
}
