package jingle_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

func TestReasons(t *testing.T) {
	cases := []jingletest.Case{
		{
			Name:  "with text",
			Value: &jingle.Reason{Condition: jingle.Success, Text: "Sorry, gotta go! <3"},
			XML:   `<reason xmlns='urn:xmpp:jingle:1'><success/><text>Sorry, gotta go! &lt;3</text></reason>`,
		},
		{
			Name:  "alternative session",
			Value: &jingle.Reason{Condition: jingle.AlternativeSession, SID: "b84tkkwlmb48kgfb"},
			XML:   `<reason xmlns='urn:xmpp:jingle:1'><alternative-session><sid>b84tkkwlmb48kgfb</sid></alternative-session></reason>`,
		},
		{
			Name:   "of Dino, with underscore",
			Value:  &jingle.Reason{Condition: jingle.FailedTransport},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'><failed_transport/></reason>`,
			OneWay: true,
		},
		{
			Name:   "of Monal, without namespace",
			Value:  &jingle.Reason{Condition: jingle.Decline, Text: "no"},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'><text>no</text><decline xmlns=''/></reason>`,
			OneWay: true,
		},
		{
			Name:   "unknown",
			Value:  &jingle.Reason{Condition: jingle.GeneralError, Text: "x"},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'><application-error/><text>x<b>y</b></text></reason>`,
			OneWay: true,
		},
		{
			Name:   "more than one condition",
			Value:  &jingle.Reason{Condition: jingle.MediaError},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'><crypto-required xmlns='urn:xmpp:jingle:apps:rtp:errors:1'/><media-error/><success/></reason>`,
			OneWay: true,
		},
		{
			Name:   "empty",
			Value:  &jingle.Reason{Condition: jingle.GeneralError},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'/>`,
			OneWay: true,
		},
		{
			Name:   "long",
			Value:  &jingle.Reason{Condition: jingle.Gone, Text: strings.Repeat("é", jingle.MaxText/2)},
			XML:    `<reason xmlns='urn:xmpp:jingle:1'><gone/><text>` + strings.Repeat("é", 5*jingle.MaxText) + `</text></reason>`,
			OneWay: true,
		},
	}
	for _, c := range []jingle.Condition{
		jingle.Busy, jingle.Cancel, jingle.ConnectivityError, jingle.Decline, jingle.Expired,
		jingle.FailedApplication, jingle.GeneralError, jingle.Gone, jingle.IncompatibleParameters,
		jingle.MediaError, jingle.SecurityError, jingle.Timeout, jingle.UnsupportedApplications, jingle.UnsupportedTransports,
	} {
		cases = append(cases, jingletest.Case{
			Name:  string(c),
			Value: &jingle.Reason{Condition: c},
			XML:   `<reason xmlns='urn:xmpp:jingle:1'><` + string(c) + `/></reason>`,
		})
	}
	jingletest.RoundTrip(t, cases)
}

func TestUnknownConditionIsWrittenAsGeneralError(t *testing.T) {
	data, err := xml.Marshal(jingle.Reason{Condition: "dance"})
	if err != nil {
		t.Fatal(err)
	}
	jingletest.EqualXML(t, data, []byte(`<reason xmlns='urn:xmpp:jingle:1'><general-error/></reason>`))
}

