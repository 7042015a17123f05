package device

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jfreymuth/pulse/proto"

	"github.com/carillon-im/carillon/media/audio"
)

// pulse is the PulseAudio protocol, as PulseAudio and PipeWire speak it. Each
// stream has its own connection, so one that hangs holds up no other.
//
// The client of jfreymuth/pulse is not used, only its encoding of the protocol:
// the client waits without limit for a server that died, races on its state,
// and does not notice a connection that is reset.
type pulse struct{}

const (
	pulseTimeout = time.Second
	// pieceBytes is 10 ms: what is captured at once, and the least that is
	// asked for in playback.
	pieceBytes   = audio.HalfFrame * 2
	pulseVersion = 32
	// lookEvery is how often the server is asked for its latency.
	lookEvery = time.Second
)

func (pulse) name() string { return "pulse" }

// A conn is a connection to a server. A Write waits at most pulseTimeout.
type conn io.ReadWriteCloser

// dial connects to a socket of any kind.
func dial(ctx context.Context, network, address string) (conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return timedConn{c}, nil
}

// A timedConn does not wait long for a server that hangs.
type timedConn struct{ net.Conn }

func (c timedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(pulseTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// A pulseConn is one connection to the server.
type pulseConn struct {
	conn
	c    *proto.Client
	in   *bufio.Reader
	done chan struct{} // closed when nothing is read any more
	head []byte        // of a message, until the rest of it comes

	once sync.Once
	err  error // valid after done
}

const (
	// pulseHead is the size of what precedes each message in the protocol.
	pulseHead = 20
	// pulseRead holds what a server has to say at once, in one piece.
	pulseRead = 8 << 10
)

// Read is where the protocol's goroutine reads. That goroutine ends when Read
// fails, and says so only when the failure is io.EOF; so it is noted here.
func (p *pulseConn) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	if err != nil {
		p.once.Do(func() {
			p.err = err
			close(p.done)
		})
	}
	return n, err
}

// Write sends a message in one piece, though the encoder gives it in two: the
// server is woken once. One goroutine writes at a time, the encoder sees to it.
func (p *pulseConn) Write(b []byte) (int, error) {
	if len(p.head) == 0 && len(b) == pulseHead {
		p.head = append(p.head, b...)
		return len(b), nil
	}
	p.head = append(p.head, b...)
	_, err := p.conn.Write(p.head)
	p.head = p.head[:0]
	if err != nil {
		p.conn.Close() // half a message was sent: nothing can follow
		return 0, err
	}
	return len(b), nil
}

// close ends the connection and waits for its goroutine's last read.
func (p *pulseConn) close() {
	p.conn.Close()
	<-p.done
}

// dialPulse connects and logs in. on is called for every message of the server.
func dialPulse(ctx context.Context, on func(any)) (*pulseConn, error) {
	var err error
	for _, s := range pulseServers() {
		var to conn
		if s.network == "unix" {
			to, err = dialUnix(ctx, s.address)
		} else {
			to, err = dial(ctx, s.network, s.address)
		}
		if err != nil {
			continue
		}
		p := &pulseConn{conn: to, in: bufio.NewReaderSize(to, pulseRead), c: &proto.Client{Callback: on}, done: make(chan struct{})}
		p.c.SetTimeout(pulseTimeout)
		p.c.Open(p)
		stop := context.AfterFunc(ctx, func() { to.Close() })
		err = p.login()
		if !stop() || err != nil {
			p.close()
			if err == nil || ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			continue
		}
		return p, nil
	}
	if err == nil {
		return nil, ErrNoServer
	}
	return nil, fmt.Errorf("%w: %w", ErrNoServer, err)
}

func (p *pulseConn) login() error {
	cookie, err := pulseCookie()
	if err != nil {
		return err
	}
	var auth proto.AuthReply
	if err := p.c.Request(&proto.Auth{Version: pulseVersion, Cookie: cookie}, &auth); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	p.c.SetVersion(auth.Version)
	// No more properties: the encoder overflows at 1 kB.
	props := proto.PropList{
		"application.name":       proto.PropListString("Carillon"),
		"application.process.id": proto.PropListString(strconv.Itoa(os.Getpid())),
		"application.icon_name":  proto.PropListString("carillon"),
	}
	return p.c.Request(&proto.SetClientName{Props: props}, &proto.SetClientNameReply{})
}

type pulseServer struct{ network, address string }

// pulseServers are the places where a server may listen, by PULSE_SERVER or, if
// that is not set, the usual ones.
func pulseServers() (list []pulseServer) {
	if env := os.Getenv("PULSE_SERVER"); env != "" {
		host, _ := os.Hostname()
		for _, s := range strings.Fields(env) {
			if strings.HasPrefix(s, "{") { // only for the machine of this name
				name, rest, ok := strings.Cut(s[1:], "}")
				if !ok || name != host {
					continue
				}
				s = rest
			}
			switch network, address, _ := strings.Cut(s, ":"); {
			case strings.HasPrefix(s, "/"):
				list = append(list, pulseServer{"unix", s})
			case network == "unix":
				list = append(list, pulseServer{"unix", address})
			case network == "tcp" || network == "tcp4" || network == "tcp6":
				if _, _, err := net.SplitHostPort(address); err != nil {
					address = net.JoinHostPort(address, "4713")
				}
				list = append(list, pulseServer{network, address})
			}
		}
		return list
	}
	var dirs []string
	if d := os.Getenv("PULSE_RUNTIME_PATH"); d != "" {
		dirs = append(dirs, d)
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		dirs = append(dirs, filepath.Join(d, "pulse"))
	} else if runtime.GOOS == "linux" {
		dirs = append(dirs, fmt.Sprintf("/run/user/%d/pulse", os.Getuid()))
	}
	for _, d := range dirs {
		list = append(list, pulseServer{"unix", filepath.Join(d, "native")})
	}
	return append(list, pulseServer{"unix", "/run/pulse/native"}) // a server for the whole system
}

const pulseCookieSize = 256

// pulseCookie is the shared secret of server and clients. Servers that do not
// ask for one take any.
func pulseCookie() ([]byte, error) {
	var paths []string
	if p := os.Getenv("PULSE_COOKIE"); p != "" {
		paths = []string{p}
	} else if home, err := os.UserHomeDir(); err == nil {
		config := filepath.Join(home, ".config")
		if d := os.Getenv("XDG_CONFIG_HOME"); d != "" {
			config = d
		}
		paths = []string{filepath.Join(config, "pulse", "cookie"), filepath.Join(home, ".pulse-cookie")}
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read cookie of the sound server: %w", err)
		}
		if len(b) == pulseCookieSize {
			return b, nil
		}
	}
	return make([]byte, pulseCookieSize), nil
}

