//go:build interop

package interop

import (
	"errors"
	"fmt"
	"image/color"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// appScenarios are calls of the app and Dino.
var appScenarios = []struct {
	name string
	run  func(*dinoTable) error
}{
	{"we call, each mutes, we hang up", func(d *dinoTable) error {
		return inOrder(func() error { return d.weCallDino(false) }, d.bothTalk, d.appMutes, d.dinoMutes, d.appHangsUp)
	}},
	{"Dino calls, each mutes, Dino hangs up", func(d *dinoTable) error {
		return inOrder(func() error { return d.dinoCallsUs(false) }, d.bothTalk, d.dinoMutes, d.appMutes, d.dinoHangsUp, d.isOver)
	}},
	{"we call with video, both see and hear", func(d *dinoTable) error {
		return inOrder(func() error { return d.weCallDino(true) }, d.windowShowsDino, d.dinoSees, d.bothTalk, d.appHangsUp)
	}},
	{"Dino calls without, adds video", func(d *dinoTable) error {
		return inOrder(func() error { return d.dinoCallsUs(false) }, func() error { d.dino.Video(true); return nil }, d.windowShowsDino, d.bothTalk, d.appHangsUp)
	}},
	{"Dino calls without, we add video and turn it off", func(d *dinoTable) error {
		return inOrder(func() error { return d.dinoCallsUs(false) }, d.appShows, d.dinoSees, d.appHides, d.bothTalk, d.appHangsUp)
	}},
}

// The app and Dino call each other; each run begins anew with fresh programs,
// and those in which Dino ran into a bug of its own show nothing.
func TestInteropAppAndDino(t *testing.T) {
	plugin, path := lab.BuildDinoPlugin(t), lab.DesktopPath(t)
	for _, s := range appScenarios {
		t.Run(s.name, func(t *testing.T) {
			for run := 1; run <= maxVoid; run++ {
				void := ""
				t.Run(fmt.Sprintf("run %d", run), func(t *testing.T) {
					d := newDinoTable(t, plugin, path)
					if err := s.run(d); err != nil {
						if void = d.dino.Void(); void == "" {
							t.Error(err)
						}
					}
				})
				if void == "" {
					return
				}
				t.Logf("void: %s", void)
			}
			t.Errorf("%d runs in a row are void", maxVoid)
		})
	}
}

// A dinoTable is the app of alice and the Dino of bob.
type dinoTable struct {
	table
	app *lab.Desktop
}

func newDinoTable(t *testing.T, plugin, path string) *dinoTable {
	t.Helper()
	d := &dinoTable{table: *newTable(t, plugin, "", "red")}
	colours := filepath.Join(t.TempDir(), "colours.y4m")
	writeColours(t, colours)
	d.app = lab.StartDesktop(t, path, lab.DesktopConfig{
		Server: d.server, User: "alice", Display: lab.StartDisplay(t, "1100x760x24"), Pulse: d.sound, Args: []string{"--camera", "file:" + colours},
	})
	return d
}

// call is the one call there is, once it is as wanted.
func (d *dinoTable) call(what string, ok func(state.Call) bool) state.Call {
	d.t.Helper()
	return d.app.Until(what, func(s state.App) bool { return len(s.Calls) == 1 && ok(s.Calls[0]) }).Calls[0]
}

func (d *dinoTable) running() error {
	d.call("talks", func(c state.Call) bool { return c.Phase == state.Running })
	return nil
}

func (d *dinoTable) weCallDino(withVideo bool) error {
	key := state.Key{Account: d.server.JID("alice"), JID: d.server.JID("bob")}
	d.app.Until("sees Dino", func(s state.App) bool {
		c, ok := s.Contact(key)
		return ok && c.Presence != state.Gone && !c.NoDevice
	})
	d.app.Do("PlaceCall", state.PlaceCall{Key: key, Video: withVideo})
	d.dino.Wait("call-incoming", nil)
	d.dino.Accept()
	return d.running()
}

func (d *dinoTable) dinoCallsUs(withVideo bool) error {
	d.dino.Call(d.server.JID("alice"))
	in := d.call("rings", func(c state.Call) bool { return c.Phase == state.Rings })
	d.app.Do("AnswerCall", state.AnswerCall{ID: in.ID, Video: withVideo})
	return d.running()
}

func (d *dinoTable) id() string { return d.call("is there", func(state.Call) bool { return true }).ID }

// appShare is how much of the time the tones must be heard. Two windows drawn by
// the processor take the time from the sound that they would have from a
// graphics card, and a test must hold on a busy machine; how good the sound
// is, is held to account without windows, in TestInteropDino.
const appShare = 0.6

// bothTalk checks the tones of either side at the ear of the other.
func (d *dinoTable) bothTalk() error {
	_, err1 := d.ourEar.FirstTone(theirTone, time.Time{}, soundTimeout)
	_, err2 := d.dinoEar.FirstTone(ourTone, time.Time{}, soundTimeout)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for who, h := range map[string]lab.Heard{"we": d.ourEar.Tone(theirTone, talk), "Dino": d.dinoEar.Tone(ourTone, talk)} {
		if h.Share < appShare {
			err1 = errors.Join(err1, fmt.Errorf("%s hear the tone %.0f %% of the time, longest gap %v", who, 100*h.Share, h.LongestGap))
		}
	}
	return err1
}

func (d *dinoTable) appMutes() error {
	d.app.Do("Mute", state.Mute{ID: d.id(), On: true})
	err := d.dinoEar.WaitSilence(ourTone, time.Second, soundTimeout)
	d.app.Do("Mute", state.Mute{ID: d.id()})
	_, err2 := d.dinoEar.FirstTone(ourTone, time.Now(), soundTimeout)
	return errors.Join(err, err2)
}

func (d *dinoTable) appShows() error {
	d.app.Do("SendPicture", state.SendPicture{ID: d.id(), Picture: state.Camera})
	d.call("shows its camera", func(c state.Call) bool { return c.Picture == state.Camera })
	return nil
}

func (d *dinoTable) appHides() error {
	d.app.Do("SendPicture", state.SendPicture{ID: d.id()})
	d.call("shows nothing", func(c state.Call) bool { return c.Picture == state.NoPicture })
	return nil
}

// windowShowsDino looks at our window until much of it has Dino's red.
func (d *dinoTable) windowShowsDino() error {
	most := 0.0
	for deadline := time.Now().Add(sightTimeout); time.Now().Before(deadline); {
		m := d.app.Picture("")
		n, of := 0, 0
		for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y += 4 {
			for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x += 4 {
				r, g, b, _ := m.At(x, y).RGBA()
				_, cb, cr := color.RGBToYCbCr(uint8(r>>8), uint8(g>>8), uint8(b>>8))
				of++
				if dinosRed.is(cb, cr) {
					n++
				}
			}
		}
		if most = max(most, float64(n)/float64(of)); most > 0.3 {
			return nil
		}
	}
	return fmt.Errorf("Dino's picture is not in our window: %.2f of it is red at most", most)
}

func (d *dinoTable) appHangsUp() error {
	d.app.Do("HangUp", state.HangUp{ID: d.id()})
	return d.isOver()
}

func (d *dinoTable) isOver() error {
	d.app.Until("it is over", func(s state.App) bool {
		return len(s.Calls) == 0 && s.Flash != nil && s.Flash.Outcome == state.Answered && s.Flash.Problem == nil
	})
	_, err := d.dino.Await(soundTimeout, "call-terminated", map[string]string{"state": "ENDED"})
	return err
}
