//go:build native && cgo && integration

package media

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/internal/sdpmap"
	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/rtcp"
)

// mirrorPage is a page that shows what it gets, and sends what it shows: what
// comes back to us was decoded and coded by the browser.
const mirrorPage = `<!doctype html><title>mirror</title><video id="seen" muted autoplay playsinline></video><script>
const pc = new RTCPeerConnection();
const seen = document.getElementById("seen");
const canvas = document.createElement("canvas");
canvas.width = 320;
canvas.height = 240;
const paper = canvas.getContext("2d");
paper.fillRect(0, 0, 320, 240);
const draw = () => {
	paper.drawImage(seen, 0, 0, 320, 240);
	seen.requestVideoFrameCallback(draw);
};
seen.requestVideoFrameCallback(draw);
pc.ontrack = (e) => { if (e.track.kind === "video") seen.srcObject = new MediaStream([e.track]); };
const gathered = new Promise((done) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done(); });
// send adds what is sent: a beep of the browser's, and the mirror.
async function send() {
	const sound = await navigator.mediaDevices.getUserMedia({audio: true});
	pc.addTrack(sound.getAudioTracks()[0], sound);
	pc.addTrack(canvas.captureStream(30).getVideoTracks()[0], sound);
}
function prefer(name) {
	const all = RTCRtpReceiver.getCapabilities("video").codecs;
	const first = all.filter((c) => c.mimeType === "video/" + name);
	if (first.length === 0) throw new Error("this browser has no " + name);
	for (const t of pc.getTransceivers()) {
		if (t.sender.track.kind === "video") t.setCodecPreferences([...first, ...all.filter((c) => !first.includes(c))]);
	}
}
async function describe() {
	await pc.setLocalDescription();
	await gathered;
	return pc.localDescription.sdp;
}
async function figures() {
	const all = [...(await pc.getStats()).values()];
	const of = (type) => all.find((s) => s.type === type && s.kind === "video") || {};
	const codec = (s) => (all.find((c) => c.id === s.codecId) || {}).mimeType || "";
	const i = of("inbound-rtp"), o = of("outbound-rtp");
	return {
		CodecIn: codec(i), Decoder: i.decoderImplementation || "", Decoded: i.framesDecoded || 0, KeysDecoded: i.keyFramesDecoded || 0, PLIs: i.pliCount || 0,
		CodecOut: codec(o), Encoder: o.encoderImplementation || "", Encoded: o.framesEncoded || 0, KeysEncoded: o.keyFramesEncoded || 0,
	};
}
</script>`

// browserFigures are what the page knows of pictures.
type browserFigures struct {
	CodecIn, Decoder           string
	Decoded, KeysDecoded, PLIs int
	CodecOut, Encoder          string
	Encoded, KeysEncoded       int
}

// A browserPeer is a browser as the other side of a session: its descriptions are
// translated to and from SDP.
type browserPeer struct {
	t       *testing.T
	page    *lab.Chromium
	conn    *jingletest.Conn
	effects chan jingle.Effect
	ready   bool // the page knows our description
	early   []jingle.Content
}

func (b *browserPeer) Attach(jingle.Conn) {}

// Handle is told to the test, which is the one that may wait for the page.
func (b *browserPeer) Handle(e jingle.Effect) { b.effects <- e }

