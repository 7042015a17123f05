package turn

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/transport/v5/reuseport"
)

// maxPeerConnections bounds the connections to peers of one allocation, with
// those being made.
const maxPeerConnections = 64

// bindWait is how long a connection to a peer waits for its ConnectionBind,
// RFC 6062#section-5.3.
const bindWait = 30 * time.Second

// A peerConn is a TCP connection to a peer, RFC 6062.
type peerConn struct {
	net.Conn
	allocation *allocation
	peer       netip.AddrPort
	id         uint32
	once       sync.Once
	timer      *time.Timer // until somebody binds it
}

// Close ends the connection and forgets it.
func (p *peerConn) Close() (err error) {
	p.once.Do(func() {
		err = p.Conn.Close()
		p.timer.Stop()
		a := p.allocation
		a.mu.Lock()
		delete(a.peers, p.id)
		a.mu.Unlock()
		a.server.mu.Lock()
		if a.server.peers[p.id] == p {
			delete(a.server.peers, p.id)
		}
		a.server.mu.Unlock()
	})
	return err
}

// adopt gives a connection to a peer an ID.
func (a *allocation) adopt(conn net.Conn) (*peerConn, bool) {
	p := &peerConn{Conn: conn, allocation: a, peer: addrPort(conn.RemoteAddr())}
	s := a.server
	p.timer = time.AfterFunc(bindWait, func() { p.Close() })
	s.mu.Lock()
	for p.id == 0 || s.peers[p.id] != nil {
		var b [4]byte
		rand.Read(b[:]) // never fails
		p.id = binary.BigEndian.Uint32(b[:])
	}
	s.peers[p.id] = p
	s.mu.Unlock()
	a.mu.Lock()
	ok := !a.closed && len(a.peers) < maxPeerConnections
	if ok {
		if a.peers == nil {
			a.peers = map[uint32]*peerConn{}
		}
		a.peers[p.id] = p
	}
	a.mu.Unlock()
	if !ok {
		p.Close()
	}
	return p, ok
}

// connect answers Connect, RFC 6062#section-5.2. The dialing has a goroutine
// of its own: nobody waits for a peer that does not answer, not even the same
// client's other requests.
func (r *request) connect() {
	a := r.own()
	if a == nil {
		return
	}
	v, ok := r.get(attrXORPeerAddress)
	peer, valid := r.address(v)
	if !ok || !valid || peer.Port() == 0 || !a.tcp {
		r.fail(codeBadRequest)
		return
	}
	if c := r.mayReach(a, peer.Addr()); c != 0 {
		r.fail(c)
		return
	}
	s := r.entrance.server
	if lowest := s.config.Load().MinTCPPort; peer.Port() < lowest {
		s.refusePeer(fmt.Sprintf("a TCP port below %d", lowest), "user", a.account.User, s.addr("client", r.from), s.addr("peer", peer))
		r.fail(codeForbidden)
		return
	}
	if v, _ := s.policy.Load().judge(peer.Addr()); !a.mayReach(v, peer) {
		s.refusePeer("a port of this machine that is nobody's relayed address", "user", a.account.User, s.addr("client", r.from), s.addr("peer", peer))
		r.fail(codeForbidden)
		return
	}
	a.mu.Lock()
	relay := a.relays[familyIndex(peer.Addr())]
	exists, full := false, len(a.peers)+a.dialing >= maxPeerConnections
	for _, p := range a.peers {
		exists = exists || p.peer == peer
	}
	dial := relay != nil && !exists && !full && !a.closed
	if dial {
		a.dialing++
	}
	a.mu.Unlock()
	switch {
	case exists:
		r.fail(codeConnectionExists)
		return
	case full:
		s.refuse("connection to a peer refused", reasonPeerConnections, "user", a.account.User, s.addr("client", r.from))
		r.fail(codeInsufficientCapacity)
		return
	case !dial:
		r.fail(codeAllocationMismatch)
		return
	}
	later := r.detach()
	s.wait.Go(func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(relay.local), Control: reuseport.Control}
		ctx, cancel := context.WithTimeout(s.ctx, s.config.Load().DialTimeout)
		conn, err := d.DialContext(ctx, network("tcp", peer.Addr()), peer.String())
		cancel()
		a.mu.Lock()
		a.dialing--
		a.mu.Unlock()
		if err == nil {
			p, ok := a.adopt(conn)
			// What a new policy refuses meanwhile, Reload did not see.
			if v, _ := s.policy.Load().judge(peer.Addr()); ok && !a.mayReach(v, peer) {
				p.Close()
				ok = false
			}
			if ok {
				later.success().addUint32(attrConnectionID, p.id)
				later.send()
				return
			}
		} else {
			s.refuse("connect to a peer", reasonUnreachable, "user", a.account.User, s.addr("peer", peer), s.failure(err))
		}
		later.fail(codeConnectionFailed)
	})
}

