package media

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// How packets become pictures again.
const (
	// assembleSize is how many packets are held, of a picture that is not whole
	// and of those behind it. It bounds a picture, too: 2.4 MB.
	assembleSize = 2048
	// askAfter is how long a packet may be late before it is asked for: others
	// overtake it.
	askAfter = 10 * time.Millisecond
	// askMost is how often one packet is asked for.
	askMost = 10
	// patienceLeast and patienceMost bound how long a picture that is not whole
	// holds up those behind it.
	patienceLeast = 120 * time.Millisecond
	patienceMost  = 600 * time.Millisecond
)

// A videoPacket is one packet of a picture.
type videoPacket struct {
	timestamp   uint32
	payloadType uint8
	marker      bool
	rotation    int
	payload     []byte // with the descriptor of the codec
	arrived     time.Time

	// What follows is the assembler's.
	present, first bool      // first of a key frame
	missed         time.Time // when it was noticed that it is missing
	asked          time.Time
	asks           int
}

// A codedFrame is a whole picture, before it is decoded.
type codedFrame struct {
	codec       string
	payloadType uint8
	timestamp   uint32
	rotation    int
	key         bool
	data        []byte
	begun, done time.Time // when the first packet of it came, and the last
}

// An assembler makes pictures of packets. It lets no picture through whose
// predecessors are not whole, until one comes that needs none.
type assembler struct {
	codecs map[uint8]string // by payload type
	ring   [assembleSize]videoPacket
	begun  bool
	next   int64 // where the next picture begins
	high   int64 // of the last packet
	// needKey says that nothing is of use until a key frame.
	needKey bool
	stuck   time.Time // since when the next picture lacks something
	rtt     time.Duration

	received, lost, recovered uint64 // packets
}

func newAssembler(codecs map[uint8]string) *assembler {
	return &assembler{codecs: codecs, needKey: true, rtt: 100 * time.Millisecond}
}

func (a *assembler) slot(n int64) *videoPacket { return &a.ring[n%assembleSize] }

// put takes a packet; its payload is kept. It reports whether a key frame
// should be asked for.
func (a *assembler) put(seq uint16, p videoPacket) (want bool) {
	codec, ok := a.codecs[p.payloadType]
	if !ok {
		return false
	}
	if !a.begun {
		a.begun = true
		a.next = 1<<16 + int64(seq) // so that nothing is negative
		a.high = a.next - 1
	}
	n := a.high + int64(int16(seq-uint16(a.high)))
	switch {
	case n > a.high+assembleSize/2: // another stream, or one that was away
		a.skipTo(n)
		want = true
	case n >= a.next+assembleSize: // the next picture has no end
		a.skipTo(n)
		want = true
	}
	p.present = true
	p.first = len(p.payload) > 0 && beginsKey(codec, p.payload)
	if n < a.next {
		if !a.needKey || !p.first || n < a.high-assembleSize/2 {
			return want
		}
		a.next = n // what was passed over is of use after all
	}
	for m := a.high + 1; m < n; m++ {
		*a.slot(m) = videoPacket{missed: p.arrived}
		a.lost++
	}
	s := a.slot(n)
	if n <= a.high {
		if s.present {
			return want
		}
		if s.asks > 0 {
			a.recovered++
		}
	}
	a.received++
	*s = p
	a.high = max(a.high, n)
	if a.needKey {
		want = want || !a.keyAhead()
	}
	return want
}

// skipTo gives up what is there and goes on at n with a key frame.
func (a *assembler) skipTo(n int64) {
	clear(a.ring[:])
	a.next, a.high, a.needKey, a.stuck = n, n-1, true, time.Time{}
}

// lose gives up what is there up to the next key frame.
func (a *assembler) lose() {
	a.needKey, a.stuck = true, time.Time{}
	a.keyAhead()
}

// keyAhead moves to the next beginning of a key frame and reports whether there
// is one. Without one all that is there is passed over.
func (a *assembler) keyAhead() bool {
	for ; a.next <= a.high; a.next++ {
		if s := a.slot(a.next); s.present && s.first {
			return true
		}
	}
	return false
}

