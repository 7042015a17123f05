package media

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/carillon-im/carillon/jingle/iceudp"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/pion/webrtc/v4"
)

// Spike S3: two contents are offered on transports of their own, with a group.
// The answer bundles them, so the second content joins the first link by a
// negotiation that nobody else sees, and keeps its source and name. The two
// need not share credentials: those of the first content count for the group
// (RFC 9143 §7.3), which is what this answerer goes by, too.
func TestBundleMerge(t *testing.T) {
	ctx := testContext(t)
	// The second content is sound, as the first: video has no codec here yet,
	// and to a transport all media are alike.
	first, second := newLinkSide(t, "a0", Config{}), newLinkSide(t, "a1", Config{})
	answerer := newLinkSide(t, "b", Config{})
	first.other, answerer.other = answerer, first
	offer, err := first.link.Offer()
	if err != nil {
		t.Fatal(err)
	}
	more, err := second.link.Offer()
	if err != nil {
		t.Fatal(err)
	}
	more[0].Name = "1"
	ssrc := more[0].Description.(*jrtp.Description).Sources[0].SSRC
	if offer[0].Transport.(*iceudp.Transport).Ufrag == more[0].Transport.(*iceudp.Transport).Ufrag {
		t.Fatal("two links have the same credentials")
	}
	both := overTheWire(t, append(offer, more...))
	answer, err := answerer.link.Answer(both)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) != 2 {
		t.Fatalf("%d contents answered", len(answer))
	}
	first.start(t)
	answer = overTheWire(t, answer)
	if err := first.link.Accept(answer[:1]); err != nil {
		t.Fatal(err)
	}
	answerer.start(t)
	waitFor(t, ctx, "a connected", first.connected)
	waitFor(t, ctx, "b connected", answerer.connected)

	// The answer had a group: the second content moves.
	n, err := strconv.ParseUint(ssrc, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	track := newSendTrack("second", webrtc.RTPCodecTypeAudio)
	tr, err := first.link.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{
		Direction:     webrtc.RTPTransceiverDirectionSendrecv,
		SendEncodings: []webrtc.RTPEncodingParameters{{RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(n)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.SetMid("1"); err != nil {
		t.Fatal(err)
	}
	merged, err := first.link.describeOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(merged) != 2 || merged[1].Name != "1" || merged[1].Description.(*jrtp.Description).Sources[0].SSRC != ssrc {
		t.Fatalf("described after the merge: %+v", merged)
	}
	if a, b := merged[0].Transport.(*iceudp.Transport), offer[0].Transport.(*iceudp.Transport); a.Ufrag != b.Ufrag || a.Pwd != b.Pwd {
		t.Error("the merge changed the credentials")
	}
	if err := first.link.Accept(answer); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(ctx)
	moved := &linkSide{track: track}
	var wg sync.WaitGroup
	wg.Go(func() { first.say(ctx, 111) })
	wg.Go(func() { moved.say(ctx, 111) })
	defer wg.Wait()
	defer cancel()
	heard := make(map[string]bool)
	for range 2 {
		tr := answerer.hears(t, ctx, "both contents")
		heard[strconv.FormatUint(uint64(tr.SSRC()), 10)] = true
	}
	want := offer[0].Description.(*jrtp.Description).Sources[0].SSRC
	if !heard[want] || !heard[ssrc] {
		t.Errorf("heard sources %v, want %s and %s", heard, want, ssrc)
	}
}
