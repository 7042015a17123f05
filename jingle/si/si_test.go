package si

import (
	"encoding/xml"
	"reflect"
	"slices"
	"testing"
)

// pidginOffer and pidginAnswer are what Pidgin 2.14.12 wrote in the lab on
// 2026-11-26, names replaced.
const (
	pidginOffer = `<si xmlns='http://jabber.org/protocol/si' id='purplexfer1' profile='http://jabber.org/protocol/si/profile/file-transfer'><file xmlns='http://jabber.org/protocol/si/profile/file-transfer' name='file.bin' size='3145728'/><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='form'><field var='stream-method' type='list-single'><option><value>http://jabber.org/protocol/bytestreams</value></option><option><value>http://jabber.org/protocol/ibb</value></option></field></x></feature></si>`
	// psiOffer is what Psi 1.5 wrote in the lab on 2026-11-27.
	psiOffer    = "<si xmlns='http://jabber.org/protocol/si' id='ft_bc8f' profile='http://jabber.org/protocol/si/profile/file-transfer'>\n<file xmlns='http://jabber.org/protocol/si/profile/file-transfer' size='0' name='Über den Wolken &amp; mehr.bin'>\n<range/>\n</file>\n<feature xmlns='http://jabber.org/protocol/feature-neg'>\n<x xmlns='jabber:x:data' type='form'>\n<field type='list-single' var='stream-method'>\n<option>\n<value>http://jabber.org/protocol/bytestreams</value>\n</option>\n<option>\n<value>http://jabber.org/protocol/ibb</value>\n</option>\n</field>\n</x>\n</feature>\n</si>"
	plainAnswer = `<si xmlns='http://jabber.org/protocol/si'><file xmlns='http://jabber.org/protocol/si/profile/file-transfer'><range offset='7'/></file><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='submit'><field var='stream-method'><value>http://jabber.org/protocol/ibb</value></field></x></feature></si>`
)

func TestElements(t *testing.T) {
	var o SI
	if err := xml.Unmarshal([]byte(pidginOffer), &o); err != nil {
		t.Fatal(err)
	}
	if o.ID != "purplexfer1" || o.File.Name != "file.bin" || *o.File.Size != 3145728 || o.Profile != NSFile {
		t.Errorf("offer = %+v, %+v", o, o.File)
	}
	if got, want := o.Methods(), []string{"http://jabber.org/protocol/bytestreams", "http://jabber.org/protocol/ibb"}; !slices.Equal(got, want) {
		t.Errorf("methods = %q, want %q", got, want)
	}
	var psi SI
	if err := xml.Unmarshal([]byte(psiOffer), &psi); err != nil {
		t.Fatal(err)
	}
	if psi.ID != "ft_bc8f" || psi.File.Name != "Über den Wolken & mehr.bin" || *psi.File.Size != 0 || psi.File.Range == nil || !slices.Equal(psi.Methods(), o.Methods()) {
		t.Errorf("Psi's offer = %+v, %+v, methods %q", psi, psi.File, psi.Methods())
	}
	var a SI
	if err := xml.Unmarshal([]byte(plainAnswer), &a); err != nil {
		t.Fatal(err)
	}
	if got := a.Methods(); len(got) != 1 || got[0] != "http://jabber.org/protocol/ibb" || a.File.Range.Offset != 7 {
		t.Errorf("answer = %+v, methods %q", a, got)
	}
	size := int64(0)
	for _, s := range []*SI{
		NewOffer("s1", "text/plain", File{Name: "a & b", Size: &size, Date: "2026-01-02T03:04:05Z", Range: &Range{}}, "m1", "m2"),
		NewAnswer("m1", &Range{Offset: 3}),
	} {
		s.XMLName = xml.Name{Space: NS, Local: "si"}
		again(t, s)
	}
}

// again checks that what is written reads as the same.
func again(t *testing.T, s *SI) {
	t.Helper()
	b, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got SI
	if err := xml.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if !slices.Equal(got.Methods(), s.Methods()) || !reflect.DeepEqual(got.File, s.File) || got.ID != s.ID {
		t.Errorf("%s reads as %+v, want %+v", b, got, *s)
	}
}

func FuzzSI(f *testing.F) {
	f.Add(pidginOffer)
	f.Add(plainAnswer)
	f.Fuzz(func(t *testing.T, in string) {
		var s SI
		if xml.Unmarshal([]byte(in), &s) != nil {
			return
		}
		if len(s.Methods()) > maxMethods {
			t.Errorf("%d methods", len(s.Methods()))
		}
		if _, err := xml.Marshal(&s); err != nil {
			t.Errorf("cannot be written: %v", err)
		}
	})
}
