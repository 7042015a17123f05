package media

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/iceudp"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/audio"
)

// talk makes a call in which both hear each other.
func talk(t *testing.T, ctx context.Context, change func(*Config)) (a, b *phone) {
	t.Helper()
	leaks(t)
	a, b = newPhone(t, "a", 440, change), newPhone(t, "b", 880, change)
	dial(t, a, b)
	for _, p := range []*phone{a, b} {
		next[FirstAudio](t, ctx, p)
	}
	a.ear.waitTone(t, ctx, 880)
	b.ear.waitTone(t, ctx, 440)
	return a, b
}

func TestMute(t *testing.T) {
	ctx := testContext(t)
	a, b := talk(t, ctx, nil)
	if err := a.Mute(true); err != nil {
		t.Fatal(err)
	}
	if e := next[RemoteMuted](t, ctx, b); !e.Muted {
		t.Error("b was told that a is not muted")
	}
	b.ear.waitSilence(t, ctx)
	a.ear.waitTone(t, ctx, 880)
	if err := a.Mute(false); err != nil {
		t.Fatal(err)
	}
	if e := next[RemoteMuted](t, ctx, b); e.Muted {
		t.Error("b was told that a is muted")
	}
	b.ear.waitTone(t, ctx, 440)
}

func TestMutedBeforeTheCallBegan(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
	if err := b.Mute(true); err != nil {
		t.Fatal(err)
	}
	dial(t, a, b)
	if e := next[RemoteMuted](t, ctx, a); !e.Muted {
		t.Error("a was told that b is not muted")
	}
	b.ear.waitTone(t, ctx, 440)
	a.ear.waitSilence(t, ctx)
}

func TestHold(t *testing.T) {
	ctx := testContext(t)
	a, b := talk(t, ctx, nil)
	if err := b.Hold(true); err != nil {
		t.Fatal(err)
	}
	if e := next[RemoteHeld](t, ctx, a); !e.Held {
		t.Error("a was told that it is not held")
	}
	a.ear.waitSilence(t, ctx)
	b.ear.waitSilence(t, ctx)
	if err := b.Hold(false); err != nil {
		t.Fatal(err)
	}
	if e := next[RemoteHeld](t, ctx, a); e.Held {
		t.Error("a was told that it is held")
	}
	a.ear.waitTone(t, ctx, 880)
	b.ear.waitTone(t, ctx, 440)
}

func TestTelephoneKeys(t *testing.T) {
	for _, codec := range []string{"opus", "PCMU"} {
		t.Run(codec, func(t *testing.T) {
			ctx := testContext(t)
			a, b := talk(t, ctx, only(codec))
			if got := b.Stats().Codec; got != codec {
				t.Errorf("codec %q, want %q", got, codec)
			}
			if err := a.DTMF(ctx, "1#d"); err != nil {
				t.Fatal(err)
			}
			for _, want := range "1#D" {
				if e := next[Digit](t, ctx, b); e.Key != want {
					t.Errorf("key %q, want %q", e.Key, want)
				}
			}
			if err := a.DTMF(ctx, "x"); err == nil {
				t.Error("there is a key x")
			}
			if err := a.DTMF(ctx, strings.Repeat("1", maxDigits+1)); err == nil {
				t.Error("any number of keys can be sent")
			}
			b.ear.waitTone(t, ctx, 440)
		})
	}
}

// only leaves one codec.
func only(name string) func(*Config) {
	return func(cfg *Config) {
		for _, c := range audio.Codecs() {
			if c.Name == name {
				cfg.Audio.Codecs = []audio.Codec{c}
			}
		}
	}
}

func TestNoCodecInCommon(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, only("PCMU")), newPhone(t, "b", 880, only("PCMA"))
	dial(t, a, b)
	for _, p := range []*phone{a, b} {
		if e := next[Ended](t, ctx, p); e.Reason.Condition != jingle.IncompatibleParameters || e.Err == nil {
			t.Errorf("%+v", e)
		}
	}
}

func TestReconnectsWhenTheNetworkChanges(t *testing.T) {
	for _, who := range []string{"initiator", "responder", "both"} {
		t.Run(who, func(t *testing.T) {
			ctx := testContext(t)
			a, b := talk(t, ctx, nil)
			before := [2]Pair{a.Stats().Pair, b.Stats().Pair}
			if who != "responder" {
				a.NetworkChanged()
			}
			if who != "initiator" {
				b.NetworkChanged()
			}
			for i, p := range []*phone{a, b} {
				next[Reconnecting](t, ctx, p)
				c := next[Connected](t, ctx, p)
				if c.Pair == before[i] {
					t.Error("the path is the same")
				}
			}
			a.ear.waitTone(t, ctx, 880)
			b.ear.waitTone(t, ctx, 440)
		})
	}
}

