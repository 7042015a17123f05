package media

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/carillon-im/carillon/media/video"
)

// Names of codecs are as ours, however the peer writes them. RFC 4855 §3
func TestTrackNamesCodecsAsWeDo(t *testing.T) {
	for name, want := range map[string]string{"video/av1": "AV1", "video/Vp8": "VP8", "video/other": "other"} {
		s := newSendTrack("video", webrtc.RTPCodecTypeVideo)
		s.codecs = []video.Codec{{Name: "VP8"}, {Name: "AV1"}}
		s.codec.MimeType = name
		if got, _ := s.bound(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
