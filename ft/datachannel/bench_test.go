package datachannel

import (
	"io"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath/wire"
	"github.com/carillon-im/carillon/jingle"
)

const chunk = 256 << 10

// BenchmarkThroughput is between two sockets of this machine.
func BenchmarkThroughput(b *testing.B) {
	from, to := streams(b, Carrier{}, ft.Env{Loopback: true}, nil)
	b.SetBytes(chunk)
	got := make(chan error, 1)
	go func() {
		buf := make([]byte, chunk)
		var err error
		for left := int64(b.N) * chunk; left > 0 && err == nil; {
			var n int
			n, err = to.Read(buf)
			left -= int64(n)
		}
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
