package jingletest

import (
	"strings"
	"testing"
)

// A transcript that does not fit the engine must fail, at the right line.
func TestTranscriptsFail(t *testing.T) {
	const given = "given active audio, we are initiator\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "# nothing\n", "without given"},
		{"nothing given", "do info hold\n", "1: do info hold: nothing given"},
		{"other event", given + "do info hold\n-> session-info with mute\n", `3: -> session-info with mute: got "-> session-info with hold"`},
		{"nothing done", given + "event ended because success\n", "2: event ended because success: engine did nothing"},
		{"more done", given + "do info hold\n", "2: after the last line: engine also did:\n\t-> session-info with hold"},
		{"more done before the next step", given + "do info hold\ndo info hold\n", "3: do info hold: engine also did"},
		{"refused", given + "<- session-accept audio\nstate active\n", "after the last line: engine refused: reply unexpected-request out-of-order"},
		{"other refusal", given + "<- session-accept audio\nreply conflict tie-break\n", "got unexpected-request out-of-order"},
		{"not refused", given + "<- session-info\nreply conflict\n", "engine acknowledged it"},
		{"failed", given + "do accept audio\nstate active\n", "it fails"},
		{"did not fail", given + "do info hold\n-> session-info with hold\nfails not\n", "got error <nil>"},
		{"state", given + "state pending\n", "got active"},
		{"nothing to acknowledge", given + "ack\n", "nothing of ours"},
		{"word", given + "dance\n", "unknown word"},
		{"verb", given + "do dance\n", "unknown verb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Play(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one saying %q", err, c.want)
			}
		})
	}
}
