package ui

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The doctor, which the command line shares, speaks English with values in it.
// What it can say is known by its formats: they are keys of the translations,
// after this. A test compares them with its source.
const doctorKey = "doctor/"

// A finding is a format of the doctor, and what it looks like with values.
type finding struct {
	key   string
	looks *regexp.Regexp
}

var verb = regexp.MustCompile(`%[sdvq]`)

// findings are all formats, those with most words first.
var findings = sync.OnceValue(func() (list []finding) {
	var english map[string]json.RawMessage
	text, err := translations.ReadFile("translations/en.json")
	if err == nil {
		err = json.Unmarshal(text, &english)
	}
	if err != nil {
		return nil // a test says so
	}
	for key := range english {
		if format, ok := strings.CutPrefix(key, doctorKey); ok {
			var b strings.Builder
			for i, part := range verb.Split(format, -1) {
				if i > 0 {
					b.WriteString(`(.*?)`)
				}
				b.WriteString(regexp.QuoteMeta(part))
			}
			list = append(list, finding{key, regexp.MustCompile(`(?s)^` + b.String() + `$`)})
		}
	}
	slices.SortFunc(list, func(a, b finding) int {
		if d := len(b.key) - len(a.key); d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
	return list
})

// doctorSays says in the language of the user what the doctor says. What it
// passes on from elsewhere stays as it is.
func doctorSays(english string) (text string, known bool) {
	for _, f := range findings() {
		m := f.looks.FindStringSubmatch(english)
		if m == nil {
			continue
		}
		values := make([]any, len(m)-1)
		for i, v := range m[1:] {
			values[i] = v
		}
		return tr(f.key, values...), true
	}
	return english, false
}

// doctorName is what the doctor looked at, and which one if there are several.
func doctorName(name string) (title, which string) {
	words := strings.Split(name, " ")
	for n := len(words); n > 0; n-- {
		if text, ok := doctorSays(strings.Join(words[:n], " ")); ok {
			return text, strings.Join(words[n:], " ")
		}
	}
	return sentenceStart(name), ""
}
