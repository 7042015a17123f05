package quic

import (
	"context"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// A rest is what is left of the socket beside QUIC: ICE reads and writes it.
// It must not embed the socket, or quic-go finds that and goes around it.
type rest struct {
	tr   *quic.Transport
	addr net.Addr
	ctx  context.Context // ends with Close
	end  context.CancelFunc
}

func newRest(tr *quic.Transport, u *net.UDPConn) *rest {
	r := &rest{tr: tr, addr: u.LocalAddr()}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

func (r *rest) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := r.tr.ReadNonQUICPacket(r.ctx, p)
	if r.ctx.Err() != nil {
		err = net.ErrClosed
	}
	return n, addr, err
}

func (r *rest) WriteTo(p []byte, addr net.Addr) (int, error) { return r.tr.WriteTo(p, addr) }
func (r *rest) LocalAddr() net.Addr                          { return r.addr }
func (r *rest) SetDeadline(time.Time) error                  { return nil }
func (r *rest) SetReadDeadline(time.Time) error              { return nil }
func (r *rest) SetWriteDeadline(time.Time) error             { return nil }

// Close ends QUIC on the socket too: ICE is closed with the path.
func (r *rest) Close() error {
	r.end()
	return r.tr.Close()
}

// overICE is the path to the peer as QUIC wants it, where our end of it is a
// relay: packets to and from one address.
type overICE struct {
	net.Conn
	peer net.Addr
}

func (c *overICE) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.peer, err
}

func (c *overICE) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }

// SetReadBuffer and SetWriteBuffer keep quic-go from warning: what is behind
// the connection has its buffers.
func (c *overICE) SetReadBuffer(int) error  { return nil }
func (c *overICE) SetWriteBuffer(int) error { return nil }

// Close does nothing: the path closes the connection.
func (c *overICE) Close() error { return nil }
