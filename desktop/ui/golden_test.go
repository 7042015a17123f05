package ui

import (
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
)

var update = flag.Bool("update", false, "record the golden images anew")

// now is when everything in the tests happens.
var now = time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)

func TestMain(m *testing.M) {
	os.Setenv("LANG", "en_US.UTF-8")
	os.Setenv("LANGUAGE", "en")
	os.Unsetenv("LC_ALL")
	time.Local = time.UTC
	if err := LoadTranslations(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// golden compares what the window shows with a picture in testdata. A few
// pixels may differ a little: rounding is not the same on all machines.
func golden(t *testing.T, d *desk, name string) {
	t.Helper()
	for range 2 { // paragraphs know their height once they know their width
		for _, o := range append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...) {
			settle(o)
		}
	}
	got := d.window.Canvas().Capture()
	path := filepath.Join("testdata", name+".png")
	if *update {
		save(t, path, got)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v (go test -update records it)", err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if n := differ(got, want); n > 200 {
		failed := filepath.Join(os.TempDir(), "carillon-"+filepath.Base(path))
		save(t, failed, got)
		t.Errorf("%d pixels of %s differ; %s is what is drawn now", n, path, failed)
	}
}

func differ(a, b image.Image) (n int) {
	if a.Bounds() != b.Bounds() {
		return a.Bounds().Dx() * a.Bounds().Dy()
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			const tolerance = 24 << 8
			if far(r1, r2, tolerance) || far(g1, g2, tolerance) || far(b1, b2, tolerance) {
				n++
			}
		}
	}
	return n
}

func far(a, b, tolerance uint32) bool { return max(a, b)-min(a, b) > tolerance }

func save(t *testing.T, path string, i image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Few colours: a palette would be smaller still, and less true.
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, i); err != nil {
		t.Fatal(err)
	}
}

// Each screen, in light and in dark.
func TestScreens(t *testing.T) {
	for _, tt := range screens() {
		for _, variant := range []string{"light", "dark"} {
			t.Run(tt.name+"-"+variant, func(t *testing.T) {
				d := newDesk(t, variant, tt.state())
				if tt.then != nil {
					tt.then(d)
				}
				golden(t, d, tt.name+"-"+variant)
			})
		}
	}
}
