// Package thumb makes the small images that are sent with offers of files
// (XEP-0264), and decodes those of others within limits.
package thumb

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	_ "image/png" // read and shown
	"os"

	"golang.org/x/image/draw"

	"github.com/carillon-im/carillon/jingle/filetransfer"
)

const (
	// Side is the longer side of what is made, in pixels.
	Side = 192

	// Limits of the images of our user: what a phone takes is well below.
	maxFile   = 32 << 20 // bytes
	maxPixels = 48 << 20

	// maxSide bounds what others send before it is decoded.
	maxSide = 512
	quality = 70
)

// ErrTooLarge reports an image beyond the limits.
var ErrTooLarge = errors.New("the image is too large")

// Make returns a small JPEG of an image in a file, without what a camera wrote
// beside it. It is an error when the file is no image that can be read.
func Make(path string) (*filetransfer.Thumbnail, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, ErrTooLarge
	}
	head, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	if head.Width <= 0 || head.Height <= 0 || head.Width > maxPixels/head.Height {
		return nil, ErrTooLarge
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	whole, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	small := shrink(whole)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("make a small image: %w", err)
	}
	t := &filetransfer.Thumbnail{MediaType: "image/jpeg", Width: small.Rect.Dx(), Height: small.Rect.Dy(), Data: out.Bytes()}
	if !t.Usable() {
		return nil, ErrTooLarge
	}
	return t, nil
}

// shrink returns i within Side, on white where it is transparent.
func shrink(i image.Image) *image.RGBA {
	w, h := i.Bounds().Dx(), i.Bounds().Dy()
	if longer := max(w, h); longer > Side {
		w, h = max(1, w*Side/longer), max(1, h*Side/longer)
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(small, small.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(small, small.Rect, i, i.Bounds(), draw.Over, nil)
	return small
}

// Decode returns the image that a peer sent, PNG or JPEG. How large it would
// be is looked at before anything is made for it. XEP-0264#security
func Decode(data []byte) (image.Image, error) {
	if len(data) > filetransfer.MaxThumbnail {
		return nil, ErrTooLarge
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the small image: %w", err)
	}
	if head.Width > maxSide || head.Height > maxSide {
		return nil, ErrTooLarge
	}
	i, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the small image: %w", err)
	}
	return i, nil
}