func startBrowser(t *testing.T) *browserPeer {
	t.Helper()
	// 127.0.0.1 is a place that may use a microphone; the browser has a false one.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, mirrorPage) }))
	t.Cleanup(server.Close)
	b := &browserPeer{t: t, effects: make(chan jingle.Effect, 64)}
	b.page = lab.StartChromium(t, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required")
	b.page.Open(server.URL)
	b.page.Await("the page", `document.title === "mirror"`)
	return b
}

func (b *browserPeer) eval(what, expression string, args ...any) (text string) {
	b.t.Helper()
	for i, a := range args {
		quoted, err := json.Marshal(a)
		if err != nil {
			b.t.Fatal(err)
		}
		args[i] = string(quoted)
	}
	if err := b.page.Eval("(async () => { "+fmt.Sprintf(expression, args...)+" })()", &text); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return text
}

// described reads what the page describes, with its addresses.
func (b *browserPeer) described(role jingle.Role) *jingle.Jingle {
	b.t.Helper()
	text := b.eval("describe", "return describe();")
	contents, err := sdpmap.FromSDP(text, role)
	if err != nil {
		b.t.Fatal(err)
	}
	j := &jingle.Jingle{Contents: contents}
	var names []string
	section := -1
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "m=") {
			section++
			names = append(names, contents[section].Name)
		}
		candidate, ok := strings.CutPrefix(line, "a=candidate:")
		f := strings.Fields(candidate)
		if !ok || len(f) < 8 || f[2] != "udp" {
			continue
		}
		number := func(s string) int {
			n, err := strconv.Atoi(s)
			if err != nil {
				b.t.Fatalf("%s: %v", line, err)
			}
			return n
		}
		tr := iceTransport(contents[section])
		tr.Candidates = append(tr.Candidates, iceudp.Candidate{
			Component: number(f[1]), Foundation: f[0], ID: strconv.Itoa(len(tr.Candidates)), IP: f[4], Port: uint16(number(f[5])),
			Priority: uint32(number(f[3])), Protocol: "udp", Type: iceudp.CandidateType(f[7]),
		})
	}
	j.Groups = append(j.Groups, group.New(group.Bundle, names...))
	return j
}

// hear gives the page what we describe.
func (b *browserPeer) hear(typ string, j *jingle.Jingle, from jingle.Role) {
	b.t.Helper()
	text, err := sdpmap.ToSDP(j.Contents, from)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eval("take our description", "await pc.setRemoteDescription({type: %s, sdp: %s});", typ, text)
	b.ready = true
	b.trickle(j.Contents)
	b.trickle(b.early)
}

// trickle gives the page addresses of ours.
func (b *browserPeer) trickle(cs []jingle.Content) {
	b.t.Helper()
	if !b.ready {
		b.early = append(b.early, cs...)
		return
	}
	for _, c := range cs {
		tr := iceTransport(c)
		for _, k := range tr.Candidates {
			i, err := sdpmap.ToICE(k, tr.Ufrag)
			if err != nil {
				b.t.Fatal(err)
			}
			b.eval("take an address", "await pc.addIceCandidate({candidate: %s, sdpMid: %s});", i.Candidate, c.Name)
		}
	}
}

// negotiate carries descriptions and addresses until the other side is connected.
func (b *browserPeer) negotiate(ctx context.Context, v *viewer) {
	b.t.Helper()
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		for {
			select {
			case e, ok := <-v.events:
				if _, is := e.(Connected); is || !ok {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case e := <-b.effects:
			switch e := e.(type) {
			case jingle.Offered:
				b.eval("send", "await send();")
				b.hear("offer", e.Jingle, jingle.Initiator)
				answer := b.described(jingle.Responder)
				b.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Accept(answer) })
			case jingle.Accepted:
				b.hear("answer", e.Jingle, jingle.Responder)
			case jingle.TransportInfoReceived:
				b.trickle(e.Jingle.Contents)
			case jingle.Ended:
				b.t.Fatalf("the session ended: %+v", e)
			}
		case <-connected:
			if ctx.Err() == nil {
				return
			}
		case <-ctx.Done():
			b.t.Fatal("the browser did not connect")
		}
	}
}

func (b *browserPeer) figures() (f browserFigures) {
	b.t.Helper()
	if err := b.page.Eval("figures()", &f); err != nil {
		b.t.Fatal(err)
	}
	return f
}

// await asks the page for its figures until they are as they should be.
func (b *browserPeer) await(ctx context.Context, what string, ok func(browserFigures) bool) browserFigures {
	b.t.Helper()
	for {
		f := b.figures()
		if ok(f) {
			return f
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			b.t.Fatalf("%s: %+v", what, f)
		}
	}
}

// A spoiler codes pictures, and breaks one when it is told to.
type spoiler struct {
	video.Encoder
	spoil *atomic.Bool
}

func (s *spoiler) Encode(dst []byte, m *image.YCbCr, at time.Duration, key bool) ([]byte, bool, error) {
	data, isKey, err := s.Encoder.Encode(dst, m, at, key)
	if !isKey && len(data) > 40 && s.spoil.Swap(false) {
		for i := range data[8:] { // behind the headers of OBUs
			data[8+i] ^= 0xa5
		}
	}
	return data, isKey, err
}

