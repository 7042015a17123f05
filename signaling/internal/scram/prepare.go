package scram

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Prepare returns a password or user name in the form that is hashed or sent
// (SASLprep, RFC 4013): other spaces become a space, what cannot be seen is
// dropped, and the rest is normalised (NFKC). Passwords made of ASCII do not
// change. Nothing is refused; the server does not know such a password anyway.
func Prepare(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return s
	}
	return norm.NFKC.String(strings.Map(func(r rune) rune {
		switch {
		case mappedToNothing(r):
			return -1
		case r > 0x7f && unicode.Is(unicode.Zs, r):
			return ' '
		}
		return r
	}, s))
}

// mappedToNothing is table B.1 of RFC 3454.
func mappedToNothing(r rune) bool {
	switch r {
	case 0xad, 0x34f, 0x1806, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff:
		return true
	}
	return r >= 0x180b && r <= 0x180d || r >= 0xfe00 && r <= 0xfe0f
}
