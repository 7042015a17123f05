package media

import (
	"errors"
	"strings"
	"sync"

	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A sendTrack writes RTP packets as they are given to it. pion's own local
// tracks choose the payload type, which telephone events must choose.
type sendTrack struct {
	id     string
	kind   webrtc.RTPCodecType
	codecs []video.Codec // that may be sent, best first; nil takes the peer's order

	mu          sync.Mutex // guards what follows
	writer      webrtc.TrackLocalWriter
	ssrc        uint32
	codec       webrtc.RTPCodecParameters
	orientation uint8 // id of the header extension, 0 when not agreed
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

// writeVideo sends a packet of a picture; source and payload type are filled
// in, and how it is held if it is the last of its picture: 3GPP TS 26.114 §7.4.5.
func (t *sendTrack) writeVideo(h *rtp.Header, payload []byte, rotation int) error {
	t.mu.Lock()
	w, orientation := t.writer, t.orientation
	h.SSRC, h.PayloadType = t.ssrc, uint8(t.codec.PayloadType)
	t.mu.Unlock()
	if w == nil {
		return errUnbound
	}
	if h.Marker && orientation != 0 {
		if err := h.SetExtension(orientation, []byte{byte(rotation / 90 & 3)}); err != nil {
			return err
		}
	}
	_, err := w.WriteRTP(h, payload)
	return err
}

// source is the SSRC, 0 before the track is bound.
func (t *sendTrack) source() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ssrc
}

// bound returns the codec that is sent, once that is agreed. A peer may write it
// otherwise than we do.
func (t *sendTrack) bound() (codec string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, name, _ := strings.Cut(t.codec.MimeType, "/")
	if c, ok := video.FindCodec(t.codecs, name); ok {
		name = c.Name
	}
	return name, t.writer != nil && name != ""
}

func (t *sendTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	if len(codecs) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer, t.ssrc, t.codec = ctx.WriteStream(), uint32(ctx.SSRC()), t.choose(codecs)
	t.orientation = 0
	for _, x := range ctx.HeaderExtensions() {
		if x.URI == orientationURI && x.ID > 0 && x.ID < 15 {
			t.orientation = uint8(x.ID)
		}
	}
	return t.codec, nil
}

// choose takes the best codec of ours of what was agreed, which is in the peer's
// order and has the peer's parameters.
func (t *sendTrack) choose(agreed []webrtc.RTPCodecParameters) webrtc.RTPCodecParameters {
	best, rank := agreed[0], len(t.codecs)
	first := true
	for _, p := range agreed {
		_, name, _ := strings.Cut(p.MimeType, "/")
		i := rankVideo(t.codecs, name, video.ParseFmtp(p.SDPFmtpLine))
		if i == len(t.codecs) {
			continue
		}
		if first && t.codecs[i].Follows {
			return p
		}
		if first = false; i < rank {
			best, rank = p, i
		}
	}
	return best
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
