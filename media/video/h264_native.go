//go:build native && cgo

package video

/*
#cgo pkg-config: openh264
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <wels/codec_api.h>

static int h264_encoder_set(ISVCEncoder *e, int bps, float fps) {
	SBitrateInfo rate = { SPATIAL_LAYER_ALL, bps };
	int code = (*e)->SetOption(e, ENCODER_OPTION_FRAME_RATE, &fps);
	return code ? code : (*e)->SetOption(e, ENCODER_OPTION_BITRATE, &rate);
}

static ISVCEncoder *h264_encoder_new(int w, int h, int bps, float fps) {
	ISVCEncoder *e = NULL;
	SEncParamExt p;
	int format = videoFormatI420, trace = WELS_LOG_QUIET;
	if (WelsCreateSVCEncoder(&e) || !e) return NULL;
	(*e)->SetOption(e, ENCODER_OPTION_TRACE_LEVEL, &trace);
	memset(&p, 0, sizeof p);
	if ((*e)->GetDefaultParams(e, &p)) goto fail;
	p.iUsageType = CAMERA_VIDEO_REAL_TIME;
	p.iPicWidth = w;
	p.iPicHeight = h;
	p.iTargetBitrate = bps;
	p.iMaxBitrate = UNSPECIFIED_BIT_RATE;
	p.iRCMode = RC_BITRATE_MODE;
	p.fMaxFrameRate = fps;
	p.iComplexityMode = LOW_COMPLEXITY;
	p.uiIntraPeriod = 0; // the peer asks when it needs one
	p.iNumRefFrame = 1;
	p.eSpsPpsIdStrategy = CONSTANT_ID;
	p.iEntropyCodingModeFlag = 0;
	p.bEnableFrameSkip = true;
	p.iMultipleThreadIdc = 1;
	p.bEnableSceneChangeDetect = false;
	p.bEnableDenoise = false;
	p.iTemporalLayerNum = p.iSpatialLayerNum = 1;
	SSpatialLayerConfig *l = &p.sSpatialLayers[0];
	l->iVideoWidth = w;
	l->iVideoHeight = h;
	l->fFrameRate = fps;
	l->iSpatialBitrate = bps;
	l->iMaxSpatialBitrate = UNSPECIFIED_BIT_RATE;
	l->uiProfileIdc = PRO_BASELINE;
	l->uiLevelIdc = LEVEL_UNKNOWN;
	l->sSliceArgument.uiSliceMode = SM_SINGLE_SLICE;
	if ((*e)->InitializeExt(e, &p)) goto fail;
	(*e)->SetOption(e, ENCODER_OPTION_DATAFORMAT, &format);
	return e;
fail:
	WelsDestroySVCEncoder(e);
	return NULL;
}

// The result stays the encoder's until the next call: layers lie one behind the
// other only by chance, so each is told alone.
static int h264_encode(ISVCEncoder *e, int w, int h, unsigned char *y, unsigned char *u, unsigned char *v,
		int ys, int cs, long long ms, int key, SFrameBSInfo *out) {
	SSourcePicture pic;
	memset(&pic, 0, sizeof pic);
	memset(out, 0, sizeof *out);
	pic.iColorFormat = videoFormatI420;
	pic.iPicWidth = w;
	pic.iPicHeight = h;
	pic.iStride[0] = ys;
	pic.iStride[1] = pic.iStride[2] = cs;
	pic.pData[0] = y;
	pic.pData[1] = u;
	pic.pData[2] = v;
	pic.uiTimeStamp = ms;
	if (key) (*e)->ForceIntraFrame(e, true);
	return (*e)->EncodeFrame(e, &pic, out);
}

static int h264_layer(SFrameBSInfo *f, int i, unsigned char **data) {
	int n = 0;
	for (int k = 0; k < f->sLayerInfo[i].iNalCount; k++) n += f->sLayerInfo[i].pNalLengthInByte[k];
	*data = f->sLayerInfo[i].pBsBuf;
	return n;
}

static void h264_encoder_free(ISVCEncoder *e) {
	(*e)->Uninitialize(e);
	WelsDestroySVCEncoder(e);
}

static ISVCDecoder *h264_decoder_new(void) {
	ISVCDecoder *d = NULL;
	SDecodingParam p;
	int trace = WELS_LOG_QUIET;
	if (WelsCreateDecoder(&d) || !d) return NULL;
	(*d)->SetOption(d, DECODER_OPTION_TRACE_LEVEL, &trace);
	memset(&p, 0, sizeof p);
	p.uiTargetDqLayer = UCHAR_MAX;
	p.eEcActiveIdc = ERROR_CON_DISABLE; // a key frame is asked for instead
	p.sVideoProperty.size = sizeof p.sVideoProperty;
	p.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
	if ((*d)->Initialize(d, &p)) {
		WelsDestroyDecoder(d);
		return NULL;
	}
	return d;
}

typedef struct { int ready, format, w, h, ys, cs; unsigned char *y, *u, *v; } h264_picture;

static int h264_decode(ISVCDecoder *d, const unsigned char *data, int size, h264_picture *out) {
	unsigned char *planes[3] = { NULL, NULL, NULL };
	SBufferInfo info;
	memset(&info, 0, sizeof info);
	memset(out, 0, sizeof *out);
	int code = (*d)->DecodeFrameNoDelay(d, data, size, planes, &info);
	if (info.iBufferStatus != 1) return code;
	SSysMEMBuffer *b = &info.UsrData.sSystemBuffer;
	out->ready = planes[0] && planes[1] && planes[2];
	out->format = b->iFormat;
	out->w = b->iWidth;
	out->h = b->iHeight;
	out->ys = b->iStride[0];
	out->cs = b->iStride[1];
	out->y = planes[0];
	out->u = planes[1];
	out->v = planes[2];
	return code;
}

static void h264_decoder_free(ISVCDecoder *d) {
	(*d)->Uninitialize(d);
	WelsDestroyDecoder(d);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"runtime"
	"time"
	"unsafe"
)

// leastH264 is the least side that OpenH264 codes.
const leastH264 = 16

// openH264 names the library that is linked.
func openH264() string {
	var v C.OpenH264Version
	C.WelsGetCodecVersionEx(&v)
	return fmt.Sprintf("openh264 v%d.%d.%d", v.uMajor, v.uMinor, v.uRevision)
}

func h264Code(what string, code C.int) error {
	return fmt.Errorf("openh264: %s: code %#x", what, int(code))
}

// An h264Encoder codes pictures of even width and height: of an odd one the last
// column or row is left out, since 4:2:0 in H.264 has no other.
type h264Encoder struct {
	e           *C.ISVCEncoder
	pictureSize // of what is given
	out         C.SFrameBSInfo
	last        int64 // time of the picture before, in milliseconds
}

func newH264Encoder(o EncoderOptions) (*h264Encoder, error) {
	if err := CheckSize(o.Width, o.Height); err != nil {
		return nil, err
	}
	if min(o.Width, o.Height) < leastH264 {
		return nil, fmt.Errorf("openh264: %w: %dx%d is less than %d", ErrFrame, o.Width, o.Height, leastH264)
	}
	e := &h264Encoder{pictureSize: pictureSize{o.Width, o.Height}, last: -1}
	e.e = C.h264_encoder_new(C.int(e.w&^1), C.int(e.h&^1), h264Rate(o.Bitrate), h264FPS(o.FPS))
	if e.e == nil {
		return nil, errors.New("openh264: make encoder")
	}
	return e, nil
}

func h264Rate(bps int) C.int { return kbps(bps) * 1000 }

func h264FPS(fps float64) C.float { return C.float(float64(time.Second) / float64(pictureTime(fps))) }

func (e *h264Encoder) Encode(dst []byte, m *image.YCbCr, at time.Duration, key bool) ([]byte, bool, error) {
	if err := e.accept(m, e.e != nil); err != nil {
		return dst, false, err
	}
	e.last = max(at.Milliseconds(), e.last+1)
	y, cb, cr := planes(m)
	var force C.int
	if key {
		force = 1
	}
	code := C.h264_encode(e.e, C.int(e.w&^1), C.int(e.h&^1), (*C.uchar)(&y[0]), (*C.uchar)(&cb[0]), (*C.uchar)(&cr[0]),
		C.int(m.YStride), C.int(m.CStride), C.longlong(e.last), force, &e.out)
	runtime.KeepAlive(m)
	if code != 0 {
		return dst, false, h264Code("encode", code)
	}
	if e.out.eFrameType == C.videoFrameTypeSkip || e.out.eFrameType == C.videoFrameTypeInvalid {
		return dst, false, nil
	}
	for i := range e.out.iLayerNum {
		var data *C.uchar
		n := C.h264_layer(&e.out, i, &data)
		dst = append(dst, unsafe.Slice((*byte)(data), int(n))...)
	}
	return dst, e.out.eFrameType == C.videoFrameTypeIDR, nil
}

func (e *h264Encoder) SetBitrate(bps int, fps float64) error {
	if e.e == nil {
		return errors.New("openh264: the encoder is closed")
	}
	if code := C.h264_encoder_set(e.e, h264Rate(bps), h264FPS(fps)); code != 0 {
		return h264Code("set bit rate", code)
	}
	return nil
}

func (e *h264Encoder) Close() error {
	if e.e != nil {
		C.h264_encoder_free(e.e)
		e.e = nil
	}
	return nil
}

type h264Decoder struct {
	d      *C.ISVCDecoder
	filter h264Filter
	image  *image.YCbCr
}

func newH264Decoder() (*h264Decoder, error) {
	d := &h264Decoder{d: C.h264_decoder_new()}
	if d.d == nil {
		return nil, errors.New("openh264: make decoder")
	}
	return d, nil
}

func (d *h264Decoder) Decode(data []byte) (*image.YCbCr, error) {
	if d.d == nil {
		return nil, fmt.Errorf("openh264: decode: %w", ErrBitstream)
	}
	units, renew, err := d.filter.take(data)
	if err != nil {
		return nil, err
	}
	if renew {
		C.h264_decoder_free(d.d)
		if d.d = C.h264_decoder_new(); d.d == nil {
			return nil, errors.New("openh264: make decoder")
		}
	}
	if len(units) == 0 {
		return nil, nil
	}
	var p C.h264_picture
	if code := C.h264_decode(d.d, (*C.uchar)(&units[0]), C.int(len(units)), &p); code != 0 {
		return nil, h264Code("decode", code)
	}
	if p.ready == 0 {
		return nil, nil
	}
	w, h := int(p.w), int(p.h)
	if p.format != C.videoFormatI420 {
		return nil, fmt.Errorf("openh264: decode: %w: not 4:2:0", ErrBitstream)
	}
	m, err := pictureFromC(d.image, w, h, [3]unsafe.Pointer{unsafe.Pointer(p.y), unsafe.Pointer(p.u), unsafe.Pointer(p.v)}, int(p.ys), int(p.cs))
	if err != nil {
		return nil, err
	}
	d.image = m
	return m, nil
}

func (d *h264Decoder) Close() error {
	if d.d != nil {
		C.h264_decoder_free(d.d)
		d.d = nil
	}
	return nil
}
