package capture

import (
	"image"
	"image/color"
)

// A PanePlace is where a [Pane] shows what, in pixels.
type PanePlace struct {
	// Area of the window that the pane covers. Pictures are as large in it as
	// their shape allows. An empty one takes the pane away.
	Area image.Rectangle
	// Own is where in the window our own picture is shown over the other one,
	// with a frame around it; empty shows none.
	Own image.Rectangle
	// Frame is how wide that is, Corner the radius of its corners.
	Frame, Corner int
	// Back is the colour beside the picture, Edge that of the frame.
	Back, Edge color.RGBA
}
