package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// What the doctor can say is said in every language: each text and format that
// it gives to add is a key of the translations, and no key is of another text.
func TestTheDoctorSpeaksEveryLanguage(t *testing.T) {
	files, err := filepath.Glob("../../internal/doctor/*.go")
	if err != nil || len(files) < 3 {
		t.Fatalf("the doctor's source: %v, %v", files, err)
	}
	texts := make(map[string]bool) // all that is written in the source
	said := make(map[string]bool)  // of these, what add is given
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		literal := func(n ast.Expr) string {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				s, _ := strconv.Unquote(l.Value)
				return s
			}
			return ""
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				texts[literal(n)] = true
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "add" && len(n.Args) >= 4 {
					for _, i := range []int{0, 2, 3} {
						said[strings.TrimSpace(literal(n.Args[i]))] = true
					}
				}
			}
			return true
		})
	}
	if len(said) < 60 {
		t.Fatalf("only %d texts are found in the source", len(said))
	}
	for _, lang := range []string{"en", "de", "es"} {
		words := translated(t, lang)
		for text := range said {
			if strings.ContainsFunc(verb.ReplaceAllString(text, ""), unicode.IsLetter) && words[doctorKey+text] == nil {
				t.Errorf("%s: the doctor's %q is missing", lang, text)
			}
		}
		for key := range words {
			text, ok := strings.CutPrefix(key, doctorKey)
			// Two are put together in the source.
			if ok && !texts[text] && !strings.HasPrefix(text, "turn ") && !strings.Contains(text, "need this relay over") && !texts[text+" "] {
				t.Errorf("%s: the doctor never says %q", lang, text)
			}
		}
	}
}

func TestTheDoctorsWords(t *testing.T) {
	for english, want := range map[string]string{
		"as anna@example.org in 31 ms":                              "as anna@example.org in 31 ms",
		"2 IPv4, no IPv6":                                           "2 IPv4, no IPv6",
		"not offered (urn:xmpp:carbons:2)":                          "the server has it not",
		"calls that need this relay over TLS do not connect":        "Calls that need this relay over TLS do not connect.",
		"what a server says of itself":                              "what a server says of itself",
		"SRV records of _xmpp-client._tcp.example.org: i/o timeout": "no answer about example.org: i/o timeout",
	} {
		if got, _ := doctorSays(english); got != want {
			t.Errorf("%q is %q, want %q", english, got, want)
		}
	}
	for name, want := range map[string][2]string{
		"turn tls turn.example.org:5349": {"Relay, TLS", "turn.example.org:5349"},
		"server xmpp.example.org:5222":   {"Way to the server", "xmpp.example.org:5222"},
		"device phone of mine":           {"Device", "phone of mine"},
		"nat":                            {"Router", ""},
		"something new":                  {"Something new", ""},
	} {
		if title, which := doctorName(name); title != want[0] || which != want[1] {
			t.Errorf("%q is %q and %q, want %q", name, title, which, want)
		}
	}
}
