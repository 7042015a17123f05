package media

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

// How pictures go to the peer.
const (
	// startBitrate is what a path is taken for, in bit/s, until it was measured.
	startBitrate = 800_000
	// leastBitrate is what a path is taken for at the worst.
	leastBitrate = 60_000
	// paceFactor is how much faster than the target packets may leave: a key
	// frame is several times as long as others.
	paceFactor = 2
	// paceBurst is how much may leave at once.
	paceBurst = 3000
	// maxPaced bounds the packets that wait, and maxPacedTime how long they may
	// before pictures are left out.
	maxPaced     = 2048
	maxPacedTime = 150 * time.Millisecond
)

// A flow is what leaves by one link: it measures the path by the peer's reports
// (transport-wide congestion control) and spaces packets of pictures. Sound
// passes by at once, and is not measured by, since it does not fill the path.
//
// Its parts are interceptors of pion, from the network outwards: the estimator
// sees packets when they leave, then they are numbered, then paced.
type flow struct {
	bwe  *gcc.SendSideBWE
	rate atomic.Int64 // at which packets leave, bit/s

	rtx     atomic.Uint32 // as which source packets are sent again; 0 is as pion says
	resent  atomic.Uint64 // packets sent again
	overrun atomic.Bool   // more was to be sent again than is of use

	memory pathMemory

	path       sync.Mutex // guards the next three
	departures departures
	guard      queueGuard
	reported   time.Time // when the peer reported last

	mu      sync.Mutex // guards what follows
	queue   []pacedPacket
	bytes   int
	again   int           // bytes of it that were sent before
	wake    chan struct{} // has one element when there is something to send
	closing bool
	done    chan struct{} // closed when closing
	pacers  sync.WaitGroup
}

type pacedPacket struct {
	writer  interceptor.RTPWriter
	header  rtp.Header
	payload []byte
	attr    interceptor.Attributes
	again   bool
}

func newFlow(cfg Config) (*flow, error) {
	f := &flow{wake: make(chan struct{}, 1), done: make(chan struct{})}
	f.rate.Store(paceFactor * startBitrate)
	f.memory.held = float64(min(startBitrate, cfg.Video.MaxBitrate))
	var err error
	f.bwe, err = gcc.NewSendSideBWE(
		gcc.SendSideBWEInitialBitrate(min(startBitrate, cfg.Video.MaxBitrate)),
		gcc.SendSideBWEMinBitrate(leastBitrate),
		gcc.SendSideBWEMaxBitrate(cfg.Video.MaxBitrate),
		gcc.SendSideBWEPacer(&passer{}),
		gcc.WithLoggerFactory(pionLog{cfg.Logger}),
	)
	if err != nil {
		return nil, fmt.Errorf("set up congestion control: %w", err)
	}
	return f, nil
}

// estimate is what the path takes, in bit/s, and whether the peer tells.
func (f *flow) estimate(now time.Time) (bps int, known bool) {
	f.path.Lock()
	share, _ := f.guard.share()
	at := f.reported
	f.path.Unlock()
	return int(f.memory.estimate() * share), !at.IsZero() && now.Sub(at) < reportFresh
}

// leaves notes a packet that leaves; see [departures.sent].
func (f *flow) leaves(seq uint16, bits int, at time.Time) {
	f.path.Lock()
	defer f.path.Unlock()
	f.departures.sent(seq, bits, at)
}

// takeReport takes what the peer says of packets, and returns the share of the
// path that the guard allows then and how many reports in a row told of a queue.
func (f *flow) takeReport(cc *rtcp.TransportLayerCC, now time.Time) (r pathReport, share float64, high int) {
	f.path.Lock()
	defer f.path.Unlock()
	r, rtt, known := f.departures.reported(cc, now)
	if known {
		f.guard.measured(rtt, now)
	}
	f.reported = now
	share, high = f.guard.share()
	return r, share, high
}

// moved is called when another path was taken.
func (f *flow) moved() {
	f.path.Lock()
	defer f.path.Unlock()
	f.departures.moved()
	f.guard.moved()
}

// pace changes how fast packets leave, in bit/s of the target.
func (f *flow) pace(bps int) { f.rate.Store(int64(paceFactor * max(bps, leastBitrate))) }

// behind is how long what waits will need to leave.
func (f *flow) behind() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sendTime(f.bytes, f.rate.Load())
}

func sendTime(bytes int, bps int64) time.Duration {
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / bps)
}

func isVideo(info *interceptor.StreamInfo) bool {
	return strings.HasPrefix(strings.ToLower(info.MimeType), "video/")
}

// passer is gcc's pacer: it has none, since packets are paced before they are
// numbered.
type passer struct {
	mu     sync.Mutex
	writer interceptor.RTPWriter
}

func (p *passer) AddStream(_ uint32, w interceptor.RTPWriter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writer = w
}

// Write sends packets of the stream and those sent again, which have another
// SSRC.
func (p *passer) Write(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
	p.mu.Lock()
	w := p.writer
	p.mu.Unlock()
	if w == nil {
		return 0, io.ErrClosedPipe
	}
	return w.Write(h, payload, a)
}

