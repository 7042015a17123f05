package doctor

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

// What programs read is whole sentences, and what they are put together of is
// beside it for who says it in another language.
func TestWhatIsSaidComesWithItsParts(t *testing.T) {
	got := checks(Config{Describe: func(err error) (string, string) { return err.Error(), "do 100% of it" }}, func(e *examination) {
		e.add("network", OK, "", "%d IPv4, no IPv6", 2)
		e.addOne("turn tls", "turn.example.org:5349", Warn, text("calls that need this relay over %s do not connect", "TLS"), "%v", errors.New("refused %d"))
		e.addOne("device", "", OK, text(""), "takes calls%s", "")
		e.trouble("microphone", Warn, errors.New("no 50% of a device"))
	})
	for i, want := range []struct {
		json, kind, which, said, meant string
		values                         []string
	}{
		{`{"name":"network","status":"ok","detail":"2 IPv4, no IPv6","means":""}`, "network", "", "%d IPv4, no IPv6", "", []string{"2"}},
		{`{"name":"turn tls turn.example.org:5349","status":"warn","detail":"refused %d","means":"calls that need this relay over TLS do not connect"}`,
			"turn tls", "turn.example.org:5349", "%v", "calls that need this relay over %s do not connect", []string{"refused %d"}},
		{`{"name":"device","status":"ok","detail":"takes calls","means":""}`, "device", "", "takes calls%s", "", []string{""}},
		{`{"name":"microphone","status":"warn","detail":"no 50% of a device","means":"do 100% of it"}`, "microphone", "", "%s", "do 100% of it", []string{"no 50% of a device"}},
	} {
		c := got[i]
		text, err := json.Marshal(c)
		if err != nil || string(text) != want.json {
			t.Errorf("%s, %v\nwant %s", text, err, want.json)
		}
		if c.Kind != want.kind || c.Which != want.which || c.Said.Format != want.said || c.Meant.Format != want.meant || !slices.Equal(c.Said.Values, want.values) {
			t.Errorf("parts of %s: %+v", c.Name, c)
		}
	}
}
