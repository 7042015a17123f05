package notify

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMissedCallCanBeCalledBack(t *testing.T) {
	n := MissedCall("Bob", "Missed voice call", "Call back")
	if n.Body == "" || n.Category != CallUnanswered || n.Transient || n.Urgency == Critical || len(n.Actions) != 2 || n.Actions[0].ID != Default || n.Actions[1] != (Action{CallBack, "Call back"}) {
		t.Errorf("%+v", n)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Bob":                     "Bob",
		"two\nlines\tand\x1b[31m": "two lines and[31m",
		"\xff broken":             "\ufffd broken",
		strings.Repeat("ä", 200):  strings.Repeat("ä", 100) + "…",
		"\u0085\u009b":            "",
		"photo\u202egpj.exe":      "photogpj.exe",
		"\u2066a\u2069\u200f":     "a",
	} {
		if got := clean(in, 200); got != want || !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean("é"+strings.Repeat("x", 10), 1); got != "…" {
		t.Errorf("cut inside a letter: %q", got)
	}
}
