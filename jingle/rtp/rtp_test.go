package rtp_test

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

func TestDescriptions(t *testing.T) {
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name:  "empty",
			Value: &rtp.Description{Media: rtp.Audio},
			XML:   `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`,
		},
		{
			Name: "audio",
			Value: &rtp.Description{
				Media: rtp.Audio,
				PayloadTypes: []rtp.PayloadType{
					{
						ID: 111, Name: "opus", ClockRate: 48000, Channels: 2, PTime: 20, MaxPTime: 60,
						Parameters: []rtp.Parameter{{Name: "minptime", Value: "10"}, {Value: "0-15"}},
						Feedback:   []rtp.Feedback{{Type: "transport-cc"}},
					},
					{ID: 0, Name: "PCMU", ClockRate: 8000},
				},
				RTCPMux: new(rtp.Flag),
			},
			XML: `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
				<payload-type id='111' name='opus' clockrate='48000' channels='2' ptime='20' maxptime='60'>
					<parameter name='minptime' value='10'/><parameter value='0-15'/>
					<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/>
				</payload-type>
				<payload-type id='0' name='PCMU' clockrate='8000'/>
				<rtcp-mux/></description>`,
		},
		{
			Name: "video with everything",
			Value: &rtp.Description{
				Media: rtp.Video, SSRC: "2",
				PayloadTypes: []rtp.PayloadType{{
					ID: 98, Name: "VP8", ClockRate: 90000,
					Feedback: []rtp.Feedback{{Type: "nack"}, {Type: "nack", Subtype: "pli"}},
				}},
				Feedback:   []rtp.Feedback{{Type: "ccm", Subtype: "fir"}},
				HdrExts:    []rtp.HdrExt{{ID: 1, URI: "urn:3gpp:video-orientation", Senders: "initiator"}},
				AllowMixed: new(rtp.Flag),
				Sources: []rtp.Source{{SSRC: "1", Parameters: []rtp.Parameter{
					{Name: "cname", Value: "x"}, {Name: "msid", Value: "a b"},
				}}},
				SSRCGroups: []rtp.SSRCGroup{{Semantics: "FID", Sources: []rtp.SSRCOnly{{SSRC: "1"}, {SSRC: "2"}}}},
				Unknown: []jingle.Unknown{{
					XMLName: xml.Name{Space: "urn:xmpp:jingle:apps:category:0", Local: "category"},
					Attr:    []xml.Attr{{Name: xml.Name{Local: "name"}, Value: "slides"}},
				}},
			},
			XML: `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video' ssrc='2'>
				<payload-type id='98' name='VP8' clockrate='90000'>
					<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>
					<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/>
				</payload-type>
				<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='ccm' subtype='fir'/>
				<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:3gpp:video-orientation' senders='initiator'/>
				<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>
				<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'>
					<parameter name='cname' value='x'/><parameter name='msid' value='a b'/></source>
				<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='1'/><source ssrc='2'/></ssrc-group>
				<category xmlns='urn:xmpp:jingle:apps:category:0' name='slides'/></description>`,
		},
		{
			Name:  "payload types without usable number are left out",
			Value: &rtp.Description{Media: rtp.Audio, PayloadTypes: []rtp.PayloadType{{ID: 9, Name: "G722"}}},
			XML: `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
				<payload-type name='a'/><payload-type id='x' name='b'/><payload-type id='128' name='c'/>
				<payload-type id=' 9 ' name='G722' clockrate='fast' channels='many'><x xmlns='y'/></payload-type></description>`,
			OneWay: true,
		},
		{
			Name:  "header extensions without number or name are left out",
			Value: &rtp.Description{Media: rtp.Video},
			XML: `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>
				<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' uri='u'/>
				<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='70000' uri='u'/>
				<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1'/></description>`,
			OneWay: true,
		},
	})
}

func TestInfos(t *testing.T) {
	mute := rtp.NewInfo("mute")
	mute.Creator, mute.Name = "initiator", "audio"
	jingletest.RoundTrip(t, []jingletest.Case{
		{Name: "ringing", Value: rtp.NewInfo("ringing"), XML: `<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{Name: "hold", Value: rtp.NewInfo("hold"), XML: `<hold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`},
		{Name: "mute", Value: mute, XML: `<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='initiator' name='audio'/>`},
	})
}

func TestLimits(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>`)
	for i := range 300 {
		fmt.Fprintf(&b, `<payload-type id='%d'>%s</payload-type>`, i%128, strings.Repeat(`<parameter value='1'/>`, 3))
		b.WriteString(`<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>`)
		b.WriteString(`<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='u'/>`)
		b.WriteString(`<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'/>`)
		b.WriteString(`<x xmlns='y'/>`)
	}
	b.WriteString(`</description>`)
	var d rtp.Description
	if err := xml.Unmarshal([]byte(b.String()), &d); err != nil {
		t.Fatal(err)
	}
	got := []int{len(d.PayloadTypes), len(d.Feedback), len(d.HdrExts), len(d.Sources), len(d.Unknown)}
	want := []int{rtp.MaxPayloadTypes, rtp.MaxFeedback, rtp.MaxHdrExts, rtp.MaxSources, 16}
	if !cmp.Equal(got, want) {
		t.Errorf("kept %v of each, want %v", got, want)
	}
}

func TestKindAndStub(t *testing.T) {
	d := jingletest.Description("video")
	if d.Kind() != "video" {
		t.Errorf("Kind = %q", d.Kind())
	}
	if diff := cmp.Diff(&rtp.Description{Media: rtp.Video}, d.Stub()); diff != "" {
		t.Errorf("stub differs (-want +got):\n%s", diff)
	}
}

func FuzzDescription(f *testing.F) {
	files, err := filepath.Glob("../testdata/captures/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		for _, c := range jingletest.Captures(f, file) {
			if el := c.Child(rtp.NS, "description"); el != nil {
				f.Add(el)
			}
		}
	}
	f.Add([]byte(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'><parameter name='a'/></source><a:x xmlns:a='b' a:c='d'>&lt;</a:x></description>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d rtp.Description
		if xml.Unmarshal(data, &d) != nil {
			return
		}
		again, err := xml.Marshal(&d)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		var e rtp.Description
		if err := xml.Unmarshal(again, &e); err != nil {
			t.Fatalf("written again, it does not decode: %v\n%s", err, again)
		}
		if diff := cmp.Diff(d, e); diff != "" {
			t.Errorf("value differs after a round trip (-want +got):\n%s\n%s", diff, again)
		}
	})
}
