package turn

import (
	"net"
	"testing"
	"time"

	pion "github.com/pion/turn/v5"
)

// What pion's own client asks for it gets, by every transport: browsers' and
// most programs' way to the relay is one of these.
func TestPionClient(t *testing.T) {
	for _, portable := range []bool{false, true} {
		conf := testConfig(t)
		conf.Portable = portable
		s := start(t, conf)
		for _, tr := range []Transport{UDP, TCP, TLS, DTLS} {
			t.Run(string(tr), func(t *testing.T) {
				var conn net.PacketConn
				switch c := connect(t, s, tr, "u", "p"); inner := c.conn.(type) {
				case *framed:
					conn = pion.NewSTUNConn(inner.Conn)
				case *packets:
					conn = inner
				default:
					conn = c.conn
				}
				client, err := pion.NewClient(&pion.ClientConfig{
					TURNServerAddr: addressOf(t, s, tr), STUNServerAddr: addressOf(t, s, tr), Conn: conn,
					Username: "u", Password: "p", Realm: testRealm,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if err := client.Listen(); err != nil {
					t.Fatal(err)
				}
				if _, err := client.SendBindingRequest(); err != nil {
					t.Fatal(err)
				}
				relayed, err := client.Allocate()
				if err != nil {
					t.Fatal(err)
				}
				p := newPeer(t)
				to := net.UDPAddrFromAddrPort(p.address())
				if err := client.CreatePermission(to); err != nil {
					t.Fatal(err)
				}
				// The first by indication; pion binds a channel meanwhile.
				for _, text := range []string{"one", "two", "three"} {
					if _, err := relayed.WriteTo([]byte(text), to); err != nil {
						t.Fatal(err)
					}
					p.expect(text)
					p.send(addrPort(relayed.LocalAddr()), "and "+text)
					b := make([]byte, 100)
					relayed.SetReadDeadline(time.Now().Add(patience))
					n, from, err := relayed.ReadFrom(b)
					if err != nil || string(b[:n]) != "and "+text || addrPort(from) != p.address() {
						t.Fatalf("read %q from %v, %v", b[:n], from, err)
					}
				}
				if err := relayed.Close(); err != nil {
					t.Fatal(err)
				}
				await(t, "the allocation ends", func() bool { return len(s.Status().Allocations) == 0 })
			})
		}
	}
}
