package video

import "image"

// Scale draws src as w by h pixels, into dst if that has this size. Pixels that
// become one are averaged; without libyuv that is so where the size is halved, and
// otherwise the nearest two by two are.
func Scale(dst, src *image.YCbCr, w, h int) *image.YCbCr {
	if dst == nil || dst.Rect != image.Rect(0, 0, w, h) {
		dst = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	sw, sh := src.Rect.Dx(), src.Rect.Dy()
	if sw == w && sh == h {
		return Copy(dst, src)
	}
	y, c := src.YOffset(src.Rect.Min.X, src.Rect.Min.Y), src.COffset(src.Rect.Min.X, src.Rect.Min.Y)
	half := func(n int) int { return (n + 1) / 2 }
	scalePlane(dst.Y, dst.YStride, w, h, src.Y[y:], src.YStride, sw, sh)
	scalePlane(dst.Cb, dst.CStride, half(w), half(h), src.Cb[c:], src.CStride, half(sw), half(sh))
	scalePlane(dst.Cr, dst.CStride, half(w), half(h), src.Cr[c:], src.CStride, half(sw), half(sh))
	return dst
}

// Rotate turns src clockwise by 0, 90, 180 or 270 degrees, into dst if that has
// the right size.
func Rotate(dst, src *image.YCbCr, degrees int) *image.YCbCr {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	if degrees == 90 || degrees == 270 {
		w, h = h, w
	}
	if dst == nil || dst.Rect != image.Rect(0, 0, w, h) {
		dst = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	if degrees == 0 {
		return Copy(dst, src)
	}
	y, c := src.YOffset(src.Rect.Min.X, src.Rect.Min.Y), src.COffset(src.Rect.Min.X, src.Rect.Min.Y)
	half := func(n int) int { return (n + 1) / 2 }
	rotatePlane(dst.Y, dst.YStride, w, h, src.Y[y:], src.YStride, degrees)
	rotatePlane(dst.Cb, dst.CStride, half(w), half(h), src.Cb[c:], src.CStride, degrees)
	rotatePlane(dst.Cr, dst.CStride, half(w), half(h), src.Cr[c:], src.CStride, degrees)
	return dst
}
