package media

import (
	"errors"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A sendTrack writes RTP packets as they are given to it. pion's own local
// tracks choose the payload type, which telephone events must choose.
type sendTrack struct {
	id   string
	kind webrtc.RTPCodecType

	mu     sync.Mutex // guards what follows
	writer webrtc.TrackLocalWriter
	ssrc   uint32
}

func newSendTrack(id string, kind webrtc.RTPCodecType) *sendTrack {
	return &sendTrack{id: id, kind: kind}
}

var errUnbound = errors.New("track is not bound")

// write sends a packet; its SSRC is filled in.
func (t *sendTrack) write(h *rtp.Header, payload []byte) error {
	t.mu.Lock()
	w := t.writer
	h.SSRC = t.ssrc
	t.mu.Unlock()
	if w == nil {
		return errUnbound
	}
	_, err := w.WriteRTP(h, payload)
	return err
}

// source is the SSRC, zero before it is known.
func (t *sendTrack) source() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ssrc
}

func (t *sendTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	if len(codecs) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer, t.ssrc = ctx.WriteStream(), uint32(ctx.SSRC())
	return codecs[0], nil
}

func (t *sendTrack) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer = nil
	return nil
}

func (t *sendTrack) ID() string                { return t.id }
func (t *sendTrack) RID() string               { return "" }
func (t *sendTrack) StreamID() string          { return "carillon" }
func (t *sendTrack) Kind() webrtc.RTPCodecType { return t.kind }
