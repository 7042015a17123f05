//go:build native && cgo

package media

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
)

// With the codecs of this build, and how long a picture is on its way.
func TestVideoCodecsInCalls(t *testing.T) {
	for _, codec := range video.Codecs() {
		t.Run(codec.Name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			source := func() video.Source { return video.NewPatternSource(640, 480, 30) }
			use := func(cfg *Config) { cfg.Video.Codecs = []video.Codec{codec} }
			a, b := newViewer(t, "a", 440, source(), use), newViewer(t, "b", 880, source(), use)
			connect(t, ctx, a, b)
			t.Logf("first picture after %v and %v", next[FirstFrame](t, ctx, a.phone).SinceAccept, next[FirstFrame](t, ctx, b.phone).SinceAccept)
			for _, v := range []*viewer{a, b} {
				v.eye.Forget()
				var ages []time.Duration
				for len(ages) < 30 {
					g := v.saw(t, ctx, "a picture", coded)
					ages = append(ages, g.Age())
				}
				slices.Sort(ages)
				t.Logf("glass to glass: median %v, worst %v", ages[len(ages)/2], ages[len(ages)-1])
				if s := v.Stats().Video; s.CodecIn != codec.Name {
					t.Errorf("codec %q", s.CodecIn)
				}
			}
		})
	}
}

// offers leaves of a phone's offer of a picture what keep says.
func offers(p *phone, keep func(*jrtp.PayloadType) bool) {
	p.tap = func(j *jingle.Jingle) {
		for _, c := range j.Contents {
			if d, ok := c.Description.(*jrtp.Description); ok && d != nil && d.Media == jrtp.Video {
				d.PayloadTypes = slices.DeleteFunc(d.PayloadTypes, func(p jrtp.PayloadType) bool { return !keep(&p) })
			}
		}
	}
}

// fmtp reads one parameter.
func fmtp(p jrtp.PayloadType, name string) string {
	for _, q := range p.Parameters {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// H.264 is what is used when nothing else is in common, and VP8 before it.
func TestH264WhenNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		keep       func(*jrtp.PayloadType) bool
	}{
		{"H264 alone", "H264", func(p *jrtp.PayloadType) bool { return p.Name == "H264" }},
		{"H264 with what comes again", "H264", func(p *jrtp.PayloadType) bool {
			return p.Name == "H264" || p.Name == "rtx" && fmtp(*p, "apt") == "102"
		}},
		{"H264 of another level", "H264", func(p *jrtp.PayloadType) bool {
			for i := range p.Parameters {
				if p.Parameters[i].Name == "profile-level-id" {
					p.Parameters[i].Value = "42e034"
				}
			}
			return p.Name == "H264"
		}},
		{"VP8 too", "VP8", func(p *jrtp.PayloadType) bool { return p.Name == "H264" || p.Name == "VP8" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			source := func() video.Source { return video.NewPatternSource(320, 240, 15) }
			all := func(cfg *Config) { cfg.Video.Codecs = video.Codecs() }
			a, b := newViewer(t, "a", 440, source(), all), newViewer(t, "b", 880, source(), all)
			var wrote []string
			offers(a.phone, func(p *jrtp.PayloadType) bool {
				if p.Name == "H264" {
					wrote = append(wrote, fmtp(*p, "profile-level-id")+" "+fmtp(*p, "packetization-mode"))
				}
				return tt.keep(p)
			})
			connect(t, ctx, a, b)
			for _, v := range []*viewer{a, b} {
				v.sees(t, ctx)
				s := next[Stats](t, ctx, v.phone).Video
				for s.CodecIn == "" || s.CodecOut == "" {
					s = next[Stats](t, ctx, v.phone).Video
				}
				if s.CodecIn != tt.want || s.CodecOut != tt.want {
					t.Errorf("%s out, %s in, want %s", s.CodecOut, s.CodecIn, tt.want)
				}
			}
			if len(wrote) == 0 || wrote[0] != "42e01f 1" {
				t.Errorf("offered H264 as %q", wrote)
			}
		})
	}
}

