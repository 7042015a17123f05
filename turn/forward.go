package turn

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// What follows forwards with a goroutine for each relay socket: for clients on
// TCP, TLS and DTLS, and for all where there are no loops.

// forwardPortably begins to read a relay socket that no loop reads.
func (a *allocation) forwardPortably(r *relayed) {
	switch socket := r.socket.(type) {
	case *net.UDPConn:
		a.server.wait.Go(func() { a.fromPeers(socket) })
	case net.Listener:
		a.server.wait.Go(func() { a.welcomePeers(socket) })
	}
}

// fromPeers sends what peers send on to the client.
func (a *allocation) fromPeers(u *net.UDPConn) {
	to := a.link()
	// Room for the head of a Data indication in front of the packet.
	b := make([]byte, dataIndicationMax+maxFrame+3)
	for {
		n, from, err := u.ReadFromUDPAddrPort(b[dataIndicationMax : dataIndicationMax+maxFrame])
		if err != nil {
			if temporary(err) {
				continue // an ICMP error of some peer
			}
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !a.allows(from) {
			a.meter.dropped.Add(1)
			a.stopped.Or(stoppedPermission)
			continue
		}
		if !a.admitDown(n, a.server.now()) {
			a.meter.dropped.Add(1)
			continue
		}
		var frame []byte
		if number := a.channelOf(from); number != 0 {
			frame = b[dataIndicationMax-channelHeader : dataIndicationMax+n]
			binary.BigEndian.PutUint16(frame, number)
			binary.BigEndian.PutUint16(frame[2:], uint16(n))
		} else {
			var head [dataIndicationMax]byte
			size := dataIndication(&head, from, n, rand.Uint64(), rand.Uint32())
			copy(b[dataIndicationMax-size:], head[:size])
			end := dataIndicationMax + n
			for ; (end-dataIndicationMax)%4 != 0; end++ {
				b[end] = 0
			}
			frame = b[dataIndicationMax-size : end]
		}
		a.meter.down(1, n)
		a.spend(n)
		if to.send(frame, a.client) != nil {
			a.meter.dropped.Add(1)
		}
	}
}

func (a *allocation) link() link {
	if a.conn != nil {
		return a.conn
	}
	return a.entrance.link
}

// fromClient handles a frame of the client that is no request.
func (a *allocation) fromClient(frame []byte) {
	var peer netip.AddrPort
	var data []byte
	if number, d, ok := channelData(frame); ok {
		if peer, ok = a.peerOf(number); !ok {
			a.meter.dropped.Add(1)
			return
		}
		data = d
	} else if typ, ok := stunType(frame); ok && typ == typeSendIndication {
		if peer, data, ok = sendIndication(frame); !ok {
			return
		}
	} else {
		return
	}
	if !a.allows(peer) {
		a.stopped.Or(stoppedPermission)
		a.meter.dropped.Add(1)
		return
	}
	if !a.admitUp(len(data), a.server.now()) {
		a.meter.dropped.Add(1)
		return
	}
	a.mu.Lock()
	var socket *net.UDPConn
	if r := a.relays[familyIndex(peer.Addr())]; r != nil {
		socket, _ = r.socket.(*net.UDPConn)
	}
	a.mu.Unlock()
	if socket == nil {
		a.meter.dropped.Add(1)
		return
	}
	a.meter.up(1, len(data))
	a.spend(len(data))
	if _, err := socket.WriteToUDPAddrPort(data, peer); err != nil {
		a.meter.dropped.Add(1)
	}
}

// acceptPause is how long accepting rests when the system has no descriptor.
const acceptPause = 50 * time.Millisecond

// A portableListener serves clients over UDP where goroutines forward.
type portableListener struct {
	*net.UDPConn
	entrance *entrance
}

// send implements link.
func (l *portableListener) send(b []byte, to netip.AddrPort) error {
	_, err := l.WriteToUDPAddrPort(b, to)
	return err
}

// run serves until the socket is closed.
func (l *portableListener) run() {
	r := request{entrance: l.entrance, link: l}
	b := make([]byte, maxFrame)
	for {
		n, from, err := l.ReadFromUDPAddrPort(b)
		if err != nil {
			if temporary(err) {
				continue
			}
			return
		}
		r.from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		frame := b[:n]
		if typ, ok := stunType(frame); ok && typ&classMask == classRequest {
			r.serve(frame)
		} else if a := l.entrance.of(r.from); a != nil {
			a.fromClient(frame)
		}
	}
}
