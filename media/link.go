package media

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/media/internal/sdpmap"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// A link is one Jingle transport: an ICE and DTLS association and the contents
// that travel in it. Its methods are called by the goroutine that owns the
// call; none waits for the network.
type link interface {
	// Offer describes what we would send and receive. As the session's
	// initiator unless said otherwise.
	Offer() ([]jingle.Content, error)
	// More is Offer once more, with what was added since.
	More() ([]jingle.Content, error)
	// Answer takes the peer's contents and describes our side of them, as the
	// session's responder unless said otherwise.
	Answer(remote []jingle.Content) ([]jingle.Content, error)
	// Accept takes the responder's answer to Offer.
	Accept(remote []jingle.Content) error
	// Remote is what the peer described last.
	Remote() []jingle.Content
	// AddTrack has one more track sent, in a content of the given name; "" is
	// for a content of the peer, whose name comes with Answer.
	AddTrack(t *sendTrack, name string, id streamID) (*webrtc.RTPSender, error)
	// Name gives the content of the first track its name.
	Name(name string) error
	// Flow is by which pictures leave.
	Flow() *flow
	// AddCandidate takes an address of the peer. ufrag says which generation of
	// ICE it belongs to; of another one it is dropped.
	AddCandidate(c iceudp.Candidate, ufrag string) error
	// Restart begins a new generation of ICE, or takes back the one begun.
	Restart() (iceudp.Transport, error)
	// RestartAnswered takes the peer's credentials of the new generation.
	RestartAnswered(remote iceudp.Transport) error
	// RestartOffered takes the peer's credentials of a generation that the peer
	// began, taking back ours if there is one, and returns our part of it.
	RestartOffered(remote iceudp.Transport) (iceudp.Transport, error)
	// Local is our transport in the current generation, without candidates,
	// with the candidates found so far.
	Local() (iceudp.Transport, []iceudp.Candidate)
	// Pair is the path in use.
	Pair() (Pair, bool)
	// Quality is what ICE and DTLS know of the path.
	Quality() linkQuality
	// WriteRTCP sends RTCP packets.
	WriteRTCP([]rtcp.Packet) error
	// Close stops everything and waits for it.
	Close() error
}

// linkQuality is what a link knows about its path.
type linkQuality struct {
	rtt float64 // seconds, by ICE's own checks; zero when not known
}

// linkEvents are called by pion's goroutines. They must not block.
type linkEvents struct {
	candidate func(generation int, c iceudp.Candidate)
	state     func(linkState)
	track     func(*webrtc.TrackRemote, *webrtc.RTPReceiver)
}

// A linkState says how far a link is.
type linkState uint8

const (
	linkNew          linkState = iota
	linkChecking               // ICE looks for a path
	linkSecuring               // a path is found, DTLS shakes hands
	linkConnected              // media can flow
	linkDisconnected           // nothing came for disconnectedAfter
	linkFailed                 // no path
	linkInsecure               // DTLS failed: wrong certificate, or no handshake
	linkClosed                 // the peer closed DTLS
)

func (s linkState) String() string {
	return [...]string{"new", "checking", "securing", "connected", "disconnected", "failed", "insecure", "closed"}[s]
}

// A peerLink is a link made of a pion PeerConnection.
type peerLink struct {
	pc     *webrtc.PeerConnection
	cancel context.CancelFunc // ends reaching relays
	flow   *flow              // by which pictures leave
	sender *webrtc.RTPSender  // of the first track; nil when nothing is sent
	first  *webrtc.RTPTransceiver
	from   jingle.Role // ours
	known  bool        // from is: whoever offered first is the initiator

	remote     []jingle.Content // as last given to pion
	restarting bool             // an offer of ours waits for its answer
	local      iceudp.Transport // ours, without candidates

	mu         sync.Mutex // guards what follows; pion's goroutines write it
	generation int
	candidates []iceudp.Candidate
	told       map[netip.AddrPort]iceudp.CandidateType // the peer's candidates
	nextID     int
	iceState   webrtc.ICEConnectionState
	dtlsState  webrtc.DTLSTransportState
	state      linkState
	settled    chan struct{} // closed when pion wants to negotiate after DTLS connected
	isSettled  bool
	closing    bool
}

