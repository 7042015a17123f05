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

// fromPacked converts 4:2:2 with two bytes a pixel, YUYV or with chroma first
// UYVY. The width must be even.
func fromPacked(dst *image.YCbCr, src []byte, w, h, stride int, chromaFirst bool) (*image.YCbCr, error) {
	if w%2 != 0 || w < 2 || h < 1 || stride < 2*w || int64(len(src)) < int64(stride)*int64(h-1)+2*int64(w) {
		return nil, fmt.Errorf("%w: %d bytes for %dx%d in 4:2:2", ErrFormat, len(src), w, h)
	}
	y0, cb0, cr0 := 0, 1, 3
	if chromaFirst {
		y0, cb0, cr0 = 1, 0, 2
	}
	dst = fit(dst, w, h)
	for y := 0; y < h; y++ {
		row := src[stride*y:][:2*w]
		luma := dst.Y[y*dst.YStride : y*dst.YStride+w]
		for x := range luma {
			luma[x] = row[2*x+y0]
		}
		if y%2 != 0 {
			continue
		}
		// Chroma of two rows becomes one.
		next := row
		if y+1 < h {
			next = src[stride*(y+1):][:2*w]
		}
		cb := dst.Cb[y/2*dst.CStride : y/2*dst.CStride+w/2]
		cr := dst.Cr[y/2*dst.CStride : y/2*dst.CStride+w/2]
		for x := range cb {
			cb[x] = byte((int(row[4*x+cb0]) + int(next[4*x+cb0]) + 1) / 2)
			cr[x] = byte((int(row[4*x+cr0]) + int(next[4*x+cr0]) + 1) / 2)
		}
	}
	return dst, nil
}

// fromPlanar converts 4:2:0, with chroma in two planes (YU12) or in turns in one
// (NV12), whose lines follow each other as those of luma do. Both sizes must be even.
func fromPlanar(dst *image.YCbCr, src []byte, w, h, stride int, inTurns bool) (*image.YCbCr, error) {
	cs := stride / 2 // of each chroma plane
	need := 3*int64(stride)*int64(h)/2 - int64(stride-w)/2
	if w%2 != 0 || h%2 != 0 || w < 2 || h < 2 || stride < w || stride%2 != 0 || int64(len(src)) < need {
		return nil, fmt.Errorf("%w: %d bytes for %dx%d in 4:2:0", ErrFormat, len(src), w, h)
	}
	dst = fit(dst, w, h)
	for y := range h {
		copy(dst.Y[y*dst.YStride:][:w], src[y*stride:])
	}
	chroma := src[stride*h:]
	for y := range h / 2 {
		cb, cr := dst.Cb[y*dst.CStride:][:w/2], dst.Cr[y*dst.CStride:][:w/2]
		if !inTurns {
			copy(cb, chroma[y*cs:])
			copy(cr, chroma[(h/2+y)*cs:])
			continue
		}
		row := chroma[y*stride:][:w]
		for x := range cb {
			cb[x], cr[x] = row[2*x], row[2*x+1]
		}
	}
	return dst, nil
}

// toVideo brings a picture of the full range to that of video, in place.
func toVideo(m *image.YCbCr) {
	for i, v := range m.Y {
		m.Y[i] = toVideoLuma[v]
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = toVideoChroma[m.Cb[i]], toVideoChroma[m.Cr[i]]
	}
}

// What the colour differences of ITU-R BT.709 add to luma and to each other in
// BT.601, from the weights of red, green and blue in both, in 65536ths.
const (
	lumaOfCb, lumaOfCr = 6508, 12563 // of 0.101579 and 0.196076, and chroma is 224 where luma is 219
	cbOfCb, cbOfCr     = 64871, -7252
	crOfCb, crOfCr     = -4748, 64448
)

// toBT601 brings a picture of ITU-R BT.709 in the range of video to BT.601, in
// place.
func toBT601(m *image.YCbCr) {
	const half = 1 << 15
	clamp := func(v int) byte { return byte(max(0, min(v, 255))) }
	w, h := m.Rect.Dx(), m.Rect.Dy()
	for y := range (h + 1) / 2 {
		cbs, crs := m.Cb[y*m.CStride:][:(w+1)/2], m.Cr[y*m.CStride:][:(w+1)/2]
		for x := range cbs {
			cb, cr := int(cbs[x])-128, int(crs[x])-128
			cbs[x] = clamp((cbOfCb*cb+cbOfCr*cr+half)>>16 + 128)
			crs[x] = clamp((crOfCb*cb+crOfCr*cr+half)>>16 + 128)
			more := (lumaOfCb*cb + lumaOfCr*cr + half) >> 16
			for v := 2 * y; v < min(2*y+2, h); v++ {
				row := m.Y[v*m.YStride:][:w]
				for u := 2 * x; u < min(2*x+2, w); u++ {
					row[u] = clamp(int(row[u]) + more)
				}
			}
		}
	}
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
