package ui

import "github.com/carillon-im/carillon/desktop/state"

// The doctor, which the command line shares, speaks English with values in it.
// Its formats are keys of the translations, after this. A test compares them with
// its source.
const doctorKey = "doctor/"

// doctorSays says in the language of the user what the doctor says. What it
// passes on from elsewhere stays as it is.
func doctorSays(t state.Text) (text string, known bool) {
	switch t.Format {
	case "", "%s", "%v": // the toolkit would complain of what it has no words for
		return t.English, false
	}
	key := doctorKey + t.Format
	values := make([]any, len(t.Values))
	for i, v := range t.Values {
		values[i] = v
	}
	if text = tr(key, values...); text == key {
		return t.English, false
	}
	return text, true
}

// doctorName is what the doctor looked at.
func doctorName(kind string) string {
	if text, ok := doctorSays(state.Text{Format: kind}); ok {
		return text
	}
	return sentenceStart(kind)
}
