//go:build native

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"net"
	"os"
	"reflect"

	"fyne.io/fyne/v2"

	"github.com/carillon-im/carillon/desktop/state"
)

// maxRequest bounds a line of the control socket.
const maxRequest = 64 << 10

// A request is what a test asks for; one field is set.
//
//	{"do": "PlaceCall", "with": {"Key": {"Account": "a@x", "JID": "b@x"}}}
//	{"page": "settings"}
//	{"state": true}             the answer is the state
//	{"picture": "/tmp/a.png"}   what the window shows
//	{"drop": ["/tmp/a"], "x": 100, "y": 200}
//	{"size": [1280, 720]}
type request struct {
	Do      string          `json:"do"`
	With    json.RawMessage `json:"with"`
	Page    *state.Page     `json:"page"`
	State   bool            `json:"state"`
	Picture string          `json:"picture"`
	Drop    []string        `json:"drop"`
	X, Y    float32
	Size    []float32 `json:"size"`
}

// commands are those that a test may give.
var commands = func() map[string]reflect.Type {
	m := make(map[string]reflect.Type)
	for _, c := range []state.Command{
		state.SignInTo{}, state.SignOut{}, state.AddContact{}, state.AnswerRequest{}, state.PlaceCall{}, state.AnswerCall{}, state.DeclineCall{},
		state.HangUp{}, state.Mute{}, state.Hold{}, state.Swap{}, state.SendPicture{}, state.TypeKey{}, state.Verified{}, state.SendFiles{},
		state.TakeFiles{}, state.RefuseFiles{}, state.PauseFiles{}, state.ResumeFiles{}, state.CancelFiles{}, state.Change{}, state.CheckSound{},
		state.Examine{}, state.FindDevices{}, state.Quit{},
	} {
		t := reflect.TypeOf(c)
		m[t.Name()] = t
	}
	return m
}()

// control lets a test drive the app through a socket that only its own user
// can reach. It exists only when the environment names it.
func control(d *desk, path string) (stop func(), err error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveControl(d, c) // it ends with the test that connected
		}
	}()
	return func() { l.Close() }, nil
}

func serveControl(d *desk, c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, maxRequest)
	out := json.NewEncoder(c)
	for lines.Scan() {
		answer, err := d.controlled(lines.Bytes())
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if out.Encode(answer) != nil {
			return
		}
	}
}

func (d *desk) controlled(text []byte) (any, error) {
	<-d.shown
	var r request
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	ok := map[string]bool{"ok": true}
	switch {
	case r.Do != "":
		t, known := commands[r.Do]
		if !known {
			return nil, fmt.Errorf("no command %q", r.Do)
		}
		v := reflect.New(t)
		if len(r.With) > 0 {
			if err := json.Unmarshal(r.With, v.Interface()); err != nil {
				return nil, err
			}
		}
		d.bridge.Do(v.Elem().Interface().(state.Command))
		return ok, nil
	case r.Page != nil:
		d.bridge.Do(state.Look{Event: state.Show{Page: *r.Page}})
		return ok, nil
	case r.State:
		return d.bridge.State(), nil
	case r.Picture != "":
		f, err := os.Create(r.Picture)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		fyne.DoAndWait(func() { err = png.Encode(f, d.window.Canvas().Capture()) })
		return ok, err
	case len(r.Drop) > 0:
		fyne.DoAndWait(func() { d.view.Dropped(fyne.NewPos(r.X, r.Y), r.Drop) })
		return ok, nil
	case len(r.Size) == 2:
		fyne.DoAndWait(func() { d.window.Resize(fyne.NewSize(r.Size[0], r.Size[1])) })
		return ok, nil
	}
	return nil, errors.New("nothing was asked")
}
