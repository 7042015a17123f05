//go:build !native || !cgo

package video

import "image"

func toRGBA(dst []byte, stride int, src *image.YCbCr) { fromVideo(dst, stride, src, 0, 2) }
func toBGRX(dst []byte, stride int, src *image.YCbCr) { fromVideo(dst, stride, src, 2, 0) }

// fromVideo writes red and blue where they are told to be.
func fromVideo(dst []byte, stride int, m *image.YCbCr, red, blue int) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	for y := range h {
		at := m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y)
		luma := m.Y[at : at+w]
		at = m.COffset(m.Rect.Min.X, m.Rect.Min.Y+y)
		cb, cr := m.Cb[at:at+(w+1)/2], m.Cr[at:at+(w+1)/2]
		row := dst[y*stride : y*stride+4*w]
		for x, v := range luma {
			l, u, v := 298*(int(v)-16)+128, int(cb[x/2])-128, int(cr[x/2])-128
			p := row[4*x : 4*x+4 : 4*x+4]
			p[red], p[1], p[blue], p[3] = clip(l+409*v), clip(l-100*u-208*v), clip(l+516*u), 0xff
		}
	}
}

// clip makes a byte of 8 bits with 8 more behind the point.
func clip(v int) byte { return byte(min(max(v>>8, 0), 255)) }

func fromBGRX(dst *image.YCbCr, src []byte, stride int) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	for y := range h {
		row := src[y*stride : y*stride+4*w]
		luma := dst.Y[y*dst.YStride : y*dst.YStride+w]
		for x := range luma {
			p := row[4*x : 4*x+4 : 4*x+4]
			luma[x] = byte((66*uint32(p[2])+129*uint32(p[1])+25*uint32(p[0])+128)>>8 + 16)
		}
	}
	for y := range (h + 1) / 2 {
		a := src[2*y*stride : 2*y*stride+4*w]
		b := a
		if 2*y+1 < h {
			b = src[(2*y+1)*stride : (2*y+1)*stride+4*w]
		}
		cb := dst.Cb[y*dst.CStride : y*dst.CStride+(w+1)/2]
		cr := dst.Cr[y*dst.CStride : y*dst.CStride+(w+1)/2]
		for x := range cb {
			k := 8 * x
			l := k + 4
			if l >= 4*w {
				l = k
			}
			blue := int(a[k]) + int(a[l]) + int(b[k]) + int(b[l])
			green := int(a[k+1]) + int(a[l+1]) + int(b[k+1]) + int(b[l+1])
			red := int(a[k+2]) + int(a[l+2]) + int(b[k+2]) + int(b[l+2])
			cb[x] = byte((-38*red-74*green+112*blue+512)>>10 + 128)
			cr[x] = byte((112*red-94*green-18*blue+512)>>10 + 128)
		}
	}
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
