package ui

import (
	"embed"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"fyne.io/fyne/v2/lang"

	"github.com/carillon-im/carillon/desktop/state"
)

//go:embed translations
var translations embed.FS

// A language is one with what its speakers call it.
type language struct{ code, name string }

var languages = []language{{"en", "English"}, {"de", "Deutsch"}, {"es", "Español"}}

// speaking guards what the toolkit says, which it changes without a lock:
// notifications are made by other goroutines than the one that draws.
var speaking sync.RWMutex

// LoadTranslations chooses the language of the system. Call it once, before a
// window is made.
func LoadTranslations() error { return Speak("") }

// Speak chooses a language, also for the toolkit: "en", "de" or "es", and with
// anything else that of the system. It is for Fyne's thread; a View that is made
// afterwards speaks it.
func Speak(code string) error {
	speaking.Lock()
	defer speaking.Unlock()
	for _, l := range languages {
		if l.code != code {
			continue
		}
		// The toolkit knows no other way to be told than the environment. What
		// others see of it is as before.
		for _, name := range []string{"LC_ALL", "LANGUAGE"} {
			old, was := os.LookupEnv(name)
			os.Setenv(name, code)
			defer func() {
				if os.Unsetenv(name); was {
					os.Setenv(name, old)
				}
			}()
		}
	}
	return lang.AddTranslationsFS(translations, "translations")
}

// Say is tr for what surrounds the window. Any goroutine may call it.
func Say(key string, values ...any) string { return tr(key, values...) }

// tr says something in the language of the user: key is that of the files in
// translations, and values replace {{.A}}, {{.B}} in it. Those may be names that
// others chose.
func tr(key string, values ...any) string {
	speaking.RLock()
	defer speaking.RUnlock()
	if len(values) == 0 {
		return lang.X(key, key)
	}
	data := make(map[string]any)
	for i, v := range values {
		if s, ok := v.(string); ok {
			v = harmless(s)
		}
		data[string(rune('A'+i))] = v
	}
	return lang.X(key, key, data)
}

// count says how many there are; key has the forms "one" and "other".
func count(key string, n int) string {
	speaking.RLock()
	defer speaking.RUnlock()
	return lang.XN(key, key, n, map[string]any{"N": n})
}

func itoa(n int) string { return strconv.Itoa(n) }

// clock writes a time as people write the length of a call: 0:07, 1:02:03.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// size writes a number of bytes as people read it.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB"} {
		if v /= 1000; v < 999.5 {
			break
		}
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// left says how long something will take.
func left(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return tr("left.seconds", max(1, int(d.Seconds())))
	case d < time.Hour:
		return tr("left.minutes", int(d.Minutes()+0.5))
	}
	return tr("left.hours", fmt.Sprintf("%.1f", d.Hours()))
}

// day says when something was, as shortly as it can be understood.
func day(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	y1, m1, d1 := t.Date()
	y2, m2, d2 := now.Date()
	yesterday := now.AddDate(0, 0, -1)
	y3, m3, d3 := yesterday.Date()
	switch {
	case y1 == y2 && m1 == m2 && d1 == d2:
		return t.Format("15:04")
	case y1 == y3 && m1 == m3 && d1 == d3:
		return tr("day.yesterday", t.Format("15:04"))
	}
	return date(t)
}

// date writes a day and a time as the language of the user does.
func date(t time.Time) string { return t.Local().Format(tr("date")) }

// Calls is what a notification says below the name of somebody who calls.
func Calls(video bool) string {
	if video {
		return tr("phase.rings.video")
	}
	return tr("phase.rings")
}

// Missed is what a notification says of a call that nobody took. The desktop
// keeps it, perhaps for days.
func Missed(at time.Time, video bool) string {
	text := "missed.voice"
	if video {
		text = "missed.video"
	}
	return tr(text, date(at))
}

// Offered is what a notification says of files that somebody wants to send;
// bytes is less than 0 when their size is not known.
func Offered(names string, bytes int64) string {
	if bytes < 0 {
		return tr("notice.offer", names)
	}
	return tr("notice.offer.size", names, size(bytes))
}

// CallBack is the name of the button beside that.
func CallBack() string { return tr("missed.back") }

// why says what stands in the way of a call, and what to do.
func why(w state.Why, name string) string {
	if w == state.WhyNothing {
		return ""
	}
	return tr("why."+string(w), name)
}

// problem says what went wrong and what to do. Codes without a sentence of
// their own show what the error says.
func problem(p state.Problem) string {
	key := "problem." + p.Code
	if s := tr(key, p.Who); s != key {
		return s
	}
	return tr("problem.other", sentence(p.Detail))
}

// explained reports whether there is a sentence for a problem.
func explained(p state.Problem) bool {
	key := "problem." + p.Code
	return tr(key, p.Who) != key
}

// sentence begins with a capital and ends with a point.
func sentence(s string) string {
	if s = oneLine(s); s == "" {
		return ""
	}
	r := []rune(s)
	s = strings.ToUpper(string(r[:1])) + string(r[1:])
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// phase says how far a call is.
func phase(c state.Call, now time.Time) string {
	switch {
	case c.Phase == state.Running && c.Held:
		return tr("phase.held")
	case c.Phase == state.Running && !c.Since.IsZero():
		return clock(now.Sub(c.Since))
	case c.Phase == state.Rings && c.Video:
		return tr("phase.rings.video")
	}
	return tr("phase." + string(c.Phase))
}
