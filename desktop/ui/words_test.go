package ui

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/carillon-im/carillon/desktop/state"
)

// used finds the keys in calls of tr, count and those functions that pass one on.
func used(t *testing.T) map[string]bool {
	t.Helper()
	keys := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source", err)
	}
	shape := regexp.MustCompile(`^[a-z]+\.[a-z. ]*[a-z]$`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if fn, ok := c.Fun.(*ast.Ident); ok && (fn.Name == "tr" || fn.Name == "count") {
					if l, ok := c.Args[0].(*ast.BasicLit); ok {
						key, _ := strconv.Unquote(l.Value)
						keys[key] = true
					}
				}
			}
			// Keys in tables and arguments look like nothing else.
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if key, _ := strconv.Unquote(l.Value); shape.MatchString(key) {
					keys[key] = true
				}
			}
			return true
		})
	}
	// Those that are put together from a value.
	add := func(prefix string, values ...string) {
		for _, v := range values {
			keys[prefix+v] = true
		}
	}
	add("link.", "connecting", string(state.Online), string(state.Offline), string(state.LoggedOut))
	add("presence.", string(state.Available), string(state.Away), string(state.Busy), "gone")
	add("why.", string(state.WhyWeOffline), string(state.WhyNotSeen), string(state.WhyAsked), string(state.WhyTheyOffline), string(state.WhyNoDevice), string(state.WhyNoRelay), string(state.WhyNoRelayAtAll))
	add("phase.", string(state.Rings), string(state.Dialing), string(state.RingsThere), string(state.Linking), string(state.Running), string(state.Reconnecting), string(state.Ending))
	add("outcome.", string(state.NoAnswer), string(state.Declined), string(state.WasBusy), string(state.Missed), string(state.Elsewhere), string(state.Retracted))
	add("ended.", string(state.NoAnswer), string(state.Declined), string(state.WasBusy), string(state.Missed), string(state.Elsewhere), string(state.Retracted), string(state.Failed))
	add("path.", string(state.PathDirect), string(state.PathNAT), string(state.PathRelay))
	add("quality.", string(state.Good), string(state.Fair), string(state.Poor))
	add("theme.", "system", "light", "dark")
	add("choose.", "file", "folder") // dialogs of whoever has the window
	add("doctor.", "ok", "warn", "fail", "skip")
	add("details.", detailNames...)
	add("files.", string(state.Paused), string(state.WaitsFor), string(state.Cancelled), string(state.Refused))
	for _, trust := range []state.Trust{"unknown", state.TrustFirst, state.TrustSame, state.TrustChanged, state.TrustVerified} {
		add("trust.", string(trust), string(trust)+".text")
	}
	delete(keys, "carillon.im")
	return keys
}