func (p *passer) SetTargetBitrate(int) {}
func (p *passer) Close() error         { return nil }

// estimator is the innermost part.
type estimator struct {
	interceptor.NoOp
	*flow
}

func (e *estimator) NewInterceptor(string) (interceptor.Interceptor, error) { return e, nil }

func (e *estimator) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	for _, x := range info.RTPHeaderExtensions {
		if x.URI != sdp.TransportCCURI {
			continue
		}
		id := uint8(x.ID)
		measured := isVideo(info)
		noted := interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
			var n rtp.TransportCCExtension
			if n.Unmarshal(h.GetExtension(id)) == nil {
				bits := 0
				if measured {
					bits = (h.MarshalSize() + len(payload)) * 8
					e.memory.sent(bits)
				}
				e.leaves(n.TransportSequence, bits, time.Now())
			}
			return w.Write(h, payload, a)
		})
		if !measured {
			return noted
		}
		return e.bwe.AddStream(info, noted)
	}
	return w
}

func (e *estimator) BindRTCPReader(r interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := r.Read(b, a)
		if err != nil {
			return 0, nil, err
		}
		if a == nil {
			a = make(interceptor.Attributes)
		}
		packets, err := a.GetRTCPPackets(b[:n])
		if err != nil {
			return n, a, nil // somebody else's trouble
		}
		for _, p := range packets {
			if cc, ok := p.(*rtcp.TransportLayerCC); ok {
				r, share, high := e.takeReport(cc, time.Now())
				_ = e.bwe.WriteRTCP([]rtcp.Packet{p}, a) // once closed it takes none
				e.memory.reported(r, e.bwe.GetTargetBitrate(), share, high)
			}
		}
		return n, a, nil
	})
}

func (e *estimator) Close() error { return e.bwe.Close() }

// pacer is the outermost part.
type pacer struct {
	interceptor.NoOp
	*flow
}

func (p *pacer) NewInterceptor(string) (interceptor.Interceptor, error) { return p, nil }

func (p *pacer) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	if !isVideo(info) {
		return w
	}
	p.mu.Lock()
	if !p.closing {
		p.pacers.Go(func() { p.run() })
	}
	p.mu.Unlock()
	var last uint16
	begun := false
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.closing || len(p.queue) >= maxPaced {
			return 0, io.ErrClosedPipe
		}
		// What was sent before goes first: a picture waits for it.
		again := h.SSRC != info.SSRC || begun && int16(h.SequenceNumber-last) <= 0
		if again {
			if sendTime(p.again, p.rate.Load()) > maxPacedTime {
				// The path got so narrow that what was lost would hold up the
				// picture for long.
				p.overrun.Store(true)
				return h.MarshalSize() + len(payload), nil
			}
			p.again += len(payload)
			p.resent.Add(1)
		} else {
			last, begun = h.SequenceNumber, true
		}
		at := len(p.queue)
		if again {
			for at > 0 && !p.queue[at-1].again {
				at--
			}
		}
		k := pacedPacket{writer: w, header: h.Clone(), payload: append([]byte(nil), payload...), attr: a, again: again}
		// pion chooses this number itself, even where it was told to the peer.
		if rtx := p.rtx.Load(); rtx != 0 && h.SSRC != info.SSRC {
			k.header.SSRC = rtx
		}
		p.queue = append(p.queue, pacedPacket{})
		copy(p.queue[at+1:], p.queue[at:])
		p.queue[at] = k
		p.bytes += len(payload)
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return h.MarshalSize() + len(payload), nil
	})
}

// run sends what waits, at the rate.
func (p *pacer) run() {
	var free time.Time // when the path is free for more, by the rate
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.mu.Unlock()
			select {
			case <-p.wake:
			case <-p.done:
				return
			}
			continue
		}
		now, rate := time.Now(), p.rate.Load()
		burst := sendTime(paceBurst, rate)
		if free.Before(now.Add(-burst)) {
			free = now.Add(-burst)
		}
		if wait := free.Sub(now); wait > 0 {
			p.mu.Unlock()
			timer.Reset(wait + burst/2)
			select {
			case <-timer.C:
			case <-p.done:
				return
			}
			continue
		}
		k := p.queue[0]
		p.queue[0] = pacedPacket{}
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil // the array does not grow for ever
		}
		p.bytes -= len(k.payload)
		if k.again {
			p.again -= len(k.payload)
		}
		p.mu.Unlock()
		free = free.Add(sendTime(k.header.MarshalSize()+len(k.payload), rate))
		_, _ = k.writer.Write(&k.header, k.payload, k.attr) // what cannot be sent is lost, as elsewhere on the way
	}
}

func (p *pacer) Close() error {
	p.mu.Lock()
	if !p.closing {
		p.closing = true
		close(p.done)
	}
	p.queue, p.bytes, p.again = nil, 0, 0
	p.mu.Unlock()
	p.pacers.Wait()
	return nil
}
