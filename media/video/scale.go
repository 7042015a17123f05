package video

import "image"

// Scale draws src as w by h pixels, into dst if that has this size. Pixels that
// become one are averaged where the size is halved, and otherwise the nearest
// two by two are.
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

func scalePlane(dst []byte, ds, dw, dh int, src []byte, ss, sw, sh int) {
	if sw == 2*dw && sh == 2*dh {
		for y := range dh {
			a, b := src[2*y*ss:2*y*ss+sw], src[(2*y+1)*ss:(2*y+1)*ss+sw]
			row := dst[y*ds : y*ds+dw]
			for x := range row {
				row[x] = byte((int(a[2*x]) + int(a[2*x+1]) + int(b[2*x]) + int(b[2*x+1]) + 2) >> 2)
			}
		}
		return
	}
	// In 16.16 fixed point, from middle to middle.
	stepX, stepY := sw<<16/dw, sh<<16/dh
	clamp := func(v, most int) int { return min(max(v, 0), most<<16) }
	for y := range dh {
		fy := clamp(y*stepY+stepY/2-1<<15, sh-1)
		y0 := fy >> 16
		y1 := min(y0+1, sh-1)
		a, b := src[y0*ss:y0*ss+sw], src[y1*ss:y1*ss+sw]
		wy := fy >> 8 & 255
		row := dst[y*ds : y*ds+dw]
		fx := stepX/2 - 1<<15
		for x := range row {
			p := clamp(fx, sw-1)
			fx += stepX
			x0 := p >> 16
			x1 := min(x0+1, sw-1)
			wx := p >> 8 & 255
			top := int(a[x0])*(256-wx) + int(a[x1])*wx
			low := int(b[x0])*(256-wx) + int(b[x1])*wx
			row[x] = byte((top*(256-wy) + low*wy + 1<<15) >> 16)
		}
	}
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

// rotatePlane fills dst, w by h, from src.
func rotatePlane(dst []byte, ds, w, h int, src []byte, ss int, degrees int) {
	// The place in src of the first pixel of a row, and how far the next is.
	var origin, stepX, stepY int
	switch degrees {
	case 90:
		origin, stepX, stepY = (w-1)*ss, -ss, 1
	case 180:
		origin, stepX, stepY = (h-1)*ss+w-1, -1, -ss
	case 270:
		origin, stepX, stepY = h-1, ss, -1
	}
	for y := range h {
		at := origin + y*stepY
		row := dst[y*ds : y*ds+w]
		for x := range row {
			row[x] = src[at]
			at += stepX
		}
	}
}
