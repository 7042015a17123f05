package sdpmap

import (
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

var update = flag.Bool("update", false, "write golden files anew")

// parse reads the contents of a jingle element.
func parse(t testing.TB, b []byte) []jingle.Content {
	t.Helper()
	var j struct {
		Contents []struct {
			Name        string            `xml:"name,attr"`
			Senders     jingle.Senders    `xml:"senders,attr"`
			Description *rtp.Description  `xml:"urn:xmpp:jingle:apps:rtp:1 description"`
			Transport   *iceudp.Transport `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
		} `xml:"content"`
	}
	if err := xml.Unmarshal(b, &j); err != nil {
		t.Fatal(err)
	}
	var out []jingle.Content
	for _, c := range j.Contents {
		out = append(out, jingle.Content{
			Creator: "initiator", Name: c.Name, Senders: c.Senders, Description: c.Description, Transport: c.Transport,
		})
	}
	return out
}

func TestPeersInOurDialect(t *testing.T) {
	for _, tt := range []struct {
		name string
		from jingle.Role
	}{
		{"dino-initiate", jingle.Initiator},
		{"dino-accept", jingle.Responder},
		{"dino-video-initiate", jingle.Initiator},
		{"conversations-initiate", jingle.Initiator},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join("testdata", tt.name+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			contents := parse(t, in)
			got, err := ToSDP(contents, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", tt.name+".sdp")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("SDP differs (-want +got):\n%s", d)
			}
			// What we write we can read, and it says the same again.
			back, err := FromSDP(got, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ToSDP(back, tt.from); err != nil || again != got {
				t.Errorf("read and written again (%v):\n%s", err, cmp.Diff(got, again))
			}
			// pion takes it.
			if tt.from == jingle.Initiator {
				pionAnswers(t, got)
			}
		})
	}
}

func pionAnswers(t *testing.T, offer string) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := FromSDP(answer.SDP, jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range ours {
		tr := c.Transport.(*iceudp.Transport)
		if f, err := PickFingerprint(tr); err != nil || f.Setup != iceudp.Active || tr.Ufrag == "" || tr.Pwd == "" {
			t.Errorf("content %q: transport %+v: %v", c.Name, tr, err)
		}
		if len(c.Description.(*rtp.Description).PayloadTypes) == 0 {
			t.Errorf("content %q: pion rejected it", c.Name)
		}
	}
}

func TestDirection(t *testing.T) {
	for _, s := range []jingle.Senders{jingle.SendersBoth, jingle.SendersInitiator, jingle.SendersNone, jingle.SendersResponder} {
		for _, r := range []jingle.Role{jingle.Initiator, jingle.Responder} {
			if got, ok := senders(direction(s, r), r); !ok || got != s {
				t.Errorf("%s as %s is %s and %s again", s, r, direction(s, r), got)
			}
		}
	}
	if got := direction(jingle.SendersInitiator, jingle.Responder); got != "recvonly" {
		t.Errorf("responder says %s of what the initiator sends", got)
	}
}

// good returns contents that can be written, for tests that spoil them.
func good() []jingle.Content {
	return []jingle.Content{{
		Name: "0",
		Description: &rtp.Description{
			Media:        rtp.Audio,
			PayloadTypes: []rtp.PayloadType{{ID: 111, Name: "opus", ClockRate: 48000, Channels: 2}},
			Sources:      []rtp.Source{{SSRC: "77"}},
		},
		Transport: &iceudp.Transport{
			Ufrag: "kCIN", Pwd: "1MPHGGNn5YCcHOCgDTCy/H",
			Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Setup: iceudp.ActPass, Value: strings.Repeat("AB:", 31) + "AB"}},
		},
	}}
}

func TestRefusesWhatCannotBeSaid(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*jingle.Content, *rtp.Description, *iceudp.Transport)
	}{
		{"name with a space", func(c *jingle.Content, _ *rtp.Description, _ *iceudp.Transport) { c.Name = "a b" }},
		{"name with a line", func(c *jingle.Content, _ *rtp.Description, _ *iceudp.Transport) { c.Name = "a\r\na=x" }},
		{"empty name", func(c *jingle.Content, _ *rtp.Description, _ *iceudp.Transport) { c.Name = "" }},
		{"no description", func(c *jingle.Content, _ *rtp.Description, _ *iceudp.Transport) { c.Description = nil }},
		{"no transport", func(c *jingle.Content, _ *rtp.Description, _ *iceudp.Transport) { c.Transport = nil }},
		{"media", func(_ *jingle.Content, d *rtp.Description, _ *iceudp.Transport) { d.Media = "text\r\n" }},
		{"no codec", func(_ *jingle.Content, d *rtp.Description, _ *iceudp.Transport) { d.PayloadTypes = nil }},
		{"codec with a line", func(_ *jingle.Content, d *rtp.Description, _ *iceudp.Transport) { d.PayloadTypes[0].Name = "opus\n" }},
		{"source", func(_ *jingle.Content, d *rtp.Description, _ *iceudp.Transport) { d.Sources[0].SSRC = "1 x\r\n" }},
		{"ufrag", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) { tr.Ufrag = "abcd\r\na=y" }},
		{"short pwd", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) { tr.Pwd = "abcd" }},
		{"no fingerprint", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) { tr.Fingerprints = nil }},
		{"sha-1 only", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) {
			tr.Fingerprints[0].Hash, tr.Fingerprints[0].Value = "sha-1", strings.Repeat("AB:", 19)+"AB"
		}},
		{"fingerprint without setup", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) { tr.Fingerprints[0].Setup = "" }},
		{"short fingerprint", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) { tr.Fingerprints[0].Value = "AB:CD" }},
		{"holdconn", func(_ *jingle.Content, _ *rtp.Description, tr *iceudp.Transport) {
			tr.Fingerprints[0].Setup = "holdconn"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs := good()
			if _, err := ToSDP(cs, jingle.Initiator); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.spoil(&cs[0], cs[0].Description.(*rtp.Description), cs[0].Transport.(*iceudp.Transport))
			if s, err := ToSDP(cs, jingle.Initiator); !errors.Is(err, ErrMalformed) {
				t.Errorf("err = %v, SDP\n%s", err, s)
			}
		})
	}
}

func TestLeavesOutWhatNobodyNeeds(t *testing.T) {
	cs := good()
	d := cs[0].Description.(*rtp.Description)
	d.PayloadTypes[0].Parameters = []rtp.Parameter{{Name: "a", Value: "1;b=2"}, {Name: "x y", Value: "1"}, {Name: "useinbandfec", Value: "1"}}
	d.PayloadTypes[0].Feedback = []rtp.Feedback{{Type: "nack pli"}, {Type: "transport-cc"}}
	d.PayloadTypes = append(d.PayloadTypes, rtp.PayloadType{ID: 72, Name: "x", ClockRate: 1}, rtp.PayloadType{ID: 111, Name: "twice", ClockRate: 1})
	d.HdrExts = []rtp.HdrExt{{ID: 15, URI: "urn:x"}, {ID: 1, URI: "urn:a b"}, {ID: 2, URI: "urn:ok"}}
	s, err := ToSDP(cs, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	back, err := FromSDP(s, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	want := &rtp.Description{
		Media: rtp.Audio,
		PayloadTypes: []rtp.PayloadType{{
			ID: 111, Name: "opus", ClockRate: 48000, Channels: 2,
			Parameters: []rtp.Parameter{{Name: "useinbandfec", Value: "1"}}, Feedback: []rtp.Feedback{{Type: "transport-cc"}},
		}},
		HdrExts: []rtp.HdrExt{{ID: 2, URI: "urn:ok"}},
		Sources: []rtp.Source{{SSRC: "77", Parameters: []rtp.Parameter{{Name: "cname", Value: "-"}}}},
		RTCPMux: &rtp.Flag{},
	}
	if diff := cmp.Diff(want, back[0].Description, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCandidates(t *testing.T) {
	ok := iceudp.Candidate{Component: 1, Foundation: "1", IP: "192.0.2.2", Port: 53911, Priority: 2015363327, Protocol: "udp", Type: iceudp.Host}
	for _, tt := range []struct {
		name   string
		change func(*iceudp.Candidate)
		want   string // "" when it is not used
	}{
		{"host", func(*iceudp.Candidate) {}, "candidate:1 1 udp 2015363327 192.0.2.2 53911 typ host ufrag kCIN"},
		{"IPv6", func(c *iceudp.Candidate) { c.IP = "FD00::2" }, "candidate:1 1 udp 2015363327 fd00::2 53911 typ host ufrag kCIN"},
		{"mapped IPv4", func(c *iceudp.Candidate) { c.IP = "::ffff:192.0.2.2" }, "candidate:1 1 udp 2015363327 192.0.2.2 53911 typ host ufrag kCIN"},
		{"upper UDP", func(c *iceudp.Candidate) { c.Protocol = "UDP" }, "candidate:1 1 udp 2015363327 192.0.2.2 53911 typ host ufrag kCIN"},
		{"Monal's srflx without rel-port", func(c *iceudp.Candidate) { c.Type, c.RelAddr = iceudp.SRflx, "10.0.0.1" },
			"candidate:1 1 udp 2015363327 192.0.2.2 53911 typ srflx raddr 10.0.0.1 rport 0 ufrag kCIN"},
		{"odd foundation", func(c *iceudp.Candidate) { c.Foundation = "a b\r\n" }, "candidate:0 1 udp 2015363327 192.0.2.2 53911 typ host ufrag kCIN"},
		{"tcp", func(c *iceudp.Candidate) { c.Protocol = "tcp" }, ""},
		{"component 2", func(c *iceudp.Candidate) { c.Component = 2 }, ""},
		{"name to look up", func(c *iceudp.Candidate) { c.IP = "tracker.example.org" }, ""},
		{"mDNS", func(c *iceudp.Candidate) { c.IP = "1f4712db.local" }, ""},
		{"zone", func(c *iceudp.Candidate) { c.IP = "fe80::1%eth0" }, ""},
		{"multicast", func(c *iceudp.Candidate) { c.IP = "224.0.0.1" }, ""},
		{"unspecified", func(c *iceudp.Candidate) { c.IP = "0.0.0.0" }, ""},
		{"broadcast", func(c *iceudp.Candidate) { c.IP = "255.255.255.255" }, ""},
		{"no port", func(c *iceudp.Candidate) { c.Port = 0 }, ""},
		{"unknown type", func(c *iceudp.Candidate) { c.Type = "tunnel" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.change(&c)
			got, err := ToICE(c, "kCIN")
			if got.Candidate != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got.Candidate, err, tt.want)
			}
		})
	}
}

func TestOurCandidatesHideWhatIsBehindARelay(t *testing.T) {
	c, ok := FromICE(&webrtc.ICECandidate{
		Protocol: webrtc.ICEProtocolUDP, Component: 1, Address: "203.0.113.1", Port: 5000, Foundation: "7",
		Typ: webrtc.ICECandidateTypeRelay, RelatedAddress: "192.168.1.2", RelatedPort: 4000,
	}, 2, "c1")
	want := iceudp.Candidate{
		Component: 1, Foundation: "7", Generation: 2, ID: "c1", IP: "203.0.113.1", Port: 5000,
		Protocol: "udp", Type: iceudp.Relay, RelAddr: "0.0.0.0",
	}
	if !ok || c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if c, ok := FromICE(&webrtc.ICECandidate{Protocol: webrtc.ICEProtocolUDP, Component: 1, Address: "fe80::1", Port: 1}, 0, "c2"); ok {
		t.Errorf("link-local address %+v is offered", c)
	}
}

// FuzzToSDP checks that whatever a peer writes is refused or becomes exactly
// the sections it has, and that what is read back says the same again.
func FuzzToSDP(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var j struct {
			Contents []struct {
				Name        string            `xml:"name,attr"`
				Senders     jingle.Senders    `xml:"senders,attr"`
				Description *rtp.Description  `xml:"urn:xmpp:jingle:apps:rtp:1 description"`
				Transport   *iceudp.Transport `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
			} `xml:"content"`
		}
		if xml.Unmarshal(b, &j) != nil {
			return
		}
		var contents []jingle.Content
		for _, c := range j.Contents {
			contents = append(contents, jingle.Content{Name: c.Name, Senders: c.Senders, Description: c.Description, Transport: c.Transport})
		}
		s, err := ToSDP(contents, jingle.Initiator)
		if err != nil {
			return
		}
		var d sdp.SessionDescription
		if err := d.UnmarshalString(s); err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
		if len(d.MediaDescriptions) != len(contents) {
			t.Fatalf("%d sections of %d contents", len(d.MediaDescriptions), len(contents))
		}
		back, err := FromSDP(s, jingle.Initiator)
		if err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
		again, err := ToSDP(back, jingle.Initiator)
		if err != nil || again != s {
			t.Fatalf("%v: written again:\n%s", err, cmp.Diff(s, again))
		}
		for _, c := range contents {
			for _, k := range c.Transport.(*iceudp.Transport).Candidates {
				if i, err := ToICE(k, "kCIN"); err == nil && strings.ContainsAny(i.Candidate, "\r\n") {
					t.Fatalf("candidate %q", i.Candidate)
				}
			}
		}
	})
}