func TestStats(t *testing.T) {
	ctx := testContext(t)
	a, b := talk(t, ctx, func(cfg *Config) { cfg.StatsInterval = 100 * time.Millisecond })
	for _, p := range []*phone{a, b} {
		// Each figure comes when there is something to tell.
		told := func(s Stats) bool {
			return s.RTT > 0 && s.Jitter >= 0 && s.BitrateIn > 0 && s.BitrateOut > 0 && s.PacketsIn >= 20 &&
				s.PacketsOut >= 20 && s.BytesIn > 0 && s.BytesOut > 0 && s.LevelIn > -20 && s.LevelOut > -20
		}
		s := next[Stats](t, ctx, p)
		for !told(s) {
			s = next[Stats](t, ctx, p)
		}
		if s.Connected <= 0 || s.Codec != "opus" || s.Pair.Local.Type != iceudp.Host || s.Pair.Relayed() {
			t.Errorf("%+v", s)
		}
		if s.LossIn < 0 || s.LossIn > 1 || s.LossOut < 0 || s.LossOut > 1 || s.Concealed < 0 || s.Concealed > 1 {
			t.Errorf("shares out of range: %+v", s)
		}
	}
}

func TestSameVerificationOnBothSides(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
	dial(t, a, b)
	x, y := next[Connected](t, ctx, a).Verification, next[Connected](t, ctx, b).Verification
	if x == "" || x != y {
		t.Errorf("%q and %q", x, y)
	}
}

func TestSourceThatEnds(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
	dial(t, a, b)
	b.ear.waitTone(t, ctx, 440)
	if err := a.cfg.Audio.Source.Close(); err != nil {
		t.Fatal(err)
	}
	next[SourceEnded](t, ctx, a)
	b.ear.waitSilence(t, ctx)
	a.ear.waitTone(t, ctx, 880)
}

// A fullSink takes some frames and then no more.
type fullSink struct {
	audio.Sink
	left int
}

var errFull = errors.New("disk full")

func (s *fullSink) Write(f audio.Frame) error {
	if s.left--; s.left < 0 {
		return errFull
	}
	return s.Sink.Write(f)
}

func TestSinkThatEnds(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, func(cfg *Config) { cfg.Audio.Sink = &fullSink{cfg.Audio.Sink, 5} }), newPhone(t, "b", 880, nil)
	dial(t, a, b)
	if e := next[SinkEnded](t, ctx, a); !errors.Is(e.Err, errFull) {
		t.Errorf("error = %v, want %v", e.Err, errFull)
	}
	b.ear.waitTone(t, ctx, 440) // the call goes on
}

func TestCallThatOnlyListens(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a := newPhone(t, "a", 440, func(cfg *Config) { cfg.Audio.Source = nil })
	b := newPhone(t, "b", 880, nil)
	dial(t, a, b)
	a.ear.waitTone(t, ctx, 880)
	if err := a.DTMF(ctx, "1"); !errors.Is(err, ErrNoDTMF) {
		t.Error(err)
	}
}

// What a peer sends that must not lead to a connection.
func TestUntrustedPeers(t *testing.T) {
	firstTransport := func(j *jingle.Jingle) *iceudp.Transport { return j.Contents[0].Transport.(*iceudp.Transport) }
	for _, tt := range []struct {
		name   string
		spoil  func(*jingle.Jingle)
		reason jingle.Condition
	}{
		{"no fingerprint", func(j *jingle.Jingle) { firstTransport(j).Fingerprints = nil }, jingle.SecurityError},
		{"fingerprint without setup", func(j *jingle.Jingle) { firstTransport(j).Fingerprints[0].Setup = "" }, jingle.SecurityError},
		{"sha-1", func(j *jingle.Jingle) { firstTransport(j).Fingerprints[0].Hash = "sha-1" }, jingle.SecurityError},
		{"another key", func(j *jingle.Jingle) {
			f := &firstTransport(j).Fingerprints[0]
			f.Value = strings.Repeat("00:", 31) + "00"
		}, jingle.SecurityError},
		{"no credentials", func(j *jingle.Jingle) { firstTransport(j).Ufrag = "" }, jingle.IncompatibleParameters},
	} {
		for _, action := range []jingle.Action{jingle.ActionSessionInitiate, jingle.ActionSessionAccept} {
			t.Run(tt.name+" in "+string(action), func(t *testing.T) {
				leaks(t)
				ctx := testContext(t)
				a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
				sender := a
				if action == jingle.ActionSessionAccept {
					sender = b
				}
				sender.tap = func(j *jingle.Jingle) {
					if j.Action == action {
						tt.spoil(j)
					}
				}
				dial(t, a, b)
				for _, p := range []*phone{a, b} {
					e := next[Ended](t, ctx, p)
					if e.Reason.Condition != tt.reason || e.Duration != 0 || e.Err == nil {
						t.Errorf("ended with %+v, want %s", e, tt.reason)
					}
				}
			})
		}
	}
}

