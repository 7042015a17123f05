package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// record is n frames of a generator in one piece.
func record(g Generator, n int) []int16 {
	out := make([]int16, n*FrameSize)
	for i := range n {
		g.Fill(out[i*FrameSize : (i+1)*FrameSize])
	}
	return out
}

func TestSourceKeepsRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenSource("tone:440")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for i := range 50 {
			f, err := s.Read(t.Context())
			if err != nil || len(f) != FrameSize {
				t.Fatalf("read %d = %d samples, %v", i, len(f), err)
			}
			if got, want := time.Since(start), time.Duration(i)*FrameDuration; got != want {
				t.Fatalf("frame %d came after %v, want %v", i, got, want)
			}
			// A reader that is slow now and then does not make the source slow.
			if i%10 == 3 {
				time.Sleep(15 * time.Millisecond)
			}
		}
		// After a long sleep there is no burst of more than maxBehind.
		time.Sleep(10 * time.Second)
		start = time.Now()
		for range 50 {
			if _, err := s.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got < time.Second-maxBehind-FrameDuration {
			t.Errorf("50 frames after a pause took %v", got)
		}
		s.Close()
	})
}

func TestSourceEndsWithContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := OpenSource("silence")
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		why := errors.New("hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Millisecond, func() { cancel(why) })
		if _, err := s.Read(ctx); err != why {
			t.Errorf("read with ended context = %v, want %v", err, why)
		}
		time.AfterFunc(5*time.Millisecond, func() { s.Close() })
		if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read while closing = %v, want %v", err, net.ErrClosed)
		}
		if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close = %v, want %v", err, net.ErrClosed)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second close = %v", err)
		}
	})
}

func TestSinkKeepsRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Discard()
		start := time.Now()
		for i := range 100 {
			if err := s.Write(make(Frame, HalfFrame)); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(start), time.Duration(i+1)*10*time.Millisecond; got != want {
				t.Fatalf("write %d returned after %v, want %v", i, got, want)
			}
		}
		time.AfterFunc(5*time.Millisecond, func() { s.Close() })
		if err := s.Write(make(Frame, FrameSize)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write while closing = %v, want %v", err, net.ErrClosed)
		}
		if err := s.Write(make(Frame, 100)); !errors.Is(err, ErrFrameSize) {
			t.Errorf("write of 100 samples = %v, want %v", err, ErrFrameSize)
		}
	})
}

func TestOpenErrorsHaveHints(t *testing.T) {
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, []byte("not a sound"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"", "tone", "tone:x", "tone:NaN", "tone:5", "speech:x", "silence:1", "file:", "file:/nonexistent/a.wav", "file:" + text, "mic"} {
		_, err := OpenSource(spec)
		var oe *OpenError
		if !errors.As(err, &oe) || oe.Hint == "" || oe.Spec != spec {
			t.Errorf("OpenSource(%q) = %v, want an OpenError with a hint", spec, err)
		}
	}
	for _, spec := range []string{"", "null:1", "file:", "file:/nonexistent/a.wav", "file:" + text, "file:heard.mp3", "file:heard", "speaker"} {
		_, err := OpenSink(spec)
		var oe *OpenError
		if !errors.As(err, &oe) || oe.Hint == "" {
			t.Errorf("OpenSink(%q) = %v, want an OpenError with a hint", spec, err)
		}
	}
}

func TestFilesAreNeverOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "keep.wav")
		if err := os.WriteFile(path, []byte("yesterday"), 0o600); err != nil {
			t.Fatal(err)
		}
		unused, err := OpenSink("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unused.Close(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"keep-2.wav", "keep-3.wav"} {
			s, err := OpenSink("file:" + path)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.(*FileSink).Path(); got != "" {
				t.Errorf("before the first frame there is %q", got)
			}
			if err := errors.Join(s.Write(make(Frame, FrameSize)), s.Close()); err != nil {
				t.Fatal(err)
			}
			if got := s.(*FileSink).Path(); got != filepath.Join(dir, want) {
				t.Errorf("kept in %q, want %q", got, want)
			}
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "yesterday" {
			t.Errorf("the recording of yesterday is %q, %v", text, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 3 {
			t.Errorf("there are %v", left)
		}
	})
}

func TestFullDiskIsTold(t *testing.T) {
	s, err := OpenSink("file:/dev/full")
	if err != nil {
		t.Skipf("no device that is always full: %v", err)
	}
	if err := s.Write(make(Frame, FrameSize)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error = %v, want ENOSPC", err)
	}
	if err := s.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

func TestFileRoundTrip(t *testing.T) {
	for _, name := range []string{"a.wav", "a.opus", "a.ogg"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), name)
				sink, err := OpenSink("file:" + path)
				if err != nil {
					t.Fatal(err)
				}
				said := record(NewSpeech(3), 150)
				for at := 0; at < len(said); at += HalfFrame {
					if err := sink.Write(said[at : at+HalfFrame]); err != nil {
						t.Fatal(err)
					}
					if at == len(said)/2 { // an interrupted recording can be played
						checkPlays(t, path, said[:at], 600*time.Millisecond)
					}
				}
				if err := sink.Close(); err != nil {
					t.Fatal(err)
				}
				checkPlays(t, path, said, 0)
			})
		})
	}
}

