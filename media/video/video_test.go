package video

import (
	"context"
	"errors"
	"image"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestCodeIsReadInAnySize(t *testing.T) {
	now := time.UnixMilli(1_795_727_400_123)
	for _, size := range []image.Point{{640, 480}, {320, 240}, {161, 121}, {1280, 720}, {64, 64}} {
		p := NewPattern(size.X, size.Y)
		for n := range 3 {
			m := p.Next(now)
			want := Code{Number: uint16(n), Millis: uint32(now.UnixMilli())}
			if got, ok := ReadCode(m); !ok || got != want {
				t.Errorf("%v: code = %v, %v, want %v", size, got, ok, want)
			}
			small := Scale(nil, m, max(size.X/2, 64), max(size.Y/2, 64))
			if got, ok := ReadCode(small); !ok || got != want {
				t.Errorf("%v made half: code = %v, %v, want %v", size, got, ok, want)
			}
			rgb := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
			for y := range size.Y {
				for x := range size.X {
					rgb.Set(x, y, m.At(x, y))
				}
			}
			if got, ok := ReadCode(rgb); !ok || got != want {
				t.Errorf("%v as RGB: code = %v, %v, want %v", size, got, ok, want)
			}
		}
	}
	if c, ok := ReadCode(NewImage(640, 480)); ok {
		t.Errorf("a black picture says %v", c)
	}
	if got := (Code{Millis: uint32(now.Add(-70 * time.Millisecond).UnixMilli())}).Age(now); got != 70*time.Millisecond {
		t.Errorf("age = %s, want 70ms", got)
	}
}

func TestPatternKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenSource("pattern:64x64@10")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for n := range 5 {
			f, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := time.Duration(n) * 100 * time.Millisecond
			if since := time.Since(start); f.Time != want || since != want {
				t.Errorf("picture %d has time %s and came after %s, want %s", n, f.Time, since, want)
			}
		}
		time.Sleep(time.Second) // nobody reads
		f, err := s.Read(t.Context())
		if err != nil || f.Time < 1300*time.Millisecond {
			t.Errorf("after a second the next picture is of %s, %v: the past is made up for", f.Time, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		if _, err := s.Read(ctx); !errors.Is(err, why) {
			t.Errorf("read with an ended context: %v, want its cause", err)
		}
		time.AfterFunc(time.Millisecond, func() { s.Close() })
		for err == nil {
			_, err = s.Read(t.Context())
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("read when closed: %v, want net.ErrClosed", err)
		}
	})
}

// A sink that gets no picture leaves no file, and none takes another's name.
func TestFileOverwritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.y4m")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pictures := range []int{0, 1} {
		sink, err := OpenSink("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		for range pictures {
			if err := sink.Write(Frame{Image: NewImage(2, 2)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file that was there holds %q, %v", b, err)
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("files = %v, %v, want the old one and a-2.y4m", names, err)
	}
}

func TestFileY4M(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.y4m")
	sink, err := OpenSink("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPattern(98, 65) // odd, as windows can be
	for n := range 6 {
		f := Frame{Image: p.Next(time.UnixMilli(int64(n))), Time: time.Duration(n) * time.Second / fileFPS}
		if n == 3 { // the other side changed its mind about the size
			f.Image = Scale(nil, f.Image, 196, 130)
		}
		if n == 4 {
			f.Image, f.Rotation = Rotate(nil, f.Image, 270), 90
		}
		if n == 5 {
			f.Time += time.Second / fileFPS // one was lost
		}
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Write(Frame{Image: NewImage(2, 2)}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write when closed: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		source, err := OpenSource("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		for n, want := range []uint16{0, 1, 2, 3, 4, 5, 5} {
			f, err := source.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c, ok := ReadCode(f.Image)
			if !ok || c.Number != want || f.Image.Rect.Dx() != 98 || f.Image.Rect.Dy() != 65 {
				t.Errorf("picture %d: number %d, %v, size %v, want number %d", n, c.Number, ok, f.Image.Rect, want)
			}
		}
		if _, err := source.Read(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v, want EOF", err)
		}
	})
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.y4m")
	if err := os.WriteFile(bad, []byte("YUV4MPEG2 W100000 H100000 F30:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]error{
		"camera": ErrSpec, "pattern:big": ErrSpec, "pattern:0x0": ErrFrame, "pattern:99999x99999": ErrFrame,
		"pattern:64x64@0": ErrSpec, "file:/nonexistent/x.y4m": os.ErrNotExist, "file:" + bad: ErrFormat,
	} {
		_, err := OpenSource(spec)
		var oe *OpenError
		if !errors.As(err, &oe) || !errors.Is(err, want) || oe.Hint == "" && want != ErrFrame {
			t.Errorf("OpenSource(%q) = %v, want an OpenError of %v with a hint", spec, err, want)
		}
	}
	if _, err := OpenSink("window"); !errors.Is(err, ErrSpec) {
		t.Errorf("OpenSink: %v", err)
	}
}

func TestRotate(t *testing.T) {
	p := NewPattern(66, 64)
	m := Copy(nil, p.Next(time.Now()))
	turned := Rotate(nil, m, 90)
	if turned.Rect.Size() != (image.Point{64, 66}) {
		t.Fatalf("size %v", turned.Rect.Size())
	}
	// Clockwise: what is at the top left goes to the top right.
	if got, want := turned.YCbCrAt(63, 0), m.YCbCrAt(0, 0); got != want {
		t.Errorf("top right is %v, want %v", got, want)
	}
	for _, by := range [][]int{{90, 270}, {180, 180}, {270, 90}, {90, 90, 90, 90}} {
		got := m
		for _, d := range by {
			got = Rotate(nil, got, d)
		}
		for i := range m.Y {
			if got.Y[i] != m.Y[i] {
				t.Fatalf("turned by %v: pixel %d differs", by, i)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	ok := NewImage(6, 4)
	sub := NewImage(64, 64).SubImage(image.Rect(10, 10, 30, 21)).(*image.YCbCr)
	short := NewImage(6, 4)
	short.Cr = short.Cr[:5]
	for _, tt := range []struct {
		name string
		f    Frame
		want bool
	}{
		{"whole", Frame{Image: ok}, true},
		{"part of another", Frame{Image: sub, Rotation: 270}, true},
		{"no picture", Frame{}, false},
		{"4:4:4", Frame{Image: image.NewYCbCr(image.Rect(0, 0, 4, 4), image.YCbCrSubsampleRatio444)}, false},
		{"rotation", Frame{Image: ok, Rotation: 45}, false},
		{"pixels missing", Frame{Image: short}, false},
		{"too large", Frame{Image: &image.YCbCr{SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, 1<<20, 1<<20)}}, false},
	} {
		if err := tt.f.Check(); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if got := Copy(nil, sub); got.Rect.Size() != sub.Rect.Size() || got.Y[0] != sub.Y[sub.YOffset(10, 10)] {
		t.Error("a part is not copied as it is")
	}
}
