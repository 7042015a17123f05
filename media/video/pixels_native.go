//go:build native && cgo

package video

/*
#cgo LDFLAGS: -lyuv
#include <libyuv/convert.h>
#include <libyuv/convert_argb.h>
#include <libyuv/rotate.h>
#include <libyuv/scale.h>
*/
import "C"

import (
	"image"
	"unsafe"
)

// libyuv names pixels by their order in a little-endian word: its ABGR is red,
// green, blue, alpha in memory.

func toRGBA(dst []byte, stride int, src *image.YCbCr) {
	y, cb, cr := planes(src)
	C.I420ToABGR(samples(y), C.int(src.YStride), samples(cb), C.int(src.CStride), samples(cr), C.int(src.CStride),
		samples(dst), C.int(stride), C.int(src.Rect.Dx()), C.int(src.Rect.Dy()))
}

func toBGRX(dst []byte, stride int, src *image.YCbCr) {
	y, cb, cr := planes(src)
	C.I420ToARGB(samples(y), C.int(src.YStride), samples(cb), C.int(src.CStride), samples(cr), C.int(src.CStride),
		samples(dst), C.int(stride), C.int(src.Rect.Dx()), C.int(src.Rect.Dy()))
}

func fromBGRX(dst *image.YCbCr, src []byte, stride int) {
	C.ARGBToI420(samples(src), C.int(stride), samples(dst.Y), C.int(dst.YStride), samples(dst.Cb), C.int(dst.CStride), samples(dst.Cr), C.int(dst.CStride),
		C.int(dst.Rect.Dx()), C.int(dst.Rect.Dy()))
}

func scalePlane(dst []byte, ds, dw, dh int, src []byte, ss, sw, sh int) {
	_, _ = dst[ds*(dh-1)+dw-1], src[ss*(sh-1)+sw-1] // C does not look
	C.ScalePlane(samples(src), C.int(ss), C.int(sw), C.int(sh), samples(dst), C.int(ds), C.int(dw), C.int(dh), C.kFilterBox)
}

// rotatePlane fills dst, w by h, from src.
func rotatePlane(dst []byte, ds, w, h int, src []byte, ss int, degrees int) {
	if degrees != 180 {
		w, h = h, w
	}
	_ = src[ss*(h-1)+w-1]
	C.RotatePlane(samples(src), C.int(ss), samples(dst), C.int(ds), C.int(w), C.int(h), C.enum_RotationMode(degrees))
}

func samples(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// planes returns the samples of a picture from its first on.
func planes(m *image.YCbCr) (y, cb, cr []byte) {
	c := m.COffset(m.Rect.Min.X, m.Rect.Min.Y)
	return m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Cb[c:], m.Cr[c:]
}
