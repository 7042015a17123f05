//go:build interop

package interop

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// The app and Dino call each other, hear each other, mute and hang up.
func TestInteropAppAndDino(t *testing.T) {
	plugin, path := lab.BuildDinoPlugin(t), lab.DesktopPath(t)
	for _, weCall := range []bool{true, false} {
		name := map[bool]string{true: "we call", false: "Dino calls"}[weCall]
		t.Run(name, func(t *testing.T) {
			for run := 1; run <= maxVoid; run++ {
				void := ""
				t.Run(fmt.Sprintf("run %d", run), func(t *testing.T) {
					d := newDinoTable(t, plugin, path)
					if err := d.talk(weCall); err != nil {
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
	d := &dinoTable{table: *newTable(t, plugin, "")}
	d.app = lab.StartDesktop(t, path, lab.DesktopConfig{Server: d.server, User: "alice", Display: lab.StartDisplay(t, "1100x760x24"), Pulse: d.sound})
	return d
}

// running waits for the call to be taken on our side.
func (d *dinoTable) running() state.Call {
	d.t.Helper()
	return d.app.Until("talks", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running }).Calls[0]
}

func (d *dinoTable) talk(weCall bool) error {
	key := state.Key{Account: d.server.JID("alice"), JID: d.server.JID("bob")}
	if weCall {
		d.app.Until("sees Dino", func(s state.App) bool {
			c, ok := s.Contact(key)
			return ok && c.Presence != state.Gone && !c.NoDevice
		})
		d.app.Do("PlaceCall", state.PlaceCall{Key: key})
		d.dino.Wait("call-incoming", nil)
		d.dino.Accept()
	} else {
		d.dino.Call(d.server.JID("alice"))
		in := d.app.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
		d.app.Do("AnswerCall", state.AnswerCall{ID: in.ID})
	}
	id := d.running().ID
	if err := d.bothHear(); err != nil {
		return err
	}
	d.app.Do("Mute", state.Mute{ID: id, On: true})
	err := d.dinoEar.WaitSilence(ourTone, time.Second, soundTimeout)
	d.app.Do("Mute", state.Mute{ID: id})
	_, err2 := d.dinoEar.FirstTone(ourTone, time.Now(), soundTimeout)
	if err := errors.Join(err, err2, d.dinoMutes()); err != nil {
		return err
	}
	if weCall {
		d.app.Do("HangUp", state.HangUp{ID: id})
	} else {
		d.dino.Hangup()
	}
	d.app.Until("it is over", func(s state.App) bool {
		return len(s.Calls) == 0 && s.Flash != nil && s.Flash.Outcome == state.Answered && s.Flash.Problem == nil
	})
	_, err = d.dino.Await(soundTimeout, "call-terminated", map[string]string{"state": "ENDED"})
	return err
}