// translated is what is said in a language, by its keys.
func translated(t *testing.T, lang string) (said map[string]any) {
	t.Helper()
	text, err := os.ReadFile("translations/" + lang + ".json")
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	keys := used(t)
	if len(keys) < 150 {
		t.Fatalf("only %d keys were found in the source", len(keys))
	}
	hole := regexp.MustCompile(`\{\{\.[A-Z]\}\}`)
	var english map[string]any
	for _, lang := range []string{"en", "de", "es"} {
		said := translated(t, lang)
		if english == nil {
			english = said
		}
		for key := range keys {
			if said[key] == nil {
				t.Errorf("%s: %q is missing", lang, key)
			}
		}
		for key, v := range english {
			one, ok := v.(string)
			if !ok {
				continue
			}
			other, _ := said[key].(string)
			if a, b := hole.FindAllString(one, -1), hole.FindAllString(other, -1); len(b) < len(a) {
				t.Errorf("%s: %q leaves something out: %q", lang, key, other)
			}
		}
		for key := range said {
			// Problems come from elsewhere by their code.
			if !keys[key] && !strings.HasPrefix(key, "problem.") && !strings.HasPrefix(key, "tray.") && !strings.HasPrefix(key, doctorKey) {
				t.Errorf("%s: nothing uses %q", lang, key)
			}
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{clock(7 * time.Second), "0:07"}, {clock(3723 * time.Second), "1:02:03"},
		{size(999), "999 B"}, {size(1500), "1.5 kB"}, {size(12_345_678), "12 MB"}, {size(999_600), "1.0 MB"}, {size(3e12), "3.0 TB"},
		{left(0), ""}, {left(400 * time.Millisecond), "1 s left"}, {left(90 * time.Second), "2 min left"}, {left(90 * time.Minute), "1.5 h left"},
		{Missed(time.Date(2026, 11, 21, 9, 5, 0, 0, time.UTC), true), "Missed video call, 2026-11-21 09:05"}, {Missed(time.Date(2026, 11, 21, 9, 5, 0, 0, time.UTC), false), "Missed voice call, 2026-11-21 09:05"},
		{sentence("no such host"), "No such host."}, {sentence("done!"), "Done!"}, {sentence(""), ""},
		{initials("Ada King Lovelace"), "AL"}, {initials("bob@example.org"), "B"}, {initials("  "), "?"}, {initials("émile.zola@x"), "ÉZ"},
		{oneLine("a\nb\u202ec\x07"), "a b c"}, {oneLine("a\u200eb\u200fc\u061cd\u2067e"), "a b c d e"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestProblemsAreSentences(t *testing.T) {
	if got := problem(state.Problem{Code: "declined", Who: "Bob"}); got != "Bob declined." {
		t.Errorf("got %q", got)
	}
	if got := problem(state.Problem{Code: "never heard of", Detail: "engine on fire"}); !strings.Contains(got, "Engine on fire.") {
		t.Errorf("got %q", got)
	}
}

// A language is chosen whatever that of the system is, and the environment of
// other programs stays as it was.
func TestSpeak(t *testing.T) {
	t.Cleanup(func() { Speak("") })
	t.Setenv("LC_ALL", "es_ES.UTF-8")
	t.Setenv("LANGUAGE", "")
	os.Unsetenv("LANGUAGE")
	for _, tt := range [][3]string{{"de", "Anmelden", "2 Dateien"}, {"en", "Sign in", "2 files"}, {"", "Entrar", "2 archivos"}, {"tlh", "Entrar", "2 archivos"}, {"de", "Anmelden", "2 Dateien"}} {
		if err := Speak(tt[0]); err != nil {
			t.Fatal(err)
		}
		if got, n := Say("signin.do"), count("files.count", 2); got != tt[1] || n != tt[2] {
			t.Errorf("%q says %q and %q, want %q", tt[0], got, n, tt[1:])
		}
		// The toolkit's own words, as in the dialog that chooses files.
		if got := lang.L("Cancel"); tt[0] == "de" && got != "Abbrechen" {
			t.Errorf("the toolkit says %q", got)
		}
	}
	if _, set := os.LookupEnv("LANGUAGE"); set || os.Getenv("LC_ALL") != "es_ES.UTF-8" {
		t.Errorf("the environment is changed: %q, %v", os.Getenv("LC_ALL"), set)
	}
}

// The settings name the languages and say which one was chosen; the page is there
// again in it, at the same place.
func TestAnotherLanguageIsChosen(t *testing.T) {
	t.Cleanup(func() { Speak("") })
	d := newDesk(t, "light", people().Apply(state.Show{Page: state.PageSettings}))
	if got, want := strings.Join(d.options.speech.Options, ", "), "as the system, English, Deutsch, Español"; got != want {
		t.Errorf("languages are %s, want %s", got, want)
	}
	d.window.Canvas().Focus(d.options.speech)
	d.options.speech.SetSelectedIndex(2)
	want := d.app.Settings
	want.Language = "de"
	d.expect(t, state.Change{Settings: want})
	if err := Speak("de"); err != nil {
		t.Fatal(err)
	}
	d.Draw(d.app.Apply(state.SettingsChanged{Settings: want}))
	d.View = d.Rebuild()
	d.window.SetContent(d.Root)
	d.Bind(d.window.Canvas())
	d.Draw(d.app)
	if got := d.options.speech; got.Selected != "Deutsch" || got.Options[0] != "wie das System" || d.focusedOn() != fyne.Focusable(got) {
		t.Errorf("%q of %q, focus at %T", got.Selected, got.Options, d.focusedOn())
	}
	d.expect(t)
	d.options.speech.SetSelectedIndex(0)
	want.Language = ""
	d.expect(t, state.Change{Settings: want})
}

func TestWhatIsGivenUpSaysSo(t *testing.T) {
	x := state.Transfer{Key: key("ben@example.org"), Phase: state.Broke, Problem: &state.Problem{Code: "file"}}
	before := transferText(x)
	x.GivenUp = true
	if got := transferText(x); got != "Not tried again by itself. "+before {
		t.Errorf("given up: %q, before: %q", got, before)
	}
}

// The app is on first-name terms in German, on every page.
func TestGermanSaysDu(t *testing.T) {
	text, err := translations.ReadFile("translations/de.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, formal := range regexp.MustCompile(`(?m)^.*(\pL Sie\b|\bIhnen\b|: "Ihre?[mnr]?\b|\pL Ihre?[mnr]?\b).*$`).FindAll(text, -1) {
		t.Errorf("%s", formal)
	}
}

// Dates are written as in the language, and an offer says that it is one.
func TestDatesAndOffers(t *testing.T) {
	at := time.Date(2026, 11, 7, 9, 5, 0, 0, time.Local)
	for _, tt := range []struct{ lang, date, offer, without string }{
		{"en", "2026-11-07 09:05", "wants to send you a.pdf, b (1.5 MB)", "wants to send you a.pdf, b"},
		{"de", "07.11.2026 09:05", "möchte dir a.pdf, b senden (1.5 MB)", "möchte dir a.pdf, b senden"},
		{"es", "07/11/2026 09:05", "quiere enviarte a.pdf, b (1.5 MB)", "quiere enviarte a.pdf, b"},
	} {
		speak(t, tt.lang)
		if got := date(at); got != tt.date {
			t.Errorf("%s: date %q, want %q", tt.lang, got, tt.date)
		}
		if got := Offered("a.pdf, b", 1_500_000); got != tt.offer {
			t.Errorf("%s: offer %q, want %q", tt.lang, got, tt.offer)
		}
		if got := Offered("a.pdf, b", -1); got != tt.without {
			t.Errorf("%s: offer without a size %q, want %q", tt.lang, got, tt.without)
		}
		if got := Missed(at, false); !strings.Contains(got, tt.date) {
			t.Errorf("%s: %q has no date", tt.lang, got)
		}
	}
}
