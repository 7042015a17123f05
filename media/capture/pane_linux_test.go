package capture

import (
	"image"
	"testing"

	"github.com/carillon-im/carillon/media/video"
)

// Wherever our own picture is to be, however wide its frame and round its
// corners, nothing is drawn outside the pane.
func TestPaneComposesAnyPlace(t *testing.T) {
	own := []image.Rectangle{
		{}, image.Rect(0, 0, 1, 1), image.Rect(0, 0, 30, 20), image.Rect(-40, -40, 15, 15), image.Rect(60, 50, 900, 900),
		image.Rect(10, 10, 12, 70), image.Rect(-100, -100, 200, 200), image.Rect(500, 500, 510, 510),
	}
	for _, area := range []image.Rectangle{image.Rect(0, 0, 1, 1), image.Rect(5, 5, 85, 65), image.Rect(0, 0, 3, 200)} {
		for _, size := range []image.Point{{1, 1}, {1, 60}, {60, 1}, {7, 5}, {64, 48}} {
			p := &Pane{}
			p.shown.theirs, p.shown.ours = video.NewImage(size.X, size.Y), video.NewImage(size.Y, size.X)
			for _, at := range own {
				for _, width := range []int{-5, 0, 3, 1000} {
					n := 4 * area.Dx() * area.Dy()
					p.compose(make([]byte, n), PanePlace{Area: area, Own: at, Frame: width, Corner: 4 * width})
				}
			}
		}
	}
}
