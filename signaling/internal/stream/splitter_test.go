package stream

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const testHeader = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>`

// split cuts a whole stream and describes its pieces.
func split(r io.Reader, max int) (pieces []string, err error) {
	sp := newSplitter(r, max, false)
	for {
		p, err := sp.next()
		if err != nil {
			return pieces, err
		}
		s := string(p.data)
		if p.problem != nil {
			s = "(" + p.problem.Error() + ") " + s[:min(len(s), 12)]
		}
		if p.kind == pieceEnd {
			return append(pieces, "END"), nil
		}
		pieces = append(pieces, s)
	}
}

func TestSplitter(t *testing.T) {
	header := strings.TrimPrefix(testHeader, `<?xml version='1.0'?>`)
	for _, tt := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"elements", `<a/><b></b> <c x="/>"/><d><d/></d>`, []string{`<a/>`, `<b></b>`, `<c x="/>"/>`, `<d><d/></d>`}, io.EOF},
		{"end", `<a/></stream:stream><b/>`, []string{`<a/>`, "END"}, nil},
		{"quotes", `<a b='"' c="'>" d='>'></a>`, []string{`<a b='"' c="'>" d='>'></a>`}, io.EOF},
		{"slash before a quote", `<a b='/'></a><b/>`, []string{`<a b='/'></a>`, `<b/>`}, io.EOF},
		{"slash in a name", `<a / ></a><b/>`, []string{`<a / ></a>`, `<b/>`}, io.EOF},
		{"CDATA", `<a><![CDATA[</a>]]]]]></a><b/>`, []string{`<a><![CDATA[</a>]]]]]></a>`, `<b/>`}, io.EOF},
		{"comment inside", `<a><!-- </a> - -- --></a><b/>`, []string{`(comment or processing instruction inside) <a><!-- </a>`, `<b/>`}, io.EOF},
		{"comment between", `<!-- <x> --><?pi <y> ?><b/>`, []string{`<b/>`}, io.EOF},
		{"too large", `<a>` + strings.Repeat("x", 300) + `<c></c></a><b/>`, []string{`(too large) <a>xxxxxxxxx`, `<b/>`}, io.EOF},
		{"too deep", strings.Repeat("<a>", 70) + strings.Repeat("</a>", 70) + `<b/>`, []string{`(too many elements inside each other) <a><a><a><a>`, `<b/>`}, io.EOF},
		{"document type", `<!DOCTYPE x>`, nil, errDTD},
		{"document type inside", `<a><!DOCTYPE x></a>`, nil, errDTD},
		{"CDATA between", `<![CDATA[x]]>`, nil, errDTD},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":     strings.NewReader(testHeader + tt.in),
				"byte-wise":   iotest.OneByteReader(strings.NewReader(testHeader + tt.in)),
				"with an EOF": iotest.DataErrReader(strings.NewReader(testHeader + tt.in)),
			} {
				got, err := split(r, 256)
				if err != tt.err {
					t.Errorf("%s: error %v, want %v", name, err, tt.err)
				}
				want := append([]string{header}, tt.want...)
				if strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("%s: pieces\n%q, want\n%q", name, got, want)
				}
			}
		})
	}
}

func TestWhatIsNoStreamIsSeenAtOnce(t *testing.T) {
	for _, in := range []string{"HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-OpenSSH", "\x15\x03\x03\x00\x02", "</x>", "<stream/>"} {
		if _, err := split(strings.NewReader(in), 256); err != errNotXMPP {
			t.Errorf("%q: %v, want %v", in, err, errNotXMPP)
		}
	}
}

func TestSplitterForgetsWhatIsTooLarge(t *testing.T) {
	in := io.MultiReader(strings.NewReader(testHeader+"<a>"), io.LimitReader(repeat("xxxxxxxx"), 10<<20), strings.NewReader("</a><b/>"))
	sp := newSplitter(in, 64<<10, false)
	for range 2 {
		if _, err := sp.next(); err != nil {
			t.Fatal(err)
		}
	}
	if cap(sp.buf) > 128<<10 {
		t.Errorf("%d bytes kept", cap(sp.buf))
	}
	if p, err := sp.next(); err != nil || string(p.data) != "<b/>" {
		t.Errorf("next = %q, %v", p.data, err)
	}
}

type repeat string

func (r repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

func TestParserKeepsNamespaces(t *testing.T) {
	var p parser
	if _, err := p.open([]byte(`<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x'>`)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.element([]byte(`<a></b>`)); err == nil {
		t.Error("crossing tags accepted")
	}
	e, err := p.element([]byte(`<message xml:lang='de' x:a='1' a='2' xmlns:y='urn:y'>t<x:b/><y:c>u</y:c><d xmlns='urn:d'><e/></d>v</message>`))
	if err != nil {
		t.Fatal(err)
	}
	if e.Start.Name != (xml.Name{Space: "jabber:client", Local: "message"}) || e.Attr("a") != "2" || e.Text() != "tv" {
		t.Errorf("got %s", e)
	}
	if e.Child("urn:x", "b") == nil || e.Child("urn:y", "c").Text() != "u" || e.Child("urn:d", "d").Child("urn:d", "e") == nil {
		t.Errorf("children of %s", e)
	}
	var v struct {
		XMLName xml.Name `xml:"jabber:client message"`
		C       string   `xml:"urn:y c"`
		Lang    string   `xml:"http://www.w3.org/XML/1998/namespace lang,attr"`
	}
	if err := e.Decode(&v); err != nil || v.C != "u" || v.Lang != "de" {
		t.Errorf("decoded %+v, %v", v, err)
	}
	again, err := parseElement([]byte(e.String()), "")
	if err != nil || again.String() != e.String() {
		t.Errorf("%s became %s, %v", e, again, err)
	}
}

