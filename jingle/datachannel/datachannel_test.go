package datachannel_test

import (
	"encoding/xml"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

func TestTransports(t *testing.T) {
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name: "as Conversations has it",
			Value: &datachannel.Transport{SCTPPort: 5000, MaxMessageSize: 262144, ICE: &iceudp.Transport{
				Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg", Trickle: new(iceudp.Option),
				Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Setup: iceudp.ActPass, Value: "AB:CD"}},
			}},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='262144'>
				<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'>
				<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AB:CD</fingerprint>
				<trickle xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/></transport></transport>`,
		},
		{
			Name: "a candidate",
			Value: &datachannel.Transport{SCTPPort: 5000, MaxMessageSize: 262144, ICE: &iceudp.Transport{
				Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg", Candidates: []iceudp.Candidate{jingletest.Candidate()},
			}},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='262144'>
				<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'>
				<candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='192.0.2.3' network='0'
					port='8998' priority='2130706431' protocol='udp' type='host'/></transport></transport>`,
		},
		{
			Name:   "attributes that are no numbers",
			Value:  &datachannel.Transport{SCTPPort: 5000, MaxMessageSize: 65536},
			XML:    `<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='x' max-message-size='-1'/>`,
			OneWay: true,
		},
	})
}

func TestMaps(t *testing.T) {
	const ns = `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>`
	for _, tt := range []struct {
		name, in string
		want     datachannel.SCTPMap
		err      error
	}{
		{
			name: "of XEP-0343", in: ns + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5001' protocol='webrtc-datachannel' streams='1024'/></transport>`,
			want: datachannel.SCTPMap{Number: 5001, Protocol: "webrtc-datachannel", Streams: 1024},
		},
		{
			name: "without numbers", in: ns + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' protocol='webrtc-datachannel'/></transport>`,
			want: datachannel.SCTPMap{Number: 5000, Protocol: "webrtc-datachannel"},
		},
		{name: "of another protocol", in: ns + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='bfcp'/></transport>`, err: datachannel.ErrNoMap},
		{name: "of another namespace", in: ns + `<sctpmap number='5000' protocol='webrtc-datachannel'/></transport>`, err: datachannel.ErrNoMap},
		{name: "none", in: ns + `</transport>`, err: datachannel.ErrNoMap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tr iceudp.Transport
			if err := xml.Unmarshal([]byte(tt.in), &tr); err != nil {
				t.Fatal(err)
			}
			got, err := datachannel.MapOf(&tr)
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Fatalf("map = %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			if err != nil {
				return
			}
			var again, read iceudp.Transport
			datachannel.WithMap(&again, got)
			out, err := xml.Marshal(&again)
			if err != nil {
				t.Fatal(err)
			}
			if err := xml.Unmarshal(out, &read); err != nil {
				t.Fatal(err)
			}
			if m, err := datachannel.MapOf(&read); err != nil || m != got {
				t.Errorf("%s reads as %+v, %v", out, m, err)
			}
		})
	}
}

func TestRegister(t *testing.T) {
	var reg jingle.Registry
	datachannel.Register(&reg)
	if tr := reg.Transports[datachannel.NS](); tr.Namespace() != datachannel.NS {
		t.Errorf("namespace = %q", tr.Namespace())
	}
}

func FuzzTransport(f *testing.F) {
	f.Add([]byte(`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='262144'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='p'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AB:CD</fingerprint><sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/></transport></transport>`))
	f.Add([]byte(`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='99999' max-message-size='9999999999'/>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var tr, again datachannel.Transport
		if xml.Unmarshal(in, &tr) != nil {
			return
		}
		out, err := xml.Marshal(&tr)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		if err := xml.Unmarshal(out, &again); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if diff := cmp.Diff(tr, again, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".XMLName" }, cmp.Ignore())); diff != "" {
			t.Errorf("value differs after a round trip (-want +got):\n%s\n%s", diff, out)
		}
		if tr.ICE == nil {
			return
		}
		if m, err := datachannel.MapOf(tr.ICE); err == nil {
			var el iceudp.Transport
			datachannel.WithMap(&el, m)
			if got, err := datachannel.MapOf(&el); err != nil || got.Number != m.Number || got.Streams != m.Streams {
				t.Errorf("map %+v became %+v, %v", m, got, err)
			}
		}
	})
}
