// Package mediatest helps to test calls: two of them joined in memory, sound
// that can be told apart, and networks that are simulated with their NATs,
// relays, loss and delay.
//
//	alice --- NAT ---+              +--- NAT --- bob
//	                 +-- Internet --+
//	                        |
//	                 STUN and TURN server
//
// Nothing leaves the process, and nothing needs a network:
//
//	n := mediatest.NewNetwork(t, mediatest.SymmetricNAT, mediatest.SymmetricNAT)
//	alice, bob := n.Call(t, mediatest.Audio)
//	mediatest.WaitTone(t, bob, mediatest.AliceTone)
//
// Time is real: DTLS and ICE have timers of their own.
package mediatest

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/media/video/videotest"
	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/turn/v5"
)

// What a call may carry: sound alone, or pictures as well.
const (
	Audio = rtp.Audio
	Video = rtp.Video
)

// The tones, in Hz, that the two sides of a call say.
const (
	AliceTone = 440.0
	BobTone   = 880.0
)

// A NAT says how somebody is connected to the Internet. RFC 4787 §4 and §5
type NAT uint8

// The kinds of NAT.
const (
	// NoNAT is a public address.
	NoNAT NAT = iota
	// FullConeNAT maps a port once and lets everyone in.
	FullConeNAT
	// RestrictedNAT lets in the addresses that were sent to.
	RestrictedNAT
	// PortRestrictedNAT lets in the addresses and ports that were sent to.
	PortRestrictedNAT
	// SymmetricNAT maps a port anew for each address and port that is sent to.
	SymmetricNAT
)

var natTypes = map[NAT]vnet.NATType{
	FullConeNAT:       {MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointIndependent},
	RestrictedNAT:     {MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrDependent},
	PortRestrictedNAT: {MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrPortDependent},
	SymmetricNAT:      {MappingBehavior: vnet.EndpointAddrPortDependent, FilteringBehavior: vnet.EndpointAddrPortDependent},
}

func (n NAT) String() string {
	return [...]string{"no NAT", "full cone NAT", "restricted NAT", "port restricted NAT", "symmetric NAT"}[n]
}

// Addresses of the simulated network.
const (
	serverAddress  = "203.0.113.1"
	turnUser       = "user"
	turnPassword   = "password"
	turnRealm      = "example.org"
	alicePublic    = "198.51.100.1"
	bobPublic      = "198.51.100.2"
	alicePrivate   = "192.168.1.2"
	bobPrivate     = "10.0.0.2"
	aliceLAN       = "192.168.1.0/24"
	bobLAN         = "10.0.0.0/24"
	serverPort     = "3478"
	everyAddress   = "0.0.0.0/0"
	defaultTimeout = 30 * time.Second
)

// A Config describes a network.
type Config struct {
	Alice, Bob NAT
	// Delay is what a packet takes from one side to the other, Jitter how much
	// it may take longer.
	Delay, Jitter time.Duration
	// Loss is the share of packets that never arrive, 0 to 1, each way.
	Loss float64
	// Bandwidth is what the way to each host takes, in bit/s; what is beyond
	// waits for up to QueueTime (300 ms if zero) and is lost then. Zero is no
	// limit.
	Bandwidth int
	QueueTime time.Duration
	// Seed makes losses the same in every run.
	Seed uint64
}

// A Network is two hosts that reach each other, and a server for STUN and TURN,
// by way of simulated routers.
type Network struct {
	alice, bob *vnet.Net
	allocated  func() int

	mu   sync.Mutex // guards what follows
	loss float64
	rand *rand.Rand
	cut  bool

	paths     []*vnet.TBFQueue // to Alice, to Bob; nil when there is no limit
	queueTime time.Duration
}

// NewNetwork builds a network between two kinds of NAT. It ends with the test.
func NewNetwork(t testing.TB, alice, bob NAT) *Network {
	t.Helper()
	return Config{Alice: alice, Bob: bob}.New(t)
}

// building is held while hosts are made: vnet numbers them all without a lock.
var building sync.Mutex

// New builds the network. It ends with the test.
func (cfg Config) New(t testing.TB) *Network {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	n := &Network{loss: cfg.Loss, rand: rand.New(rand.NewPCG(cfg.Seed, 1))}
	logs := &logging.DefaultLoggerFactory{Writer: io.Discard, ScopeLevels: map[string]logging.LogLevel{}}
	wan := router(t, &vnet.RouterConfig{
		CIDR: everyAddress, MinDelay: cfg.Delay, MaxJitter: cfg.Jitter, LoggerFactory: logs, QueueSize: 4096,
	})
	server := host(t, wan, serverAddress, nil)
	if cfg.QueueTime == 0 {
		cfg.QueueTime = defaultQueue
	}
	for range 2 {
		if cfg.Bandwidth > 0 {
			n.paths = append(n.paths, vnet.NewTBFQueue(cfg.Bandwidth, pathBurst, queueSize(cfg.Bandwidth, cfg.QueueTime)))
		} else {
			n.paths = append(n.paths, nil)
		}
	}
	n.queueTime = cfg.QueueTime
	n.alice = attach(t, wan, cfg.Alice, alicePublic, alicePrivate, aliceLAN, n.paths[0], logs)
	n.bob = attach(t, wan, cfg.Bob, bobPublic, bobPrivate, bobLAN, n.paths[1], logs)
	wan.AddChunkFilter(n.passes)
	must(t, wan.Start())
	t.Cleanup(func() { must(t, wan.Stop()) })
	n.serve(t, server, logs)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func router(t testing.TB, cfg *vnet.RouterConfig) *vnet.Router {
	t.Helper()
	r, err := vnet.NewRouter(cfg)
	must(t, err)
	return r
}

// host makes a host, whose packets come by path if that is not nil.
func host(t testing.TB, r *vnet.Router, addr string, path *vnet.TBFQueue) *vnet.Net {
	t.Helper()
	h, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{addr}})
	must(t, err)
	if path == nil {
		must(t, r.AddNet(h))
		return h
	}
	q, err := vnet.NewQueue(h, path)
	must(t, err)
	t.Cleanup(func() { must(t, q.Close()) })
	must(t, r.AddNet(q))
	return h
}

