package thumb

import (
	"bytes"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// picture is red at its left and blue at its right, transparent at the bottom.
func picture(w, h int) image.Image {
	i := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h * 3 / 4 {
		for x := range w {
			c := color.NRGBA{R: 255, A: 255}
			if x > w/2 {
				c = color.NRGBA{B: 255, A: 255}
			}
			i.SetNRGBA(x, y, c)
		}
	}
	return i
}

func TestMakeAndDecode(t *testing.T) {
	for _, tt := range []struct {
		name           string
		w, h           int
		wantW, wantH   int
		encode         func(*bytes.Buffer, image.Image) error
		bottomIsOpaque bool
	}{
		{"wide.png", 1200, 400, 192, 64, func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }, true},
		{"tall.jpeg", 300, 900, 64, 192, func(b *bytes.Buffer, i image.Image) error { return jpeg.Encode(b, i, nil) }, false},
		{"small.png", 20, 12, 20, 12, func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.encode(&b, picture(tt.w, tt.h)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), tt.name)
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			small, err := Make(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(small.Data) > filetransfer.MaxThumbnail/2 || small.Width != tt.wantW || small.Height != tt.wantH {
				t.Errorf("%d bytes, %dx%d", len(small.Data), small.Width, small.Height)
			}
			i, err := Decode(small.Data)
			if err != nil {
				t.Fatal(err)
			}
			if i.Bounds().Dx() != tt.wantW || i.Bounds().Dy() != tt.wantH {
				t.Errorf("decoded %v", i.Bounds())
			}
			if r, _, blue, _ := i.At(2, 2).RGBA(); r < 0xb000 || blue > 0x6000 {
				t.Errorf("left is %v", i.At(2, 2))
			}
			if r, _, blue, _ := i.At(tt.wantW-3, 2).RGBA(); blue < 0xb000 || r > 0x6000 {
				t.Errorf("right is %v", i.At(tt.wantW-3, 2))
			}
			if r, g, _, _ := i.At(2, tt.wantH-1).RGBA(); tt.bottomIsOpaque && (r < 0xe000 || g < 0xe000) {
				t.Errorf("what is transparent is %v, not white", i.At(2, tt.wantH-1))
			}
		})
	}
}

// header is the beginning of a PNG that says how large it is.
func header(w, h uint32) []byte {
	chunk := []byte("IHDR")
	for _, n := range []uint32{w, h} {
		chunk = append(chunk, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	chunk = append(chunk, 8, 6, 0, 0, 0)
	sum := crc32.ChecksumIEEE(chunk)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return append(out, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

// What would take much memory is refused before it is decoded.
func TestHostile(t *testing.T) {
	bomb := header(60_000, 60_000)
	if _, err := Decode(bomb); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a picture of 60,000 x 60,000: %v", err)
	}
	if _, err := Decode(make([]byte, filetransfer.MaxThumbnail+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Decode([]byte("GIF89a")); err == nil || errors.Is(err, ErrTooLarge) {
		t.Errorf("no picture: %v", err)
	}
	path := filepath.Join(t.TempDir(), "bomb.png")
	if err := os.WriteFile(path, bomb, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(path); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file of 60,000 x 60,000: %v", err)
	}
	if _, err := Make(t.TempDir()); err == nil {
		t.Error("a folder became an image")
	}
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := png.Encode(&b, picture(9, 9)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(header(1, 1<<31))
	f.Fuzz(func(t *testing.T, data []byte) {
		if i, err := Decode(data); err == nil && (i.Bounds().Dx() > maxSide || i.Bounds().Dy() > maxSide) {
			t.Errorf("decoded %v", i.Bounds())
		}
	})
}
