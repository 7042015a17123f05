package media

import (
	"bytes"
	"context"
	"encoding/xml"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/media/video/videotest"
)

// captured returns the first action of a kind in a capture of a real client.
func captured(t *testing.T, file string, a jingle.Action) *jingle.Jingle {
	t.Helper()
	for _, c := range jingletest.Captures(t, filepath.Join("../jingle/testdata/captures", file)) {
		el := c.Child(jingle.NS, "jingle")
		if el == nil {
			continue
		}
		j, err := registry().Decode(xml.NewDecoder(bytes.NewReader(el)))
		if err != nil {
			t.Fatal(err)
		}
		if j.Action == a {
			return j
		}
	}
	t.Fatalf("%s has no %s", file, a)
	return nil
}

// A replay is a peer that says what a real client said.
type replay struct {
	begin   *jingle.Jingle
	conn    jingle.Conn
	effects chan jingle.Effect
}

func (r *replay) Attach(c jingle.Conn) {
	r.conn = c
	c.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.Initiate(&jingle.Jingle{Contents: r.begin.Contents, Groups: r.begin.Groups})
	})
}

func (r *replay) Handle(e jingle.Effect) { r.effects <- e }

func effect[E jingle.Effect](t *testing.T, ctx context.Context, r *replay) E {
	t.Helper()
	for {
		select {
		case e := <-r.effects:
			if got, ok := e.(E); ok {
				return got
			}
			if end, ok := e.(jingle.Ended); ok {
				t.Fatalf("the session ended: %+v", end)
			}
		case <-ctx.Done():
			t.Fatalf("no %T came", *new(E))
		}
	}
}

// answers begins a session as a capture does, and returns what we answer.
func answers(t *testing.T, ctx context.Context, file string, change func(*Config)) (*replay, *phone, *jingle.Jingle) {
	t.Helper()
	r := &replay{begin: captured(t, file, jingle.ActionSessionInitiate), effects: make(chan jingle.Effect, 100)}
	p := newPhone(t, "we", 440, change)
	jingletest.Pair(t, jingletest.PairConfig{Registry: registry()}, r, p.Call)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for range p.events {
		}
	})
	return r, p, effect[jingle.Accepted](t, ctx, r).Jingle
}

// check holds an answer to what Dino takes: its names, one way to send each
// that is not "none", VP8 first, no group, and a transport for each.
func check(t *testing.T, got []jingle.Content, want map[string]jingle.Senders) {
	t.Helper()
	ufrags := make(map[string]bool)
	if len(got) != len(want) {
		t.Errorf("%d contents, want %d", len(got), len(want))
	}
	for _, k := range got {
		d, tr := k.Description.(*jrtp.Description), k.Transport.(*iceudp.Transport)
		if both(k.Senders) != want[k.Name] {
			t.Errorf("%s: senders %q, want %q", k.Name, k.Senders, want[k.Name])
		}
		if d.Media == jrtp.Video && d.PayloadTypes[0].Name != "VP8" {
			t.Errorf("%s: %s comes first", k.Name, d.PayloadTypes[0].Name)
		}
		if d.RTCPMux == nil || len(tr.Fingerprints) == 0 || tr.Fingerprints[0].Setup != iceudp.Active {
			t.Errorf("%s: %+v, %+v", k.Name, d, tr)
		}
		if ufrags[tr.Ufrag] {
			t.Errorf("%s shares its transport", k.Name)
		}
		ufrags[tr.Ufrag] = true
	}
}

func TestDinoCallsWithVideo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   jingle.Senders
	}{
		{"both show", func(cfg *Config) {
			cfg.Video = Video{Source: pattern(), Sink: video.Discard(), Codecs: []video.Codec{videotest.Codec()}}
		}, jingle.SendersBoth},
		{"we only look", func(cfg *Config) {
			cfg.Video = Video{Sink: video.Discard(), Codecs: []video.Codec{videotest.Codec()}}
		}, jingle.SendersInitiator},
		{"we have no codec", func(cfg *Config) {
			cfg.Video = Video{Source: pattern(), Sink: video.Discard(), Codecs: []video.Codec{}}
		}, jingle.SendersInitiator},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaks(t)
			_, _, accept := answers(t, testContext(t), "dino-video-cameras.xml", tt.change)
			if len(accept.Groups) > 0 {
				t.Error("the answer has a group and the offer none")
			}
			check(t, accept.Contents, map[string]jingle.Senders{"audio": jingle.SendersBoth, "video": tt.want})
		})
	}
}

func TestDinoAddsVideo(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	r, p, accept := answers(t, ctx, "dino-audio-then-video.xml", func(cfg *Config) {
		cfg.Video = Video{Sink: video.Discard(), Codecs: []video.Codec{videotest.Codec()}}
	})
	check(t, accept.Contents, map[string]jingle.Senders{"audio": jingle.SendersBoth})
	add := captured(t, "dino-audio-then-video.xml", jingle.ActionContentAdd)
	r.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.AddContent(&jingle.Jingle{Contents: add.Contents})
	})
	got := effect[jingle.ContentAccepted](t, ctx, r).Jingle
	check(t, got.Contents, map[string]jingle.Senders{"video": jingle.SendersInitiator})
	if !next[RemoteVideo](t, ctx, p).On {
		t.Error("the picture is off")
	}
	info := func(message string) {
		i := jrtp.NewInfo(message)
		i.Name, i.Creator = "video", "initiator"
		r.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Info(i) })
	}
	info("mute") // as Dino turns it off
	if next[RemoteVideo](t, ctx, p).On {
		t.Error("the picture is on")
	}
	info("unmute")
	if !next[RemoteVideo](t, ctx, p).On {
		t.Error("the picture is off")
	}
}