// A profile that we do not decode is no codec in common, and the call goes on
// with sound.
func TestH264OfAnotherProfileIsDeclined(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	all := func(cfg *Config) { cfg.Video.Codecs = video.Codecs() }
	a, b := newViewer(t, "a", 440, pattern(), all), newViewer(t, "b", 880, nil, all)
	offers(a.phone, func(p *jrtp.PayloadType) bool {
		for i := range p.Parameters {
			if p.Parameters[i].Name == "profile-level-id" {
				p.Parameters[i].Value = strings.Replace(p.Parameters[i].Value, "42e0", "640c", 1)
			}
		}
		return p.Name == "H264"
	})
	connect(t, ctx, a, b)
	b.ear.waitTone(t, ctx, 440)
	links := make(chan bool, 1)
	b.box.post(func() { links <- b.video.agreed })
	if <-links {
		t.Error("a picture was agreed on")
	}
	a.HangUp(jingle.Reason{})
	next[Ended](t, ctx, b.phone)
}

// preferring has a phone like one codec better than all others.
func preferring(name string) func(*Config) {
	return func(cfg *Config) {
		cfg.Video.Codecs = video.Codecs()
		slices.SortStableFunc(cfg.Video.Codecs, func(a, b video.Codec) int {
			switch name {
			case a.Name:
				return -1
			case b.Name:
				return 1
			}
			return 0
		})
	}
}

// AV1 is what is used when somebody asks for it, or when there is nothing else.
func TestAV1WhenAskedFor(t *testing.T) {
	all := func(*jrtp.PayloadType) bool { return true }
	for _, tt := range []struct {
		name           string
		caller, callee string
		out, in        string // of the caller
		keep           func(*jrtp.PayloadType) bool
	}{
		{"nobody asks", "", "", "VP8", "VP8", all},
		{"the caller asks", "AV1", "", "AV1", "AV1", all},
		{"the callee asks", "", "AV1", "AV1", "AV1", all},
		{"both ask", "AV1", "AV1", "AV1", "AV1", all},
		{"the caller asks for another", "VP9", "", "VP9", "VP8", all},
		{"nothing else", "", "", "AV1", "AV1", func(p *jrtp.PayloadType) bool { return p.Name == "AV1" || p.Name == "rtx" && fmtp(*p, "apt") == "100" }},
		{"H264 is the other choice", "", "", "AV1", "AV1", func(p *jrtp.PayloadType) bool { return p.Name == "AV1" || p.Name == "H264" }},
		{"the caller asks, for small pictures alone", "AV1", "", "VP8", "VP8", func(p *jrtp.PayloadType) bool {
			for i := range p.Parameters {
				if p.Parameters[i].Name == "level-idx" {
					p.Parameters[i].Value = "1"
				}
			}
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			source := func() video.Source { return video.NewPatternSource(320, 240, 15) }
			a, b := newViewer(t, "a", 440, source(), preferring(tt.caller)), newViewer(t, "b", 880, source(), preferring(tt.callee))
			var offered, answered []string
			note := func(to *[]string) func(*jrtp.PayloadType) bool {
				return func(p *jrtp.PayloadType) bool {
					if p.Name != "rtx" {
						*to = append(*to, p.Name)
					}
					if p.Name == "AV1" && to == &offered && (fmtp(*p, "profile") != "0" || fmtp(*p, "level-idx") != "5" || fmtp(*p, "tier") != "0") {
						t.Errorf("AV1 is offered with %v", p.Parameters)
					}
					return true
				}
			}
			offers(a.phone, func(p *jrtp.PayloadType) bool { return note(&offered)(p) && tt.keep(p) })
			offers(b.phone, note(&answered))
			connect(t, ctx, a, b)
			codecs := func(v *viewer) (out, in string) {
				v.sees(t, ctx)
				for {
					if s := next[Stats](t, ctx, v.phone).Video; s.CodecIn != "" && s.CodecOut != "" {
						return s.CodecOut, s.CodecIn
					}
				}
			}
			aOut, aIn := codecs(a)
			bOut, bIn := codecs(b)
			if aOut != tt.out || aIn != tt.in || bOut != tt.in || bIn != tt.out {
				t.Errorf("the caller sends %s and sees %s, the callee %s and %s; want %s and %s", aOut, aIn, bOut, bIn, tt.out, tt.in)
			}
			if first := answered[0]; first != tt.in {
				t.Errorf("offered %v, answered %v; want %s first", offered, answered, tt.in)
			}
		})
	}
}