// openLink creates a link and lets it look for addresses. track may be nil.
func openLink(cfg Config, track *sendTrack, ev linkEvents) (l *peerLink, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	f, err := newFlow(cfg)
	if err != nil {
		return nil, err
	}
	api, err := newAPI(ctx, cfg, f)
	if err != nil {
		return nil, err
	}
	cert, err := cfg.certificate()
	if err != nil {
		return nil, err
	}
	policy := webrtc.ICETransportPolicyAll
	if cfg.RelayOnly {
		policy = webrtc.ICETransportPolicyRelay
	}
	l = &peerLink{flow: f, cancel: cancel, settled: make(chan struct{})}
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		ICEServers:         iceServers(cfg.ICEServers),
		ICETransportPolicy: policy,
		BundlePolicy:       webrtc.BundlePolicyMaxBundle,
		Certificates:       []webrtc.Certificate{cert},
		// Gathering begins at once, before it is known who offers.
		ICECandidatePoolSize: 1,
		// Header encryption is for peers that ask, and none of Jingle's does.
		RTPHeaderEncryptionPolicy: webrtc.RTPHeaderEncryptionPolicyDisable,
	})
	if err != nil {
		return nil, fmt.Errorf("create peer connection: %w", err)
	}
	l.pc = pc
	if track != nil {
		t, err := pc.AddTransceiverFromTrack(track)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("add track: %w", err), pc.GracefulClose())
		}
		l.sender, l.first = t.Sender(), t
	}
	pc.OnNegotiationNeeded(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if (l.closing || l.dtlsState == webrtc.DTLSTransportStateConnected) && !l.isSettled {
			l.isSettled = true
			close(l.settled)
		}
	})
	l.ice().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) { f.moved() })
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		l.mu.Lock()
		l.nextID++
		generation := l.generation
		found, ok := sdpmap.FromICE(c, generation, "c"+strconv.Itoa(l.nextID))
		if ok {
			l.candidates = append(l.candidates, found)
		}
		l.mu.Unlock()
		if ok && ev.candidate != nil {
			ev.candidate(generation, found)
		}
	})
	if ev.state != nil {
		// pion's own summary of the two comes late and out of order.
		pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
			l.mu.Lock()
			l.iceState = s
			l.report(ev.state)
			l.mu.Unlock()
		})
		l.dtls().OnStateChange(func(s webrtc.DTLSTransportState) {
			l.mu.Lock()
			l.dtlsState = s
			l.report(ev.state)
			l.mu.Unlock()
		})
	}
	if ev.track != nil {
		pc.OnTrack(ev.track)
	}
	return l, nil
}

// A streamID is by which SSRCs a track is sent; zero lets pion choose.
type streamID struct{ ssrc, rtx uint32 }

func (l *peerLink) AddTrack(track *sendTrack, name string, id streamID) (*webrtc.RTPSender, error) {
	how := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv}
	if id.ssrc != 0 {
		how.SendEncodings = []webrtc.RTPEncodingParameters{{RTPCodingParameters: webrtc.RTPCodingParameters{
			SSRC: webrtc.SSRC(id.ssrc), RTX: webrtc.RTPRtxParameters{SSRC: webrtc.SSRC(id.rtx)},
		}}}
	}
	t, err := l.pc.AddTransceiverFromTrack(track, how)
	if err == nil && name != "" {
		err = t.SetMid(name)
	}
	l.flow.rtx.Store(id.rtx)
	if err != nil {
		return nil, fmt.Errorf("add track: %w", err)
	}
	return t.Sender(), nil
}

func (l *peerLink) Name(name string) error {
	if err := l.first.SetMid(name); err != nil {
		return fmt.Errorf("name content: %w", err)
	}
	return nil
}

// report tells the state if it changed. It requires l.mu, which keeps the order.
func (l *peerLink) report(tell func(linkState)) {
	s := linkNew
	switch {
	case l.dtlsState == webrtc.DTLSTransportStateFailed:
		s = linkInsecure
	case l.dtlsState == webrtc.DTLSTransportStateClosed:
		s = linkClosed
	case l.iceState == webrtc.ICEConnectionStateFailed:
		s = linkFailed
	case l.iceState == webrtc.ICEConnectionStateDisconnected:
		s = linkDisconnected
	case l.iceState == webrtc.ICEConnectionStateConnected, l.iceState == webrtc.ICEConnectionStateCompleted:
		if s = linkSecuring; l.dtlsState == webrtc.DTLSTransportStateConnected {
			s = linkConnected
		}
	case l.iceState == webrtc.ICEConnectionStateChecking:
		s = linkChecking
	}
	if s != l.state {
		l.state = s
		tell(s)
	}
}

func (l *peerLink) Offer() ([]jingle.Content, error) {
	l.is(jingle.Initiator)
	if l.sender == nil {
		if _, err := l.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return nil, fmt.Errorf("add receiver: %w", err)
		}
	}
	return l.describeOffer(nil)
}

