//go:build native && cgo

package video

/*
#cgo pkg-config: vpx
#include <stdlib.h>
#include <string.h>
#include <vpx/vpx_encoder.h>
#include <vpx/vp8cx.h>
#include <vpx/vpx_decoder.h>
#include <vpx/vp8dx.h>

typedef struct {
	vpx_codec_ctx_t ctx;
	vpx_codec_enc_cfg_t cfg;
	vpx_image_t img;
} encoder;

// Times are in microseconds.
static encoder *encoder_new(int vp9, int w, int h, int kbps, int duration) {
	encoder *e = calloc(1, sizeof *e);
	if (!e) return NULL;
	vpx_codec_iface_t *iface = vp9 ? vpx_codec_vp9_cx() : vpx_codec_vp8_cx();
	vpx_codec_enc_cfg_t *c = &e->cfg;
	if (vpx_codec_enc_config_default(iface, c, 0)) { free(e); return NULL; }
	c->g_w = w;
	c->g_h = h;
	c->g_timebase.num = 1;
	c->g_timebase.den = 1000000;
	c->g_threads = 1; // more of them spin, which costs more than they do
	c->g_lag_in_frames = 0;
	c->g_error_resilient = VPX_ERROR_RESILIENT_DEFAULT;
	c->rc_end_usage = VPX_CBR;
	c->rc_target_bitrate = kbps;
	c->rc_min_quantizer = 2;
	c->rc_max_quantizer = 56;
	c->rc_undershoot_pct = 100;
	c->rc_overshoot_pct = 15;
	c->rc_buf_initial_sz = 500;
	c->rc_buf_optimal_sz = 600;
	c->rc_buf_sz = 1000;
	c->rc_dropframe_thresh = 30;
	c->kf_mode = VPX_KF_AUTO;
	c->kf_max_dist = 100000; // the peer asks when it needs one
	if (vpx_codec_enc_init(&e->ctx, iface, c, 0)) { free(e); return NULL; }
	vpx_codec_control(&e->ctx, VP8E_SET_CPUUSED, vp9 ? 8 : -8);
	vpx_codec_control(&e->ctx, VP8E_SET_STATIC_THRESHOLD, 1);
	vpx_codec_control(&e->ctx, VP8E_SET_MAX_INTRA_BITRATE_PCT, 300);
	if (vp9) vpx_codec_control(&e->ctx, VP9E_SET_AQ_MODE, 3);
	vpx_img_wrap(&e->img, VPX_IMG_FMT_I420, w, h, 1, (unsigned char *)1);
	return e;
}

static int encoder_set(encoder *e, int kbps) {
	e->cfg.rc_target_bitrate = kbps;
	return vpx_codec_enc_config_set(&e->ctx, &e->cfg);
}

static int encoder_encode(encoder *e, unsigned char *y, unsigned char *u, unsigned char *v, int ys, int cs,
		long long pts, unsigned long duration, int key, void **data, size_t *size, int *is_key) {
	e->img.planes[0] = y;
	e->img.planes[1] = u;
	e->img.planes[2] = v;
	e->img.stride[0] = ys;
	e->img.stride[1] = e->img.stride[2] = cs;
	int code = vpx_codec_encode(&e->ctx, &e->img, pts, duration, key ? VPX_EFLAG_FORCE_KF : 0, VPX_DL_REALTIME);
	e->img.planes[0] = e->img.planes[1] = e->img.planes[2] = NULL; // Go's memory is not kept
	*size = 0;
	if (code) return code;
	vpx_codec_iter_t it = NULL;
	const vpx_codec_cx_pkt_t *p;
	while ((p = vpx_codec_get_cx_data(&e->ctx, &it))) {
		if (p->kind == VPX_CODEC_CX_FRAME_PKT) {
			*data = p->data.frame.buf;
			*size = p->data.frame.sz;
			*is_key = !!(p->data.frame.flags & VPX_FRAME_IS_KEY);
			break;
		}
	}
	return 0;
}

static void encoder_free(encoder *e) {
	vpx_codec_destroy(&e->ctx);
	free(e);
}

static vpx_codec_ctx_t *decoder_new(int vp9) {
	vpx_codec_ctx_t *c = calloc(1, sizeof *c);
	if (!c) return NULL;
	vpx_codec_dec_cfg_t cfg = { 1, 0, 0 };
	if (vpx_codec_dec_init(c, vp9 ? vpx_codec_vp9_dx() : vpx_codec_vp8_dx(), &cfg, 0)) { free(c); return NULL; }
	return c;
}

static int decoder_decode(vpx_codec_ctx_t *c, const unsigned char *data, unsigned size, vpx_image_t **img) {
	int code = vpx_codec_decode(c, data, size, NULL, 0), corrupted = 0;
	vpx_codec_iter_t it = NULL;
	*img = vpx_codec_get_frame(c, &it);
	if (code) return code;
	if (!vpx_codec_control(c, VP8D_GET_FRAME_CORRUPTED, &corrupted) && corrupted) return VPX_CODEC_CORRUPT_FRAME;
	return 0;
}

static void decoder_free(vpx_codec_ctx_t *c) {
	vpx_codec_destroy(c);
	free(c);
}

static const char *error_string(int code) { return vpx_codec_err_to_string(code); }
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

func libVPX() string { return "libvpx " + C.GoString(C.vpx_codec_version_str()) }

type vpxKind C.int

const (
	vp8 vpxKind = 0
	vp9 vpxKind = 1
)

// minKbps is the least that libvpx is asked for.
const minKbps = 20

func vpxError(what string, code C.int) error {
	return fmt.Errorf("libvpx: %s: %s", what, C.GoString(C.error_string(code)))
}

type vpxEncoder struct {
	e *C.encoder
	pictureSize
	duration time.Duration // of a picture
	last     int64         // time of the picture before, in microseconds
}

func newVPXEncoder(k vpxKind, o EncoderOptions) (*vpxEncoder, error) {
	if err := CheckSize(o.Width, o.Height); err != nil {
		return nil, err
	}
	e := &vpxEncoder{pictureSize: pictureSize{o.Width, o.Height}, duration: pictureTime(o.FPS), last: -1}
	e.e = C.encoder_new(C.int(k), C.int(o.Width), C.int(o.Height), kbps(o.Bitrate), C.int(e.duration.Microseconds()))
	if e.e == nil {
		return nil, errors.New("libvpx: make encoder")
	}
	return e, nil
}

func kbps(bps int) C.int { return C.int(max(bps/1000, minKbps)) }

func pictureTime(fps float64) time.Duration {
	if !(fps > 0) {
		fps = defaultFPS
	}
	return time.Duration(float64(time.Second) / min(max(fps, 0.1), maxFPS))
}

func (e *vpxEncoder) Encode(dst []byte, m *image.YCbCr, at time.Duration, key bool) ([]byte, bool, error) {
	if err := e.accept(m, e.e != nil); err != nil {
		return dst, false, err
	}
	pts := max(at.Microseconds(), e.last+1)
	e.last = pts
	y, cb, cr := planes(m)
	var data unsafe.Pointer
	var size C.size_t
	var isKey, force C.int
	if key {
		force = 1
	}
	code := C.encoder_encode(e.e, (*C.uchar)(&y[0]), (*C.uchar)(&cb[0]), (*C.uchar)(&cr[0]),
		C.int(m.YStride), C.int(m.CStride), C.longlong(pts), C.ulong(e.duration.Microseconds()), force, &data, &size, &isKey)
	runtime.KeepAlive(m)
	if code != 0 {
		return dst, false, vpxError("encode", code)
	}
	if size == 0 {
		return dst, false, nil
	}
	return append(dst, unsafe.Slice((*byte)(data), int(size))...), isKey != 0, nil
}

func (e *vpxEncoder) SetBitrate(bps int, fps float64) error {
	if e.e == nil {
		return errors.New("libvpx: the encoder is closed")
	}
	e.duration = pictureTime(fps)
	if code := C.encoder_set(e.e, kbps(bps)); code != 0 {
		return vpxError("set bit rate", code)
	}
	return nil
}

func (e *vpxEncoder) Close() error {
	if e.e != nil {
		C.encoder_free(e.e)
		e.e = nil
	}
	return nil
}

type vpxDecoder struct {
	c     *C.vpx_codec_ctx_t
	kind  vpxKind
	image *image.YCbCr
	piece []byte
}

func newVPXDecoder(k vpxKind) (*vpxDecoder, error) {
	d := &vpxDecoder{c: C.decoder_new(C.int(k)), kind: k}
	if d.c == nil {
		return nil, errors.New("libvpx: make decoder")
	}
	return d, nil
}

func (d *vpxDecoder) Decode(data []byte) (*image.YCbCr, error) {
	if d.c == nil || len(data) == 0 {
		return nil, fmt.Errorf("libvpx: decode: %w", ErrBitstream)
	}
	if d.kind == vp8 {
		if err := checkVP8(data); err != nil {
			return nil, err
		}
		return d.decode(data)
	}
	var shown *image.YCbCr
	for frame := range vp9Frames(data) {
		if err := checkVP9(frame); err != nil {
			return nil, err
		}
		// libvpx takes what follows a frame for another one, unless an index
		// says that there is none.
		d.piece = appendVP9Index(append(d.piece[:0], frame...), len(frame))
		m, err := d.decode(d.piece)
		if err != nil {
			return nil, err
		}
		if m != nil {
			shown = m
		}
	}
	return shown, nil
}

func (d *vpxDecoder) decode(data []byte) (*image.YCbCr, error) {
	var img *C.vpx_image_t
	code := C.decoder_decode(d.c, (*C.uchar)(&data[0]), C.uint(len(data)), &img)
	if code != 0 {
		return nil, vpxError("decode", code)
	}
	if img == nil {
		return nil, nil
	}
	w, h := int(img.d_w), int(img.d_h)
	if img.fmt != C.VPX_IMG_FMT_I420 || img.bit_depth > 8 {
		return nil, fmt.Errorf("libvpx: decode: %w: not 4:2:0 of 8 bit", ErrBitstream)
	}
	m, err := pictureFromC(d.image, w, h, [3]unsafe.Pointer{unsafe.Pointer(img.planes[0]), unsafe.Pointer(img.planes[1]), unsafe.Pointer(img.planes[2])}, int(img.stride[0]), int(img.stride[1]))
	if err != nil {
		return nil, err
	}
	d.image = m
	return m, nil
}

func (d *vpxDecoder) Close() error {
	if d.c != nil {
		C.decoder_free(d.c)
		d.c = nil
	}
	return nil
}
