//go:build native && cgo

package video

/*
#cgo pkg-config: aom dav1d
#include <stdlib.h>
#include <string.h>
#include <aom/aom_encoder.h>
#include <aom/aomcx.h>
#include <dav1d/dav1d.h>

typedef struct {
	aom_codec_ctx_t ctx;
	aom_codec_enc_cfg_t cfg;
	aom_image_t img;
} av1_encoder;

// What costs more time than it saves bits at the speed of a call, and is off.
static const int av1_off[] = {
	AV1E_SET_ENABLE_ORDER_HINT, AV1E_SET_ENABLE_OBMC, AV1E_SET_ENABLE_GLOBAL_MOTION, AV1E_SET_ENABLE_WARPED_MOTION,
	AV1E_SET_ENABLE_REF_FRAME_MVS, AV1E_SET_ENABLE_CFL_INTRA, AV1E_SET_ENABLE_SMOOTH_INTRA, AV1E_SET_ENABLE_ANGLE_DELTA,
	AV1E_SET_ENABLE_FILTER_INTRA, AV1E_SET_ENABLE_PAETH_INTRA, AV1E_SET_ENABLE_DIST_WTD_COMP, AV1E_SET_ENABLE_DIFF_WTD_COMP,
	AV1E_SET_ENABLE_MASKED_COMP, AV1E_SET_ENABLE_INTERINTRA_COMP, AV1E_SET_ENABLE_DUAL_FILTER, AV1E_SET_ENABLE_RESTORATION,
	AV1E_SET_ENABLE_TX64, AV1E_SET_ENABLE_QM, AV1E_SET_ENABLE_TPL_MODEL, AV1E_SET_DELTAQ_MODE,
};

// Times are in microseconds.
static av1_encoder *av1_encoder_new(int w, int h, int kbps, int drawn) {
	av1_encoder *e = calloc(1, sizeof *e);
	if (!e) return NULL;
	aom_codec_iface_t *iface = aom_codec_av1_cx();
	aom_codec_enc_cfg_t *c = &e->cfg;
	if (aom_codec_enc_config_default(iface, c, AOM_USAGE_REALTIME)) goto fail;
	c->g_w = w;
	c->g_h = h;
	c->g_timebase.num = 1;
	c->g_timebase.den = 1000000;
	c->g_threads = 1;
	c->g_lag_in_frames = 0;
	c->g_error_resilient = 0; // a picture is decoded when those before it are whole
	c->g_pass = AOM_RC_ONE_PASS;
	c->rc_end_usage = AOM_CBR;
	c->rc_target_bitrate = kbps;
	c->rc_min_quantizer = 10;
	c->rc_max_quantizer = 56;
	c->rc_undershoot_pct = 50;
	c->rc_overshoot_pct = 50;
	c->rc_buf_initial_sz = 500;
	c->rc_buf_optimal_sz = 600;
	c->rc_buf_sz = 1000;
	c->rc_dropframe_thresh = 30;
	c->kf_mode = AOM_KF_DISABLED; // the peer asks when it needs one
	if (aom_codec_enc_init(&e->ctx, iface, c, 0)) goto fail;
	int bad = 0;
	bad |= aom_codec_control(&e->ctx, AOME_SET_CPUUSED, 10);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_AQ_MODE, 3);
	bad |= aom_codec_control(&e->ctx, AOME_SET_MAX_INTRA_BITRATE_PCT, 300);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_CDF_UPDATE_MODE, 1);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_COEFF_COST_UPD_FREQ, 3);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_MODE_COST_UPD_FREQ, 3);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_MV_COST_UPD_FREQ, 3);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_INTRA_DEFAULT_TX_ONLY, 1);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_DISABLE_TRELLIS_QUANT, 1);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_MAX_REFERENCE_FRAMES, 3);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_ENABLE_PALETTE, drawn);
	bad |= aom_codec_control(&e->ctx, AV1E_SET_TUNE_CONTENT, drawn ? AOM_CONTENT_SCREEN : AOM_CONTENT_DEFAULT);
	for (size_t i = 0; i < sizeof av1_off / sizeof *av1_off; i++) bad |= aom_codec_control(&e->ctx, av1_off[i], 0);
	if (bad) {
		aom_codec_destroy(&e->ctx);
		goto fail;
	}
	aom_img_wrap(&e->img, AOM_IMG_FMT_I420, w, h, 1, (unsigned char *)1);
	return e;
fail:
	free(e);
	return NULL;
}

static int av1_encoder_set(av1_encoder *e, int kbps) {
	e->cfg.rc_target_bitrate = kbps;
	return aom_codec_enc_config_set(&e->ctx, &e->cfg);
}

static int av1_encode(av1_encoder *e, unsigned char *y, unsigned char *u, unsigned char *v, int ys, int cs,
		long long pts, unsigned long duration, int key, void **data, size_t *size, int *is_key) {
	e->img.planes[0] = y;
	e->img.planes[1] = u;
	e->img.planes[2] = v;
	e->img.stride[0] = ys;
	e->img.stride[1] = e->img.stride[2] = cs;
	int code = aom_codec_encode(&e->ctx, &e->img, pts, duration, key ? AOM_EFLAG_FORCE_KF : 0);
	e->img.planes[0] = e->img.planes[1] = e->img.planes[2] = NULL; // Go's memory is not kept
	*size = 0;
	if (code) return code;
	aom_codec_iter_t it = NULL;
	const aom_codec_cx_pkt_t *p;
	while ((p = aom_codec_get_cx_data(&e->ctx, &it))) {
		if (p->kind == AOM_CODEC_CX_FRAME_PKT) {
			*data = p->data.frame.buf;
			*size = p->data.frame.sz;
			*is_key = !!(p->data.frame.flags & AOM_FRAME_IS_KEY);
			break;
		}
	}
	return 0;
}

static void av1_encoder_free(av1_encoder *e) {
	aom_codec_destroy(&e->ctx);
	free(e);
}

static const char *av1_error_string(int code) { return aom_codec_err_to_string(code); }

// A picture of a decoder's is only as large as is carried, and of 4:2:0 with 8
// bit: all other is refused before there is memory for it.
static int av1_picture_new(Dav1dPicture *p, void *cookie) {
	const long *most = cookie; // a side, and all pixels
	if (p->p.layout != DAV1D_PIXEL_LAYOUT_I420 || p->p.bpc != 8 || p->p.w < 1 || p->p.h < 1 ||
			p->p.w > most[0] || p->p.h > most[0] || (long)p->p.w * p->p.h > most[1])
		return DAV1D_ERR(ERANGE);
	size_t w = (p->p.w + 127) & ~127, h = (p->p.h + 127) & ~127; // as dav1d wants it
	size_t ys = w, cs = w / 2;
	// Rows that begin at the same place of a page would share the cache.
	if (!(ys & 1023)) ys += DAV1D_PICTURE_ALIGNMENT;
	if (!(cs & 1023)) cs += DAV1D_PICTURE_ALIGNMENT;
	size_t y = ys * h, c = cs * (h / 2);
	void *b = NULL;
	if (posix_memalign(&b, DAV1D_PICTURE_ALIGNMENT, y + 2 * c + DAV1D_PICTURE_ALIGNMENT)) return DAV1D_ERR(ENOMEM);
	p->stride[0] = ys;
	p->stride[1] = cs;
	p->data[0] = b;
	p->data[1] = (char *)b + y;
	p->data[2] = (char *)b + y + c;
	p->allocator_data = b;
	return 0;
}

static void av1_picture_free(Dav1dPicture *p, void *cookie) { free(p->allocator_data); }

static Dav1dContext *av1_decoder_new(const long *most) {
	Dav1dContext *d = NULL;
	Dav1dSettings s;
	dav1d_default_settings(&s);
	s.n_threads = 1;
	s.max_frame_delay = 1;
	s.all_layers = 0;
	s.frame_size_limit = most[1];
	s.allocator.cookie = (void *)most;
	s.allocator.alloc_picture_callback = av1_picture_new;
	s.allocator.release_picture_callback = av1_picture_free;
	s.logger.callback = NULL;
	return dav1d_open(&d, &s) ? NULL : d;
}

// What is shown last of the data; without any, out->data[0] is NULL.
static int av1_decode(Dav1dContext *d, const unsigned char *data, size_t size, Dav1dPicture *out) {
	Dav1dData in;
	memset(&in, 0, sizeof in);
	memset(out, 0, sizeof *out);
	unsigned char *b = dav1d_data_create(&in, size);
	if (!b) return DAV1D_ERR(ENOMEM);
	memcpy(b, data, size);
	int code;
	do {
		code = dav1d_send_data(d, &in);
		if (code < 0 && code != DAV1D_ERR(EAGAIN)) break;
		for (;;) {
			Dav1dPicture p;
			memset(&p, 0, sizeof p);
			if ((code = dav1d_get_picture(d, &p))) break;
			if (out->data[0]) dav1d_picture_unref(out);
			*out = p;
		}
	} while (code == DAV1D_ERR(EAGAIN) && in.sz > 0);
	if (in.sz > 0) dav1d_data_unref(&in);
	if (code == DAV1D_ERR(EAGAIN)) return 0;
	if (out->data[0]) dav1d_picture_unref(out);
	return code;
}

static void av1_decoder_free(Dav1dContext *d) { dav1d_close(&d); }
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

func libAV1() string {
	return "libaom " + C.GoString(C.aom_codec_version_str()) + ", dav1d " + C.GoString(C.dav1d_version())
}

func aomError(what string, code C.int) error {
	return fmt.Errorf("libaom: %s: %s", what, C.GoString(C.av1_error_string(code)))
}

type av1Encoder struct {
	e *C.av1_encoder
	pictureSize
	duration time.Duration // of a picture
	last     int64         // time of the picture before, in microseconds
}

func newAV1Encoder(o EncoderOptions) (*av1Encoder, error) {
	if err := CheckSize(o.Width, o.Height); err != nil {
		return nil, err
	}
	e := &av1Encoder{pictureSize: pictureSize{o.Width, o.Height}, duration: pictureTime(o.FPS), last: -1}
	var drawn C.int
	if o.Drawn {
		drawn = 1
	}
	if e.e = C.av1_encoder_new(C.int(o.Width), C.int(o.Height), kbps(o.Bitrate), drawn); e.e == nil {
		return nil, errors.New("libaom: make encoder")
	}
	return e, nil
}

func (e *av1Encoder) Encode(dst []byte, m *image.YCbCr, at time.Duration, key bool) ([]byte, bool, error) {
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
	code := C.av1_encode(e.e, (*C.uchar)(&y[0]), (*C.uchar)(&cb[0]), (*C.uchar)(&cr[0]),
		C.int(m.YStride), C.int(m.CStride), C.longlong(pts), C.ulong(e.duration.Microseconds()), force, &data, &size, &isKey)
	runtime.KeepAlive(m)
	if code != 0 {
		return dst, false, aomError("encode", code)
	}
	if size == 0 {
		return dst, false, nil
	}
	return append(dst, unsafe.Slice((*byte)(data), int(size))...), isKey != 0, nil
}

func (e *av1Encoder) SetBitrate(bps int, fps float64) error {
	if e.e == nil {
		return errors.New("libaom: the encoder is closed")
	}
	e.duration = pictureTime(fps)
	if code := C.av1_encoder_set(e.e, kbps(bps)); code != 0 {
		return aomError("set bit rate", code)
	}
	return nil
}

func (e *av1Encoder) Close() error {
	if e.e != nil {
		C.av1_encoder_free(e.e)
		e.e = nil
	}
	return nil
}

type av1Decoder struct {
	d     *C.Dav1dContext
	most  *C.long // of a side and of all pixels; C keeps it
	image *image.YCbCr
}

func newAV1Decoder() (*av1Decoder, error) {
	d := &av1Decoder{most: (*C.long)(C.malloc(2 * C.sizeof_long))}
	most := unsafe.Slice(d.most, 2)
	most[0], most[1] = max(MaxWidth, MaxHeight), MaxPixels
	if d.d = C.av1_decoder_new(d.most); d.d == nil {
		C.free(unsafe.Pointer(d.most))
		return nil, errors.New("dav1d: make decoder")
	}
	return d, nil
}

func (d *av1Decoder) Decode(data []byte) (*image.YCbCr, error) {
	if d.d == nil || len(data) == 0 {
		return nil, fmt.Errorf("dav1d: decode: %w", ErrBitstream)
	}
	if _, err := readAV1(data); err != nil {
		return nil, err
	}
	var p C.Dav1dPicture
	switch code := C.av1_decode(d.d, (*C.uchar)(&data[0]), C.size_t(len(data)), &p); {
	case code == -C.ERANGE:
		return nil, fmt.Errorf("dav1d: decode: %w", ErrFrame)
	case code != 0:
		return nil, fmt.Errorf("dav1d: decode: %w: %w", ErrBitstream, syscall.Errno(-code))
	}
	if p.data[0] == nil {
		return nil, nil
	}
	defer C.dav1d_picture_unref(&p)
	w, h := int(p.p.w), int(p.p.h)
	m, err := pictureFromC(d.image, w, h, [3]unsafe.Pointer{p.data[0], p.data[1], p.data[2]}, int(p.stride[0]), int(p.stride[1]))
	if err != nil {
		return nil, err
	}
	d.image = m
	return m, nil
}

func (d *av1Decoder) Close() error {
	if d.d != nil {
		C.av1_decoder_free(d.d)
		C.free(unsafe.Pointer(d.most))
		d.d = nil
	}
	return nil
}
