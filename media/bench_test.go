package media

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/media/audio"
)

// benchCall makes a call and returns when both sides heard each other.
func benchCall(b *testing.B, source func() audio.Source) (calls [2]*Call, first [2]time.Duration, end func()) {
	b.Helper()
	for i := range calls {
		c, err := NewCall(Config{Audio: Audio{Source: source(), Sink: audio.Discard()}})
		if err != nil {
			b.Fatal(err)
		}
		calls[i] = c
	}
	x, y := jingletest.Pair(b, jingletest.PairConfig{Registry: registry()}, calls[0], calls[1])
	var wg sync.WaitGroup
	heard := [2]chan time.Duration{make(chan time.Duration, 1), make(chan time.Duration, 1)}
	for i, c := range calls {
		wg.Go(func() {
			for e := range c.Events() {
				if e, ok := e.(FirstAudio); ok {
					heard[i] <- e.SinceAccept
				}
			}
			close(heard[i])
		})
	}
	for i := range heard {
		var ok bool
		if first[i], ok = <-heard[i]; !ok {
			b.Fatal("a call ended early: ", calls[i].Err())
		}
	}
	return calls, first, func() {
		calls[0].HangUp(jingle.Reason{})
		for _, c := range calls {
			c.Close()
		}
		x.Close()
		y.Close()
		wg.Wait()
	}
}

func tone() audio.Source   { return audio.NewSource(&audio.Tone{Hz: 440}) }
func speech() audio.Source { return audio.NewSource(audio.NewSpeech(1)) }

// BenchmarkSetupToFirstAudio is from Attach to the first sound that is not
// silence at the sink, with calls prepared while it rang.
func BenchmarkSetupToFirstAudio(b *testing.B) {
	var sum [2]time.Duration
	for range b.N {
		_, first, end := benchCall(b, tone)
		for i := range first {
			sum[i] += first[i]
		}
		end()
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(sum[0]), "ms-initiator")
	b.ReportMetric(ms(sum[1]), "ms-responder")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCPU is the share of a core that one side of a call needs, saying
// and hearing speech, for ten seconds a round.
func BenchmarkCPU(b *testing.B) {
	const d = 10 * time.Second
	_, _, end := benchCall(b, speech)
	defer end()
	var cpu time.Duration
	for b.Loop() {
		before := cpuTime(b)
		<-time.After(d)
		cpu += cpuTime(b) - before
	}
	b.ReportMetric(100*cpu.Seconds()/2/(d.Seconds()*float64(b.N)), "%core/side")
	b.ReportMetric(0, "ns/op")
}

// A greeting says a tone until it was heard and nothing afterwards, so that 400
// encoders fit into one machine.
type greeting struct {
	audio.Source
	heard chan struct{}
}

func (s *greeting) Read(ctx context.Context) (audio.Frame, error) {
	select {
	case <-s.heard:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	default:
		return s.Source.Read(ctx)
	}
}

// BenchmarkMemory is what one of 200 calls keeps, 400 sides in one process.
func BenchmarkMemory(b *testing.B) {
	const calls = 200
	heap := func() (bytes, goroutines float64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse + m.StackInuse), float64(runtime.NumGoroutine())
	}
	for b.Loop() {
		m0, g0 := heap()
		ends := make([]func(), calls)
		var wg sync.WaitGroup
		sem := make(chan struct{}, 4)
		for i := range calls {
			wg.Go(func() {
				sem <- struct{}{}
				defer func() { <-sem }()
				heard := make(chan struct{})
				_, _, ends[i] = benchCall(b, func() audio.Source { return &greeting{tone(), heard} })
				close(heard)
			})
		}
		wg.Wait()
		m1, g1 := heap()
		b.ReportMetric((m1-m0)/1024/calls/2, "KiB/side")
		b.ReportMetric((g1-g0)/calls/2, "goroutines/side")
		for _, end := range ends {
			end()
		}
	}
	b.ReportMetric(0, "ns/op")
}
