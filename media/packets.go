package media

import (
	"errors"
	"net"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// eachPacket hands over the packets of a track until it ends: header, payload
// without padding, and when it came. Both are the caller's until take returns.
func eachPacket(track *webrtc.TrackRemote, take func(h *rtp.Header, payload []byte, now time.Time)) {
	buf := make([]byte, receiveMTU)
	var h rtp.Header
	for {
		n, _, err := track.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !transient(err) {
				return
			}
			continue
		}
		now := time.Now()
		h = rtp.Header{}
		k, err := h.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		payload := buf[k:n]
		if h.Padding { // RFC 3550 §5.1
			if len(payload) == 0 || int(payload[len(payload)-1]) > len(payload) {
				continue
			}
			payload = payload[:len(payload)-int(payload[len(payload)-1])]
		}
		take(&h, payload, now)
	}
}

// transient reports whether reading a track may go on: pion returns an error
// for a packet of a payload type that was not agreed.
func transient(err error) bool { return errors.Is(err, webrtc.ErrCodecNotFound) }

// readRTCP reads what comes about or with a stream, which also feeds pion's
// report interceptors, until it ends.
func readRTCP(r rtcpReader, report func(rtcp.Packet)) {
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := r.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			report(p)
		}
	}
}

// rtcpReader is pion's sender or receiver.
type rtcpReader interface {
	Read([]byte) (int, interceptor.Attributes, error)
}
