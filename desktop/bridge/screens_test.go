package bridge

import (
	"context"
	"image"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/desktop/state"
)

// What can be shared is looked at once a second, stays in its place, and is not
// looked at any more afterwards.
func TestScreensAreWatchedWhileSomebodyChooses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		screen := state.Scene{ID: "screen:1", Kind: state.WholeScreen, Number: 1}
		dialog := state.Scene{ID: "screen:2", Kind: state.AskDesktop}
		one, two := state.Scene{ID: "window:1", Kind: state.OneWindow, Title: "one"}, state.Scene{ID: "window:2", Kind: state.OneWindow, Title: "two"}
		there := []state.Scene{screen, dialog, one, two}
		var mu sync.Mutex // held but while time passes
		var told [][]state.Scene
		var looked []string
		var shown []map[string]image.Image
		still := image.NewUniform(nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, func(context.Context) []state.Scene { mu.Lock(); defer mu.Unlock(); return there },
				func(id string) image.Image {
					mu.Lock()
					defer mu.Unlock()
					looked = append(looked, id)
					if id == two.ID {
						return nil // it is hidden
					}
					return still
				},
				func(l []state.Scene) { mu.Lock(); defer mu.Unlock(); told = append(told, l) },
				func(m map[string]image.Image) { mu.Lock(); defer mu.Unlock(); shown = append(shown, m) })
		}()
		pass := func(d time.Duration) {
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if d := cmp.Diff([][]state.Scene{there}, told); d != "" {
			t.Errorf("at once (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{screen.ID, one.ID, two.ID}, looked); d != "" {
			t.Errorf("looked at (-want +got):\n%s", d)
		}
		if len(shown) != 1 || len(shown[0]) != 2 || shown[0][one.ID] != image.Image(still) {
			t.Errorf("shown %v", shown)
		}
		// Another window is on top, and one is new: only that is news.
		pass(screensTime)
		if len(told) != 1 || len(shown) != 2 {
			t.Errorf("after a second: told %d times, shown %d times", len(told), len(shown))
		}
		fresh := state.Scene{ID: "window:3", Kind: state.OneWindow}
		two.Title = "two, renamed"
		there = []state.Scene{screen, dialog, fresh, two, one}
		pass(screensTime)
		if d := cmp.Diff([]state.Scene{screen, dialog, one, two, fresh}, told[len(told)-1]); d != "" {
			t.Errorf("in place (-want +got):\n%s", d)
		}
		there = []state.Scene{screen, dialog, fresh, two}
		pass(screensTime)
		if d := cmp.Diff([]state.Scene{screen, dialog, two, fresh}, told[len(told)-1]); d != "" {
			t.Errorf("one was closed (-want +got):\n%s", d)
		}
		stop()
		pass(0)
		<-done
		n := len(looked)
		pass(10 * screensTime)
		if len(looked) != n {
			t.Error("it is looked at after the choice")
		}
	})
}

// Choosing ends with the choice, and with the app.
func TestWatchingScreensEnds(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	u := newUser(t, server(t), "anna")
	u.Do(state.WatchScreens{On: true})
	u.Do(state.WatchScreens{On: true}) // again, by a view that was made anew
	on := func() (on bool) { u.owner(func() { on = u.watching != nil }); return on }
	if !on() {
		t.Error("nobody looks")
	}
	u.Do(state.WatchScreens{})
	if on() {
		t.Error("it goes on")
	}
	u.Do(state.WatchScreens{On: true}) // and Close ends it: no goroutine is left
}
