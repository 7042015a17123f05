// Command icon draws the icon of the app in the sizes that desktops want.
//
//	go run ./internal/icon icon.svg FOLDER
//
// makes FOLDER/48x48/apps/carillon.png and others, as the Icon Theme
// Specification has them.
package main

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/fyne-io/oksvg"
	"github.com/srwiley/rasterx"
)

// sizes are those of the theme hicolor, in pixels.
var sizes = []int{16, 22, 24, 32, 48, 64, 128, 256, 512}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: icon ICON.svg FOLDER")
		os.Exit(2)
	}
	for _, n := range sizes {
		if err := write(os.Args[1], filepath.Join(os.Args[2], fmt.Sprintf("%dx%[1]d", n), "apps", "carillon.png"), n); err != nil {
			fmt.Fprintln(os.Stderr, "icon:", err)
			os.Exit(1)
		}
	}
}

// write draws the SVG file as n by n pixels.
func write(svg, path string, n int) error {
	m, err := draw(svg, n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, m); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}

func draw(svg string, n int) (image.Image, error) {
	icon, err := oksvg.ReadIcon(svg, oksvg.StrictErrorMode)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", svg, err)
	}
	if len(icon.SVGPaths) == 0 {
		return nil, fmt.Errorf("read %s: nothing is drawn in it", svg)
	}
	icon.SetTarget(0, 0, float64(n), float64(n))
	m := image.NewRGBA(image.Rect(0, 0, n, n))
	icon.Draw(rasterx.NewDasher(n, n, rasterx.NewScannerGV(n, n, m, m.Bounds())), 1)
	return m, nil
}