func (pulse) list(ctx context.Context) ([]Device, error) {
	p, err := dialPulse(ctx, func(any) {})
	if err != nil {
		return nil, err
	}
	defer p.close()
	stop := context.AfterFunc(ctx, func() { p.conn.Close() })
	defer stop()
	var server proto.GetServerInfoReply
	if err := p.c.Request(&proto.GetServerInfo{}, &server); err != nil {
		return nil, fmt.Errorf("ask the sound server: %w", err)
	}
	var sinks proto.GetSinkInfoListReply
	if err := p.c.Request(&proto.GetSinkInfoList{}, &sinks); err != nil {
		return nil, fmt.Errorf("list speakers: %w", err)
	}
	var sources proto.GetSourceInfoListReply
	if err := p.c.Request(&proto.GetSourceInfoList{}, &sources); err != nil {
		return nil, fmt.Errorf("list microphones: %w", err)
	}
	var list []Device
	add := func(d Device) {
		d.Backend = pulse{}.name()
		if d.Default {
			list = append([]Device{d}, list...)
		} else {
			list = append(list, d)
		}
	}
	for _, s := range sinks {
		add(Device{ID: s.SinkName, Name: s.Device, Kind: Playback, Default: s.SinkName == server.DefaultSinkName})
	}
	for _, s := range sources {
		monitor := s.MonitorSourceIndex != proto.Undefined
		add(Device{ID: s.SourceName, Name: s.Device, Kind: Capture, Monitor: monitor, Default: s.SourceName == server.DefaultSourceName})
	}
	return list, nil
}

