package access

import "unicode"

// Granularities of AT-SPI: what a piece of text around a place is.
const (
	byChar = iota
	byWord
	bySentence
	byLine
	byParagraph
)

// Those of the older methods, in which a piece begins or ends at what is named.
const (
	boundaryChar = iota
	boundaryWordStart
	boundaryWordEnd
	boundarySentenceStart
	boundarySentenceEnd
	boundaryLineStart
	boundaryLineEnd
)

// granularity is the newer name of an older one.
func granularity(boundary uint32) uint32 {
	switch boundary {
	case boundaryChar:
		return byChar
	case boundaryWordStart, boundaryWordEnd:
		return byWord
	}
	return byLine // a field has one line
}

// cut is part of a text; an end of -1 is that of the text.
func cut(text []rune, start, end int) string {
	if end < 0 || end > len(text) {
		end = len(text)
	}
	start = max(0, start)
	if start >= end {
		return ""
	}
	return string(text[start:end])
}

// piece is the one around a place: from where to where. A word has the blanks
// that follow it.
func piece(text []rune, at int, by uint32) (start, end int) {
	at = min(max(0, at), len(text))
	switch by {
	case byChar:
		return at, min(at+1, len(text))
	case byWord:
		blank := func(i int) bool { return unicode.IsSpace(text[i]) }
		begins := func(i int) bool { return i == 0 || !blank(i) && blank(i-1) }
		if at == len(text) {
			return at, at
		}
		for start = at; start > 0 && !begins(start); start-- {
		}
		for end = at + 1; end < len(text) && !begins(end); end++ {
		}
		return start, end
	}
	return 0, len(text)
}