// The profile with 4:4:4 is no codec in common, and the call goes on with sound.
func TestAV1OfAnotherProfileIsDeclined(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newViewer(t, "a", 440, pattern(), preferring("")), newViewer(t, "b", 880, nil, preferring(""))
	offers(a.phone, func(p *jrtp.PayloadType) bool {
		for i := range p.Parameters {
			if p.Parameters[i].Name == "profile" {
				p.Parameters[i].Value = "1"
			}
		}
		return p.Name == "AV1"
	})
	connect(t, ctx, a, b)
	b.ear.waitTone(t, ctx, 440)
	agreed := make(chan bool, 1)
	b.box.post(func() { agreed <- b.video.agreed })
	if <-agreed {
		t.Error("a picture was agreed on")
	}
	a.HangUp(jingle.Reason{})
	next[Ended](t, ctx, b.phone)
}

// Pictures of many packets come out as they went in, in whatever order the
// packets arrive.
func TestAV1InPackets(t *testing.T) {
	c, _ := video.FindCodec(video.Codecs(), "AV1")
	const w, h = 1280, 720
	e, err := c.NewEncoder(video.EncoderOptions{Width: w, Height: h, Bitrate: 4_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var decoders [2]video.Decoder
	for i := range decoders {
		if decoders[i], err = c.NewDecoder(); err != nil {
			t.Fatal(err)
		}
		defer decoders[i].Close()
	}
	p, _ := payloader("AV1")
	a := newAssembler(map[uint8]string{100: "AV1"})
	pattern, random := video.NewPattern(w, h), rand.New(rand.NewPCG(1, 2))
	seq, most, now := uint16(65500), 0, time.Unix(1000, 0)
	for n := range 8 {
		m := pattern.Next(now)
		for i := range m.Y {
			m.Y[i] += byte(random.IntN(16))
		}
		data, key, err := e.Encode(nil, m, time.Duration(n)*time.Second/30, n == 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		parts := p.Payload(videoPayload, data)
		most = max(most, len(parts))
		order := random.Perm(len(parts))
		for i := range order {
			if len(parts[i]) > videoPayload {
				t.Errorf("a packet of %d bytes", len(parts[i]))
			}
			if n == 0 { // the first sets where the sequence begins
				order[i] = i
			}
		}
		for _, i := range order {
			a.put(seq+uint16(i), videoPacket{timestamp: uint32(n) * 3000, payloadType: 100, marker: i == len(parts)-1, payload: parts[i], arrived: now})
		}
		seq += uint16(len(parts))
		f, ok, _ := a.pop(now)
		if !ok || f.key != key {
			t.Fatalf("picture %d of %d packets: there %v, key %v, want %v", n, len(parts), ok, f.key, key)
		}
		want, err := decoders[0].Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoders[1].Decode(f.data)
		if err != nil || !bytes.Equal(got.Y, want.Y) || !bytes.Equal(got.Cb, want.Cb) || !bytes.Equal(got.Cr, want.Cr) {
			t.Errorf("picture %d is another: %v", n, err)
		}
	}
	if most < 20 {
		t.Errorf("no picture has more than %d packets", most)
	}
}
