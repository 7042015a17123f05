//go:build interop

package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

const (
	// maxVoid is how often a call is made again because Dino ran into a bug of
	// its own (see lab.Dino.Void).
	maxVoid = 6

	ourTone, theirTone = 440, 1000 // Hz

	soundTimeout = 10 * time.Second
	talk         = 2 * time.Second
	dinoShare    = 0.9 // of the time the tone must be heard; Dino's own calls have 0.94 to 1
)

// A table are the programs of one call: we are alice, Dino is bob.
type table struct {
	t              *testing.T
	server         *lab.Prosody
	path           string
	dino           *lab.Dino
	ours           *lab.Carillon
	sound          *lab.Pulse // ours
	ourEar         *lab.EarRecord
	dinoEar        *lab.EarRecord
	acceptedByDino time.Time
	camera, seen   string // files: what we show, and what we saw
}

// A scenario is what happens in a call. It returns what went wrong.
type scenario struct {
	name string
	run  func(*table) error
}

var scenarios = []scenario{
	{"we call, both hear, we hang up", func(c *table) error {
		return inOrder(c.weCall, c.bothHear, c.weHangUp, c.over("ENDED", "answered", 0))
	}},
	{"we call, both hear, Dino hangs up", func(c *table) error {
		return inOrder(c.weCall, c.bothHear, c.dinoHangsUp, c.over("ENDED", "answered", 0))
	}},
	{"Dino calls, both hear, Dino hangs up", func(c *table) error {
		return inOrder(c.dinoCalls, c.bothHear, c.dinoHangsUp, c.over("ENDED", "answered", 0))
	}},
	{"Dino calls, both hear, we hang up", func(c *table) error {
		return inOrder(c.dinoCalls, c.bothHear, c.weHangUp, c.over("ENDED", "answered", 0))
	}},
	{"we call, Dino rejects", func(c *table) error {
		c.call()
		c.dino.Wait("call-incoming", nil)
		c.dino.Reject()
		return c.checkOver("DECLINED", "declined", 3)
	}},
	{"Dino calls, we reject", func(c *table) error {
		c.answer()
		c.dino.Call(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.dino.Wait("call-outgoing", nil)
		c.ours.Key("d")
		return c.checkOver("DECLINED", "declined", 0)
	}},
	{"we call and retract", func(c *table) error {
		c.call()
		c.dino.Wait("call-incoming", nil)
		c.ours.Interrupt()
		return c.checkOver("MISSED", "retracted", -1)
	}},
	{"Dino calls and retracts", func(c *table) error {
		c.answer()
		c.dino.Call(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.dino.Wait("call-outgoing", nil)
		c.dino.Hangup()
		return c.checkOver("", "missed", -1)
	}},
	{"we call, each mutes", func(c *table) error {
		return inOrder(c.weCall, c.bothHear, c.weMute, c.dinoMutes, c.weHangUp, c.over("ENDED", "answered", 0))
	}},
	{"Dino calls, each mutes", func(c *table) error {
		return inOrder(c.dinoCalls, c.bothHear, c.dinoMutes, c.weMute, c.dinoHangsUp, c.over("ENDED", "answered", 0))
	}},
	{"Dino calls while we talk to carol", (*table).busy},
}

// inOrder does one thing after the other until one goes wrong, so that the call
// still stands when the reason is looked for.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func TestInteropDino(t *testing.T) { runScenarios(t, scenarios, "") }

// runScenarios makes calls with a Dino that has a camera, or none.
func runScenarios(t *testing.T, scenarios []scenario, camera string) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	plugin, path := lab.BuildDinoPlugin(t), lab.CarillonPath(t)
	var report strings.Builder
	w := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "call\tresult\tvoid runs\taccept to first audio, ours / Dino's ear")
	good := 0
	for _, s := range scenarios {
		var voids []string
		result, times := "bad", ""
		t.Run(s.name, func(t *testing.T) {
			for len(voids) < maxVoid {
				var err error
				var void string
				ok := t.Run(fmt.Sprintf("run %d", len(voids)+1), func(t *testing.T) {
					c := newTable(t, plugin, path, camera)
					err = s.run(c)
					if err != nil {
						void = c.dino.Void()
					}
					if err != nil && void == "" {
						t.Error(err)
					}
					times = c.times()
				})
				if void == "" {
					if ok && err == nil {
						result = "good"
						good++
					}
					return
				}
				t.Logf("void: %s", void)
				voids = append(voids, void)
			}
			t.Errorf("%d runs in a row are void", maxVoid)
		})
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", s.name, result, len(voids), times)
	}
	w.Flush()
	t.Logf("Dino 0.4 through Prosody: %d of %d good\n%s", good, len(scenarios), report.String())
}

// newTable starts a fresh server and a fresh Dino, which speaks all the time.
func newTable(t *testing.T, plugin, path, camera string) *table {
	t.Helper()
	c := &table{t: t, path: path}
	c.server = lab.DinoServer(t, lab.ProsodyConfig{Users: []string{"alice", "bob", "carol"}})
	c.sound = lab.StartPulse(t, "alice")
	c.sound.Speak("alice", ourTone)
	c.ourEar = c.sound.Listen("alice", theirTone)
	c.dino = lab.StartDino(t, lab.DinoConfig{Server: c.server, User: "bob", Plugin: plugin, Camera: camera})
	c.dino.Pulse.Speak("dino", theirTone)
	c.dinoEar = c.dino.Pulse.Listen("dino", ourTone)
	return c
}

func (c *table) start(args ...string) {
	c.ours = lab.StartCarillon(c.t, c.path, lab.CarillonConfig{Server: c.server, User: "alice", Pulse: c.sound, Args: args})
}

