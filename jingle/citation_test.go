package jingle_test

import (
	"os"
	"testing"

	"github.com/carillon-im/carillon/jingle/jingletest"
)

// All citations of the module lead somewhere.
func TestCitations(t *testing.T) {
	list, err := os.ReadFile("testdata/anchors.txt")
	if err != nil {
		t.Fatal(err)
	}
	jingletest.Citations(t, os.DirFS(".."), string(list))
}