func TestVideoBesideSoundIsAnsweredAndNotSent(t *testing.T) {
	video := func(name string) jingle.Content {
		return jingle.Content{
			Creator: "initiator", Name: name, Senders: jingle.SendersBoth,
			Description: &jrtp.Description{Media: jrtp.Video, PayloadTypes: []jrtp.PayloadType{
				{ID: 97, Name: "H264", ClockRate: 90000}, {ID: 96, Name: "VP8", ClockRate: 90000},
			}, RTCPMux: &jrtp.Flag{}},
		}
	}
	for _, bundled := range []bool{true, false} {
		name := map[bool]string{true: "bundled, video first, as Conversations", false: "not bundled, as Dino"}[bundled]
		senders := map[bool]jingle.Senders{true: jingle.SendersNone, false: jingle.SendersInitiator}[bundled]
		t.Run(name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
			var second *linkSide // the transport of the video that is not bundled
			a.tap = func(j *jingle.Jingle) {
				if j.Action != jingle.ActionSessionInitiate {
					return
				}
				v := video("v")
				if bundled {
					tr := *j.Contents[0].Transport.(*iceudp.Transport)
					v.Transport = &tr
					j.Contents = []jingle.Content{v, j.Contents[0]}
					j.Groups = []group.Group{group.New(group.Bundle, "v", "0")}
					return
				}
				second = newLinkSide(t, "video", Config{})
				offer, err := second.link.Offer()
				if err != nil {
					t.Error(err)
					return
				}
				v.Transport = offer[0].Transport
				j.Contents = append(j.Contents, v)
				j.Groups = nil
			}
			answers := make(chan *jingle.Jingle, 1)
			b.tap = func(j *jingle.Jingle) {
				if j.Action == jingle.ActionSessionAccept {
					answers <- copyJingle(t, j)
					// What a offered was sound alone.
					j.Contents = slices.DeleteFunc(j.Contents, func(c jingle.Content) bool { return c.Name == "v" })
				}
			}
			dial(t, a, b)
			answer := waitFor(t, ctx, "the answer", answers)
			if len(answer.Contents) != 2 {
				t.Fatalf("%d contents answered of 2", len(answer.Contents))
			}
			i := slices.IndexFunc(answer.Contents, func(c jingle.Content) bool { return c.Name == "v" })
			v := answer.Contents[i]
			d, tr := description(v), iceTransport(v)
			if v.Senders != senders || len(d.PayloadTypes) != 1 || d.PayloadTypes[0].Name != "VP8" || d.Media != jrtp.Video {
				t.Errorf("video answered with %+v, %+v", v, d)
			}
			sound := iceTransport(answer.Contents[1-i])
			if (tr.Ufrag == sound.Ufrag) != bundled || len(tr.Fingerprints) != 1 || len(answer.Groups) > 0 != bundled {
				t.Errorf("transports %+v and %+v, groups %v", tr, sound, answer.Groups)
			}
			a.ear.waitTone(t, ctx, 880)
			b.ear.waitTone(t, ctx, 440)
		})
	}
}

func TestAddedVideoIsRejected(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
	rejected := make(chan struct{})
	var once sync.Once
	b.tap = func(j *jingle.Jingle) {
		if j.Action == jingle.ActionContentReject {
			once.Do(func() { close(rejected) })
		}
	}
	dial(t, a, b)
	b.ear.waitTone(t, ctx, 440)
	a.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.AddContent(&jingle.Jingle{Contents: []jingle.Content{{
			Creator: "initiator", Name: "video", Senders: jingle.SendersInitiator,
			Description: &jrtp.Description{Media: jrtp.Video, PayloadTypes: []jrtp.PayloadType{{ID: 96, Name: "VP8", ClockRate: 90000}}},
			Transport:   &iceudp.Transport{Ufrag: "abcd", Pwd: "abcdefghijklmnopqrstuv"},
		}}})
	})
	waitFor(t, ctx, "the rejection", rejected)
	b.ear.waitTone(t, ctx, 440)
}

