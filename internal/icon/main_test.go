package main

import (
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// The icon has its bell in every size: a background of our blue, something
// white in the middle, and corners that are round.
func TestIcon(t *testing.T) {
	for _, n := range sizes {
		path := filepath.Join(t.TempDir(), "x", "icon.png")
		if err := write("../../cmd/carillon-desktop/icon.svg", path, n); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(f)
		f.Close()
		if err != nil || m.Bounds().Dx() != n || m.Bounds().Dy() != n {
			t.Fatalf("%d: %v, %v", n, m, err)
		}
		if _, _, _, a := m.At(0, 0).RGBA(); a > 0x8000 {
			t.Errorf("%d: the corner is not clear", n)
		}
		if c := color.NRGBAModel.Convert(m.At(n/2, n/8)).(color.NRGBA); c.B < 150 || c.R > 130 {
			t.Errorf("%d: the background is %v", n, c)
		}
		if c := color.NRGBAModel.Convert(m.At(n/2, n/2)).(color.NRGBA); c.R < 230 || c.G < 230 || c.B < 230 {
			t.Errorf("%d: the bell is %v", n, c)
		}
	}
	if _, err := draw("main.go", 16); err == nil {
		t.Error("a program is taken for an icon")
	}
}