func TestErrors(t *testing.T) {
	const ns = `xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'`
	text := jingle.StanzaError(stanza.BadRequest, "content without name")
	by := jingle.NewError(jingle.UnknownSession)
	by.Stanza.By = jid.MustParse("capulet.example")
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name: "out of order", Value: jingle.NewError(jingle.OutOfOrder),
			XML: `<error type='wait'><unexpected-request ` + ns + `/><out-of-order xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "tie-break", Value: jingle.NewError(jingle.TieBreak),
			XML: `<error type='cancel'><conflict ` + ns + `/><tie-break xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "unknown session, said by the server", Value: by,
			XML: `<error type='cancel' by='capulet.example'><item-not-found ` + ns + `/><unknown-session xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "unsupported info", Value: jingle.NewError(jingle.UnsupportedInfo),
			XML: `<error type='modify'><feature-not-implemented ` + ns + `/><unsupported-info xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "security required", Value: jingle.NewError(jingle.SecurityRequired),
			XML: `<error type='cancel'><not-acceptable ` + ns + `/><security-required xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "another condition", Value: jingle.NewError("odd"),
			XML: `<error type='cancel'><undefined-condition ` + ns + `/><odd xmlns='urn:xmpp:jingle:errors:1'/></error>`,
		},
		{
			Name: "text", Value: text,
			XML: `<error type='modify'><bad-request ` + ns + `/><text ` + ns + `>content without name</text></error>`,
		},
	})
	if got, want := by.Error(), "item-not-found (unknown-session)"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got, want := text.Error(), "bad-request: content without name"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(by, stanza.Error{Condition: stanza.ItemNotFound}) {
		t.Error("an Error is not the stanza error it wraps")
	}
	local := &jingle.Error{Stanza: stanza.Error{Text: map[string]string{"fr": "non", "de": "nein"}}}
	if got, want := local.Error(), "undefined-condition: nein"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestUnknownElements(t *testing.T) {
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name:  "empty",
			Value: &jingle.Unknown{XMLName: xml.Name{Space: "a", Local: "b"}},
			XML:   `<b xmlns='a'/>`,
		},
		{
			Name: "with everything",
			Value: &jingle.Unknown{
				XMLName: xml.Name{Space: "a", Local: "b"},
				Attr: []xml.Attr{
					{Name: xml.Name{Local: "c"}, Value: "d&e"},
					{Name: xml.Name{Space: "http://www.w3.org/XML/1998/namespace", Local: "lang"}, Value: "en"},
				},
				Inner: []byte(`text &lt; &amp;<in></in><out xmlns="z" xmlns:n0="q" n0:k="v" xml:lang="de"><deep></deep></out>`),
			},
			XML:    `<b xmlns='a' c='d&amp;e' xml:lang='en'>text &lt; &amp;<in/><x:out xmlns:x='z' xmlns:y='q' y:k='v' xml:lang='de'><!-- gone --><x:deep/></x:out></b>`,
			OneWay: true, // attributes of namespaces are numbered differently
		},
		{
			Name:  "text and children",
			Value: &jingle.Unknown{XMLName: xml.Name{Space: "a", Local: "b"}, Inner: []byte(`one<two>three</two><four xmlns="">five</four>`)},
			XML:   `<b xmlns='a'>one<two>three</two><four xmlns=''>five</four></b>`,
		},
	})
	var u jingle.Unknown
	if err := xml.Unmarshal([]byte(`<b xmlns='a'>`+strings.Repeat("<c>x</c>", jingle.MaxUnknown)+`</b>`), &u); err != nil || u.Inner != nil {
		t.Errorf("kept %d bytes of a large element, error %v, want none", len(u.Inner), err)
	}
}

func TestElements(t *testing.T) {
	audio := jingletest.Contents("audio").Contents[0]
	audio.Creator, audio.Senders = "initiator", "both"
	secured := jingle.Content{
		Creator: "responder", Disposition: "early-session", Name: "x", Senders: "none",
		Security: &jingle.Unknown{XMLName: xml.Name{Space: "urn:xmpp:jingle:jet:0", Local: "security"}},
		Unknown:  []*jingle.Unknown{{XMLName: xml.Name{Space: "urn:x", Local: "y"}}},
	}
	const content = `<content creator='initiator' name='audio' senders='both'>
		<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
			<payload-type id='111' name='opus' clockrate='48000' channels='2'/><rtcp-mux/></description>
		<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'>
			<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>FINGERPRINT</fingerprint>
			<candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='192.0.2.3' network='0' port='8998'
				priority='2130706431' protocol='udp' type='host'/></transport></content>`
	for _, c := range []struct {
		name  string
		value jingle.Jingle
		xml   string
	}{
		{
			"session-initiate",
			jingle.Jingle{
				Action: jingle.ActionSessionInitiate, Initiator: "romeo@montague.example/orchard", SID: "a73sjjvkla37jfea",
				Contents: []jingle.Content{audio}, Groups: []group.Group{group.New(group.Bundle, "audio")},
			},
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@montague.example/orchard' sid='a73sjjvkla37jfea'>` +
				strings.Replace(content, "FINGERPRINT", strings.Repeat("AB:", 31)+"AB", 1) +
				`<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/></group></jingle>`,
		},
		{
			"session-accept with everything odd",
			jingle.Jingle{
				Action: jingle.ActionSessionAccept, Responder: "juliet@capulet.example/balcony", SID: "a",
				Contents: []jingle.Content{secured}, Reason: &jingle.Reason{Condition: jingle.Success},
			},
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' responder='juliet@capulet.example/balcony' sid='a'>
				<content creator='responder' disposition='early-session' name='x' senders='none'>
					<security xmlns='urn:xmpp:jingle:jet:0'/><y xmlns='urn:x'/></content>
				<reason><success/></reason></jingle>`,
		},
		{
			"session-info",
			jingle.Jingle{
				Action: jingle.ActionSessionInfo, SID: "a",
				Payloads: []jingle.Payload{rtp.NewInfo("hold"), &jingle.Unknown{XMLName: xml.Name{Space: "urn:x", Local: "y"}}},
			},
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='a'>
				<hold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/><y xmlns='urn:x'/></jingle>`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := xml.Marshal(c.value)
			if err != nil {
				t.Fatal(err)
			}
			jingletest.EqualXML(t, data, []byte(c.xml))
			c.value.XMLName = xml.Name{Space: jingle.NS, Local: "jingle"}
			if diff := cmp.Diff(&c.value, decode(t, []byte(c.xml))); diff != "" {
				t.Errorf("decoded value differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatMustNotBeSent(t *testing.T) {
	for _, c := range []struct {
		name string
		j    jingle.Jingle
	}{
		{"no action", jingle.Jingle{SID: "a"}},
		{"unknown action", jingle.Jingle{Action: "session-dance", SID: "a"}},
		{"no sid", jingle.Jingle{Action: jingle.ActionSessionInfo}},
		{"content without name", jingle.Jingle{Action: jingle.ActionContentRemove, SID: "a", Contents: make([]jingle.Content, 1)}},
	} {
		if data, err := xml.Marshal(c.j); err == nil {
			t.Errorf("%s: written as %s", c.name, data)
		}
	}
}

func TestDecodeIsLenient(t *testing.T) {
	const open = `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a'>`
	t.Run("without registry everything is unknown", func(t *testing.T) {
		var reg jingle.Registry
		j, err := reg.Decode(xml.NewDecoder(strings.NewReader(open + `<content name='x'><description xmlns='d'><e/></description><transport xmlns='t'/></content><p xmlns='q'/></jingle>`)))
		if err != nil {
			t.Fatal(err)
		}
		c := j.Contents[0]
		if c.Description.Namespace() != "d" || c.Transport.Namespace() != "t" || j.Payloads[0].Namespace() != "q" {
			t.Errorf("decoded %+v", j)
		}
		if got := string(c.Description.(*jingle.Unknown).Inner); got != "<e></e>" {
			t.Errorf("inner = %s", got)
		}
	})
	t.Run("a description that fails is unknown, what follows is read", func(t *testing.T) {
		reg := jingletest.Registry()
		reg.AddDescription("bad", func() jingle.Description { return new(fails) })
		j, err := reg.Decode(xml.NewDecoder(strings.NewReader(open + `<content name='x'>
			<description xmlns='bad' k='v'><a><b>x</b><d/></a><c/></description>
			<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content><content name='y'/></jingle>`)))
		if err != nil {
			t.Fatal(err)
		}
		u, ok := j.Contents[0].Description.(*jingle.Unknown)
		if !ok || u.XMLName.Space != "bad" || len(u.Attr) != 1 || j.Contents[0].Transport == nil || len(j.Contents) != 2 {
			t.Errorf("decoded %+v", j.Contents)
		}
	})
	t.Run("tokens instead of bytes", func(t *testing.T) {
		d := xml.NewDecoder(strings.NewReader(`<iq> <!-- x -->` + open + `<content name='x'/></jingle></iq>`))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		j, err := new(jingle.Registry).Decode(struct{ xml.TokenReader }{d})
		if err != nil || len(j.Contents) != 1 {
			t.Errorf("decoded %+v, %v", j, err)
		}
		if tok, err := d.Token(); err != nil || tok.(xml.EndElement).Name.Local != "iq" {
			t.Errorf("after it comes %v, %v, want the end of iq", tok, err)
		}
	})
	t.Run("the second of what may be there once", func(t *testing.T) {
		j := decode(t, []byte(open+`<reason><success/></reason><reason><gone/></reason>
			<content name='x'><transport xmlns='a'/><transport xmlns='b'/></content></jingle>`))
		if j.Reason.Condition != jingle.Success || j.Contents[0].Transport.Namespace() != "a" || len(j.Contents[0].Unknown) != 1 {
			t.Errorf("decoded %+v", j)
		}
	})
}

// fails is a description that cannot be decoded.
type fails struct {
	A struct {
		B int `xml:"b"`
	} `xml:"a"`
}

func (*fails) Namespace() string { return "bad" }

func TestDecodeIsBounded(t *testing.T) {
	const open, end = `<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='a'>`, `</jingle>`
	for _, c := range []struct{ name, xml string }{
		{"depth", open + strings.Repeat("<x>", 50) + strings.Repeat("</x>", 50) + end},
		{"elements", open + strings.Repeat("<x/>", 20000) + end},
		{"text", open + `<x>` + strings.Repeat("y", 1<<19) + `</x>` + end},
		{"attribute", open + `<x y='` + strings.Repeat("y", 1<<19) + `'/>` + end},
	} {
		_, err := jingletest.Registry().Decode(xml.NewDecoder(strings.NewReader(c.xml)))
		if !errors.Is(err, jingle.ErrTooLarge) {
			t.Errorf("%s: error = %v, want ErrTooLarge", c.name, err)
		}
	}
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `<content name='c%d'>%s</content><p xmlns='q%d'/>`, i, strings.Repeat(`<u xmlns='u'/>`, 30), i)
	}
	b.WriteString(strings.Repeat(`<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'>`+strings.Repeat(`<content name='c'/>`, 50)+`</group>`, 20))
	j := decode(t, []byte(open+b.String()+end))
	got := []int{len(j.Contents), len(j.Contents[0].Unknown), len(j.Payloads), len(j.Groups), len(j.Groups[0].Contents)}
	if want := []int{jingle.MaxContents, 16, 16, 8, jingle.MaxContents}; !cmp.Equal(got, want) {
		t.Errorf("kept %v of each, want %v", got, want)
	}
}

