//go:build bench

package bench

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

const (
	starts    = 5
	videoCall = 3 // calls whose first picture is timed
	idleTime  = 10 * time.Second
)

var firstFrame = regexp.MustCompile(`msg="first frame" since_accept=(\S+)`)

// What the app costs, on a display without a graphics card: Mesa draws with
// the processor, in the app's own process.
func TestBenchDesktop(t *testing.T) {
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	config := func(user string) lab.DesktopConfig {
		return lab.DesktopConfig{Server: server, User: user, Display: lab.StartDisplay(t, "1100x760x24"),
			Args: []string{"--mic", "speech", "--speaker", "null", "--camera", "pattern:640x480@30"}}
	}
	var took []time.Duration
	display := lab.StartDisplay(t, "1100x760x24")
	for range starts {
		began := time.Now()
		d := lab.RunDesktop(t, path, lab.DesktopConfig{Server: server, User: "anna", Display: display})
		took = append(took, time.Since(began))
		d.Quit()
	}
	slices.Sort(took)
	t.Logf("start to usable window: %v (%v to %v, n=%d)", took[len(took)/2].Round(time.Millisecond), took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))

	anna, ben := lab.StartDesktop(t, path, config("anna")), lab.StartDesktop(t, path, config("ben"))
	for _, d := range []*lab.Desktop{anna, ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Video })
	}
	time.Sleep(2 * time.Second)
	t.Logf("idle: %.2f %% of a core, %.0f MB resident, %.0f of them its own", percent(anna, idleTime), float64(anna.Resident())/1e6, float64(anna.Own())/1e6)

	for range videoCall {
		anna.Do("PlaceCall", state.PlaceCall{Key: state.Key{Account: server.JID("anna"), JID: server.JID("ben")}, Video: true})
		in := ben.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
		time.Sleep(ringTime)
		ben.Do("AnswerCall", state.AnswerCall{ID: in.ID, Video: true})
		sees := func(s state.App) bool {
			return len(s.Calls) == 1 && s.Calls[0].TheirPicture && s.Calls[0].Stats.FPS > 20
		}
		id := anna.Until("sees ben", sees).Calls[0].ID
		ben.Until("sees anna", sees)
		time.Sleep(5 * time.Second) // the buttons are gone, the bit rate has settled
		a := percent(anna, cpuTime)
		s := anna.State().Calls[0].Stats
		t.Logf("call %dx%d at %.0f a second both ways: %.0f %% of a core, %.0f MB resident, %d freezes", s.Width, s.Height, s.FPS, a, float64(anna.Resident())/1e6, s.Freezes)
		anna.Do("HangUp", state.HangUp{ID: id})
		for _, d := range []*lab.Desktop{anna, ben} {
			d.Until("it is over", func(s state.App) bool { return len(s.Calls) == 0 })
		}
	}
	for who, d := range map[string]*lab.Desktop{"caller": anna, "callee": ben} {
		for _, m := range firstFrame.FindAllStringSubmatch(d.Log(), -1) {
			t.Logf("accept to first picture, %s: %s", who, m[1])
		}
	}
}

// What stays in memory of call after call.
func TestBenchDesktopManyCalls(t *testing.T) {
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	start := func(user string) *lab.Desktop {
		return lab.StartDesktop(t, path, lab.DesktopConfig{Server: server, User: user, Display: lab.StartDisplay(t, "1100x760x24"),
			Args: []string{"--mic", "speech", "--speaker", "null", "--camera", "pattern:640x480@30"}})
	}
	anna, ben := start("anna"), start("ben")
	for _, d := range []*lab.Desktop{anna, ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Video })
	}
	var own []string
	for range 12 {
		anna.Do("PlaceCall", state.PlaceCall{Key: state.Key{Account: server.JID("anna"), JID: server.JID("ben")}, Video: true})
		in := ben.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
		ben.Do("AnswerCall", state.AnswerCall{ID: in.ID, Video: true})
		id := anna.Until("sees ben", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Stats.FPS > 20 }).Calls[0].ID
		time.Sleep(5 * time.Second) // the buttons are gone
		own = append(own, fmt.Sprintf("%.0f", float64(anna.Own())/1e6))
		anna.Do("HangUp", state.HangUp{ID: id})
		for _, d := range []*lab.Desktop{anna, ben} {
			d.Until("it is over", func(s state.App) bool { return len(s.Calls) == 0 })
		}
	}
	t.Logf("memory of its own in MB, in one call after the other: %s", strings.Join(own, ", "))
}

// percent is how much of a core a program uses.
func percent(d *lab.Desktop, during time.Duration) float64 {
	before := d.CPU()
	time.Sleep(during)
	return 100 * float64(d.CPU()-before) / float64(during)
}

// longCall is how long the call is in which the app's memory is watched. An
// hour of it is asked for by CARILLON_BENCH_CALL=1h (and -timeout 2h).
func longCall(t *testing.T) time.Duration {
	text := os.Getenv("CARILLON_BENCH_CALL")
	if text == "" {
		return 2 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CARILLON_BENCH_CALL: %v", err)
	}
	return d
}

// Whether the app grows in a long call with pictures both ways.
func TestBenchDesktopLongCall(t *testing.T) {
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	start := func(user string) *lab.Desktop {
		return lab.StartDesktop(t, path, lab.DesktopConfig{Server: server, User: user, Display: lab.StartDisplay(t, "1100x760x24"),
			Args: []string{"--mic", "speech", "--speaker", "null", "--camera", "pattern:320x240@10"}})
	}
	anna, ben := start("anna"), start("ben")
	for _, d := range []*lab.Desktop{anna, ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Video })
	}
	anna.Do("PlaceCall", state.PlaceCall{Key: state.Key{Account: server.JID("anna"), JID: server.JID("ben")}, Video: true})
	in := ben.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
	ben.Do("AnswerCall", state.AnswerCall{ID: in.ID, Video: true})
	sees := func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].TheirPicture }
	anna.Until("sees ben", sees)
	ben.Until("sees anna", sees)

	length := longCall(t)
	const looks = 12
	began := time.Now()
	for range looks {
		time.Sleep(length / looks)
		t.Logf("after %v: %.0f and %.0f MB resident", time.Since(began).Round(time.Second), float64(anna.Resident())/1e6, float64(ben.Resident())/1e6)
	}
	for _, d := range []*lab.Desktop{anna, ben} {
		s := d.State()
		if len(s.Calls) != 1 || !s.Calls[0].TheirPicture {
			t.Fatalf("the call is over, or without a picture: %+v", s.Calls)
		}
		t.Logf("at the end: %.0f pictures a second, %d freezes", s.Calls[0].Stats.FPS, s.Calls[0].Stats.Freezes)
	}
}