func (l *peerLink) describeOffer(opt *webrtc.OfferOptions) ([]jingle.Content, error) {
	offer, err := l.pc.CreateOffer(opt)
	if err != nil {
		return nil, fmt.Errorf("create offer: %w", err)
	}
	if err := l.pc.SetLocalDescription(offer); err != nil {
		return nil, fmt.Errorf("use offer: %w", err)
	}
	return l.describe(offer.SDP)
}

// describe reads our own description and remembers our transport.
func (l *peerLink) describe(sdp string) ([]jingle.Content, error) {
	contents, err := sdpmap.FromSDP(sdp, l.from)
	if err != nil {
		return nil, err
	}
	if len(contents) == 0 {
		return nil, errors.New("pion described nothing")
	}
	if t, ok := contents[0].Transport.(*iceudp.Transport); ok {
		l.local = *t
	}
	return contents, nil
}

// is notes our role, the first time.
func (l *peerLink) is(r jingle.Role) {
	if !l.known {
		l.from, l.known = r, true
	}
}

func (l *peerLink) Answer(remote []jingle.Content) ([]jingle.Content, error) {
	l.is(jingle.Responder)
	if err := l.setRemote(webrtc.SDPTypeOffer, remote); err != nil {
		return nil, err
	}
	contents, err := l.describeAnswer()
	if err != nil {
		return nil, err
	}
	l.remote = remote
	return contents, nil
}

func (l *peerLink) describeAnswer() ([]jingle.Content, error) {
	answer, err := l.pc.CreateAnswer(nil)
	if err != nil {
		return nil, fmt.Errorf("create answer: %w", err)
	}
	if err := l.pc.SetLocalDescription(answer); err != nil {
		return nil, fmt.Errorf("use answer: %w", err)
	}
	return l.describe(answer.SDP)
}

func (l *peerLink) Accept(remote []jingle.Content) error {
	if err := l.setRemote(webrtc.SDPTypeAnswer, remote); err != nil {
		return err
	}
	l.remote = remote
	return nil
}

func (l *peerLink) setRemote(typ webrtc.SDPType, remote []jingle.Content) error {
	sdp, err := sdpmap.ToSDP(remote, l.from.Peer())
	if err != nil {
		return err
	}
	if err := l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: sdp}); err != nil {
		return fmt.Errorf("use the peer's %s: %w", typ, err)
	}
	return nil
}

func (l *peerLink) More() ([]jingle.Content, error) { return l.describeOffer(nil) }

func (l *peerLink) Remote() []jingle.Content { return l.remote }

func (l *peerLink) Flow() *flow { return l.flow }

func (l *peerLink) AddCandidate(c iceudp.Candidate, ufrag string) error {
	i, err := sdpmap.ToICE(c, ufrag)
	if err != nil {
		return err
	}
	if err := l.pc.AddICECandidate(i); err != nil {
		return fmt.Errorf("use candidate: %w", err)
	}
	l.tell(c)
	return nil
}

// maxTold is how many of the peer's candidates are remembered: those of some
// generations.
const maxTold = 4 * maxRemoteCandidates

// tell remembers what the peer says of one of its addresses.
func (l *peerLink) tell(c iceudp.Candidate) {
	at, ok := addressOf(c)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == nil || len(l.told) >= maxTold {
		l.told = make(map[netip.AddrPort]iceudp.CandidateType)
	}
	l.told[at] = c.Type
}

// kind is what a remote candidate is. One whose check was here before the peer
// named it is not peer-reflexive because of that. RFC 8445 §7.3.1.3
func (l *peerLink) kind(c iceudp.Candidate) iceudp.CandidateType {
	at, ok := addressOf(c)
	if !ok || c.Type != iceudp.PRflx {
		return c.Type
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.told[at]; ok {
		return k
	}
	return c.Type
}

func addressOf(c iceudp.Candidate) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(c.IP)
	return netip.AddrPortFrom(ip.Unmap(), c.Port), err == nil
}

// Restart restarts at once: pion finds the new credentials no other way.
func (l *peerLink) Restart() (iceudp.Transport, error) {
	l.newGeneration()
	if l.restarting {
		if err := l.rollback(); err != nil {
			return iceudp.Transport{}, err
		}
	}
	if _, err := l.describeOffer(&webrtc.OfferOptions{ICERestart: true}); err != nil {
		return iceudp.Transport{}, err
	}
	l.restarting = true
	return l.local, nil
}

// rollback takes back an offer that was not answered. pion knows no rollback, so
// the offer is answered by what the peer described before, which leads nowhere
// and is followed by a restart.
func (l *peerLink) rollback() error {
	l.restarting = false
	if err := l.setRemote(webrtc.SDPTypeAnswer, l.remote); err != nil {
		return fmt.Errorf("take back restart: %w", err)
	}
	return nil
}

