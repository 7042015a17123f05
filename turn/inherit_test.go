package turn

import (
	"net"
	"os"
	"testing"
)

// Sockets that somebody else has bound, as systemd does, serve like our own.
func TestInheritedSockets(t *testing.T) {
	for _, portable := range []bool{false, true} {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		uf, errU := u.File()
		lf, errL := l.File()
		if errU != nil || errL != nil {
			t.Fatal(errU, errL)
		}
		u.Close()
		l.Close()
		c := testConfig(t)
		c.Portable = portable
		c.Listeners = []Listener{
			{Transport: UDP, Address: addrPort(u.LocalAddr()), Socket: uf},
			{Transport: TCP, Address: addrPort(l.Addr()), Socket: lf},
		}
		s := start(t, c)
		for _, f := range []*os.File{uf, lf} {
			f.Close() // the relay has its own
		}
		if got := addressOf(t, s, UDP); got != u.LocalAddr().String() {
			t.Errorf("UDP at %s, want %v", got, u.LocalAddr())
		}
		for _, tr := range []Transport{UDP, TCP} {
			c, p := connect(t, s, tr, "u", "p"), newPeer(t)
			relayed := c.allocate()
			c.bindChannel(0x4000, p.address())
			c.sendChannel(0x4000, "over")
			p.expect("over")
			p.send(relayed, "back")
			c.expect("back", 0x4000)
		}
	}
}
