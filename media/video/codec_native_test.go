//go:build native && cgo

package video

import (
	"errors"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func psnr(a, b *image.YCbCr) float64 {
	var sum float64
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			d := float64(a.Y[y*a.YStride+x]) - float64(b.Y[y*b.YStride+x])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255/max(sum/float64(a.Rect.Dx()*a.Rect.Dy()), 1e-9))
}

func codec(t testing.TB, name string, o EncoderOptions) (Encoder, Decoder) {
	t.Helper()
	c, ok := FindCodec(Codecs(), name)
	if !ok {
		t.Fatalf("no %s in %s", name, Implementation)
	}
	e, err := c.NewEncoder(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(); d.Close() })
	return e, d
}

func TestCodecsKeepPictureAndRate(t *testing.T) {
	for _, c := range Codecs() {
		t.Run(c.Name, func(t *testing.T) {
			const w, h, fps, rate, pictures = 322, 241, 30, 400_000, 90
			e, d := codec(t, c.Name, EncoderOptions{Width: w, Height: h, FPS: fps, Bitrate: rate})
			p := NewPattern(w, h)
			total, shown := 0, 0
			worst := math.Inf(1)
			for n := range pictures {
				if n == pictures/2 {
					if err := e.SetBitrate(rate/4, fps); err != nil {
						t.Fatal(err)
					}
				}
				m := p.Next(time.UnixMilli(int64(n)))
				data, key, err := e.Encode(nil, m, time.Duration(n)*time.Second/fps, n == 20)
				if err != nil {
					t.Fatal(err)
				}
				if len(data) == 0 {
					continue
				}
				if want := n == 0 || n == 20; key != want || KeyFrame(c.Name, data) != want {
					t.Errorf("picture %d: key = %v and looks like %v, want %v", n, key, KeyFrame(c.Name, data), want)
				}
				if n < pictures/2 {
					total += len(data)
				}
				got, err := d.Decode(data)
				if err != nil || got == nil {
					t.Fatalf("picture %d: %v, %v", n, got, err)
				}
				if c.Name == "H264" { // has no odd sizes
					m = m.SubImage(image.Rect(0, 0, w&^1, h&^1)).(*image.YCbCr)
				}
				if got.Rect.Size() != m.Rect.Size() {
					t.Fatalf("picture %d is %v", n, got.Rect.Size())
				}
				shown++
				if n < pictures/2 {
					worst = min(worst, psnr(m, got))
				}
				if code, ok := ReadCode(got); !ok || int(code.Number) != n {
					t.Errorf("picture %d shows %v, %v", n, code, ok)
				}
			}
			bps := float64(total*8) / (pictures / 2) * fps
			t.Logf("%d of %d pictures, %.0f bit/s of %d, at least %.1f dB", shown, pictures, bps, rate, worst)
			if bps > 1.5*rate || worst < 24 || shown < pictures*2/3 {
				t.Error("that is not what was asked for")
			}
		})
	}
}

// noisy is a pattern with the noise of a camera, which takes the bits there are.
func noisy(w, h, n int) (pictures []*image.YCbCr) {
	p, noise := NewPattern(w, h), rand.New(rand.NewPCG(1, 2))
	for i := range n {
		m := Copy(nil, p.Next(time.UnixMilli(int64(i))))
		for i, v := range m.Y {
			m.Y[i] = byte(min(max(float64(v)+3*noise.NormFloat64(), 0), 255))
		}
		pictures = append(pictures, m)
	}
	return pictures
}

// The rate is that of the last two seconds after it was changed.
func TestCodecsFollowTheRate(t *testing.T) {
	pictures := noisy(320, 240, 30)
	for _, c := range Codecs() {
		e, d := codec(t, c.Name, EncoderOptions{Width: 320, Height: 240, Bitrate: 600_000})
		at := time.Duration(0)
		for _, bps := range []int{600_000, 200_000, 400_000} {
			if err := e.SetBitrate(bps, 30); err != nil {
				t.Fatal(err)
			}
			sent, worst := 0, math.Inf(1)
			for n := range 120 {
				m := pictures[min(n%58, 58-n%58)] // there and back, so that nothing jumps
				data, _, err := e.Encode(nil, m, at, false)
				if err != nil {
					t.Fatal(err)
				}
				at += time.Second / 30
				if n >= 60 {
					sent += len(data)
				}
				if len(data) == 0 {
					continue
				}
				got, err := d.Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				worst = min(worst, psnr(m.SubImage(got.Rect).(*image.YCbCr), got))
			}
			got := float64(sent) * 8 / 2
			t.Logf("%s: %.0f bit/s of %d, at least %.1f dB", c.Name, got, bps, worst)
			if got < 0.5*float64(bps) || got > 1.25*float64(bps) || worst < 24 {
				t.Errorf("%s: that is not what was asked for", c.Name)
			}
		}
	}
}

func TestDecoderRefusesHugePictures(t *testing.T) {
	vp8Huge := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0, 0, 0}
	vp9Huge := []byte{0x82, 0x49, 0x83, 0x42, 0x0f, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0}
	for name, data := range map[string][]byte{"VP8": vp8Huge, "VP9": vp9Huge} {
		_, d := codec(t, name, EncoderOptions{Width: 64, Height: 64, Bitrate: 100000})
		if m, err := d.Decode(data); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, %v, want ErrFrame", name, m, err)
		}
	}
	// A small picture with a huge one behind it.
	e, d := codec(t, "VP9", EncoderOptions{Width: 64, Height: 64, Bitrate: 100000})
	data, _, err := e.Encode(nil, NewPattern(64, 64).Next(time.Now()), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := d.Decode(append(data, vp9Huge...)); err != nil || m.Rect.Dx() != 64 {
		t.Errorf("with another behind: %v, %v", m, err)
	}
}

