package turn

import (
	"net/netip"
	"sync"
)

// An entrance is one socket where clients arrive.
type entrance struct {
	server    *Server
	listener  Listener
	transport Transport
	realm     string
	local     netip.AddrPort
	link      link          // to clients of a UDP socket; nil for connections
	fast      *listenerSock // of the data plane; nil when goroutines forward
	discovery *discovery    // nil when behaviour discovery is off

	mu       sync.Mutex
	byClient map[netip.AddrPort]*allocation // of a UDP socket
	conns    map[*clientConn]struct{}       // of the others
	closed   bool
}

func newEntrance(s *Server, l Listener, local netip.AddrPort) *entrance {
	return &entrance{
		server: s, listener: l, transport: l.Transport, realm: l.Realm, local: local,
		byClient: map[netip.AddrPort]*allocation{}, conns: map[*clientConn]struct{}{},
	}
}

func (e *entrance) of(client netip.AddrPort) *allocation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byClient[client]
}

func (e *entrance) remember(a *allocation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byClient[a.client] = a
}

func (e *entrance) forget(a *allocation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byClient[a.client] == a {
		delete(e.byClient, a.client)
	}
}

// add counts a connection among those that end with the entrance.
func (e *entrance) add(c *clientConn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.conns[c] = struct{}{}
	return true
}

func (e *entrance) remove(c *clientConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

// shut ends the connections that there are, and those to come.
func (e *entrance) shut() {
	e.mu.Lock()
	e.closed = true
	conns := make([]*clientConn, 0, len(e.conns))
	for c := range e.conns {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// reply says whether the answer to r may go to its address, which may be
// somebody else's than who asked.
func (e *entrance) reply(r *request) bool {
	s := e.server
	if e.transport != UDP || len(r.answer.b) <= len(r.raw) && r.login.key == nil {
		return true
	}
	to := block(r.from.Addr())
	if r.login.key != nil {
		s.replies.giveBack(to)
		return true
	}
	if s.replies.take(to, s.now()) {
		return true
	}
	s.refuse("no answer", reasonReplies, s.addr("client", r.from))
	return false
}
