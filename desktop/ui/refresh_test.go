package ui

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"github.com/carillon-im/carillon/desktop/state"
)

// A watched app counts what is to be drawn anew. Each object that asks for it
// has the whole window drawn, by the processor where there is no graphics card.
type watched struct {
	fyne.App
	asked []string // types
}

type watchedDriver struct {
	fyne.Driver
	w *watched
}

type watchedCanvas struct {
	fyne.Canvas
	w *watched
}

func (w *watched) Driver() fyne.Driver { return watchedDriver{w.App.Driver(), w} }

func (d watchedDriver) CanvasForObject(o fyne.CanvasObject) fyne.Canvas {
	c := d.Driver.CanvasForObject(o)
	if c == nil {
		return nil
	}
	return watchedCanvas{c, d.w}
}

func (c watchedCanvas) Refresh(o fyne.CanvasObject) {
	c.w.asked = append(c.w.asked, fmt.Sprintf("%T", o))
}

// SetDirty is what showing, hiding and moving come to.
func (c watchedCanvas) SetDirty() { c.w.asked = append(c.w.asked, "moved, shown or hidden") }

// redrawn returns what asks to be drawn anew while f runs.
func redrawn(f func()) []string {
	w := &watched{App: fyne.CurrentApp()}
	fyne.SetCurrentApp(w)
	defer fyne.SetCurrentApp(w.App)
	f()
	return w.asked
}

// A state that is drawn again draws nothing, whatever is shown.
func TestNothingIsDrawnWhenNothingChanged(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			d := s.desk(t)
			d.Draw(d.app)
			d.Tick()
			if got := redrawn(func() { d.Draw(d.app); d.Tick() }); len(got) > 0 {
				t.Errorf("drawn anew: %v", got)
			}
		})
	}
}

// In a call with a picture the clock is drawn once a second, while it can be
// seen, and with each picture that picture alone.
func TestWhatACallWithAPictureDraws(t *testing.T) {
	d := newDesk(t, "dark", running(people()).Apply(state.CallShown{ID: "1", On: true}).Apply(state.CallPictured{ID: "1", Picture: state.Camera}))
	at := now
	d.View.now = func() time.Time { return at }
	d.ShowPicture("1", filmed())
	d.ShowOwnPicture("1", filmed())
	d.settled()
	d.Draw(d.app)
	d.stage.wake()
	expect := func(what string, do func(), want ...string) {
		t.Helper()
		if got := redrawn(do); !slices.Equal(got, want) {
			t.Errorf("%s draws %v, want %v", what, got, want)
		}
	}
	picture := func() {
		at = at.Add(33 * time.Millisecond)
		d.ShowPicture("1", filmed())
	}
	expect("a picture", picture, "*canvas.Image")
	expect("our own picture", func() { d.ShowOwnPicture("1", filmed()) })
	expect("both", picture, "*canvas.Image", "*canvas.Image")
	expect("a moment", d.Tick)
	at = at.Add(time.Second)
	expect("a second", d.Tick, "*canvas.Text")
	expect("the same second", func() { d.Tick(); d.Draw(d.app) })
	// Figures that nobody looks at.
	measured := func() {
		d.Draw(d.app.Apply(state.CallMeasured{ID: "1", Stats: state.Stats{Path: state.PathNAT, LevelIn: -7, RateIn: float64(at.UnixNano())}}))
	}
	expect("a measurement", measured)
	// The buttons go: that is drawn, and then not even the clock.
	at = at.Add(chromeTime)
	if len(redrawn(d.Tick)) == 0 || d.stage.chrome.Visible() {
		t.Fatal("the buttons stay")
	}
	for range 5 {
		at = at.Add(time.Second)
		expect("a second without a clock", d.Tick)
		expect("a measurement without figures", measured)
	}
	expect("a picture", picture, "*canvas.Image")
	// They come back, with the right time.
	d.stage.wake()
	if want := clock(at.Sub(d.stage.call.Since)); d.stage.topStatus.full != want {
		t.Errorf("the clock is at %s, want %s", d.stage.topStatus.full, want)
	}
	// Behind another page it is the bar that has one.
	d.Draw(d.app.Apply(state.StageShown{}))
	d.settled()
	at = at.Add(time.Second)
	expect("a second behind a page", d.Tick, "*canvas.Text")
	expect("the same second behind a page", func() { d.Tick(); d.Draw(d.app) })
	expect("pictures behind a page", func() { d.ShowPicture("1", filmed()); d.ShowPicture("1", filmed()) })
	// The last of them is there when the call is looked at again.
	if got := redrawn(func() { d.Draw(d.app.Apply(state.StageShown{On: true})) }); !slices.Contains(got, "*canvas.Image") {
		t.Errorf("the call draws %v, and not the picture that came meanwhile", got)
	}
}

// What is shown for the first time is drawn, although nothing else changes: the
// toolkit does not see to that.
func TestWhatIsShownIsDrawn(t *testing.T) {
	d := newDesk(t, "light", people())
	app := fyne.CurrentApp()
	t.Cleanup(func() { fyne.SetCurrentApp(app) })
	drawn := 0
	fyne.SetCurrentApp(drawnApp{app, &drawn})
	d.Draw(d.app)
	if drawn != 0 {
		t.Errorf("drawn %d times although nothing is shown", drawn)
	}
	d.Draw(d.app.Apply(state.WentWrong{Problem: state.Problem{Code: "drop"}}))
	if !d.notices.root.Visible() || drawn == 0 {
		t.Error("a notice is there, and the window is not drawn")
	}
}

// A drawnApp counts how often its window is to be drawn.
type drawnApp struct {
	fyne.App
	n *int
}

func (a drawnApp) Driver() fyne.Driver { return drawnDriver{a.App.Driver(), a.n} }

type drawnDriver struct {
	fyne.Driver
	n *int
}

func (d drawnDriver) AllWindows() (list []fyne.Window) {
	for _, w := range d.Driver.AllWindows() {
		list = append(list, drawnWindow{w, d.n})
	}
	return list
}

type drawnWindow struct {
	fyne.Window
	n *int
}

func (w drawnWindow) Canvas() fyne.Canvas { return drawnCanvas{w.Window.Canvas(), w.n} }

type drawnCanvas struct {
	fyne.Canvas
	n *int
}

func (c drawnCanvas) SetDirty() { *c.n++ }
