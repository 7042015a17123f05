package capture

import (
	"fmt"
	"image"

	"github.com/carillon-im/carillon/media/video"
)

// Codecs expect the levels of ITU-R BT.601: luma from 16 to 235, chroma from 16
// to 240. Cameras give that in YUYV, but the full range in MJPEG.

// fit returns m if it has the given size, and otherwise a new picture.
func fit(m *image.YCbCr, w, h int) *image.YCbCr {
	if m != nil && m.Rect == image.Rect(0, 0, w, h) {
		return m
	}
	return image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
}

// fromYUYV converts packed 4:2:2 with two bytes a pixel. The width must be even.
func fromYUYV(dst *image.YCbCr, src []byte, w, h int) (*image.YCbCr, error) {
	if w%2 != 0 || w < 2 || h < 1 || len(src) < 2*w*h {
		return nil, fmt.Errorf("%w: %d bytes for %dx%d in YUYV", ErrFormat, len(src), w, h)
	}
	dst = fit(dst, w, h)
	for y := 0; y < h; y++ {
		row := src[2*w*y : 2*w*(y+1)]
		luma := dst.Y[y*dst.YStride : y*dst.YStride+w]
		for x := range luma {
			luma[x] = row[2*x]
		}
		if y%2 != 0 {
			continue
		}
		// Chroma of two rows becomes one.
		next := row
		if y+1 < h {
			next = src[2*w*(y+1) : 2*w*(y+2)]
		}
		cb := dst.Cb[y/2*dst.CStride : y/2*dst.CStride+w/2]
		cr := dst.Cr[y/2*dst.CStride : y/2*dst.CStride+w/2]
		for x := range cb {
			cb[x] = byte((int(row[4*x+1]) + int(next[4*x+1]) + 1) / 2)
			cr[x] = byte((int(row[4*x+3]) + int(next[4*x+3]) + 1) / 2)
		}
	}
	return dst, nil
}

// toVideoLuma and toVideoChroma bring the full range to that of video.
var toVideoLuma, toVideoChroma = func() (luma, chroma [256]byte) {
	for v := range 256 {
		luma[v] = byte((v*219+127)/255 + 16)
		chroma[v] = byte(((v-128)*224 + 128*255 + 127) / 255)
	}
	return luma, chroma
}()

// fromJPEG brings a decoded JPEG of any subsampling to 4:2:0 in the range of
// video.
func fromJPEG(dst *image.YCbCr, m image.Image) (*image.YCbCr, error) {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	if err := video.CheckSize(w, h); err != nil {
		return nil, err
	}
	dst = fit(dst, w, h)
	switch m := m.(type) {
	case *image.Gray:
		for y := range h {
			row := m.Pix[y*m.Stride : y*m.Stride+w]
			for x, v := range row {
				dst.Y[y*dst.YStride+x] = toVideoLuma[v]
			}
		}
		for i := range dst.Cb {
			dst.Cb[i], dst.Cr[i] = 128, 128
		}
		return dst, nil
	case *image.YCbCr:
		return fromYCbCr(dst, m), nil
	}
	return nil, fmt.Errorf("%w: a JPEG in %T", ErrFormat, m)
}

func fromYCbCr(dst, m *image.YCbCr) *image.YCbCr {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	for y := range h {
		at := m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y)
		row := dst.Y[y*dst.YStride : y*dst.YStride+w]
		for x, v := range m.Y[at : at+w] {
			row[x] = toVideoLuma[v]
		}
	}
	// The chroma of the four pixels that share it, from whatever they have.
	cw, ch := (w+1)/2, (h+1)/2
	wide := m.SubsampleRatio == image.YCbCrSubsampleRatio444 || m.SubsampleRatio == image.YCbCrSubsampleRatio440
	for y := range ch {
		a := m.COffset(m.Rect.Min.X, m.Rect.Min.Y+2*y)
		b := m.COffset(m.Rect.Min.X, m.Rect.Min.Y+min(2*y+1, h-1))
		cb, cr := dst.Cb[y*dst.CStride:y*dst.CStride+cw], dst.Cr[y*dst.CStride:y*dst.CStride+cw]
		switch {
		case m.SubsampleRatio == image.YCbCrSubsampleRatio410 || m.SubsampleRatio == image.YCbCrSubsampleRatio411:
			for x := range cb {
				cb[x], cr[x] = toVideoChroma[m.Cb[a+x/2]], toVideoChroma[m.Cr[a+x/2]]
			}
		case wide:
			for x := range cb {
				k, l := 2*x, min(2*x+1, w-1)
				cb[x] = toVideoChroma[(int(m.Cb[a+k])+int(m.Cb[a+l])+int(m.Cb[b+k])+int(m.Cb[b+l])+2)/4]
				cr[x] = toVideoChroma[(int(m.Cr[a+k])+int(m.Cr[a+l])+int(m.Cr[b+k])+int(m.Cr[b+l])+2)/4]
			}
		default:
			for x := range cb {
				cb[x] = toVideoChroma[(int(m.Cb[a+x])+int(m.Cb[b+x])+1)/2]
				cr[x] = toVideoChroma[(int(m.Cr[a+x])+int(m.Cr[b+x])+1)/2]
			}
		}
	}
	return dst
}