func (l *peerLink) newGeneration() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	l.candidates = nil
}

func (l *peerLink) RestartAnswered(remote iceudp.Transport) error {
	contents := l.withCredentials(remote)
	if err := l.setRemote(webrtc.SDPTypeAnswer, contents); err != nil {
		return err
	}
	l.remote, l.restarting = contents, false
	return nil
}

func (l *peerLink) RestartOffered(remote iceudp.Transport) (iceudp.Transport, error) {
	if l.restarting {
		if err := l.rollback(); err != nil {
			return iceudp.Transport{}, err
		}
	}
	l.newGeneration()
	contents := l.withCredentials(remote)
	if err := l.setRemote(webrtc.SDPTypeOffer, contents); err != nil {
		return iceudp.Transport{}, err
	}
	if _, err := l.describeAnswer(); err != nil {
		return iceudp.Transport{}, err
	}
	l.remote = contents
	return l.local, nil
}

// withCredentials returns what the peer described last, with other credentials.
// Certificates and DTLS roles stay, since the DTLS association does.
func (l *peerLink) withCredentials(t iceudp.Transport) []jingle.Content {
	out := make([]jingle.Content, len(l.remote))
	for i, c := range l.remote {
		tr := *c.Transport.(*iceudp.Transport)
		tr.Ufrag, tr.Pwd = t.Ufrag, t.Pwd
		c.Transport = &tr
		out[i] = c
	}
	return out
}

func (l *peerLink) Local() (iceudp.Transport, []iceudp.Candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.local, append([]iceudp.Candidate(nil), l.candidates...)
}

// dtls and ice reach what every section of a PeerConnection shares. SCTP is the
// one that exists without media.
func (l *peerLink) dtls() *webrtc.DTLSTransport { return l.pc.SCTP().Transport() }
func (l *peerLink) ice() *webrtc.ICETransport   { return l.dtls().ICETransport() }

func (l *peerLink) Pair() (Pair, bool) {
	p, err := l.ice().GetSelectedCandidatePair()
	if err != nil || p == nil {
		return Pair{}, false
	}
	side := func(c *webrtc.ICECandidate) iceudp.Candidate {
		return iceudp.Candidate{
			Component: 1, Foundation: c.Foundation, IP: c.Address, Port: c.Port, Priority: c.Priority,
			Protocol: c.Protocol.String(), Type: sdpmap.CandidateType(c.Typ),
		}
	}
	pair := Pair{Local: side(p.Local), Remote: side(p.Remote)}
	pair.Remote.Type = l.kind(pair.Remote)
	return pair, true
}

func (l *peerLink) Quality() linkQuality {
	s, ok := l.ice().GetSelectedCandidatePairStats()
	if !ok {
		return linkQuality{}
	}
	return linkQuality{rtt: s.CurrentRoundTripTime}
}

func (l *peerLink) WriteRTCP(p []rtcp.Packet) error { return l.pc.WriteRTCP(p) }

// settleFor and closeFor bound how long Close waits for pion.
const (
	settleFor = 2 * time.Second
	closeFor  = 10 * time.Second
)

// Close does not wait for a pion that is stuck: the call ends all the same.
func (l *peerLink) Close() error {
	l.mu.Lock()
	connected := l.dtlsState == webrtc.DTLSTransportStateConnected
	l.closing = true
	l.mu.Unlock()
	l.cancel() // pion waits for it
	var errs []error
	if !connected { // nobody to say goodbye to; it ends what would connect
		errs = append(errs, l.ice().Stop())
	}
	l.settle()
	closed := make(chan error, 1)
	go func() { closed <- l.pc.GracefulClose() }()
	timer := time.NewTimer(closeFor)
	defer timer.Stop()
	select {
	case err := <-closed:
		errs = append(errs, err)
	case <-timer.C:
		errs = append(errs, fmt.Errorf("it did not close within %s", closeFor), l.ice().Stop())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close peer connection: %w", err)
	}
	return nil
}

// settle waits until pion has done what it does after a negotiation.
//
// pion v4.2.26 locks up when it is closed after DTLS connected and before it
// takes streams: closing holds a lock and waits for the reader of SRTP, which
// waits with the first packet for someone to take its stream, which waits for
// the lock. That more negotiation is needed, which a new section causes, is
// told when all else is done.
func (l *peerLink) settle() {
	if l.pc.RemoteDescription() == nil || l.pc.SignalingState() != webrtc.SignalingStateStable {
		return
	}
	// It is told once only, and an undeclared source of the peer causes it, too.
	if _, err := l.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		return
	}
	timer := time.NewTimer(settleFor)
	defer timer.Stop()
	select {
	case <-l.settled:
	case <-timer.C:
	}
}
