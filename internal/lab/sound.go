package lab

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	rate      = 48000
	blockSize = rate / 100 // 10 ms, what an Ear judges at a time
	blockTime = 10 * time.Millisecond

	loudEnough = 0.001 // of full scale, about -60 dB
	toneShare  = 0.5   // of a block's energy that must be at the tone's frequency
	toneBlocks = 3     // in a row before a tone counts as heard

	// A microphone that delivered at once would be faster than any real one.
	speakLatency  = "--latency-msec=50"
	listenLatency = "--latency-msec=10"
)

// Speak plays a tone into a person's microphone until the returned function is
// called or the test ends.
func (p *Pulse) Speak(person string, hz float64) (stop func()) {
	p.t.Helper()
	cmd := exec.Command("pacat", "--playback", "--raw", "--device="+mouth(person), speakLatency, "--rate=48000", "--channels=1", "--format=s16le")
	cmd.Env = p.Env()
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	speaker := start(p.t, "pacat", filepath.Join(p.dir, "pacat.log"), cmd)
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 2*blockSize)
		for n := 0; ; {
			for i := range blockSize {
				v := 0.3 * math.Sin(2*math.Pi*hz*float64(n)/rate)
				binary.LittleEndian.PutUint16(buf[2*i:], uint16(int16(v*math.MaxInt16)))
				n++
			}
			if _, err := in.Write(buf); err != nil {
				return // pacat was stopped
			}
		}
	})
	stop = sync.OnceFunc(func() {
		speaker.stop()
		done.Wait()
	})
	p.t.Cleanup(stop)
	return stop
}

// An EarRecord is what somebody hears, in blocks of 10 ms.
type EarRecord struct {
	t      testing.TB
	source string
	tones  []float64

	mu     sync.Mutex
	blocks []block
	more   chan struct{} // closed and renewed with each block
	err    error
}

type block struct {
	at    time.Time // when its last sample arrived
	loud  bool
	share []float64 // of the energy, by tone
}

// Listen records what a person hears until the test ends, judging each moment
// by the given tones.
func (p *Pulse) Listen(person string, tones ...float64) *EarRecord {
	p.t.Helper()
	return p.record(Ear(person)+".monitor", tones)
}

// ListenMic records what a person's microphone captures.
func (p *Pulse) ListenMic(person string, tones ...float64) *EarRecord {
	p.t.Helper()
	return p.record(Mic(person), tones)
}

func (p *Pulse) record(source string, tones []float64) *EarRecord {
	p.t.Helper()
	cmd := exec.Command("pacat", "--record", "--raw", "--device="+source, listenLatency, "--rate=48000", "--channels=1", "--format=s16le")
	cmd.Env = p.Env()
	r, w := io.Pipe()
	cmd.Stdout = w
	e := &EarRecord{t: p.t, source: source, tones: tones, more: make(chan struct{})}
	recorder := start(p.t, "pacat", filepath.Join(p.dir, "pacat.log"), cmd)
	var done sync.WaitGroup
	done.Go(func() { e.read(r) })
	p.t.Cleanup(func() {
		recorder.stop()
		w.Close()
		done.Wait()
	})
	// The first block proves that the recording runs.
	if _, err := e.wait(0, startTimeout, func([]block) bool { return true }); err != nil {
		p.t.Fatalf("record %s: %v", source, err)
	}
	return e
}

func (e *EarRecord) read(r io.Reader) {
	raw := make([]byte, 2*blockSize)
	samples := make([]float64, blockSize)
	for {
		_, err := io.ReadFull(r, raw)
		b := block{at: time.Now()}
		for i := range samples {
			samples[i] = float64(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / math.MaxInt16
		}
		var energy float64
		for _, s := range samples {
			energy += s * s
		}
		b.loud = math.Sqrt(energy/blockSize) >= loudEnough
		for _, hz := range e.tones {
			share := 0.0
			if b.loud {
				share = goertzel(samples, hz) / energy
			}
			b.share = append(b.share, share)
		}
		e.mu.Lock()
		if err != nil {
			e.err = err
		} else {
			e.blocks = append(e.blocks, b)
		}
		close(e.more)
		e.more = make(chan struct{})
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// goertzel returns the energy of samples at hz.
func goertzel(samples []float64, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/rate)
	var s1, s2 float64
	for _, x := range samples {
		s1, s2 = x+c*s1-s2, s1
	}
	return (s1*s1 + s2*s2 - c*s1*s2) * 2 / float64(len(samples))
}

// wait waits until ok holds for the blocks from from on, and returns them.
func (e *EarRecord) wait(from int, timeout time.Duration, ok func([]block) bool) ([]block, error) {
	deadline := time.After(timeout)
	for {
		e.mu.Lock()
		blocks, more, err := e.blocks[min(from, len(e.blocks)):], e.more, e.err
		e.mu.Unlock()
		if len(blocks) > 0 && ok(blocks) {
			return blocks, nil
		}
		if err != nil {
			return blocks, fmt.Errorf("recording ended: %w", err)
		}
		select {
		case <-more:
		case <-deadline:
			return blocks, fmt.Errorf("not within %v", timeout)
		}
	}
}

func (e *EarRecord) tone(hz float64) int {
	i := slices.Index(e.tones, hz)
	if i < 0 {
		e.t.Fatalf("nobody listens for %v Hz at %s", hz, e.source)
	}
	return i
}

// now is the index of the next block.
func (e *EarRecord) now() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.blocks)
}

// FirstTone returns when a tone was first heard at or after since, waiting for
// it as long as timeout.
func (e *EarRecord) FirstTone(hz float64, since time.Time, timeout time.Duration) (time.Time, error) {
	i, first := e.tone(hz), time.Time{}
	_, err := e.wait(0, timeout, func(blocks []block) bool {
		run := 0
		for n := len(blocks) - 1; n >= 0 && !blocks[n].at.Before(since); n-- {
			if blocks[n].share[i] >= toneShare {
				if run++; run >= toneBlocks {
					first = blocks[n].at.Add(-blockTime)
				}
			} else {
				run = 0
			}
		}
		return !first.IsZero()
	})
	if err != nil {
		return first, fmt.Errorf("no %v Hz at %s: %w", hz, e.source, err)
	}
	return first, nil
}

// Heard is how much of a while a tone was heard.
type Heard struct {
	For        time.Duration // the while
	Share      float64       // of the time
	LongestGap time.Duration
}

// Tone judges the next d.
func (e *EarRecord) Tone(hz float64, d time.Duration) Heard {
	e.t.Helper()
	i, from, n := e.tone(hz), e.now(), int(d/blockTime)
	blocks, err := e.wait(from, d+startTimeout, func(b []block) bool { return len(b) >= n })
	if err != nil {
		e.t.Fatalf("listen at %s for %v: %v", e.source, d, err)
	}
	good := make([]bool, len(blocks))
	for n, b := range blocks {
		good[n] = b.share[i] >= toneShare
	}
	return share(good)
}

// WaitSilence waits until a tone has not been heard for d.
func (e *EarRecord) WaitSilence(hz float64, d, timeout time.Duration) error {
	i, n := e.tone(hz), int(d/blockTime)
	_, err := e.wait(e.now(), timeout, func(blocks []block) bool {
		if len(blocks) < n {
			return false
		}
		return !slices.ContainsFunc(blocks[len(blocks)-n:], func(b block) bool { return b.share[i] >= toneShare })
	})
	if err != nil {
		return fmt.Errorf("still %v Hz at %s: %w", hz, e.source, err)
	}
	return nil
}
