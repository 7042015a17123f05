package ui

import (
	"image"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/carillon-im/carillon/desktop/state"
)

// A slate is a pane that remembers.
type slate struct {
	call  string
	place PanePlace
	hides int
	last  image.Image
}

func (p *slate) Place(call string, place PanePlace) bool {
	p.call, p.place = call, place
	return true
}

func (p *slate) Hide() (theirs, ours image.Image) {
	p.call = ""
	p.hides++
	return p.last, nil
}

// The pane has the pictures while nothing lies over them, in the right place,
// and the canvas has them again, with the last picture, as soon as something
// does.
func TestPane(t *testing.T) {
	test.NewTempApp(t).Settings().SetTheme(NewTheme("dark"))
	now := time.Unix(1_800_000_000, 0)
	v := New(func(state.Command) {}, func() time.Time { return now })
	w := test.NewTempWindow(t, v.Root)
	w.SetPadded(false)
	w.Resize(fyne.NewSize(900, 600))
	v.Bind(w.Canvas())
	pane := &slate{last: image.NewRGBA(image.Rect(0, 0, 320, 240))}
	v.Pane = pane
	call := state.Call{ID: "1", Phase: state.Running, TheirPicture: true, Picture: state.Camera, Since: now}
	a := state.App{Accounts: []state.Account{{JID: "a@example"}}, Calls: []state.Call{call}, Stage: true}
	v.Draw(a)
	picture := func() image.Image { return image.NewRGBA(image.Rect(0, 0, 640, 480)) }
	v.ShowPicture("1", picture())
	v.ShowOwnPicture("1", picture())
	v.ShowPicture("1", picture())
	want := func(when, call string) {
		t.Helper()
		if pane.call != call {
			t.Fatalf("%s: the pane shows the call %q, want %q", when, pane.call, call)
		}
	}
	calm := func() {
		now = now.Add(chromeTime)
		v.Tick()
	}
	want("with the buttons", "")
	calm()
	want("without them", "1")
	if got := pane.place.Area; got != image.Rect(0, 0, 900, 600) {
		t.Errorf("it covers %v", got)
	}
	own := pane.place.Own
	if own.Size() != image.Pt(196, 147) || own.Max.X != 900-18 {
		t.Errorf("our own picture is at %v", own)
	}

	w.Resize(fyne.NewSize(1000, 700))
	if got := pane.place.Area; got != image.Rect(0, 0, 1000, 700) {
		t.Errorf("in a larger window it covers %v", got)
	}
	v.stage.switchDetails()
	w.Resize(fyne.NewSize(1000, 701)) // which a window does by itself before it is drawn
	if got := pane.place.Area; got.Dx() >= 1000 || got.Min.X != 0 {
		t.Errorf("beside the details it covers %v", got)
	}
	v.stage.switchDetails()

	test.MoveMouse(w.Canvas(), fyne.NewPos(300, 300))
	test.MoveMouse(w.Canvas(), fyne.NewPos(310, 300))
	want("when the pointer moves", "")
	if v.stage.theirs.Image != pane.last {
		t.Error("the canvas does not go on with the picture that the pane showed last")
	}
	calm()
	want("again", "1")

	v.sheet.open("A question", fyne.CanvasObject(newLine("?", 12, colorOnStage)), "", false, nil)
	want("behind a sheet", "")
	v.sheet.close()
	calm()
	want("after it", "1")

	a.Calls = append(a.Calls, state.Call{ID: "2", Phase: state.Rings, Key: state.Key{JID: "b@example"}})
	v.Draw(a)
	if w, ok := a.Waiting(); !ok || w.ID != "2" {
		t.Fatal("no call waits")
	}
	want("while another call rings", "")
	a.Calls = a.Calls[:1]
	v.Draw(a)
	calm()
	want("after that", "1")

	a.Calls[0].TheirPicture = false
	v.Draw(a)
	want("without a picture of theirs", "")
	a.Calls[0].TheirPicture = true
	v.Draw(a)
	calm()
	want("with one again", "1")

	n := v.Rebuild()
	want("in the middle of a change of theme", "")
	if n.Pane != v.Pane {
		t.Error("another view has no pane")
	}
	v = n
	w.SetContent(v.Root)
	v.Bind(w.Canvas())
	v.Draw(a)
	v.ShowPicture("1", picture())
	calm()
	want("in another theme", "1")

	// Another call has not the pictures of this one.
	a.Calls = []state.Call{{ID: "3", Phase: state.Running, TheirPicture: true}}
	v.Draw(a)
	want("in another call", "")
	if v.stage.theirs.Image != nil {
		t.Error("another call shows the picture of the last")
	}
	v.ShowPicture("3", picture())
	calm()
	want("in it, later", "3")

	a.Stage = false
	v.Draw(a)
	want("while contacts are shown", "")
	before := pane.hides
	calm()
	if pane.hides != before {
		t.Error("it is hidden over and over")
	}
}