// A countingLink counts candidates.
type countingLink struct {
	link
	n int
}

func (l *countingLink) AddCandidate(iceudp.Candidate, string) error { l.n++; return nil }

func TestFiveHundredCandidatesAreCapped(t *testing.T) {
	counting := &countingLink{}
	c := &Call{log: testLogger(t, "a")}
	c.agreed = true
	cl := &callLink{link: counting, names: []string{"0"}, remote: iceudp.Transport{Ufrag: "abcd"}}
	c.links = []*callLink{cl}
	for _, when := range []string{"after the answer", "before the answer"} {
		tr := &iceudp.Transport{Ufrag: "abcd"}
		for i := range 500 {
			tr.Candidates = append(tr.Candidates, iceudp.Candidate{
				Component: 1, IP: "192.0.2.77", Port: uint16(i + 1), Protocol: "udp", Type: iceudp.Host,
			})
		}
		if err := c.transportInfo(&jingle.Jingle{Contents: []jingle.Content{{Name: "0", Transport: tr}}}); err != nil {
			t.Fatal(err)
		}
		if n := max(counting.n, len(cl.early)); n != maxRemoteCandidates {
			t.Errorf("%s: %d candidates kept, want %d", when, n, maxRemoteCandidates)
		}
		c.agreed, counting.n = false, 0
	}
}

func TestContentsThatAreNoCall(t *testing.T) {
	ok := func() jingle.Content {
		return jingle.Content{
			Name: "0", Description: &jrtp.Description{Media: jrtp.Audio},
			Transport: &iceudp.Transport{Fingerprints: []iceudp.Fingerprint{
				{Hash: "sha-256", Setup: iceudp.ActPass, Value: strings.Repeat("AB:", 31) + "AB"},
			}},
		}
	}
	bare, still, twice := ok(), ok(), []jingle.Content{ok(), ok()}
	bare.Transport, still.Description = nil, nil
	for _, tt := range []struct {
		name     string
		contents []jingle.Content
		want     jingle.Condition
	}{
		{"none", nil, jingle.IncompatibleParameters},
		{"too many", make([]jingle.Content, maxContents+1), jingle.IncompatibleParameters},
		{"two of a name", twice, jingle.IncompatibleParameters},
		{"no description", []jingle.Content{still}, jingle.UnsupportedApplications},
		{"another description", []jingle.Content{{Name: "0", Description: &jingle.Unknown{}, Transport: ok().Transport}}, jingle.UnsupportedApplications},
		{"no transport", []jingle.Content{bare}, jingle.UnsupportedTransports},
		{"another transport", []jingle.Content{{Name: "0", Description: ok().Description, Transport: &jingle.Unknown{}}}, jingle.UnsupportedTransports},
	} {
		if got := reasonFor(checkContents(tt.contents)).Condition; got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if err := checkContents([]jingle.Content{ok()}); err != nil {
		t.Error(err)
	}
}

func TestClosedBeforeItBegan(t *testing.T) {
	leaks(t)
	p := newPhone(t, "a", 440, nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	if e := next[Ended](t, ctx, p); e.Reason.Condition != jingle.Cancel || e.Err != nil {
		t.Errorf("%+v", e)
	}
	for range p.events {
	}
}

func TestConfigIsChecked(t *testing.T) {
	leaks(t)
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"relay only without relay", Config{RelayOnly: true, ICEServers: []ICEServer{{URL: "stun:192.0.2.1"}}}},
		{"bad URL", Config{ICEServers: []ICEServer{{URL: "http://example.org"}}}},
		{"no codecs", Config{Audio: Audio{Codecs: []audio.Codec{}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := NewCall(tt.cfg); err == nil {
				c.Close()
				t.Error("it is accepted")
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	var out strings.Builder
	log := testSlog(&out)
	s := ICEServer{URL: "turn:example.org", Username: "u", Password: "hunter2"}
	log.Info("server", "server", s, "password", s.Password)
	pionScope{log}.Infof(`Started agent: remoteUfrag: %q, remotePwd: %q`, "hunter3", "hunter4")
	if strings.Contains(out.String(), "hunter") {
		t.Error(out.String())
	}
}
