package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/carillon-im/carillon/desktop/state"
)

// formats are which arguments of the doctor's functions are said.
var formats = map[string][]int{"add": {0, 1, 2, 3}, "addOne": {0, 4}, "text": {0}}

var verb = regexp.MustCompile(`%[sdvq]`)

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
				name := ""
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				for _, i := range formats[name] {
					if i < len(n.Args) {
						said[literal(n.Args[i])] = true
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
			// Some names are put together in the source.
			if ok && !texts[text] && !strings.HasPrefix(text, "turn ") {
				t.Errorf("%s: the doctor never says %q", lang, text)
			}
		}
	}
}

func TestTheDoctorsWords(t *testing.T) {
	for _, tt := range []struct {
		says state.Text
		want string
	}{
		{state.Text{English: "as anna@example.org in 31 ms", Format: "as %s in %d ms", Values: []string{"anna@example.org", "31"}}, "as anna@example.org in 31 ms"},
		{state.Text{English: "2 IPv4, no IPv6", Format: "%d IPv4, no IPv6", Values: []string{"2"}}, "2 IPv4, no IPv6"},
		{state.Text{English: "not offered (urn:xmpp:carbons:2)", Format: "not offered (%s)", Values: []string{"urn:xmpp:carbons:2"}}, "the server has it not"},
		{state.Text{English: "calls that need this relay over TLS do not connect", Format: "calls that need this relay over %s do not connect", Values: []string{"TLS"}}, "Calls that need this relay over TLS do not connect."},
		{state.Text{English: "takes calls (https://dino.im)", Format: "takes calls%s", Values: []string{" (https://dino.im)"}}, "takes calls (https://dino.im)"},
		{state.Text{English: "SRV records of _xmpp-client._tcp.example.org: i/o timeout", Format: "SRV records of _%s._tcp.%s: %v", Values: []string{"xmpp-client", "example.org", "i/o timeout"}}, "no answer about example.org: i/o timeout"},
		{said("what a server says of itself"), "what a server says of itself"},
		// What looks like words of the doctor, and is another's, stays.
		{said("2 IPv4, no IPv6, said {{.A}}"), "2 IPv4, no IPv6, said {{.A}}"},
		{state.Text{}, ""},
	} {
		if got, _ := doctorSays(tt.says); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.says.English, got, tt.want)
		}
	}
	for kind, want := range map[string]string{"turn tls": "Relay, TLS", "server": "Way to the server", "device": "Device", "nat": "Router", "something new": "Something new"} {
		if got := doctorName(kind); got != want {
			t.Errorf("%q is %q, want %q", kind, got, want)
		}
	}
}