// checkPlays compares a file with what was written to it; up to missing may not
// be there yet.
func checkPlays(t *testing.T, path string, said []int16, missing time.Duration) {
	t.Helper()
	s, err := OpenSource("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var heard []int16
	for {
		f, err := s.Read(t.Context())
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, f...)
	}
	least := len(said) - int(missing.Seconds()*SampleRate)
	if len(heard) < least || len(heard) > len(said)+FrameSize {
		t.Errorf("%s: %d samples, want %d to %d", filepath.Base(path), len(heard), least, len(said))
	}
	if l := Compare(said, heard, 100*time.Millisecond); l.Score < 0.95 || l.Delay != 0 {
		t.Errorf("%s: likeness = %+v, want the same without delay", filepath.Base(path), l)
	}
}

func TestCompareTellsVoicesApart(t *testing.T) {
	const frames = 200
	voices := make([][]int16, 8)
	if slow {
		voices = voices[:3]
	}
	for i := range voices {
		voices[i] = record(NewSpeech(uint32(i+1)), frames)
		if l := Measure(voices[i]); l.RMS < -32 || l.RMS > -10 || l.Peak > -0.5 {
			t.Errorf("voice %d: level = %.1f", i+1, l)
		}
	}
	worst := 0.0
	for i, a := range voices {
		for k, b := range voices {
			if l := Compare(a, b, time.Second); i == k && l.Score < 0.999 {
				t.Errorf("voice %d to itself = %+v", i+1, l)
			} else if i != k {
				worst = max(worst, l.Score)
			}
		}
	}
	t.Logf("most alike of different voices: %.2f", worst)
	if worst > 0.6 {
		t.Errorf("different voices score %.2f, want below 0.6", worst)
	}
	late := append(make([]int16, 12340), voices[0]...)
	if l := Compare(voices[0], late, time.Second); l.Score < 0.99 || l.Delay.Round(10*time.Millisecond) != 260*time.Millisecond {
		t.Errorf("delayed by 257 ms: %+v", l)
	}
	if l := Compare(voices[0], make([]int16, len(late)), time.Second); l.Score != 0 {
		t.Errorf("silence scores %v", l.Score)
	}
}

func TestToneLevel(t *testing.T) {
	f := record(&Tone{Hz: 440}, 5)
	if got := ToneLevel(f, 440); math.Abs(got - -9.03) > 0.1 {
		t.Errorf("level at 440 Hz = %.2f, want -9.03", got)
	}
	if got := ToneLevel(f, 480); got > -30 {
		t.Errorf("level at 480 Hz = %.2f, want far less", got)
	}
	if !HasTone(f, 440) || HasTone(f, 880) || HasTone(make(Frame, 960), 440) || HasTone(nil, 440) {
		t.Error("HasTone is wrong")
	}
	if got := Measure(f); math.Abs(got.RMS - -9.03) > 0.1 || math.Abs(got.Peak - -6.02) > 0.1 {
		t.Errorf("level = %+v", got)
	}
	if got := Measure(nil); got.RMS != MinLevel {
		t.Errorf("level of nothing = %+v", got)
	}
}

func TestResamplerKeepsTones(t *testing.T) {
	for _, rate := range []int{8000, 11025, 16000, 22050, 44100, 48000, 44099, 96000, 192000} {
		for _, hz := range []float64{100, 440, 3000} {
			t.Run(fmt.Sprintf("%d/%v", rate, hz), func(t *testing.T) {
				in := make([]int16, rate)
				for i := range in {
					in[i] = int16(16000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
				}
				r := NewResampler(rate, SampleRate)
				var out []int16
				for len(in) > 0 { // in uneven pieces
					n := min(len(in), 777)
					out = r.Process(out, in[:n])
					in = in[n:]
				}
				if want := SampleRate - r.Delay(); len(out) < want-2 || len(out) > SampleRate {
					t.Fatalf("%d samples, want %d", len(out), want)
				}
				out = out[4800:]
				want := 20 * math.Log10(16000/32768.0/math.Sqrt2)
				if got := ToneLevel(out, hz); math.Abs(got-want) > 0.1 {
					t.Errorf("level %.2f, want %.2f", got, want)
				}
				if got := residue(out, hz); got > want-60 {
					t.Errorf("noise %.1f dBFS under a tone of %.1f", got, want)
				}
			})
		}
	}
	// What the lower rate cannot carry is gone, not folded back.
	out := NewResampler(SampleRate, 8000).Process(nil, record(&Tone{Hz: 5000}, 50))
	if got := Measure(out[100:]).RMS; got > -70 {
		t.Errorf("alias of 5 kHz at 8 kHz: %.1f dBFS", got)
	}
}

// residue is the RMS level of what is left without the best fitting sine.
func residue(f []int16, hz float64) float64 {
	var sc, ss, cc, s2, c2 float64
	w := 2 * math.Pi * hz / SampleRate
	for i, v := range f {
		s, c := math.Sincos(w * float64(i))
		sc += s * c
		s2 += s * s
		c2 += c * c
		ss += s * float64(v)
		cc += c * float64(v)
	}
	det := s2*c2 - sc*sc
	a, b := (ss*c2-cc*sc)/det, (cc*s2-ss*sc)/det
	sum := 0.0
	for i, v := range f {
		s, c := math.Sincos(w * float64(i))
		d := float64(v) - a*s - b*c
		sum += d * d
	}
	return dbfs(math.Sqrt(sum / float64(len(f))))
}
