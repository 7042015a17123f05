package s5b

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/s5b"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// SOCKS5 bytestreams without Jingle (XEP-0065): the requester says where it
// listens, and the target says what it reached.

// Method is the namespace of SOCKS5 bytestreams.
func (Carrier) Method() string { return s5b.NSBytestreams }

// DialStream opens a bytestream as its requester. XEP-0065#direct
func (Carrier) DialStream(ctx context.Context, env ft.Env, sid string) (ft.Stream, error) {
	n := &negotiation{
		env: env, role: jingle.Initiator, log: env.Log().With("carrier", "s5b"), sid: sid,
		infos: make(chan jingle.Transport, 4), arrive: make(chan struct{}, 1),
	}
	defer n.Close()
	own, err := n.Local(ctx)
	if err != nil {
		return nil, err
	}
	q := &s5b.Query{SID: sid, Mode: "tcp"}
	for _, c := range own.(*s5b.Transport).Candidates {
		q.Hosts = append(q.Hosts, s5b.StreamHost{JID: c.JID, Host: c.Host, Port: c.Port})
	}
	if len(q.Hosts) == 0 {
		return nil, fmt.Errorf("%w over SOCKS5: our address is to stay secret, and no proxy is known", ft.ErrNoPath)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	if n.listener != nil {
		wg.Go(func() { n.accept(ctx, n.listener) })
		wg.Go(func() { <-ctx.Done(); n.listener.Close() })
	}
	r, err := env.IQ(ctx, env.Peer, stanza.SetIQ, q)
	if err != nil {
		return nil, fmt.Errorf("%w over SOCKS5: the peer reaches none of our hosts: %w", ft.ErrNoPath, err)
	}
	var answer s5b.Query
	if err := xml.NewTokenDecoder(r).Decode(&answer); err != nil || answer.Used == nil {
		return nil, fmt.Errorf("%w over SOCKS5: the peer does not say what it reached", ft.ErrNoPath)
	}
	for _, c := range n.mine {
		if c.JID == answer.Used.JID { // our hosts of one kind have one JID
			return n.incoming(ctx, &c)
		}
	}
	return nil, fmt.Errorf("%w over SOCKS5: the peer reached a host that we did not name", ft.ErrNoPath)
}

// ListenStream waits for a bytestream as its target.
func (Carrier) ListenStream(env ft.Env, sid string) (open func(context.Context) (ft.Stream, error), stop func()) {
	type request struct {
		q      s5b.Query
		answer func(any, error)
	}
	requests := make(chan request, 1)
	remove := env.ServeIQ(s5b.NSBytestreams, func(from jid.JID, payload xml.TokenReader, answer func(any, error)) bool {
		r := request{answer: answer}
		if err := xml.NewTokenDecoder(payload).Decode(&r.q); err != nil || r.q.SID != sid || !from.Equal(env.Peer) {
			return false
		}
		select {
		case requests <- r:
		default:
			answer(nil, stanzaError(stanza.NotAcceptable))
		}
		return true
	})
	open = func(ctx context.Context) (ft.Stream, error) {
		var r request
		select {
		case r = <-requests:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		n := &negotiation{env: env, role: jingle.Responder, log: env.Log().With("carrier", "s5b"), sid: sid}
		if r.q.Mode == "udp" {
			r.answer(nil, stanzaError(stanza.NotAcceptable))
			return nil, errors.New("a bytestream over UDP is not supported")
		}
		conn, used := n.reach(ctx, r.q)
		if conn == nil {
			r.answer(nil, stanzaError(stanza.ItemNotFound)) // XEP-0065#direct
			return nil, fmt.Errorf("%w over SOCKS5: none of the peer's hosts answers", ft.ErrNoPath)
		}
		r.answer(&s5b.Query{SID: sid, Used: &s5b.StreamUsed{JID: used.JID}}, nil)
		if used.Type == s5b.Proxy {
			return newStream(conn, "host", "proxy"), nil
		}
		return newStream(conn, "host", "host"), nil
	}
	stop = func() {
		remove()
		select {
		case r := <-requests:
			r.answer(nil, stanzaError(stanza.ItemNotFound))
		default:
		}
	}
	return open, stop
}

// reach tries the hosts of a requester in its order.
func (n *negotiation) reach(ctx context.Context, q s5b.Query) (net.Conn, *s5b.Candidate) {
	remote := &s5b.Transport{}
	hosts := q.Hosts[:min(len(q.Hosts), maxCandidates)]
	for i, h := range hosts {
		c := s5b.Candidate{JID: h.JID, Host: h.Host, Port: h.Port, Type: s5b.Proxy, Priority: uint32(len(hosts) - i)}
		if j, err := jid.Parse(h.JID); err == nil && j.Bare().Equal(n.env.Peer.Bare()) {
			c.Type = s5b.Direct
		}
		remote.Candidates = append(remote.Candidates, c)
	}
	return n.try(ctx, remote)
}

func stanzaError(c stanza.Condition) error { return stanza.Error{Type: stanza.Cancel, Condition: c} }
