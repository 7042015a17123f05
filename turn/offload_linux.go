package turn

import "github.com/carillon-im/carillon/turn/internal/fastpath"

// An offload is a channel that the eBPF program forwards, as long as it may;
// guarded by loop.mu.
type offload struct {
	channel fastpath.Channel
	counted fastpath.Counters // of them the meters know
}

// offload gives the eBPF program those channels that it may forward, and takes
// the others from it; after each change, with loop.mu held.
func (f *flow) offload() {
	if f.from.loop.fast == nil {
		return
	}
	for _, c := range f.channels {
		switch may := f.mayOffload(c); {
		case may && c.offload == nil:
			o := &offload{channel: f.offloaded(c)}
			if err := f.from.loop.fast.Add(o.channel); err != nil {
				// The loop forwards it.
				f.allocation.server.log().Debug("a channel stays in user space", "error", err)
				continue
			}
			c.offload = o
		case !may:
			f.recall(c)
		}
	}
}

// mayOffload says whether the program may forward c. It knows no bandwidth and
// no bytes of a day: with such limits, everything stays with the loops. So do
// peers that are allocations of this relay, whose packets stay in the machine.
func (f *flow) mayOffload(c *flowChannel) bool {
	s, path := f.allocation.server, f.from.loop.fast
	peer := c.peer.addrPort().Addr()
	if !f.live || s.metered.Load() || s.portsOf[peer] != nil || path.Serves(peer) {
		return false
	}
	o := f.offloaded(c)
	if !path.Serves(o.Server.Addr()) || !path.Serves(o.Relay.Addr()) || !o.Client.Addr().Is4() || !o.Peer.Addr().Is4() {
		return false
	}
	for i := range f.permissions {
		if p := &f.permissions[i]; p.lo == c.peer.lo && p.hi == c.peer.hi {
			return p.verdict == verdictAllowed
		}
	}
	return false
}

func (f *flow) offloaded(c *flowChannel) fastpath.Channel {
	return fastpath.Channel{
		Client: f.client.addrPort(), Server: f.from.listener.entrance.local,
		Relay: c.via.local, Peer: c.peer.addrPort(), Number: c.number,
	}
}

// recall takes a channel from the program, with loop.mu held. Should the kernel
// not let go of it, the program goes: what is revoked does not pass.
func (f *flow) recall(c *flowChannel) {
	if c.offload == nil || f.from.loop.fast == nil {
		return
	}
	n, err := f.from.loop.fast.Remove(c.offload.channel)
	if err != nil {
		f.allocation.server.log().Error("a channel stays in the eBPF program, which ends therefore", "error", err, "detached", f.from.loop.fast.Detach())
	} else {
		f.meter(c.offload, n)
	}
	c.offload = nil
}

// count implements forwarder.
func (f *flow) count() {
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fast == nil {
		return
	}
	for _, c := range f.channels {
		if c.offload == nil {
			continue
		}
		if n, err := l.fast.Count(c.offload.channel); err != nil {
			f.allocation.server.log().Warn("count what the eBPF program forwarded", "error", err)
		} else {
			f.meter(c.offload, n)
		}
	}
}

// meter adds what was not counted yet.
func (f *flow) meter(o *offload, n fastpath.Counters) {
	up, upBytes := n.UpPackets-o.counted.UpPackets, n.UpBytes-o.counted.UpBytes
	down, downBytes := n.DownPackets-o.counted.DownPackets, n.DownBytes-o.counted.DownBytes
	o.counted = n
	a := f.allocation
	a.meter.up(int(up), int(upBytes))
	a.meter.down(int(down), int(downBytes))
	a.meter.offloaded.Add(up + down)
	a.spend(int(upBytes + downBytes))
}
