package jingletest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestWrongCitationsAreFound(t *testing.T) {
	// Put together here, or this file would be full of wrong citations.
	file := func(format string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.ReplaceAll(format, "@", "XEP-000"))}
	}
	fsys := fstest.MapFS{
		"a.go":              file("// good: @1#a.\n// bad: @1#b, @2#a\n"),
		"testdata/x.txt":    file("@3#a"),
		"transcripts/x.txt": file("# @1#c\n"),
		".git/a.go":         file("@4#a"),
	}
	found, err := citations(fsys)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`a.go:2: XEP-0001 has no anchor "b"`,
		`a.go:2: XEP-0002 is not in the list of anchors`,
		`transcripts/x.txt:1: XEP-0001 has no anchor "c"`,
	}
	if got := wrong(found, "# list\nXEP-0001 a d\n"); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
