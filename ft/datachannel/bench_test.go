package datachannel

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath/wire"
	"github.com/carillon-im/carillon/jingle"
	"github.com/pion/webrtc/v4"
)

const chunk = 256 << 10

// BenchmarkThroughput is between two sockets of this machine, ours and what
// pion's PeerConnection does with its defaults in the same run.
func BenchmarkThroughput(b *testing.B) {
	b.Run("PeerConnection", func(b *testing.B) {
		x, y := newBrowser(b, "bench", ""), newBrowser(b, "", "")
		y.received = nil
		total, got := int64(b.N)*chunk, make(chan struct{})
		y.pc.OnDataChannel(func(c *webrtc.DataChannel) {
			var n int64
			c.OnMessage(func(m webrtc.DataChannelMessage) {
				if n += int64(len(m.Data)); n == total {
					close(got)
				}
			})
		})
		for _, p := range [][2]*browser{{x, y}, {y, x}} {
			p[0].pc.OnICECandidate(func(c *webrtc.ICECandidate) {
				if c != nil {
					p[1].pc.AddICECandidate(c.ToJSON())
				}
			})
		}
		drained := make(chan struct{}, 1)
		x.own.SetBufferedAmountLowThreshold(512 << 10)
		x.own.OnBufferedAmountLow(func() {
			select {
			case drained <- struct{}{}:
			default:
			}
		})
		offer := must(x.pc.CreateOffer(nil))
		must(0, errors.Join(y.pc.SetRemoteDescription(offer), x.pc.SetLocalDescription(offer)))
		answer := must(y.pc.CreateAnswer(nil))
		must(0, errors.Join(y.pc.SetLocalDescription(answer), x.pc.SetRemoteDescription(answer)))
		<-x.opened
		b.SetBytes(chunk)
		b.ResetTimer()
		data := make([]byte, 16<<10)
		for sent := int64(0); sent < total; sent += int64(len(data)) {
			for x.own.BufferedAmount() > 1<<20 {
				<-drained
			}
			must(0, x.own.Send(data))
		}
		<-got
		b.StopTimer()
	})
	b.Run("ours", func(b *testing.B) {
		from, to := streams(b, Carrier{}, ft.Env{Loopback: true}, nil)
		b.SetBytes(chunk)
		got := make(chan error, 1)
		go func() {
			_, err := io.CopyN(io.Discard, to, int64(b.N)*chunk)
			got <- err
		}()
		data := make([]byte, chunk)
		b.ResetTimer()
		for range b.N {
			if _, err := from.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if err := <-got; err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
	})
}

// BenchmarkLongLine is over a line of 500 Mbit/s and 40 ms round trip.
func BenchmarkLongLine(b *testing.B) {
	const rate = 500e6 / 8
	for b.Loop() {
		w := wire.New(b, wire.Config{Delay: 20 * time.Millisecond, Rate: rate, Queue: rate * 40 / 1000})
		from, to := streams(b, Carrier{}, ft.Env{Loopback: true}, func(role jingle.Role, el jingle.Transport) {
			t := iceOf(el)
			t.Candidates = w.Candidates(role, t.Candidates)
		})
		const size = 64 << 20
		start := time.Now()
		go from.Write(make([]byte, size))
		if _, err := io.CopyN(io.Discard, to, size); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(size/time.Since(start).Seconds()/1e6, "MB/s")
		b.StopTimer()
		closeBoth(from, to)
		b.StartTimer()
	}
}
