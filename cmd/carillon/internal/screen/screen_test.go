package screen

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestEscapeLetsNothingAct(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain text stays", "bob@example.org – grüße 你好", "bob@example.org – grüße 你好"},
		{"colours", "a\x1b[31mb", `a\x1b[31mb`},
		{"lines and tabs", "a\nb\r\tc", `a\nb\r\tc`},
		{"C1 control characters", "a\u009b31m", `a\u009b31m`},
		{"writing from right to left", "abc\u202etxt.exe", `abc\u202etxt.exe`},
		{"the separator of lines", "a\u2028b", `a\u2028b`},
		{"bytes that are no text", "a\xffb", `a\xffb`},
		{"the character for those stays", "a\uFFFDb", "a\uFFFDb"},
	} {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("%s: Escape(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b]0;title\x07b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("Escape(%q) = %q contains %U", s, got, r)
			}
		}
		if Escape(got) != got {
			t.Fatalf("Escape(%q) = %q is not the same when done again", s, got)
		}
	})
}

func TestLine(t *testing.T) {
	talking := Status{
		Peer: "bob@example.org", State: "connected", Timed: true, Time: 83 * time.Second,
		Levels: true, Mic: -30, Ear: -60, Network: true, Loss: 0.012, Delay: 45 * time.Millisecond,
	}
	muted := talking
	muted.Muted, muted.TheyHld = true, true
	for _, tt := range []struct {
		name   string
		status Status
		style  Style
		want   string
	}{
		{"while it rings", Status{Peer: "bob@example.org", State: "ringing", Keys: "[q]uit"}, Style{},
			"* bob@example.org  ringing  [q]uit"},
		{"in a call", talking, Style{},
			"* bob@example.org  connected  1:23  mic ##    ear       loss 1.2%  delay 45 ms"},
		{"with more characters", talking, Style{Tricks: true},
			"● bob@example.org  connected  1:23  mic ██    ear       loss 1.2%  delay 45 ms"},
		{"muted, and held by them", muted, Style{},
			"* bob@example.org  connected  1:23  mic mute  ear held  loss 1.2%  delay 45 ms"},
		{"cut to the terminal", talking, Style{Width: 31}, "* bob@example.org  connected  "},
		{"a hostile name", Status{Peer: "a\x1b[2J\nb", State: "calling"}, Style{}, `* a\x1b[2J\nb  calling`},
		{"in colours", Status{Peer: "bob", State: "calling"}, Style{Color: true},
			"\x1b[33m* \x1b[0m\x1b[1mbob  \x1b[0m\x1b[33mcalling\x1b[0m"},
		{"wide characters count twice", Status{Peer: "你好", State: "calling"}, Style{Width: 10}, "* 你好  c"},
	} {
		if got := Line(tt.status, tt.style); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func TestLineIsNeverWiderThanTheTerminal(t *testing.T) {
	s := Status{Peer: strings.Repeat("名前", 20) + "@example.org", State: "connected", Timed: true, Levels: true, Network: true, Keys: "[m]ute"}
	for width := 2; width < 120; width++ {
		if got := columns(Line(s, Style{Width: width, Tricks: true})); got >= width {
			t.Errorf("a line for %d columns has %d", width, got)
		}
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00", 7900 * time.Millisecond: "0:07", 12*time.Minute + 34*time.Second: "12:34",
		time.Hour + 2*time.Minute + 3*time.Second: "1:02:03",
	} {
		if got := Clock(d); got != want {
			t.Errorf("Clock(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMeterGrowsWithTheLevel(t *testing.T) {
	before := -1
	for db := -70.0; db <= 0; db += 2 {
		filled := len([]rune(strings.TrimRight(meter(db, true), " ")))
		if filled < before || filled > 4 {
			t.Errorf("meter(%v) has %d columns after %d", db, filled, before)
		}
		before = filled
	}
	if before != 4 {
		t.Errorf("full scale fills %d of 4 columns", before)
	}
}

// terminal is a Screen that takes buf for a terminal.
func terminal(out, err *bytes.Buffer) *Screen {
	return &Screen{out: out, err: err, live: true, width: func() int { return 40 }}
}

func TestLinesAndTheLiveLineDoNotMix(t *testing.T) {
	var out bytes.Buffer
	s := terminal(&out, &out)
	s.Show(Status{Peer: "bob", State: "ringing"})
	s.Warn("careful")
	s.Printf("accepted")
	s.Show(Status{Peer: "bob", State: "ringing"}) // the same again is not drawn
	s.Clear()
	want := "\r\x1b[K* bob  ringing" +
		"\r\x1b[Kcarillon: warning: careful\n* bob  ringing" +
		"\r\x1b[Kaccepted\n* bob  ringing" +
		"\r\x1b[K"
	if got := out.String(); got != want {
		t.Errorf("written:\n got %q\nwant %q", got, want)
	}
}

func TestNarrowerTerminalKeepsNoRestOfTheLine(t *testing.T) {
	var out bytes.Buffer
	s := terminal(&out, &out)
	width := 40
	s.width, s.color = func() int { return width }, true
	s.Show(Status{Peer: "bob@example.org", State: "ringing"}) // 25 columns
	width = 10
	out.Reset()
	s.Clear()
	if got, want := out.String(), "\r\x1b[2A\x1b[J"; got != want {
		t.Errorf("three rows are erased by %q, want %q", got, want)
	}
}

func TestPlainOutputHasNoLiveLine(t *testing.T) {
	var out, errs bytes.Buffer
	s := New(Config{Out: &out, Err: &errs, In: strings.NewReader(""), Getenv: func(string) string { return "" }})
	s.Show(Status{Peer: "bob", State: "ringing"})
	s.Printf("ringing")
	s.Error("it broke", "mend it")
	if got, want := out.String(), "ringing\n"; got != want {
		t.Errorf("stdout = %q, want %q", got, want)
	}
	if got, want := errs.String(), "carillon: error: it broke\ncarillon: hint: mend it\n"; got != want {
		t.Errorf("stderr = %q, want %q", got, want)
	}
	if s.Interactive() || s.Live() || s.Color() {
		t.Error("a buffer was taken for a terminal")
	}
	if _, err := s.AskPassword(t.Context(), "? "); !errors.Is(err, ErrNobody) {
		t.Errorf("AskPassword: error = %v, want ErrNobody", err)
	}
}

func TestQuietScreenLeavesLinesForPeopleOut(t *testing.T) {
	var out, errs bytes.Buffer
	s := New(Config{Out: &out, Err: &errs, In: strings.NewReader(""), Getenv: func(string) string { return "" }, Quiet: true})
	s.Printf("ringing")
	s.Warn("careful")
	if out.Len() != 0 {
		t.Errorf("stdout = %q, want nothing", &out)
	}
	if got, want := errs.String(), "carillon: warning: careful\n"; got != want {
		t.Errorf("stderr = %q, want %q", got, want)
	}
}

func TestKeysOfLines(t *testing.T) {
	s := New(Config{Out: new(bytes.Buffer), Err: new(bytes.Buffer), In: strings.NewReader(""), Getenv: func(string) string { return "" }})
	k, err := s.Keys(t.Context(), strings.NewReader("answer\n\nm\n5\nq"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var got []rune
	for c := range k.C() {
		got = append(got, c)
	}
	if string(got) != "am5q" {
		t.Errorf("keys = %q, want %q", string(got), "am5q")
	}
}

func TestUnicodeTerminal(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, false},
		{map[string]string{"WT_SESSION": "x"}, true},
		{nil, false},
	} {
		if got := unicodeTerminal(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("unicodeTerminal(%v) = %v, want %v", tt.env, got, tt.want)
		}
	}
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(&out, slog.LevelInfo)).With("call", "x y").WithGroup("pair")
	log.Debug("not shown")
	log.Info("candidate pair selected", "local", "host", "group", slog.GroupValue(slog.Int("n", 2)))
	log.Warn("odd\ntext", "from", "a\x1b[2Jb")
	want := "carillon: info: candidate pair selected call=\"x y\" pair.local=host pair.group.n=2\n" +
		"carillon: warning: odd\\ntext call=\"x y\" pair.from=a\\x1b[2Jb\n"
	if got := out.String(); got != want {
		t.Errorf("log:\n got %q\nwant %q", got, want)
	}
}

func TestParseLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{"trace": LevelTrace, "DEBUG": slog.LevelDebug, "": slog.LevelError} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("ParseLevel takes any word")
	}
}
