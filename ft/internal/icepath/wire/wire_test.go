package wire

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// BenchmarkLine tells which part of its rate a line carries when there is more
// to carry: what is measured over it cannot be more than that.
func BenchmarkLine(b *testing.B) {
	const rate, size = 500e6 / 8, 1452
	for b.Loop() {
		w := New(b, Config{Delay: 20 * time.Millisecond, Rate: rate, Queue: rate * 40 / 1000})
		var ends [2]*net.UDPConn
		for i, role := range []jingle.Role{jingle.Initiator, jingle.Responder} {
			var err error
			if ends[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
				b.Fatal(err)
			}
			defer ends[i].Close()
			ends[i].SetReadBuffer(4 << 20)
			at := ends[i].LocalAddr().(*net.UDPAddr).AddrPort()
			w.Candidates(role, []iceudp.Candidate{{IP: at.Addr().String(), Port: at.Port(), Type: iceudp.Host}})
		}
		to := w.ends[jingle.Initiator].LocalAddr().(*net.UDPAddr).AddrPort()
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port())
		const runs = 3 * time.Second
		go func() {
			p := make([]byte, size)
			for began, sent := time.Now(), 0.0; time.Since(began) < runs; {
				for sent < 1.1*rate*time.Since(began).Seconds() {
					ends[0].WriteToUDPAddrPort(p, to)
					sent += size + headers
				}
				time.Sleep(grain)
			}
		}()
		p := make([]byte, 2*size)
		got, first, last := 0, time.Time{}, time.Time{}
		for {
			ends[1].SetReadDeadline(time.Now().Add(runs / 3))
			n, err := ends[1].Read(p)
			if err != nil {
				break
			}
			if last = time.Now(); first.IsZero() {
				first = last
			}
			got += n + headers
		}
		b.ReportMetric(float64(got)/last.Sub(first).Seconds()/rate, "of-its-rate")
	}
}