func (c *table) call() {
	c.start("call", c.server.JID("bob"), "--mic", "device", "--speaker", "device")
}

func (c *table) answer() {
	c.start("answer", "--once", "--mic", "device", "--speaker", "device")
	c.ours.Wait("online")
}

// weCall calls Dino, who accepts.
func (c *table) weCall() error {
	c.call()
	c.dino.Wait("call-incoming", nil) // Dino 0.4 does not say that it rings
	c.dino.Accept()
	c.acceptedByDino = c.dino.Wait("pressed-accept-call", nil).At
	return c.connected()
}

// dinoCalls lets Dino call us, and we accept.
func (c *table) dinoCalls() error {
	c.answer()
	c.dino.Call(c.server.JID("alice"))
	c.ours.Wait("incoming")
	c.ours.Key("a")
	return c.connected()
}

func (c *table) connected() error {
	for _, event := range []string{"connected", "first-audio"} {
		if _, err := c.ours.Await(soundTimeout, event); err != nil {
			return err
		}
	}
	_, err := c.dino.Await(soundTimeout, "call-state", map[string]string{"state": "IN_PROGRESS"})
	return err
}

// bothHear checks the tones of either side at the ear of the other.
func (c *table) bothHear() error {
	_, err1 := c.ourEar.FirstTone(theirTone, time.Time{}, soundTimeout)
	_, err2 := c.dinoEar.FirstTone(ourTone, time.Time{}, soundTimeout)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for who, h := range map[string]lab.Heard{"we": c.ourEar.Tone(theirTone, talk), "Dino": c.dinoEar.Tone(ourTone, talk)} {
		if h.Share < dinoShare {
			err1 = errors.Join(err1, fmt.Errorf("%s hear the tone %.0f %% of the time, longest gap %v", who, 100*h.Share, h.LongestGap))
		}
	}
	return err1
}

func (c *table) weMute() error {
	c.ours.Key("m")
	err := c.dinoEar.WaitSilence(ourTone, time.Second, soundTimeout)
	c.ours.Key("m")
	_, err2 := c.dinoEar.FirstTone(ourTone, time.Now(), soundTimeout)
	return errors.Join(err, err2)
}

func (c *table) dinoMutes() error {
	c.dino.Mute(true)
	err := c.ourEar.WaitSilence(theirTone, time.Second, soundTimeout)
	c.dino.Mute(false)
	_, err2 := c.ourEar.FirstTone(theirTone, time.Now(), soundTimeout)
	return errors.Join(err, err2)
}

func (c *table) weHangUp() error {
	c.ours.Key("q")
	return nil
}

func (c *table) dinoHangsUp() error {
	c.dino.Hangup()
	return nil
}

// over checks how the call ended: Dino's state, our outcome, and our exit code.
// An empty state and a negative code are not checked.
func (c *table) over(state, outcome string, code int) func() error {
	return func() error { return c.checkOver(state, outcome, code) }
}

func (c *table) checkOver(state, outcome string, code int) error {
	var errs []error
	ended, err := c.ours.Await(soundTimeout, "ended")
	if err != nil {
		errs = append(errs, err)
	} else if ended.Outcome != outcome {
		errs = append(errs, fmt.Errorf("our outcome is %q, want %q: %s", ended.Outcome, outcome, ended.Line))
	}
	e, err := c.dino.Await(soundTimeout, "call-terminated", nil)
	if err != nil {
		errs = append(errs, err)
	} else if state != "" && e.Fields["state"] != state {
		errs = append(errs, fmt.Errorf("Dino's state is %s, want %s: %s", e.Fields["state"], state, e.Line))
	}
	if code >= 0 {
		if got := c.ours.Exit(); got != code {
			errs = append(errs, fmt.Errorf("our exit code is %d, want %d", got, code))
		}
	}
	return errors.Join(errs...)
}

// busy lets Dino call us while we talk to carol, which must go on.
func (c *table) busy() error {
	c.answer()
	carol := lab.StartCarillon(c.t, c.path, lab.CarillonConfig{Server: c.server, User: "carol",
		Args: []string{"call", c.server.JID("alice"), "--mic", "tone:1000", "--speaker", "null"}})
	c.ours.Wait("incoming")
	c.ours.Key("a")
	if _, err := carol.Await(soundTimeout, "first-audio"); err != nil {
		return err
	}
	c.dino.Call(c.server.JID("alice"))
	_, err := c.dino.Await(soundTimeout, "call-terminated", map[string]string{"state": "DECLINED"})
	if err != nil {
		return err
	}
	if h := c.ourEar.Tone(theirTone, talk); h.Share < dinoShare {
		return fmt.Errorf("we hear carol %.0f %% of the time after Dino's call, longest gap %v", 100*h.Share, h.LongestGap)
	}
	carol.Key("q")
	_, err = c.ours.Await(soundTimeout, "ended")
	return err
}

// times says how long after the accepting the first audio was heard.
func (c *table) times() string {
	if c.ours == nil {
		return ""
	}
	for _, e := range c.ours.Events() {
		if e.Name != "first-audio" {
			continue
		}
		ours := fmt.Sprintf("%.2f s", e.MSSinceAccept/1000)
		// When Dino accepted, it knows when; when we did, our event does.
		accepted := c.acceptedByDino
		if accepted.IsZero() {
			accepted = e.Time.Add(-time.Duration(e.MSSinceAccept * float64(time.Millisecond)))
		}
		if at, err := c.dinoEar.FirstTone(ourTone, accepted, time.Second); err == nil {
			return fmt.Sprintf("%s / %.2f s", ours, at.Sub(accepted).Seconds())
		}
		return ours
	}
	return ""
}