// AV1 with a browser, which sends back what it sees: both code and decode, and
// each gets a key frame when it asks.
func TestIntegrationAV1WithChromium(t *testing.T) {
	for _, tt := range []struct {
		name   string
		caller bool // we call
		prefer string
	}{
		{"we call and ask for it", true, "AV1"},
		{"the browser calls and asks for it", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBrowser(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var spoil atomic.Bool
			v := newViewer(t, "we", 440, video.NewPatternSource(320, 240, 15), func(cfg *Config) {
				preferring(tt.prefer)(cfg)
				for i, c := range cfg.Video.Codecs {
					cfg.Video.Codecs[i].NewEncoder = func(o video.EncoderOptions) (video.Encoder, error) {
						e, err := c.NewEncoder(o)
						return &spoiler{e, &spoil}, err
					}
				}
			})
			var agreed *jrtp.Description // what the one who answers says of the picture
			pair := jingletest.PairConfig{Registry: registry(), Tap: func(_ jingle.Role, j *jingle.Jingle) {
				if j.Action == jingle.ActionSessionAccept {
					j := copyJingle(t, j)
					i := slices.IndexFunc(j.Contents, func(c jingle.Content) bool { return description(c).Media == jrtp.Video })
					agreed = description(j.Contents[i])
				}
			}}
			if tt.caller {
				v.conn, b.conn = jingletest.Pair(t, pair, v.Call, b)
			} else {
				b.conn, v.conn = jingletest.Pair(t, pair, b, v.Call)
				b.eval("send", "await send(); prefer('AV1');")
				offer := b.described(jingle.Initiator)
				b.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(offer) })
			}
			b.negotiate(ctx, v)

			// What is seen went from our encoder through the browser's decoder and
			// encoder to our decoder.
			seen := 0
			for last := -1; seen < 20; seen++ {
				g := v.saw(t, ctx, "what the browser sends back", coded)
				if int(g.Code.Number) < last {
					t.Errorf("picture %d after %d", g.Code.Number, last)
				}
				last = int(g.Code.Number)
			}
			f := b.figures()
			t.Logf("%+v", f)
			if f.CodecIn != "video/AV1" || f.CodecOut != "video/AV1" {
				t.Errorf("the browser decodes %s and sends %s", f.CodecIn, f.CodecOut)
			}
			s := next[Stats](t, ctx, v.phone).Video
			for s.CodecIn == "" || s.CodecOut == "" {
				s = next[Stats](t, ctx, v.phone).Video
			}
			if s.CodecIn != "AV1" || s.CodecOut != "AV1" {
				t.Errorf("we decode %s and send %s", s.CodecIn, s.CodecOut)
			}
			if p := agreed.PayloadTypes[0]; p.Name != "AV1" || !slices.ContainsFunc(agreed.PayloadTypes, func(r jrtp.PayloadType) bool {
				return r.Name == "rtx" && fmtp(r, "apt") == strconv.Itoa(int(p.ID))
			}) {
				t.Errorf("what was agreed on begins with %s, or nothing is sent again: %+v", p.Name, agreed.PayloadTypes)
			}

			// We ask.
			v.box.post(func() {
				pli := &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: v.video.ssrc}
				if err := v.video.link.link.WriteRTCP([]rtcp.Packet{pli}); err != nil {
					t.Error(err)
				}
			})
			b.await(ctx, "no key frame for us", func(g browserFigures) bool { return g.KeysEncoded > f.KeysEncoded })

			// The browser asks, when a picture is broken, and sees what comes after.
			spoil.Store(true)
			g := b.await(ctx, "no key frame for the browser", func(g browserFigures) bool {
				return g.PLIs > f.PLIs && g.KeysDecoded > f.KeysDecoded
			})
			b.await(ctx, "nothing is decoded after a broken picture", func(h browserFigures) bool { return h.Decoded > g.Decoded+20 })
			v.sees(t, ctx)

			v.HangUp(jingle.Reason{})
			if err := v.Close(); err != nil {
				t.Error(err)
			}
			for range v.events {
			}
		})
	}
}