const (
	// defaultQueue is how much a router holds for a path, in time.
	defaultQueue = 300 * time.Millisecond
	// pathBurst is what a path takes at once, in bytes.
	pathBurst = 3000
)

func queueSize(bps int, t time.Duration) int64 { return int64(float64(bps) / 8 * t.Seconds()) }

// SetBandwidth changes what the way to each host takes, in bit/s, of a network
// that was made with a limit.
func (n *Network) SetBandwidth(bps int) {
	for _, p := range n.paths {
		p.SetRate(bps)
		p.SetSize(queueSize(bps, n.queueTime))
	}
}

// attach connects a host to the Internet, behind a NAT of the given kind.
func attach(t testing.TB, wan *vnet.Router, kind NAT, public, private, lan string, path *vnet.TBFQueue, logs logging.LoggerFactory) *vnet.Net {
	t.Helper()
	if kind == NoNAT {
		return host(t, wan, public, path)
	}
	nat := natTypes[kind]
	r := router(t, &vnet.RouterConfig{
		CIDR: lan, StaticIPs: []string{public}, NATType: &nat, LoggerFactory: logs, QueueSize: 4096,
	})
	h := host(t, r, private, path)
	must(t, wan.AddRouter(r))
	return h
}

// passes drops packets as the network was told to.
func (n *Network) passes(vnet.Chunk) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut && (n.loss == 0 || n.rand.Float64() >= n.loss)
}

// SetLoss changes the share of packets that never arrive.
func (n *Network) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Cut stops every packet until Mend.
func (n *Network) Cut() { n.setCut(true) }

// Mend lets packets pass again after Cut.
func (n *Network) Mend() { n.setCut(false) }

func (n *Network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

// serve answers STUN and TURN.
func (n *Network) serve(t testing.TB, h *vnet.Net, logs logging.LoggerFactory) {
	t.Helper()
	conn, err := h.ListenPacket("udp4", net.JoinHostPort(serverAddress, serverPort))
	must(t, err)
	key := turn.GenerateAuthKey(turnUser, turnRealm, turnPassword)
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: turnRealm, LoggerFactory: logs,
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, key, a.Username == turnUser
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: net.ParseIP(serverAddress), Address: "0.0.0.0", Net: h,
			},
		}},
	})
	must(t, err)
	n.allocated = s.AllocationCount
	t.Cleanup(func() { must(t, s.Close()) })
}

// Allocations is how many addresses the TURN server has lent.
func (n *Network) Allocations() int { return n.allocated() }

// Alice is the network of one host, for media.Config.
func (n *Network) Alice() transport.Net { return hostNet{n.alice} }

// Bob is the network of the other host.
func (n *Network) Bob() transport.Net { return hostNet{n.bob} }

// hostNet is a vnet.Net whose packet connections have no RemoteAddr. Those of
// vnet have a nil one, which pion's TURN client takes for the server's.
type hostNet struct{ *vnet.Net }

func (h hostNet) ListenPacket(network, address string) (net.PacketConn, error) {
	c, err := h.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return struct{ net.PacketConn }{c}, nil
}

// ICEServers are those of the network.
func (n *Network) ICEServers() []media.ICEServer {
	return []media.ICEServer{
		{URL: "stun:" + net.JoinHostPort(serverAddress, serverPort)},
		{URL: "turn:" + net.JoinHostPort(serverAddress, serverPort) + "?transport=udp", Username: turnUser, Password: turnPassword},
	}
}

// Call makes a call between Alice and Bob, with sound, and with moving patterns
// if the medium is Video. It returns when both are connected, and ends with the
// test.
func (n *Network) Call(t testing.TB, medium rtp.Media, change ...func(*media.Config)) (alice, bob *Phone) {
	t.Helper()
	with := func(net transport.Net) func(*media.Config) {
		return func(cfg *media.Config) {
			cfg.Net, cfg.ICEServers = net, slices.Clone(n.ICEServers())
			if medium == Video {
				cfg.Video = media.Video{
					Source: video.NewPatternSource(640, 480, 30), Codecs: []video.Codec{videotest.Codec()}, Sink: videotest.NewEye(),
				}
			}
			for _, fn := range change {
				fn(cfg)
			}
		}
	}
	alice = NewPhone(t, AliceTone, with(n.Alice()))
	bob = NewPhone(t, BobTone, with(n.Bob()))
	Dial(t, alice, bob)
	Wait[media.Connected](t, alice)
	Wait[media.Connected](t, bob)
	return alice, bob
}

// deadline is a context that ends with the test, or when it takes too long.
func deadline(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), defaultTimeout)
}
