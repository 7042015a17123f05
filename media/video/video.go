// Package video carries pictures between the places where they are taken and
// shown and the RTP packets of a call: frames, sources and sinks, codecs, files
// and a test pattern that can be recognised at the other end.
//
//	Source --Frame--> Encoder --bytes--> RTP ~~~ network ~~~ RTP
//	                                                          |
//	Sink <--Frame-- Decoder <-- assembly of frames <----------+
//
// Everything between codecs and devices is one format, planar 4:2:0 in full
// pictures ([image.YCbCr] with ratio 4:2:0), of any size up to [MaxWidth] by
// [MaxHeight], which may change from one frame to the next.
//
// Sources keep real time themselves: Read returns when the next picture is
// there. Sinks do not: what is written is to be shown now, and a sink that is
// slower than that drops pictures rather than hold up its writer.
//
// Start with [OpenSource], [OpenSink] and [Codecs]. Cameras and screens are in
// package media/capture.
//
// Codecs need the system's libraries (-tags native). In pure Go there are none,
// and [Codecs] is empty: calls then decline video and go on with sound.
package video

import (
	"context"
	"errors"
	"fmt"
	"image"
	"time"
)

// Limits on a picture.
const (
	// MaxWidth and MaxHeight bound the pictures that are carried, in pixels.
	// Either side may be the longer one.
	MaxWidth, MaxHeight = 4096, 4096
	// MaxPixels bounds the area: that of 3840x2160, which a decoder turns into
	// 12 MiB.
	MaxPixels = 3840 * 2160
)

// A Frame is one picture.
type Frame struct {
	// Image is the picture, with subsampling ratio 4:2:0. Width and height need
	// not be even.
	Image *image.YCbCr
	// Time is when the picture was taken, since a moment of the source's own
	// choice. It grows from frame to frame.
	Time time.Duration
	// Rotation is by how many degrees clockwise the picture has to be turned to
	// be upright: 0, 90, 180 or 270. A camera in a phone that is held sideways
	// gives pictures like this.
	Rotation int
}

// ErrFrame is wrapped by errors about frames that cannot be carried.
var ErrFrame = errors.New("not a picture that can be carried")

// Check says whether f keeps to what Frame promises.
func (f Frame) Check() error {
	m := f.Image
	switch {
	case m == nil:
		return fmt.Errorf("video: %w: there is none", ErrFrame)
	case m.SubsampleRatio != image.YCbCrSubsampleRatio420:
		return fmt.Errorf("video: %w: ratio %v", ErrFrame, m.SubsampleRatio)
	case f.Rotation != 0 && f.Rotation != 90 && f.Rotation != 180 && f.Rotation != 270:
		return fmt.Errorf("video: %w: turned by %d degrees", ErrFrame, f.Rotation)
	case m.Rect.Min.X%2 != 0 || m.Rect.Min.Y%2 != 0:
		return fmt.Errorf("video: %w: it begins between two chroma samples", ErrFrame)
	}
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if err := CheckSize(w, h); err != nil {
		return err
	}
	y, c := m.YOffset(m.Rect.Min.X, m.Rect.Min.Y), m.COffset(m.Rect.Min.X, m.Rect.Min.Y)
	if m.YStride < w || m.CStride < (w+1)/2 || y < 0 || c < 0 ||
		len(m.Y) < y+(h-1)*m.YStride+w ||
		min(len(m.Cb), len(m.Cr)) < c+((h+1)/2-1)*m.CStride+(w+1)/2 {
		return fmt.Errorf("video: %w: pixels are missing", ErrFrame)
	}
	return nil
}

// CheckSize says whether pictures of this size are carried.
func CheckSize(w, h int) error {
	if w < 1 || h < 1 || w > MaxWidth || h > MaxHeight || w*h > MaxPixels {
		return fmt.Errorf("video: %w: %dx%d", ErrFrame, w, h)
	}
	return nil
}

// A Source is a series of pictures to be sent, such as a camera or a screen.
type Source interface {
	// Read returns the next picture, waiting until it is there. The frame is
	// the caller's until the next Read, and not to be changed: a source may
	// show the same picture to others. The error is io.EOF after the last one,
	// net.ErrClosed after Close, or the cause of ctx when it ends first.
	//
	// A reader that is slow misses pictures.
	Read(ctx context.Context) (Frame, error)
	// Close releases the source and ends a waiting Read. It may be called twice.
	Close() error
}

// A Sink is where received pictures go, such as a window or a file.
type Sink interface {
	// Write shows a picture. The frame is the writer's again when it returns,
	// which is to be soon: a sink that needs long takes a copy, and drops
	// pictures. The error is net.ErrClosed after Close.
	Write(Frame) error
	// Close releases the sink, after what was written is safe. It may be called
	// twice.
	Close() error
}

// An Asker is a Source that can give smaller or fewer pictures at less cost
// than its user could make of large ones, such as a camera that has modes.
type Asker interface {
	// Ask says what is of use from now on: at most width by height pixels and
	// fps pictures a second; zero is no limit. The source may ignore it.
	Ask(width, height int, fps float64)
}

// A Drawn is a Source that can say whether it shows what programs draw, such as a
// screen or a window: letters and edges, which some codecs have tools for.
type Drawn interface {
	Drawn() bool
}

// IsDrawn reports whether s is a Drawn and says so.
func IsDrawn(s Source) bool {
	d, ok := s.(Drawn)
	return ok && d.Drawn()
}

// NewImage returns a black picture.
func NewImage(w, h int) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = 16
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 128, 128
	}
	return m
}

// Copy copies src into dst, which is used if it has the same size and made anew
// if not, and returns it.
func Copy(dst, src *image.YCbCr) *image.YCbCr {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if dst == nil || dst.Rect != image.Rect(0, 0, w, h) {
		dst = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	copyPlane := func(d []byte, ds int, s []byte, ss, w, h int) {
		for y := range h {
			copy(d[y*ds:y*ds+w], s[y*ss:])
		}
	}
	y, c := src.YOffset(src.Rect.Min.X, src.Rect.Min.Y), src.COffset(src.Rect.Min.X, src.Rect.Min.Y)
	copyPlane(dst.Y, dst.YStride, src.Y[y:], src.YStride, w, h)
	copyPlane(dst.Cb, dst.CStride, src.Cb[c:], src.CStride, (w+1)/2, (h+1)/2)
	copyPlane(dst.Cr, dst.CStride, src.Cr[c:], src.CStride, (w+1)/2, (h+1)/2)
	return dst
}
