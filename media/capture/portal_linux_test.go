package capture

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"strings"
	"testing"
)

// y4mOf writes pictures of one luma each, with a header where the size changes.
func y4mOf(pictures ...*image.YCbCr) []byte {
	var b bytes.Buffer
	var size image.Point
	for _, m := range pictures {
		if m.Rect.Size() != size {
			size = m.Rect.Size()
			fmt.Fprintf(&b, "YUV4MPEG2 W%d H%d F0:1 Ip A1:1 C420jpeg\n", size.X, size.Y)
		}
		b.WriteString("FRAME\n")
		for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
			b.Write(plane)
		}
	}
	return b.Bytes()
}

func flat(w, h int, luma byte) *image.YCbCr {
	m := fit(nil, w, h)
	for i := range m.Y {
		m.Y[i] = luma
	}
	return m
}

func TestY4M(t *testing.T) {
	r := newY4M(bytes.NewReader(y4mOf(flat(7, 5, 1), flat(7, 5, 2), flat(64, 32, 3))), never)
	var dst *image.YCbCr
	for i, want := range []image.Point{{7, 5}, {7, 5}, {64, 32}} {
		m, err := r.next(dst)
		if err != nil || m.Rect.Size() != want || m.Y[len(m.Y)-1] != byte(i+1) {
			t.Fatalf("picture %d: %v, %v", i, m, err)
		}
		if i == 1 && m != dst {
			t.Error("a picture of the right size is not used again")
		}
		dst = m
	}
	if _, err := r.next(dst); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for _, bad := range []string{
		"FRAME\n", "YUV4MPEG2 W0 H1\n", "YUV4MPEG2 W99999 H99999\nFRAME\n", "YUV4MPEG2 W2 H2 C444\nFRAME\n", "YUV4MPEG2 W2 H2 C420p10\nFRAME\n", "nonsense\n", "\n",
		"YUV4MPEG2 W2 H2\nFRAME\nab", strings.Repeat("x", 1<<17),
	} {
		if m, err := newY4M(strings.NewReader(bad), never).next(nil); err == nil {
			t.Errorf("%.40q is read as %v", bad, m.Rect)
		}
	}
}

func never() bool { return false }

// With the gaps that older GStreamers leave, a picture is the same.
func TestY4MGaps(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("YUV4MPEG2 W5 H3 C420jpeg\n")
	for range 2 {
		b.WriteString("FRAME\n")
		b.WriteString("aaaaa...bbbbb...ccccc...........") // of 4 lines
		b.WriteString("uuu.vvv.")
		b.WriteString("xxx.yyy.")
	}
	r := newY4M(&b, func() bool { return true })
	for range 2 {
		m, err := r.next(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(m.Y)+string(m.Cb)+string(m.Cr), "aaaaabbbbbccccc"+"uuuvvv"+"xxxyyy"; got != want {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	if _, err := r.next(nil); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func FuzzY4M(f *testing.F) {
	f.Add(y4mOf(flat(7, 5, 1), flat(2, 2, 1)), false)
	f.Add(y4mOf(flat(7, 5, 1), flat(2, 2, 1)), true)
	f.Fuzz(func(t *testing.T, b []byte, gaps bool) {
		r := newY4M(bytes.NewReader(b), func() bool { return gaps })
		for {
			if _, err := r.next(nil); err != nil {
				return
			}
		}
	})
}
