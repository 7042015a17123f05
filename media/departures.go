package media

import (
	"iter"
	"time"

	"github.com/pion/rtcp"
)

// maxDepartures is how many packets are remembered until they are reported.
const maxDepartures = 2048

// The departures are what left by a path and was not reported yet.
type departures struct {
	packets [maxDepartures]struct {
		seq  uint16
		bits int
		at   time.Time
	}
}

// sent notes when a packet left and how much of pictures it has. Sound is in the
// same numbers, and may be what a report ends with.
func (d *departures) sent(seq uint16, bits int, at time.Time) {
	p := &d.packets[seq%maxDepartures]
	p.seq, p.bits, p.at = seq, bits, at
}

// reported takes a report and tells what it says of packets that were sent, and
// the round trip of the last one if that is known.
func (d *departures) reported(cc *rtcp.TransportLayerCC, now time.Time) (r pathReport, rtt time.Duration, known bool) {
	r.at = now
	seq := cc.BaseSequenceNumber
	for arrived := range arrivals(cc) {
		if seq-cc.BaseSequenceNumber >= maxDepartures {
			break // no more are remembered, whatever the peer counts
		}
		if p := &d.packets[seq%maxDepartures]; p.seq == seq && p.bits > 0 {
			r.packets++
			if arrived {
				r.received += p.bits
			} else {
				r.lost++
			}
			p.bits = 0 // counted once
		}
		seq++
	}
	last := cc.BaseSequenceNumber + cc.PacketStatusCount - 1
	if p := d.packets[last%maxDepartures]; p.seq == last && !p.at.IsZero() {
		return r, now.Sub(p.at), true
	}
	return r, 0, false
}

// moved forgets what is on the way: another one was taken.
func (d *departures) moved() {
	for i := range d.packets {
		d.packets[i].bits, d.packets[i].at = 0, time.Time{}
	}
}

// arrivals tells of each packet of a report, from the first one on, whether it
// arrived. draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1
func arrivals(cc *rtcp.TransportLayerCC) iter.Seq[bool] {
	return func(yield func(bool) bool) {
		left := int(cc.PacketStatusCount)
		for _, c := range cc.PacketChunks {
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				for range min(int(c.RunLength), left) {
					if !yield(c.PacketStatusSymbol != rtcp.TypeTCCPacketNotReceived) {
						return
					}
				}
				left -= min(int(c.RunLength), left)
			case *rtcp.StatusVectorChunk:
				for _, s := range c.SymbolList[:min(len(c.SymbolList), left)] {
					if !yield(s != rtcp.TypeTCCPacketNotReceived) {
						return
					}
				}
				left -= min(len(c.SymbolList), left)
			}
		}
	}
}