// pop returns the next picture, if it is whole. lost says that one never will
// be, and that a key frame is needed.
func (a *assembler) pop(now time.Time) (f codedFrame, ok, lost bool) {
	for a.next <= a.high {
		s := a.slot(a.next)
		if s.present && len(s.payload) == 0 { // padding
			a.next++
			a.stuck = time.Time{}
			continue
		}
		if a.needKey && !a.keyAhead() {
			return f, false, false
		}
		end, whole := a.end()
		if !whole {
			switch {
			case end > a.high: // nothing is missing so far
				a.stuck = time.Time{}
			case a.wholeKeyFrom(end): // which needs nothing of what is missing
				a.lose()
				continue
			case a.stuck.IsZero():
				a.stuck = now
			case now.Sub(a.stuck) > a.patience():
				a.next = end
				a.lose()
				return f, false, true
			}
			return f, false, false
		}
		f, ok = a.frame(end)
		a.next, a.stuck = end+1, time.Time{}
		if !ok || a.needKey && !f.key {
			a.lose()
			return codedFrame{}, false, true
		}
		a.needKey = false
		return f, true, false
	}
	return f, false, false
}

// wholeKeyFrom reports whether a whole key frame begins after the missing packet
// n, and then moves to it. It looks at each packet twice at most: it is asked for
// every packet that comes.
func (a *assembler) wholeKeyFrom(n int64) bool {
	was := a.next
	for n++; n <= a.high; n++ {
		if s := a.slot(n); !s.present || !s.first {
			continue
		}
		a.next = n
		end, whole := a.end()
		if whole && a.opens(n) {
			return true
		}
		n = end // up to there it is one picture
	}
	a.next = was
	return false
}

// opens reports whether n, the first packet of a key frame as far as it tells, is
// the first of all. H264 may have its parameter sets in packets before the slice,
// which may still come.
func (a *assembler) opens(n int64) bool {
	s, before := a.slot(n), a.slot(n-1)
	return !strings.EqualFold(a.codecs[s.payloadType], "H264") || hasSPS(s.payload) ||
		before.present && (before.marker || before.timestamp != s.timestamp)
}

func (a *assembler) patience() time.Duration {
	return min(max(2*a.rtt+patienceLeast/2, patienceLeast), patienceMost)
}

// end finds the last packet of the picture that begins at next, or else the
// first that is missing.
func (a *assembler) end() (n int64, whole bool) {
	for n = a.next; n <= a.high; n++ {
		s := a.slot(n)
		switch {
		case !s.present:
			return n, false
		case s.timestamp != a.slot(a.next).timestamp: // there was no marker
			return n - 1, true
		case s.marker:
			return n, true
		}
	}
	return n, false
}

// frame joins the packets from next to end.
func (a *assembler) frame(end int64) (codedFrame, bool) {
	first := a.slot(a.next)
	f := codedFrame{
		codec: a.codecs[first.payloadType], payloadType: first.payloadType, timestamp: first.timestamp,
		key: first.first, begun: first.arrived,
	}
	d := depacketizer(f.codec)
	av1, _ := d.(*codecs.AV1Depacketizer)
	more := false // the last OBU goes on in the next packet
	size := 0
	for n := a.next; n <= end; n++ {
		size += len(a.slot(n).payload)
	}
	f.data = make([]byte, 0, size+64)
	for n := a.next; n <= end; n++ {
		s := a.slot(n)
		if s.payloadType != f.payloadType {
			return f, false
		}
		if s.rotation != 0 {
			f.rotation = s.rotation
		}
		if s.arrived.After(f.done) {
			f.done = s.arrived
		}
		if s.arrived.Before(f.begun) {
			f.begun = s.arrived
		}
		if len(s.payload) == 0 {
			continue
		}
		b, err := d.Unmarshal(s.payload)
		if err != nil {
			return f, false
		}
		if av1 != nil && av1.Z != more { // an OBU begins elsewhere, or does not go on
			return f, false
		}
		more = av1 != nil && av1.Y
		f.data = append(f.data, b...)
		*s = videoPacket{}
	}
	return f, len(f.data) > 0 && !more
}

