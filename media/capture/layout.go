package capture

import (
	"fmt"
	"image"

	"github.com/carillon-im/carillon/media/video"
)

// A fourCC names a pixel format of V4L2 by four letters.
type fourCC uint32

func fourLetters(s string) fourCC {
	return fourCC(s[0]) | fourCC(s[1])<<8 | fourCC(s[2])<<16 | fourCC(s[3])<<24
}

func (f fourCC) String() string {
	return string([]byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)})
}

// The formats that are known.
var (
	yuyv  = fourLetters("YUYV") // 4:2:2, two pixels in four bytes
	uyvy  = fourLetters("UYVY") // the same, chroma first
	nv12  = fourLetters("NV12") // 4:2:0, luma and then both chroma in turns
	yu12  = fourLetters("YU12") // 4:2:0, three planes
	mjpeg = fourLetters("MJPG")
	jpg   = fourLetters("JPEG")
)

// coded says that pictures have to be decoded.
func coded(f fourCC) bool { return f == mjpeg || f == jpg }

// A layout is how pictures lie in memory, and what their values mean.
type layout struct {
	format fourCC
	w, h   int
	stride int  // bytes from one line of the first plane to the next
	full   bool // luma and chroma from 0 to 255, instead of the range of video
	rec709 bool // ITU-R BT.709 instead of 601
}

// check says whether pictures can lie so.
func (l layout) check() error {
	if coded(l.format) {
		return nil // the picture says how large it is
	}
	if l.w%2 != 0 || (l.format == nv12 || l.format == yu12) && l.h%2 != 0 {
		return fmt.Errorf("%dx%d is odd", l.w, l.h)
	}
	return video.CheckSize(l.w, l.h)
}

// convert reads a picture that lies so.
func (l layout) convert(dst *image.YCbCr, src []byte) (m *image.YCbCr, err error) {
	switch l.format {
	case yuyv, uyvy:
		m, err = fromPacked(dst, src, l.w, l.h, l.stride, l.format == uyvy)
	case nv12, yu12:
		m, err = fromPlanar(dst, src, l.w, l.h, l.stride, l.format == nv12)
	default:
		return fromMJPEG(dst, src) // which says itself what its values mean
	}
	if err != nil {
		return nil, err
	}
	if l.full {
		toVideo(m)
	}
	if l.rec709 {
		toBT601(m)
	}
	return m, nil
}
