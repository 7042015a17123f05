//go:build interop

package interop

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/video"
)

// An app on a Wayland desktop shares its screen by the desktop's portal, and the
// other sees what moves there. Then the person chooses nothing.
func TestInteropWaylandSharesAScreen(t *testing.T) {
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	desk := lab.StartWayland(t, "1280x720")
	start := func(cfg lab.DesktopConfig) *lab.Desktop {
		cfg.Server = server
		cfg.Args = []string{"--mic", "speech", "--speaker", "null", "--camera", "pattern:640x480@30"}
		return lab.StartDesktop(t, path, cfg)
	}
	a := apps{server, start(lab.DesktopConfig{User: "anna", Wayland: desk}), start(lab.DesktopConfig{User: "ben", Display: lab.StartDisplay(t, "1100x760x24")})}
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Video })
	}
	annas, _ := a.call(t)

	t.Setenv("DISPLAY", desk.Display.Name)
	window, err := capture.OpenSink("window", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var moves sync.WaitGroup
	shown := make(chan struct{})
	moves.Go(func() {
		pattern := video.NewPatternSource(1280, 720, 15)
		defer pattern.Close()
		for n := 0; ; n++ {
			f, err := pattern.Read(ctx)
			if err != nil {
				return
			}
			if err := window.Write(f); err != nil {
				t.Errorf("show a pattern: %v", err)
				return
			}
			if n == 15 {
				close(shown)
			}
		}
	})
	defer func() { cancel(); moves.Wait(); window.Close() }()
	<-shown
	desk.Fill()

	a.anna.Do("FindDevices", state.FindDevices{})
	screens := a.anna.Until("finds the screen", func(s state.App) bool { return len(s.Devices.Screens) > 0 }).Devices.Screens
	a.anna.Do("SendPicture", state.SendPicture{ID: annas, Picture: state.Screen, Device: screens[0].ID})
	a.anna.Until("shares", func(s state.App) bool { return s.Calls[0].Picture == state.Screen })
	code := sees(t, a.ben, 1280, 720, "")
	t.Logf("ben sees picture %d of anna's screen, %v old", code.Number, code.Age(time.Now()).Round(time.Millisecond))
	a.anna.Do("SendPicture", state.SendPicture{ID: annas})
	a.ben.Until("sees nothing", func(s state.App) bool { return !s.Calls[0].TheirPicture })

	desk.Choose("")
	a.anna.Do("SendPicture", state.SendPicture{ID: annas, Picture: state.Screen, Device: screens[0].ID})
	a.anna.Until("is told", func(s state.App) bool { return s.Problem != nil && s.Problem.Code == "screen" })
	t.Logf("told: %+v; screens %+v", a.anna.State().Problem, screens)
}