// missing returns the packets to be asked for now. RFC 4585 §6.2.1
func (a *assembler) missing(now time.Time, out []uint16) []uint16 {
	if a.needKey && !a.keyAhead() {
		return out
	}
	again := max(a.rtt+a.rtt/4, 2*askAfter)
	for n := a.next; n <= a.high && len(out) < assembleSize/8; n++ {
		s := a.slot(n)
		if s.present || s.asks >= askMost || now.Sub(s.missed) < askAfter || s.asks > 0 && now.Sub(s.asked) < again {
			continue
		}
		s.asks++
		s.asked = now
		out = append(out, uint16(n))
	}
	return out
}

// depacketizer returns what takes the descriptor off the packets of one picture.
func depacketizer(codec string) rtp.Depacketizer {
	switch strings.ToUpper(codec) {
	case "VP8":
		return &codecs.VP8Packet{}
	case "VP9":
		return &codecs.VP9Packet{}
	case "H264":
		return &codecs.H264Packet{}
	case "AV1":
		return &codecs.AV1Depacketizer{}
	}
	return noDepacketizer{}
}

type noDepacketizer struct{}

func (noDepacketizer) Unmarshal(b []byte) ([]byte, error)    { return b, nil }
func (noDepacketizer) IsPartitionHead([]byte) bool           { return true }
func (noDepacketizer) IsPartitionTail(m bool, _ []byte) bool { return m }

// payloader returns the inverse of depacketizer, and whether it can be.
func payloader(codec string) (rtp.Payloader, bool) {
	switch strings.ToUpper(codec) {
	case "VP8":
		return &codecs.VP8Payloader{EnablePictureID: true}, true
	case "VP9":
		return &codecs.VP9Payloader{}, true
	case "H264":
		return &codecs.H264Payloader{}, true
	case "AV1":
		return &codecs.AV1Payloader{}, true
	}
	return nil, false
}

// beginsKey reports whether a packet is the first of a picture that needs none
// before it.
func beginsKey(codec string, b []byte) bool {
	switch strings.ToUpper(codec) {
	case "VP8": // RFC 7741 §4.2 and §4.3
		var p codecs.VP8Packet
		rest, err := p.Unmarshal(b)
		return err == nil && p.S == 1 && p.PID == 0 && len(rest) > 0 && rest[0]&1 == 0
	case "VP9": // RFC 9628 §4.2
		var p codecs.VP9Packet
		_, err := p.Unmarshal(b)
		return err == nil && p.B && !p.P && p.SID == 0
	case "H264":
		return beginsH264(b)
	case "AV1": // the N bit of the aggregation header
		return b[0]&0x08 != 0
	}
	return false
}

// Types of NAL units and of packets. RFC 6184 §5.2
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// beginsH264 reports whether a packet has parameter sets or the first slice of a
// picture of its own.
func beginsH264(b []byte) bool {
	return hasNAL(b, func(typ byte, rest []byte) bool {
		// A slice begins with the number of its first block, 0 is one bit.
		return typ == nalSPS || typ == nalIDR && len(rest) > 0 && rest[0]&0x80 != 0
	})
}

// hasSPS reports whether a packet has what pictures are decoded by.
func hasSPS(b []byte) bool {
	return hasNAL(b, func(typ byte, _ []byte) bool { return typ == nalSPS })
}

// hasNAL reports whether a unit that begins in a packet is one that is looked for.
func hasNAL(b []byte, is func(typ byte, rest []byte) bool) bool {
	switch typ := b[0] & 31; typ {
	case nalSTAPA:
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if b = b[2:]; n == 0 || n > len(b) {
				return false
			}
			if is(b[0]&31, b[1:n]) {
				return true
			}
			b = b[n:]
		}
		return false
	case nalFUA:
		return len(b) > 2 && b[1]&0x80 != 0 && is(b[1]&31, b[2:])
	default:
		return is(typ, b[1:])
	}
}