func TestDecodeFails(t *testing.T) {
	for _, c := range []struct{ name, xml string }{
		{"nothing", ``},
		{"another element", `<query xmlns='urn:xmpp:jingle:1' sid='a'/>`},
		{"another namespace", `<jingle xmlns='urn:xmpp:jingle:0' sid='a'/>`},
		{"no sid", `<jingle xmlns='urn:xmpp:jingle:1' action='session-info'/>`},
		{"long sid", `<jingle xmlns='urn:xmpp:jingle:1' sid='` + strings.Repeat("s", 300) + `'/>`},
		{"long content name", `<jingle xmlns='urn:xmpp:jingle:1' sid='a'><content name='` + strings.Repeat("s", 300) + `'/></jingle>`},
		{"cut short", `<jingle xmlns='urn:xmpp:jingle:1' sid='a'><content name='x'>`},
		{"cut short in what fails", `<jingle xmlns='urn:xmpp:jingle:1' sid='a'><group xmlns='urn:xmpp:jingle:apps:grouping:0'><content>`},
		{"end first", `</jingle>`},
	} {
		if j, err := jingletest.Registry().Decode(xml.NewDecoder(strings.NewReader(c.xml))); err == nil {
			t.Errorf("%s: decoded %+v", c.name, j)
		}
	}
}
