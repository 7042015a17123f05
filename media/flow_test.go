package media

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
)

// A path that got narrow is not kept full of what was lost on it: what is beyond
// some time is not sent again, and a key frame is made instead.
func TestPacerSendsAgainWhatIsOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{wake: make(chan struct{}, 1), done: make(chan struct{})}
		f.pace(100_000)
		p := &pacer{flow: f}
		sent := make(map[uint16]int)
		w := p.BindLocalStream(&interceptor.StreamInfo{SSRC: 1, MimeType: "video/VP8"},
			interceptor.RTPWriterFunc(func(h *rtp.Header, b []byte, _ interceptor.Attributes) (int, error) {
				sent[h.SequenceNumber]++
				return len(b), nil
			}))
		send := func(seq uint16) {
			if _, err := w.Write(&rtp.Header{SSRC: 1, SequenceNumber: seq}, make([]byte, 1000), nil); err != nil {
				t.Fatal(err)
			}
		}
		const packets = 40
		for n := range uint16(packets) {
			send(n)
		}
		time.Sleep(time.Minute)
		if f.overrun.Load() {
			t.Error("what was sent once is taken for too much")
		}
		for n := range uint16(packets) {
			send(n)
		}
		time.Sleep(time.Minute)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		again := 0
		for _, n := range sent {
			again += n - 1
		}
		if len(sent) != packets {
			t.Errorf("%d packets left, want %d", len(sent), packets)
		}
		if most := int(maxPacedTime*paceFactor*100_000/time.Second/8000) + 4; again == 0 || again > most {
			t.Errorf("%d packets left again, want at most %d", again, most)
		}
		if !f.overrun.Load() {
			t.Error("no key frame is to be made")
		}
	})
}
