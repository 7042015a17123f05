package iceudp_test

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

var relay = iceudp.Candidate{
	Component: 1, Foundation: "2", Generation: 1, ID: "y3s2b30v3r", IP: "2001:db8::1", Network: 1, Port: 45664,
	Priority: 16777215, Protocol: "udp", Type: iceudp.Relay, RelAddr: "192.0.2.3", RelPort: 8998,
}

func TestTransports(t *testing.T) {
	jingletest.RoundTrip(t, []jingletest.Case{
		{Name: "empty", Value: &iceudp.Transport{}, XML: `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>`},
		{
			Name: "full",
			Value: &iceudp.Transport{
				Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg",
				Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Setup: iceudp.ActPass, Value: "AB:CD"}},
				Trickle:      new(iceudp.Option), Renomination: new(iceudp.Option),
				Candidates: []iceudp.Candidate{jingletest.Candidate(), relay},
				Unknown:    []jingle.Unknown{{XMLName: xml.Name{Space: iceudp.NS, Local: "gathering-complete"}}},
			},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'>
				<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AB:CD</fingerprint>
				<trickle xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>
				<renomination xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>
				<candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='192.0.2.3' network='0'
					port='8998' priority='2130706431' protocol='udp' type='host'/>
				<candidate component='1' foundation='2' generation='1' id='y3s2b30v3r' ip='2001:db8::1' network='1'
					port='45664' priority='16777215' protocol='udp' type='relay' rel-addr='192.0.2.3' rel-port='8998'/>
				<gathering-complete/></transport>`,
		},
		{
			Name:  "a candidate of Conversations, without network",
			Value: &iceudp.Transport{Candidates: []iceudp.Candidate{jingletest.Candidate()}},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><candidate component='1' foundation='1'
				generation='0' id='el0747fg11' ip='192.0.2.3' port='8998' priority='2130706431' protocol='UDP' type='host'/></transport>`,
			OneWay: true,
		},
		{
			Name:  "a candidate of Monal, with rel_port",
			Value: &iceudp.Transport{Candidates: []iceudp.Candidate{relay}},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><candidate component='1' foundation='2' generation='1'
				id='y3s2b30v3r' ip='2001:db8::1' network='1' port='45664' priority='16777215' protocol='udp' type='relay'
				rel-addr='192.0.2.3' rel_port='8998'/></transport>`,
			OneWay: true,
		},
		{
			Name:  "a fingerprint with space around",
			Value: &iceudp.Transport{Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Value: "AB:CD"}}},
			XML: `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>
				<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>
					AB:CD
				</fingerprint></transport>`,
			OneWay: true,
		},
	})
}

// Candidates that nothing can be done with are left out, without error.
func TestUselessCandidates(t *testing.T) {
	good := map[string]string{
		"component": "1", "foundation": "1", "generation": "0", "id": "x", "ip": "192.0.2.3",
		"port": "1", "priority": "1", "protocol": "udp", "type": "host",
	}
	for _, c := range []struct{ attr, value string }{
		{"component", ""}, {"component", "0"}, {"component", "x"}, {"component", "256"}, {"foundation", ""},
		{"ip", ""}, {"ip", "fec2.local"}, {"ip", "fe80::1%eth0"}, {"ip", "300.0.0.1"},
		{"port", "0"}, {"port", "65536"}, {"port", "-1"}, {"priority", "4294967296"}, {"priority", ""},
		{"protocol", ""}, {"type", ""}, {"type", "magic"}, {"foundation", strings.Repeat("f", 300)},
	} {
		t.Run(c.attr+" "+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			var b strings.Builder
			b.WriteString(`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><candidate`)
			for name, value := range good {
				if name == c.attr {
					value = c.value
				}
				fmt.Fprintf(&b, " %s='%s'", name, value)
			}
			b.WriteString(`/></transport>`)
			var tr iceudp.Transport
			if err := xml.Unmarshal([]byte(b.String()), &tr); err != nil || len(tr.Candidates) != 0 {
				t.Errorf("candidates = %v, error = %v, want none", tr.Candidates, err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	data, err := xml.Marshal(jingletest.Candidate())
	if err != nil {
		t.Fatal(err)
	}
	candidate := strings.ReplaceAll(string(data), "Candidate", "candidate")
	var tr iceudp.Transport
	if err := xml.Unmarshal([]byte(`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>`+
		strings.Repeat(candidate, 500)+
		strings.Repeat(`<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>AB</fingerprint>`, 100)+
		strings.Repeat(`<x/>`, 100)+`</transport>`), &tr); err != nil {
		t.Fatal(err)
	}
	got := []int{len(tr.Candidates), len(tr.Fingerprints), len(tr.Unknown)}
	if want := []int{iceudp.MaxCandidates, iceudp.MaxFingerprints, 8}; !cmp.Equal(got, want) {
		t.Errorf("kept %v of each, want %v", got, want)
	}
}

func TestOffersRestart(t *testing.T) {
	credentials := iceudp.Transport{Ufrag: "u", Pwd: "p"}
	answer := credentials
	answer.Candidates = []iceudp.Candidate{relay}
	for _, c := range []struct {
		name string
		tr   iceudp.Transport
		want bool
	}{
		{"credentials alone", credentials, true},
		{"credentials and a candidate", answer, false},
		{"nothing", iceudp.Transport{}, false},
	} {
		if got := c.tr.OffersRestart(); got != c.want {
			t.Errorf("%s: OffersRestart = %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzTransport(f *testing.F) {
	files, err := filepath.Glob("../testdata/captures/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		for _, c := range jingletest.Captures(f, file) {
			if el := c.Child(iceudp.NS, "transport"); el != nil {
				f.Add(el)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var tr iceudp.Transport
		if xml.Unmarshal(data, &tr) != nil {
			return
		}
		again, err := xml.Marshal(&tr)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		var u iceudp.Transport
		if err := xml.Unmarshal(again, &u); err != nil {
			t.Fatalf("written again, it does not decode: %v\n%s", err, again)
		}
		if diff := cmp.Diff(tr, u); diff != "" {
			t.Errorf("value differs after a round trip (-want +got):\n%s\n%s", diff, again)
		}
	})
}
