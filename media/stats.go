package media

import (
	"math"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/pion/rtcp"
)

// A peerReport is what the peer said last about what it hears.
type peerReport struct {
	mu   sync.Mutex
	at   time.Time
	loss float64 // share, of the interval between its reports
	rtt  time.Duration

	expected float64 // loss to be ready for; of the goroutine that reads reports
}

const (
	lossFade = 0.9  // of what is expected is left with the next report, a second later
	lossMost = 0.30 // more redundancy than for this makes things worse
)

// expect returns the loss, in percent, that the encoder should be ready for. A
// report is about some fifty packets, so with little loss many say none: what
// was lost counts at once and is forgotten slowly.
func (p *peerReport) expect(loss float64) int32 {
	if p.expected = max(loss, p.expected*lossFade); p.expected < 0.005 {
		p.expected = 0
	}
	return int32(math.Round(100 * min(p.expected, lossMost)))
}

// A snapshot is what counters were when they were looked at before.
type snapshot struct {
	at                 time.Time
	bytesIn, bytesOut  uint64
	received, lost     uint64
	samples, concealed uint64
}

// reportFresh is how long a report of the peer tells something of the present.
const reportFresh = 10 * time.Second

// reports takes the peer's reports on our stream, and its delay. RFC 3550 §6.4.1
func (c *Call) reports(rs []rtcp.ReceptionReport, at time.Time) {
	for _, r := range rs {
		if c.sender == nil || r.SSRC != c.sender.track.source() {
			continue
		}
		loss := float64(r.FractionLost) / 256
		c.sender.loss.Store(c.report.expect(loss))
		c.report.mu.Lock()
		c.report.at, c.report.loss = at, loss
		if r.LastSenderReport != 0 {
			// In units of 1/65536 s; wraps after 18 hours, as the RFC has it.
			if d := int32(compactNTP(at) - r.LastSenderReport - r.Delay); d >= 0 {
				c.report.rtt = time.Duration(d) * time.Second / 65536
			}
		}
		c.report.mu.Unlock()
	}
}

func (c *Call) jitterConfig(a agreement) audio.JitterConfig {
	return audio.JitterConfig{Decoders: a.decoders, MinDelay: c.cfg.MinDelay, MaxDelay: c.cfg.MaxDelay}
}

// measure takes stock. It is the owner's.
func (c *Call) measure() {
	now := time.Now()
	var s Stats
	if !c.connectedAt.IsZero() {
		s.Connected = now.Sub(c.connectedAt)
	}
	main := c.links[0].link
	before := c.Stats()
	s.Codec, s.Pair = before.Codec, before.Pair
	if p, ok := main.Pair(); ok {
		s.Pair = p
	}
	r := c.receiver
	s.PacketsIn, s.BytesIn = r.count.Load(), r.bytes.Load()
	s.LevelIn, s.LevelOut = c.Levels()
	if c.sender != nil {
		s.PacketsOut, s.BytesOut = c.sender.count.Load(), c.sender.bytes.Load()
	}
	next := snapshot{at: now, bytesIn: s.BytesIn, bytesOut: s.BytesOut}
	if jb := r.jitter.Load(); jb != nil {
		j := jb.Stats()
		s.Jitter, s.Delay, s.PacketsLost = j.Jitter, j.Delay, j.Lost
		next.received, next.lost, next.samples, next.concealed = j.Received, j.Lost, j.Samples, j.Concealed
		s.LossIn = share(next.lost-c.last.lost, next.lost-c.last.lost+next.received-c.last.received)
		s.Concealed = share(next.concealed-c.last.concealed, next.samples-c.last.samples)
	}
	var seconds float64 // since the last time
	if !c.last.at.IsZero() {
		seconds = now.Sub(c.last.at).Seconds()
	}
	if seconds > 0 {
		s.BitrateIn = float64(next.bytesIn-c.last.bytesIn) * 8 / seconds
		s.BitrateOut = float64(next.bytesOut-c.last.bytesOut) * 8 / seconds
	}
	c.last = next
	c.report.mu.Lock()
	if now.Sub(c.report.at) < reportFresh {
		s.LossOut, s.RTT = c.report.loss, c.report.rtt
	}
	c.report.mu.Unlock()
	if s.RTT == 0 {
		s.RTT = time.Duration(main.Quality().rtt * float64(time.Second))
	}
	s.Video = c.measureVideo(seconds, s.RTT)
	c.mu.Lock()
	c.stats = s
	c.mu.Unlock()
}

func share(part, whole uint64) float64 {
	if whole == 0 || part > whole {
		return 0
	}
	return float64(part) / float64(whole)
}
