package jmi

import (
	"encoding/xml"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

func described(media ...string) []Description {
	var list []Description
	for _, m := range media {
		list = append(list, Description{XMLName: xml.Name{Space: rtp.NS, Local: "description"}, Media: m})
	}
	return list
}

func TestMessages(t *testing.T) {
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name:  "propose",
			Value: &Message{Kind: KindPropose, SID: "ca3cf894", Descriptions: described("audio", "video")},
			XML: `<propose xmlns='urn:xmpp:jingle-message:0' id='ca3cf894'>
				<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>
				<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></propose>`,
		},
		{
			Name:  "ringing",
			Value: &Message{Kind: KindRinging, SID: "a"},
			XML:   `<ringing xmlns='urn:xmpp:jingle-message:0' id='a'/>`,
		},
		{
			Name:  "proceed with OMEMO device",
			Value: &Message{Kind: KindProceed, SID: "a", Device: "1083992414"},
			XML: `<proceed xmlns='urn:xmpp:jingle-message:0' id='a'>
				<device xmlns='http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification' id='1083992414'/></proceed>`,
		},
		{
			Name:  "accept",
			Value: &Message{Kind: KindAccept, SID: "a"},
			XML:   `<accept xmlns='urn:xmpp:jingle-message:0' id='a'/>`,
		},
		{
			Name:  "reject by tie-break",
			Value: &Message{Kind: KindReject, SID: "a", Reason: &jingle.Reason{Condition: jingle.Expired, Text: "Tie-Break"}, TieBreak: true},
			XML: `<reject xmlns='urn:xmpp:jingle-message:0' id='a'>
				<reason xmlns='urn:xmpp:jingle:1'><expired/><text>Tie-Break</text></reason><tie-break/></reject>`,
		},
		{
			Name:  "retract",
			Value: &Message{Kind: KindRetract, SID: "a", Reason: &jingle.Reason{Condition: jingle.Cancel}},
			XML:   `<retract xmlns='urn:xmpp:jingle-message:0' id='a'><reason xmlns='urn:xmpp:jingle:1'><cancel/></reason></retract>`,
		},
		{
			Name:  "finish of a migrated call",
			Value: &Message{Kind: KindFinish, SID: "a", Reason: &jingle.Reason{Condition: jingle.Expired}, MigratedTo: "b"},
			XML: `<finish xmlns='urn:xmpp:jingle-message:0' id='a'>
				<reason xmlns='urn:xmpp:jingle:1'><expired/></reason><migrated to='b'/></finish>`,
		},
		{
			Name:   "reject of Monal",
			Value:  &Message{Kind: KindReject, SID: "a", Reason: &jingle.Reason{Condition: jingle.Busy}},
			XML:    `<reject xmlns='urn:xmpp:jingle-message:0' id='a'><reason xmlns='urn:xmpp:jingle:1'><busy xmlns=''/></reason></reject>`,
			OneWay: true,
		},
		{
			Name:   "retract of Conversations",
			Value:  &Message{Kind: KindRetract, SID: "a"},
			XML:    `<retract xmlns='urn:xmpp:jingle-message:0' id='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></retract>`,
			OneWay: true,
		},
		{
			Name:   "propose with more",
			Value:  &Message{Kind: KindPropose, SID: "a", Descriptions: described("audio")},
			XML:    `<propose xmlns='urn:xmpp:jingle-message:0' id='a'><x xmlns='y'><z/></x><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><u/></description></propose>`,
			OneWay: true,
		},
	})
}

func TestMessagesThatAreNone(t *testing.T) {
	for _, c := range []struct{ name, xml string }{
		{"no id", `<propose xmlns='urn:xmpp:jingle-message:0'/>`},
		{"long id", `<propose xmlns='urn:xmpp:jingle-message:0' id='` + strings.Repeat("x", jingle.MaxSID+1) + `'/>`},
		{"unknown kind", `<dance xmlns='urn:xmpp:jingle-message:0' id='a'/>`},
		{"other version", `<propose xmlns='urn:xmpp:jingle-message:1' id='a'/>`},
		{"broken", `<propose xmlns='urn:xmpp:jingle-message:0' id='a'>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			if err := xml.Unmarshal([]byte(c.xml), &m); err == nil {
				t.Errorf("decoded to %+v, want an error", m)
			}
		})
	}
	if _, err := xml.Marshal(&Message{Kind: "dance", SID: "a"}); err == nil {
		t.Error("encoded a message of unknown kind")
	}
}

func TestManyDescriptionsAreCut(t *testing.T) {
	data := `<propose xmlns='urn:xmpp:jingle-message:0' id='a'>` +
		strings.Repeat(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`, 100) + `</propose>`
	var m Message
	if err := xml.Unmarshal([]byte(data), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Descriptions) != MaxDescriptions {
		t.Errorf("%d descriptions kept, want %d", len(m.Descriptions), MaxDescriptions)
	}
}

func captured(t testing.TB) [][]byte {
	files, err := filepath.Glob("../testdata/captures/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var list [][]byte
	for _, file := range files {
		for _, c := range jingletest.Captures(t, file) {
			for _, k := range []Kind{KindAccept, KindFinish, KindProceed, KindPropose, KindReject, KindRetract, KindRinging} {
				if el := c.Child(NS, string(k)); el != nil {
					list = append(list, el)
				}
			}
		}
	}
	return list
}

func TestCapturesSurviveARoundTrip(t *testing.T) {
	list := captured(t)
	if len(list) < 20 {
		t.Errorf("%d messages in the captures, want 20 or more", len(list))
	}
	for _, el := range list {
		var m Message
		if err := xml.Unmarshal(el, &m); err != nil {
			t.Fatalf("%v\n%s", err, el)
		}
		data, err := xml.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		jingletest.EqualXML(t, data, el)
	}
}

func FuzzMessage(f *testing.F) {
	for _, el := range captured(f) {
		f.Add(el)
	}
	f.Add([]byte(`<finish xmlns='urn:xmpp:jingle-message:0' id='a'><reason><alternative_session><sid>b</sid></alternative_session></reason><migrated to='b'/><tie-break/></finish>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		if xml.Unmarshal(data, &m) != nil {
			return
		}
		again, err := xml.Marshal(&m)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		var n Message
		if err := xml.Unmarshal(again, &n); err != nil {
			t.Fatalf("written again, it does not decode: %v\n%s", err, again)
		}
		if diff := cmp.Diff(m, n); diff != "" {
			t.Errorf("value differs after a round trip (-want +got):\n%s\n%s", diff, again)
		}
	})
}
