package turn

import "sync/atomic"

// Traffic counts what was relayed. Up is from the client to its peers.
type Traffic struct {
	UpBytes, UpPackets     uint64
	DownBytes, DownPackets uint64
	Dropped                uint64 // packets that a limit, a policy or a full socket stopped
	Offloaded              uint64 // packets of both ways that the eBPF program forwarded
}

func (t *Traffic) add(o Traffic) {
	t.UpBytes += o.UpBytes
	t.UpPackets += o.UpPackets
	t.DownBytes += o.DownBytes
	t.DownPackets += o.DownPackets
	t.Dropped += o.Dropped
	t.Offloaded += o.Offloaded
}

type meter struct {
	upBytes, upPackets, downBytes, downPackets, dropped, offloaded atomic.Uint64
}

func (m *meter) up(packets, bytes int) {
	m.upPackets.Add(uint64(packets))
	m.upBytes.Add(uint64(bytes))
}

func (m *meter) down(packets, bytes int) {
	m.downPackets.Add(uint64(packets))
	m.downBytes.Add(uint64(bytes))
}

func (m *meter) traffic() Traffic {
	return Traffic{
		UpBytes: m.upBytes.Load(), UpPackets: m.upPackets.Load(),
		DownBytes: m.downBytes.Load(), DownPackets: m.downPackets.Load(),
		Dropped: m.dropped.Load(), Offloaded: m.offloaded.Load(),
	}
}

// rateBurst is how much of a limited rate may pass at once, in nanoseconds:
// a quarter of a second evens out frames of video.
const rateBurst = 250_000_000

// A rate limits bits per second; 0 does not. It is a generic cell rate
// algorithm: one word says when the last admitted bit is paid for.
type rate struct {
	bits atomic.Int64
	paid atomic.Int64 // nanoseconds
}

// ready says whether something may pass at now, in nanoseconds.
func (r *rate) ready(now int64) bool {
	return r.bits.Load() <= 0 || r.paid.Load()-now <= rateBurst
}

// charge counts bytes that pass at now.
func (r *rate) charge(bytes int, now int64) {
	limit := r.bits.Load()
	if limit <= 0 {
		return
	}
	cost := int64(float64(bytes) * 8e9 / float64(limit))
	for {
		old := r.paid.Load()
		if r.paid.CompareAndSwap(old, max(old, now)+cost) {
			return
		}
	}
}