// A pulseStream is a stream with the connection that it has for itself.
type pulseStream struct {
	*pulseConn
	kind   Kind
	target target
	ended  chan struct{} // closed when watch has returned

	mu    sync.Mutex
	index uint32 // of the stream, once known
	known bool
	early []any // what came before

	pcm []int16 // of the goroutine that reads
	buf []byte  // of the goroutine that writes

	wrote   time.Time     // guarded by mu
	cushion cushion       // guarded by mu
	resize  chan struct{} // asks watch to give the server the size of the cushion
	late    atomic.Int64  // nanoseconds, see latency
}

func (pulse) open(ctx context.Context, kind Kind, id string, t target) (stream, error) {
	s := &pulseStream{kind: kind, target: t, ended: make(chan struct{}), resize: make(chan struct{}, 1), cushion: newCushion(time.Now())}
	p, err := dialPulse(ctx, s.message)
	if err != nil {
		return nil, err
	}
	s.pulseConn = p
	stop := context.AfterFunc(ctx, func() { p.conn.Close() })
	defer stop()
	if kind == Capture {
		err = s.record(id)
	} else {
		err = s.play(id)
	}
	if err != nil {
		p.close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	go s.watch()
	return s, nil
}

var pulseFormat = proto.SampleSpec{Format: proto.FormatInt16LE, Channels: 1, Rate: audio.SampleRate}

func streamProperties() proto.PropList {
	return proto.PropList{
		"media.name": proto.PropListString("Call"),
		"media.role": proto.PropListString("phone"),
	}
}

func (s *pulseStream) record(id string) error {
	var reply proto.CreateRecordStreamReply
	err := s.c.Request(&proto.CreateRecordStream{
		SampleSpec:         pulseFormat,
		ChannelMap:         proto.ChannelMap{proto.ChannelMono},
		SourceIndex:        proto.Undefined,
		SourceName:         id,
		BufferMaxLength:    16 * pieceBytes,
		BufferFragSize:     pieceBytes,
		AdjustLatency:      true,
		DirectOnInputIndex: proto.Undefined,
		ChannelVolumes:     proto.ChannelVolumes{uint32(proto.VolumeNorm)},
		Properties:         streamProperties(),
	}, &reply)
	if err != nil {
		return pulseError("open microphone", err)
	}
	s.begin(reply.StreamIndex)
	return nil
}

func (s *pulseStream) play(id string) error {
	var reply proto.CreatePlaybackStreamReply
	err := s.c.Request(&proto.CreatePlaybackStream{
		SampleSpec:            pulseFormat,
		ChannelMap:            proto.ChannelMap{proto.ChannelMono},
		SinkIndex:             proto.Undefined,
		SinkName:              id,
		BufferMaxLength:       2 * cushionMost,
		BufferTargetLength:    cushionLeast,
		BufferPrebufferLength: pieceBytes, // start and start again with the first piece
		BufferMinimumRequest:  pieceBytes,
		AdjustLatency:         true,
		ChannelVolumes:        proto.ChannelVolumes{uint32(proto.VolumeNorm)},
		Properties:            streamProperties(),
	}, &reply)
	if err != nil {
		return pulseError("open speaker", err)
	}
	s.target.wanted(int(reply.Missing) / 2)
	s.begin(reply.StreamIndex)
	return nil
}

func pulseError(what string, err error) error {
	if errors.Is(err, proto.ErrNoSuchEntity) {
		return fmt.Errorf("%s: %w", what, ErrNoDevice)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// begin notes the number of the stream and deals with what came before it was
// known: the server may speak at once.
func (s *pulseStream) begin(index uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.known = index, true
	for _, m := range s.early {
		s.deal(m)
	}
	s.early = nil
}

// maxEarly bounds what is kept until begin.
const maxEarly = 32

// message takes what the server says, on the goroutine that reads.
func (s *pulseStream) message(m any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		s.deal(m)
		return
	}
	if d, ok := m.(*proto.DataPacket); ok {
		d.Data = append([]byte(nil), d.Data...)
	}
	if len(s.early) < maxEarly {
		s.early = append(s.early, m)
	}
}

func (s *pulseStream) deal(m any) {
	switch m := m.(type) {
	case *proto.DataPacket:
		if m.StreamIndex != s.index || s.kind != Capture {
			return
		}
		s.pcm = s.pcm[:0]
		for b := m.Data; len(b) >= 2; b = b[2:] {
			s.pcm = append(s.pcm, int16(binary.LittleEndian.Uint16(b)))
		}
		s.target.captured(s.pcm)
	case *proto.Request:
		if m.StreamIndex == s.index {
			s.target.wanted(int(m.Length) / 2)
		}
	case *proto.Underflow:
		if m.StreamIndex == s.index && s.kind == Playback {
			s.ranDry(time.Now())
		}
	case *proto.PlaybackStreamMoved:
		if m.StreamIndex == s.index && s.kind == Playback {
			s.target.moved(m.DestName)
		}
	case *proto.RecordStreamMoved:
		if m.StreamIndex == s.index && s.kind == Capture {
			s.target.moved(m.DestName)
		}
	case *proto.PlaybackStreamKilled:
		if m.StreamIndex == s.index && s.kind == Playback {
			s.target.closed(errKilled)
		}
	case *proto.RecordStreamKilled:
		if m.StreamIndex == s.index && s.kind == Capture {
			s.target.closed(errKilled)
		}
	}
}

var errKilled = fmt.Errorf("the sound server ended the stream: %w", ErrNoDevice)

// ranDry notes that there was nothing to play. s.mu is held.
func (s *pulseStream) ranDry(now time.Time) {
	if now.Sub(s.wrote) > 10*halfFrame {
		return // because nothing is written: the call is on hold
	}
	if s.cushion.ranDry(now) {
		select {
		case s.resize <- struct{}{}:
		default:
		}
	}
}

// watch reports the end of the connection, keeps the speaker's cushion as large
// as it must be, and asks for the latency.
func (s *pulseStream) watch() {
	defer close(s.ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	s.look()
	for {
		select {
		case <-s.done:
			s.target.closed(fmt.Errorf("connection to the sound server: %w", s.err))
			return
		case <-s.resize:
			s.setCushion()
		case <-tick.C:
			if s.kind == Playback && s.isCalm(time.Now()) {
				s.setCushion()
			}
			s.look()
		}
	}
}

func (s *pulseStream) isCalm(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.wrote) > 10*halfFrame {
		s.cushion.pause(now)
		return false
	}
	return s.cushion.calm(now)
}

// setCushion tells the server. If that fails the buffer stays as it is.
func (s *pulseStream) setCushion() {
	s.mu.Lock()
	size := s.cushion.size
	s.mu.Unlock()
	_ = s.c.Request(&proto.SetPlaybackStreamBufferAttr{
		StreamIndex:           s.index,
		BufferMaxLength:       2 * cushionMost,
		BufferTargetLength:    size,
		BufferPrebufferLength: pieceBytes,
		BufferMinimumRequest:  pieceBytes,
		AdjustLatency:         true,
	}, &proto.SetPlaybackStreamBufferAttrReply{})
}

// look asks for the latency. Without an answer the last one stays.
func (s *pulseStream) look() {
	if s.kind == Capture {
		var r proto.GetRecordLatencyReply
		if s.c.Request(&proto.GetRecordLatency{StreamIndex: s.index}, &r) == nil {
			s.late.Store(int64(r.Latency) * int64(time.Microsecond))
		}
		return
	}
	var r proto.GetPlaybackLatencyReply
	if s.c.Request(&proto.GetPlaybackLatency{StreamIndex: s.index}, &r) == nil {
		lies := max(r.WriteIndex-r.ReadIndex, 0) / 2 * int64(time.Second) / audio.SampleRate
		s.late.Store(int64(r.Latency)*int64(time.Microsecond) + lies)
	}
}

// latency is what the server said last.
func (s *pulseStream) latency() time.Duration { return time.Duration(s.late.Load()) }

func (s *pulseStream) write(pcm []int16) error {
	s.mu.Lock()
	s.wrote = time.Now()
	s.mu.Unlock()
	s.buf = s.buf[:0]
	for _, v := range pcm {
		s.buf = binary.LittleEndian.AppendUint16(s.buf, uint16(v))
	}
	if err := s.c.Send(s.index, s.buf); err != nil {
		return fmt.Errorf("send to the sound server: %w", err)
	}
	return nil
}

func (s *pulseStream) close() {
	s.pulseConn.close()
	<-s.ended
}
