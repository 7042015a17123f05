package video

import "image"

// Pictures have the levels of ITU-R BT.601: luma from 16 to 235, chroma from 16
// to 240, which is what codecs expect and what other clients send. Screens have
// pixels of four bytes in the full range.

// ToRGBA converts src to pixels in the order red, green, blue, opaque. dst has
// the size of src.
func ToRGBA(dst *image.RGBA, src *image.YCbCr) {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if w < 1 || h < 1 || dst.Rect.Dx() < w || dst.Rect.Dy() < h {
		return
	}
	toRGBA(dst.Pix, dst.Stride, src)
}

// ToBGRX converts src to pixels in the order blue, green, red, opaque, as
// screens of X11 have them. A row of dst has stride bytes. What does not fit
// into dst is not converted.
func ToBGRX(dst []byte, stride int, src *image.YCbCr) {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if w < 1 || h < 1 || stride < 4*w || len(dst) < stride*(h-1)+4*w {
		return
	}
	toBGRX(dst, stride, src)
}

// FromBGRX is the inverse of [ToBGRX], into dst if that has the size of w by h.
// src must be as long as its rows need.
func FromBGRX(dst *image.YCbCr, src []byte, stride, w, h int) *image.YCbCr {
	if dst == nil || dst.Rect != image.Rect(0, 0, w, h) {
		dst = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	if w < 1 || h < 1 || stride < 4*w || len(src) < stride*(h-1)+4*w {
		return dst
	}
	fromBGRX(dst, src, stride)
	return dst
}
