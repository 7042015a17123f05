package access

import "testing"

func TestPieces(t *testing.T) {
	text := []rune("Grüße an  dich")
	for _, c := range []struct {
		at   int
		by   uint32
		want string
	}{
		{0, byChar, "G"}, {2, byChar, "ü"}, {13, byChar, "h"}, {14, byChar, ""}, {99, byChar, ""}, {-5, byChar, "G"},
		{0, byWord, "Grüße "}, {5, byWord, "Grüße "}, {6, byWord, "an  "}, {9, byWord, "an  "}, {10, byWord, "dich"}, {14, byWord, ""},
		{3, byLine, "Grüße an  dich"}, {3, bySentence, "Grüße an  dich"}, {3, byParagraph, "Grüße an  dich"}, {3, 77, "Grüße an  dich"},
	} {
		start, end := piece(text, c.at, c.by)
		if got := string(text[start:end]); got != c.want {
			t.Errorf("by %d at %d is %q, want %q", c.by, c.at, got, c.want)
		}
	}
	for _, c := range []struct {
		start, end int
		want       string
	}{{0, -1, "Grüße an  dich"}, {0, 5, "Grüße"}, {6, 99, "an  dich"}, {-3, 1, "G"}, {5, 5, ""}, {9, 2, ""}, {99, -1, ""}} {
		if got := cut(text, c.start, c.end); got != c.want {
			t.Errorf("from %d to %d is %q, want %q", c.start, c.end, got, c.want)
		}
	}
	for boundary, want := range map[uint32]uint32{boundaryChar: byChar, boundaryWordStart: byWord, boundaryWordEnd: byWord, boundaryLineStart: byLine, boundaryLineEnd: byLine, boundarySentenceStart: byLine, boundarySentenceEnd: byLine} {
		if got := granularity(boundary); got != want {
			t.Errorf("boundary %d is %d, want %d", boundary, got, want)
		}
	}
}