func TestMissingElementsMayBeAsked(t *testing.T) {
	var e *Element
	if e.Child("a", "b").Child("c", "d").Attr("x") != "" || e.Text() != "" || e.String() != "" {
		t.Error("something came out of nothing")
	}
	if err := e.Decode(&struct{}{}); err != io.EOF {
		t.Errorf("Decode: %v", err)
	}
}

// However a stream is cut by the network, the pieces are the same; and what
// the parser accepts is one element, from its beginning to its end.
func FuzzSplitter(f *testing.F) {
	for _, s := range []string{
		`<message from='a@b/c'><body>hi</body></message></stream:stream>`,
		`<iq type='get' id='1'><!-- x --><a xmlns='urn:a' b="'>"/></iq>`,
		`<a><![CDATA[]]]]>]]></a><?x ??><b/>`, `<!DOCTYPE x [<!ENTITY a "b">]>`, `<a><b></a></b>`, `<a/`, `<a b='`, `<a></a`, `<<a>`, `< a/>`, `<a/>>`,
		`<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		whole := append([]byte(testHeader), in...)
		at = len(testHeader) + max(0, min(at, len(in)))
		want, wantErr := split(bytes.NewReader(whole), 4096)
		got, err := split(io.MultiReader(bytes.NewReader(whole[:at]), bytes.NewReader(whole[at:])), 4096)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || err != wantErr {
			t.Errorf("in one read %q, %v; in two %q, %v", want, wantErr, got, err)
		}
		sp := newSplitter(bytes.NewReader(whole), 4096, false)
		var p parser
		for {
			piece, err := sp.next()
			if err != nil || piece.kind == pieceEnd {
				return
			}
			if piece.kind == pieceHeader {
				if _, err := p.open(piece.data); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if piece.problem != nil {
				p.head(piece.data)
				continue
			}
			e, err := p.element(piece.data)
			if err != nil {
				continue
			}
			depth := 0
			for _, tok := range e.inner {
				switch tok.(type) {
				case xml.StartElement:
					depth++
				case xml.EndElement:
					depth--
				}
				if depth < 0 {
					t.Fatalf("%q is not balanced", piece.data)
				}
			}
			if depth != 0 {
				t.Fatalf("%q is not balanced", piece.data)
			}
		}
	})
}
