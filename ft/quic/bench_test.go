package quic

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath/wire"
	"github.com/carillon-im/carillon/jingle"
	"github.com/quic-go/quic-go"
)

const chunk = 256 << 10

// push moves b.N chunks and reports the rate.
func push(b *testing.B, from io.Writer, to io.Reader) {
	b.Helper()
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

// bare is what there is to compare with: quic-go between two sockets.
func bare(b *testing.B) (from io.Writer, to io.Reader) {
	b.Helper()
	a, r := pair(b, ft.Env{})
	client, server := a.(*negotiation).tls(), r.(*negotiation).tls()
	client.VerifyConnection, server.VerifyConnection = nil, nil
	conf := config() // one connection has the windows that four of ours have together
	conf.InitialStreamReceiveWindow, conf.MaxStreamReceiveWindow = 4<<20, 16<<20
	conf.InitialConnectionReceiveWindow, conf.MaxConnectionReceiveWindow = 8<<20, 24<<20
	var trs [2]*quic.Transport
	for i := range trs {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		trs[i] = &quic.Transport{Conn: u}
		b.Cleanup(func() { trs[i].Close(); u.Close() })
	}
	ln, err := trs[1].Listen(server, conf)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	c, err := trs[0].Dial(ctx, trs[1].Conn.LocalAddr(), client, conf)
	if err != nil {
		b.Fatal(err)
	}
	s, err := ln.Accept(ctx)
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.OpenStream()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := out.Write([]byte{1}); err != nil {
		b.Fatal(err)
	}
	in, err := s.AcceptStream(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.CloseWithError(0, ""); s.CloseWithError(0, "") })
	return out, in
}

// BenchmarkThroughput compares a stream with what quic-go alone does in the
// same run.
func BenchmarkThroughput(b *testing.B) {
	b.Run("bare quic-go", func(b *testing.B) {
		from, to := bare(b)
		push(b, from, to)
	})
	b.Run("on the socket of ICE", func(b *testing.B) {
		from, to := streams(b, ft.Env{Loopback: true}, nil)
		push(b, from, to)
	})
	b.Run("through a relay on each side", func(b *testing.B) {
		from, to := streams(b, ft.Env{Loopback: true, RelayOnly: true, Services: []ft.Service{relay(b)}}, nil)
		push(b, from, to)
	})
}

// BenchmarkSetup is from the first element to the stream.
func BenchmarkSetup(b *testing.B) {
	for b.Loop() {
		x, err := Carrier{}.New(ft.Env{Loopback: true}, jingle.Initiator)
		if err != nil {
			b.Fatal(err)
		}
		y, err := Carrier{}.New(ft.Env{Loopback: true}, jingle.Responder)
		if err != nil {
			b.Fatal(err)
		}
		ox, oy := connect(b, b.Context(), x, y, nil)
		if ox.err != nil || oy.err != nil {
			b.Fatalf("initiator: %v, responder: %v", ox.err, oy.err)
		}
		b.StopTimer()
		closeBoth(ox.s, oy.s)
		b.StartTimer()
	}
}

// BenchmarkLongLine tells which part of a line of 500 Mbit/s and 40 ms round
// trip a stream fills, its start included.
func BenchmarkLongLine(b *testing.B) {
	const rate = 500e6 / 8
	for b.Loop() {
		var lost atomic.Int64
		w := wire.New(b, wire.Config{Delay: 20 * time.Millisecond, Rate: rate, Queue: rate * 40 / 1000, Lost: &lost})
		from, to := streams(b, ft.Env{Loopback: true}, func(role jingle.Role, el *Transport) *Transport {
			el.ICE.Candidates = w.Candidates(role, el.ICE.Candidates)
			return el
		})
		const size = 1 << 30
		start := time.Now()
		go func() {
			buf := make([]byte, chunk)
			for left := size; left > 0; left -= chunk {
				if _, err := from.Write(buf); err != nil {
					b.Error(err)
					return
				}
			}
		}()
		if _, err := io.CopyN(io.Discard, to, size); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(size/time.Since(start).Seconds()/rate, "of-the-line")
		b.ReportMetric(float64(lost.Load()), "lost")
		b.StopTimer()
		closeBoth(from, to)
		b.StartTimer()
	}
}