func TestFileIVF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ivf")
	sink, err := OpenSink("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPattern(160, 120)
	for n := range 10 {
		if err := sink.Write(Frame{Image: p.Next(time.UnixMilli(0)), Time: time.Duration(n) * time.Second / fileFPS}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		source, err := OpenSource("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		last := -1
		for {
			f, err := source.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			c, ok := ReadCode(f.Image)
			if want := time.Duration(c.Number) * time.Second / fileFPS; !ok || int(c.Number) <= last || (f.Time-want).Abs() > time.Millisecond {
				t.Errorf("picture %v, %v at %s, want after %d at %s", c, ok, f.Time, last, want)
			}
			last = int(c.Number)
		}
		if last < 5 {
			t.Errorf("the last picture is %d", last)
		}
	})
}

// FuzzDecoder feeds streams that were broken on the way.
func FuzzDecoder(f *testing.F) {
	names := [...]string{"VP8", "VP9", "H264", "AV1"}
	for i := range names {
		f.Add(uint8(i), uint16(3), []byte{1, 2, 3}, uint16(100))
		f.Add(uint8(i), uint16(0), []byte{0xff, 0xff, 0xff, 0xff}, uint16(0xffff))
		f.Add(uint8(i), uint16(40), []byte{1}, uint16(0xffff)) // in H264 behind the parameters
	}
	var streams [len(names)][][]byte
	for i, name := range names {
		e, _ := codec(f, name, EncoderOptions{Width: 96, Height: 80, Bitrate: 80000})
		p := NewPattern(96, 80)
		for n := range 6 {
			data, _, err := e.Encode(nil, p.Next(time.UnixMilli(0)), time.Duration(n)*time.Second/30, false)
			if err != nil {
				f.Fatal(err)
			}
			if len(data) > 0 {
				streams[i] = append(streams[i], data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, with []byte, cut uint16) {
		which %= uint8(len(names))
		name, stream := names[which], streams[which]
		c, _ := FindCodec(Codecs(), name)
		d, err := c.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, data := range stream {
			broken := append([]byte(nil), data...)
			for i, b := range with {
				broken[(int(at)+i*7)%len(broken)] ^= b
			}
			broken = broken[:min(len(broken), int(cut)+1)]
			m, err := d.Decode(broken)
			if err == nil && m != nil {
				if err := (Frame{Image: m}).Check(); err != nil {
					t.Errorf("a picture without error: %v", err)
				}
			}
		}
		if len(with) > 0 {
			if m, err := d.Decode(with); err == nil && m != nil {
				if err := (Frame{Image: m}).Check(); err != nil {
					t.Errorf("a picture without error: %v", err)
				}
			}
		}
	})
}

// BenchmarkCodecs codes and decodes a moving picture: how much of a core 30 in a
// second take. The pattern is easier than what a camera sees, so it is also there
// with the noise of one.
func BenchmarkCodecs(b *testing.B) {
	pictures := map[string][]*image.YCbCr{"noise": noisy(640, 480, 30)}
	for p := NewPattern(640, 480); len(pictures["pattern"]) < 30; {
		pictures["pattern"] = append(pictures["pattern"], Copy(nil, p.Next(time.UnixMilli(0))))
	}
	for _, kind := range []string{"pattern", "noise"} {
		for _, c := range Codecs() {
			b.Run(c.Name+"/"+kind, func(b *testing.B) {
				e, d := codec(b, c.Name, EncoderOptions{Width: 640, Height: 480, Bitrate: 1_000_000})
				n, bytes, quality, shown := 0, 0, 0.0, 0
				var used time.Duration
				for b.Loop() {
					m := pictures[kind][min(n%58, 58-n%58)] // there and back, so that nothing jumps
					before := processTime(b)
					data, _, err := e.Encode(nil, m, time.Duration(n)*time.Second/30, false)
					if err != nil {
						b.Fatal(err)
					}
					n, bytes = n+1, bytes+len(data)
					var got *image.YCbCr
					if len(data) > 0 {
						if got, err = d.Decode(data); err != nil {
							b.Fatal(err)
						}
					}
					used += processTime(b) - before
					if n%10 == 0 && got != nil {
						quality, shown = quality+psnr(m, got), shown+1
					}
				}
				b.ReportMetric(0, "ns/op") // how busy the machine is, too
				b.ReportMetric(used.Seconds()/float64(n)*30*100, "%core@30")
				b.ReportMetric(float64(bytes)*8*30/float64(n), "bit/s")
				b.ReportMetric(quality/float64(max(shown, 1)), "dB")
			})
		}
	}
}

// processTime is what this process has used of the processor.
func processTime(t testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// The estimate of a path may come when the call is over.
func TestClosedEncodersSayIt(t *testing.T) {
	for _, c := range Codecs() {
		e, err := c.NewEncoder(EncoderOptions{Width: 64, Height: 64, FPS: 30, Bitrate: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := e.SetBitrate(200_000, 30); err == nil {
			t.Errorf("%s: the bit rate of a closed encoder is set", c.Name)
		}
		if _, _, err := e.Encode(nil, NewImage(64, 64), 0, true); err == nil {
			t.Errorf("%s: a closed encoder codes", c.Name)
		}
		if err := e.Close(); err != nil {
			t.Errorf("%s: closed again: %v", c.Name, err)
		}
	}
}