// welcomePeers tells the client of connections that peers make, RFC 6062#section-5.4.
func (a *allocation) welcomePeers(l net.Listener) {
	s := a.server
	for {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-s.ctx.Done():
				return
			default:
			}
			a.mu.Lock()
			closed := a.closed
			a.mu.Unlock()
			if closed || !temporary(err) {
				return
			}
			// Out of descriptors: others need time to end.
			time.Sleep(acceptPause)
			continue
		}
		peer := addrPort(conn.RemoteAddr())
		if !a.allows(peer) {
			s.refuse("connection of a peer refused", reasonNoPermission, "user", a.account.User, s.addr("peer", peer))
			conn.Close()
			continue
		}
		p, ok := a.adopt(conn)
		if !ok {
			s.refuse("connection of a peer refused", reasonPeerConnections, "user", a.account.User, s.addr("peer", peer))
			continue
		}
		var b answer
		var transaction [12]byte
		rand.Read(transaction[:]) // never fails
		b.begin(methodConnectAttempt, classIndication, transaction[:])
		b.addXOR(attrXORPeerAddress, peer)
		b.addUint32(attrConnectionID, p.id)
		if a.conn.send(b.b, a.client) != nil {
			p.Close()
		}
	}
}

// connectionBind answers ConnectionBind, RFC 6062#section-5.5: this connection
// of the client carries the data of one to a peer from now on.
func (r *request) connectionBind() {
	v, ok := r.get(attrConnectionID)
	if !ok || len(v) != 4 || r.conn == nil || r.conn.datagrams || r.allocation() != nil {
		r.fail(codeBadRequest)
		return
	}
	s := r.entrance.server
	id := binary.BigEndian.Uint32(v)
	s.mu.Lock()
	p := s.peers[id]
	// Somebody else's ID says nothing about whether it exists.
	if p != nil && p.allocation.account != r.login.Account {
		p = nil
	}
	if p != nil {
		delete(s.peers, id) // bound once
	}
	s.mu.Unlock()
	if p == nil || !p.timer.Stop() {
		r.fail(codeBadRequest)
		return
	}
	r.success().addUint32(attrConnectionID, id)
	r.send()
	r.spliced = p
}

// splice carries data between the client's connection, of which early has been
// read, and the peer's, until one of them ends.
func (p *peerConn) splice(client *clientConn, early []byte) {
	a := p.allocation
	up := func(n int) bool { return a.wait(n, a.admitUp) }
	down := func(n int) bool { return a.wait(n, a.admitDown) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		pump(client.Conn, p.Conn, func(n int) bool {
			a.meter.down(1, n)
			a.spend(n)
			return down(n)
		})
		p.Close()
		client.Close()
	}()
	count := func(n int) bool {
		a.meter.up(1, n)
		a.spend(n)
		return up(n)
	}
	ok := true
	if len(early) > 0 {
		_, err := p.Conn.Write(early)
		ok = err == nil && count(len(early))
	}
	if ok {
		pump(p.Conn, client.Conn, count)
	}
	p.Close()
	client.Close()
	<-done
}

// pumpBuffer is what one direction of a spliced connection holds.
const pumpBuffer = 16 << 10

func pump(to, from net.Conn, count func(n int) bool) {
	b := make([]byte, pumpBuffer)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil || !count(n) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait holds a stream back until its bytes are within the budgets. It is not
// ok when the allocation has ended or the bytes of the day are used up.
func (a *allocation) wait(n int, admit func(int, int64) bool) bool {
	for !admit(n, a.server.now()) {
		a.mu.Lock()
		closed := a.closed
		a.mu.Unlock()
		if closed || a.broke() {
			return false
		}
		select {
		case <-time.After(rateBurst / 10):
		case <-a.server.ctx.Done():
			return false
		}
	}
	return true
}
