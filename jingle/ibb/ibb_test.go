package ibb

import (
	"bytes"
	"encoding/xml"
	"testing"
)

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		name, xml string
		into      any
	}{
		{"transport", `<transport xmlns="urn:xmpp:jingle:transports:ibb:1" block-size="4096" sid="ch3d9s71"></transport>`, &Transport{}},
		{"open", `<open xmlns="http://jabber.org/protocol/ibb" block-size="4096" sid="i781hf64" stanza="iq"></open>`, &Open{}},
		{"data", `<data xmlns="http://jabber.org/protocol/ibb" seq="65535" sid="i781hf64">qANQR1Db</data>`, &Data{}},
		{"close", `<close xmlns="http://jabber.org/protocol/ibb" sid="i781hf64"></close>`, &Close{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := xml.Unmarshal([]byte(tt.xml), tt.into); err != nil {
				t.Fatal(err)
			}
			if out, err := xml.Marshal(tt.into); err != nil || string(out) != tt.xml {
				t.Errorf("encoded %s, %v", out, err)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	block := bytes.Repeat([]byte{0, 1, 0xff}, 100)
	d := NewData("s", 7, block)
	if got, err := d.Bytes(300); err != nil || !bytes.Equal(got, block) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := d.Bytes(299); err == nil {
		t.Error("a block over the block size was taken")
	}
	for _, tt := range []struct{ name, in string }{{"not base64", "!!!!"}, {"bad padding", "AQ="}, {"bits after the end", "AR=="}} {
		if _, err := (&Data{Base64: tt.in}).Bytes(10); err == nil {
			t.Errorf("%s: %q was taken", tt.name, tt.in)
		}
	}
	if got, err := (&Data{Base64: " AQ\nID "}).Bytes(3); err != nil || len(got) != 3 {
		t.Errorf("with white space: %v, %v", got, err)
	}
}

func FuzzData(f *testing.F) {
	f.Add("AQID", 3)
	f.Add(" A Q==", 1)
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size < 0 || size > MaxBlock {
			return
		}
		b, err := (&Data{Base64: in}).Bytes(size)
		if err == nil && len(b) > size {
			t.Errorf("%d bytes for a block of %d", len(b), size)
		}
	})
}
