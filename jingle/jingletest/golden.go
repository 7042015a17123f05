package jingletest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Canon returns XML in a form that compares: one element a line, namespaces
// spelled out, attributes sorted, children sorted by name while those of one name
// keep their order, since order means preference among them alone. Space around
// text is dropped.
func Canon(data []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	var b strings.Builder
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		if start, ok := tok.(xml.StartElement); ok {
			n, err := readNode(d, start)
			if err != nil {
				return "", err
			}
			n.write(&b, "")
		}
	}
}

type node struct {
	name     string
	attrs    []string
	text     string
	children []*node
}

func readNode(d *xml.Decoder, start xml.StartElement) (*node, error) {
	n := &node{name: start.Name.Space + " " + start.Name.Local}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name == (xml.Name{Local: "xmlns"}) {
			continue
		}
		n.attrs = append(n.attrs, fmt.Sprintf("%s%s=%q", a.Name.Space, a.Name.Local, a.Value))
	}
	slices.Sort(n.attrs)
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			child, err := readNode(d, t)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		case xml.CharData:
			n.text += string(t)
		case xml.EndElement:
			n.text = strings.TrimSpace(n.text)
			slices.SortStableFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
			return n, nil
		}
	}
}

func (n *node) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s{%s} %s %q\n", indent, n.name, strings.Join(n.attrs, " "), n.text)
	for _, c := range n.children {
		c.write(b, indent+"  ")
	}
}

// EqualXML reports as an error of the test where got differs from want, apart
// from what [Canon] evens out.
func EqualXML(t testing.TB, got, want []byte) {
	t.Helper()
	g, err := Canon(got)
	if err != nil {
		t.Errorf("got malformed XML: %v\n%s", err, got)
		return
	}
	w, err := Canon(want)
	if err != nil {
		t.Fatalf("want malformed XML: %v\n%s", err, want)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("XML differs (-want +got):\n%s", diff)
	}
}

// A Case is an element as a value and as XML.
type Case struct {
	Name  string
	Value any // a pointer
	XML   string
	// OneWay is for XML that only reads as Value; it is not written that way.
	OneWay bool
}

// RoundTrip checks every case in both directions.
func RoundTrip(t *testing.T, cases []Case) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			v := reflect.New(reflect.TypeOf(c.Value).Elem()).Interface()
			if err := xml.Unmarshal([]byte(c.XML), v); err != nil {
				t.Errorf("unmarshal: %v", err)
			} else if diff := cmp.Diff(c.Value, v); diff != "" {
				t.Errorf("unmarshalled value differs (-want +got):\n%s", diff)
			}
			if c.OneWay {
				return
			}
			data, err := xml.Marshal(c.Value)
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			EqualXML(t, data, []byte(c.XML))
		})
	}
}

// Golden compares got with the file, which update writes anew.
func Golden(t testing.TB, file string, got []byte, update bool) {
	t.Helper()
	if update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update to record it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// A Captured is a stanza of a capture: what a real client sent.
type Captured struct {
	From string // full JID
	Kind string // iq, message or presence
	Type string // its type attribute
	ID   string
	XML  []byte
}

// Captures reads a capture: stanzas, each after a comment that begins with the
// time and the sender. The first comment tells the capture's origin.
func Captures(t testing.TB, file string) []Captured {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var list []Captured
	from := ""
	for {
		begin := d.InputOffset()
		tok, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch tok := tok.(type) {
		case xml.Comment:
			// " +0.818 s  bob@xmpp.test/dino.48181acd -> "
			if f := strings.Fields(string(tok)); len(f) > 3 && f[1] == "s" {
				from = f[2]
			}
		case xml.StartElement:
			if err := d.Skip(); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			c := Captured{From: from, Kind: tok.Name.Local, XML: data[begin:d.InputOffset()]}
			for _, a := range tok.Attr {
				switch a.Name.Local {
				case "type":
					c.Type = a.Value
				case "id":
					c.ID = a.Value
				}
			}
			list = append(list, c)
		}
	}
}

// Child returns the first element of this name in a captured stanza, or nil.
func (c Captured) Child(space, local string) []byte {
	d := xml.NewDecoder(bytes.NewReader(c.XML))
	for {
		begin := d.InputOffset()
		tok, err := d.Token()
		if err != nil {
			return nil
		}
		if s, ok := tok.(xml.StartElement); ok && s.Name.Space == space && s.Name.Local == local {
			if d.Skip() != nil {
				return nil
			}
			return c.XML[begin:d.InputOffset()]
		}
	}
}
