package group_test

import (
	"encoding/xml"
	"slices"
	"testing"

	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

func TestGroups(t *testing.T) {
	bundle, lips := group.New(group.Bundle, "0", "1"), group.New(group.LipSync, "a")
	jingletest.RoundTrip(t, []jingletest.Case{
		{
			Name: "bundle", Value: &bundle,
			XML: `<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/><content name='1'/></group>`,
		},
		{
			Name: "lip synchronization", Value: &lips,
			XML: `<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'><content name='a'/></group>`,
		},
	})
	if got := bundle.Names(); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("Names = %v", got)
	}
}

func FuzzGroup(f *testing.F) {
	f.Add([]byte(`<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/></group>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var g group.Group
		if xml.Unmarshal(data, &g) != nil {
			return
		}
		again, err := xml.Marshal(g)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		var h group.Group
		if err := xml.Unmarshal(again, &h); err != nil {
			t.Fatalf("written again, it does not decode: %v\n%s", err, again)
		}
		if h.Semantics != g.Semantics || !slices.Equal(h.Names(), g.Names()) {
			t.Errorf("got %v, want %v", h, g)
		}
	})
}
