//go:build interop

package interop

import (
	"bytes"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

const pictureTimeout = 30 * time.Second

// apps are two of ours, anna and ben, who are contacts.
type apps struct {
	server    *lab.Prosody
	anna, ben *lab.Desktop
}

func startApps(t *testing.T) apps {
	t.Helper()
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	start := func(user string) *lab.Desktop {
		return lab.StartDesktop(t, path, lab.DesktopConfig{
			Server: server, User: user, Display: lab.StartDisplay(t, "1100x760x24"),
			Args: []string{"--mic", "speech", "--speaker", "null", "--camera", "pattern:640x480@30"},
		})
	}
	a := apps{server, start("anna"), start("ben")}
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Video && s.Contacts[0].Files })
	}
	return a
}

func (a apps) key(from, to string) state.Key {
	return state.Key{Account: a.server.JID(from), JID: a.server.JID(to)}
}

// call has anna call ben with video, and returns when both talk.
func (a apps) call(t *testing.T) (annas, bens string) {
	t.Helper()
	a.anna.Do("PlaceCall", state.PlaceCall{Key: a.key("anna", "ben"), Video: true})
	in := a.ben.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
	a.ben.Do("AnswerCall", state.AnswerCall{ID: in.ID, Video: true})
	talk := func(s state.App) bool {
		return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running && s.Calls[0].TheirPicture && s.Calls[0].Stats.Path != state.PathUnknown && s.Calls[0].Stats.LevelIn > -60
	}
	return a.anna.Until("talks", talk).Calls[0].ID, a.ben.Until("talks", talk).Calls[0].ID
}

// fitted is the part of the window in which a picture of w by h is shown.
func fitted(window image.Image, w, h int) image.Image {
	b := window.Bounds()
	scale := min(float64(b.Dx())/float64(w), float64(b.Dy())/float64(h))
	dw, dh := int(float64(w)*scale), int(float64(h)*scale)
	x, y := b.Min.X+(b.Dx()-dw)/2, b.Min.Y+(b.Dy()-dh)/2
	return crop{window, image.Rect(x, y, x+dw, y+dh)}
}

type crop struct {
	image.Image
	r image.Rectangle
}

func (c crop) Bounds() image.Rectangle { return c.r }
func (c crop) At(x, y int) color.Color { return c.Image.At(x, y) }

// sees waits until the window shows a moving pattern, and returns its last code.
func sees(t *testing.T, d *lab.Desktop, w, h int, keep string) video.Code {
	t.Helper()
	var first, last video.Code
	found := 0
	for deadline := time.Now().Add(pictureTimeout); time.Now().Before(deadline); {
		if code, ok := video.ReadCode(fitted(d.Picture(keep), w, h)); ok {
			if found == 0 {
				first = code
			}
			if last = code; found > 0 && last.Number != first.Number {
				return last
			}
			found++
		}
	}
	t.Fatalf("%s: the moving pattern was not seen: %d pictures were recognised", d.User, found)
	return last
}

// untilHangUp waits until the button that hangs up is seen, or not seen.
func untilHangUp(t *testing.T, d *lab.Desktop, there bool) {
	t.Helper()
	for deadline := time.Now().Add(pictureTimeout); time.Now().Before(deadline); {
		r, g, b, _ := d.Picture("").At(686, 598).RGBA()
		if red := r > 0xb000 && g < 0x6000 && b < 0x6000; red == there {
			return
		}
	}
	t.Fatalf("%s: the button that hangs up is seen: %v", d.User, !there)
}

// An app that dozes ends like one that does not.
func TestInteropAppEnds(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna"}})
	path := lab.DesktopPath(t)
	for how, end := range map[string]func(*lab.Desktop){"its user": (*lab.Desktop).Quit, "the system": (*lab.Desktop).Terminate} {
		t.Run("by "+how, func(t *testing.T) {
			for range 3 {
				d := lab.StartDesktop(t, path, lab.DesktopConfig{Server: server, User: "anna", Display: lab.StartDisplay(t, "1100x760x24"),
					Args: []string{"--mic", "speech", "--speaker", "null"}})
				time.Sleep(2 * time.Second) // it dozes after one
				end(d)
				if code := d.ExitCode(); code != 0 || strings.Contains(d.Log(), "panic") {
					t.Errorf("it ended with %d\n%s", code, d.Log())
				}
			}
		})
	}
}

// Everything twice as large and back again leaves the window as it was.
func TestInteropAppTwiceAsLargeAndBack(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna"}})
	display := lab.StartDisplay(t, "1280x800x24")
	d := lab.StartDesktop(t, lab.DesktopPath(t), lab.DesktopConfig{Server: server, User: "anna", Display: display,
		Args: []string{"--mic", "speech", "--speaker", "null"}})
	is := func(scale float64, ok func(image.Point) bool) {
		t.Helper()
		s := d.State().Settings
		s.Scale = scale
		d.Do("Change", state.Change{Settings: s})
		var size image.Point
		for deadline := time.Now().Add(pictureTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if size = display.Top().Size(); ok(size) {
				return
			}
		}
		t.Fatalf("drawn %v times as large the window is %v", scale, size)
	}
	was := display.Top().Size()
	for range 2 {
		is(2, func(size image.Point) bool { return size != was && size.X <= 1280 && size.Y <= 800 })
		// It is looked at for a second whether it fits.
		time.Sleep(2 * time.Second)
		is(1, func(size image.Point) bool { return size == was })
		time.Sleep(2 * time.Second)
		is(1, func(size image.Point) bool { return size == was })
	}
}

const (
	// stillFor is how long a shared screen stands still.
	stillFor = 15 * time.Second
	// stillRate is what a call takes at most while it does, sound included, in
	// bit/s.
	stillRate = 150_000
)

func TestInteropTwoAppsSeeEachOther(t *testing.T) {
	a := startApps(t)
	annas, bens := a.call(t)
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		code := sees(t, d, 640, 480, "")
		t.Logf("%s sees picture %d, %v old", d.User, code.Number, code.Age(time.Now()).Round(time.Millisecond))
	}
	// The buttons go away, and come back when the pointer moves. Without them the
	// picture is shown by other means, as the processor draws here.
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		for _, there := range []bool{false, true, false} {
			if there {
				d.MovePointer(300, 300)
				d.MovePointer(320, 310)
			}
			untilHangUp(t, d, there)
			sees(t, d, 640, 480, "")
		}
	}
	// The camera off and on again, from either side.
	a.anna.Do("SendPicture", state.SendPicture{ID: annas})
	a.ben.Until("sees nothing", func(s state.App) bool { return !s.Calls[0].TheirPicture })
	a.anna.Do("SendPicture", state.SendPicture{ID: annas, Picture: state.Camera})
	a.ben.Until("is shown a picture", func(s state.App) bool { return s.Calls[0].TheirPicture })
	sees(t, a.ben, 640, 480, "")
	// Anna shares her screen, where ben's pattern moves: he sees himself.
	a.anna.Do("SendPicture", state.SendPicture{ID: annas, Picture: state.Screen})
	a.anna.Until("shares", func(s state.App) bool { return s.Calls[0].Picture == state.Screen })
	wide := a.ben.Until("sees a screen", func(s state.App) bool {
		st := s.Calls[0].Stats
		return st.Width > 0 && st.Width*3 != st.Height*4 && st.FPS > 10
	}).Calls[0].Stats
	// It stands still for a while, and moves again as before.
	a.ben.Do("SendPicture", state.SendPicture{ID: bens})
	a.anna.Until("sees nothing", func(s state.App) bool { return !s.Calls[0].TheirPicture })
	still := time.After(stillFor)
	a.ben.Until("sees that it stands still", func(s state.App) bool { return s.Calls[0].Stats.RateIn < stillRate })
	<-still
	if st := a.ben.State().Calls[0].Stats; st.Width != wide.Width || st.Height != wide.Height {
		t.Errorf("a screen that stands still is %dx%d, and was %dx%d", st.Width, st.Height, wide.Width, wide.Height)
	}
	a.ben.Do("SendPicture", state.SendPicture{ID: bens, Picture: state.Camera})
	a.anna.Until("sees him again", func(s state.App) bool { return s.Calls[0].TheirPicture })
	moves := time.Now()
	again := a.ben.Until("sees that it moves", func(s state.App) bool {
		st := s.Calls[0].Stats
		return st.RateIn > 2*stillRate && st.FPS > 10
	}).Calls[0].Stats
	t.Logf("the screen: %dx%d, %.0f pictures a second; %v after it moves again %dx%d, %.0f a second at %.0f kbit/s",
		wide.Width, wide.Height, wide.FPS, time.Since(moves).Round(time.Millisecond), again.Width, again.Height, again.FPS, again.RateIn/1000)
	if again.Width != wide.Width || again.Height != wide.Height {
		t.Errorf("a screen that moves again is %dx%d, and was %dx%d", again.Width, again.Height, wide.Width, wide.Height)
	}
	for _, x := range []struct {
		d  *lab.Desktop
		id string
	}{{a.anna, annas}, {a.ben, bens}} {
		x.d.Do("Mute", state.Mute{ID: x.id, On: true})
	}
	a.ben.Until("is told that she is muted", func(s state.App) bool { return s.Calls[0].TheyMuted })
	a.ben.Do("HangUp", state.HangUp{ID: bens})
	a.anna.Until("it is over", func(s state.App) bool {
		return len(s.Calls) == 0 && s.Flash != nil && s.Flash.Outcome == state.Answered
	})
}

// Somebody without a pointer is called while they are about to add a contact,
// answers above the sheet, and finds the buttons that have gone from the picture.
func TestInteropACallByKeyboard(t *testing.T) {
	a := startApps(t)
	a.ben.Press("Control+n")
	a.anna.Do("PlaceCall", state.PlaceCall{Key: a.key("anna", "ben"), Video: true})
	rings := func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }
	a.ben.Until("rings", rings)
	a.ben.Press("Return", "z", "Tab") // in the field of the address, which is not one yet
	keep(t, a.ben, "rings-above-a-sheet")
	if s := a.ben.State(); !rings(s) {
		t.Fatalf("a key that was meant for the sheet did something to the call: %+v", s.Calls)
	}
	// From the name over Cancel, Add and Decline.
	a.ben.Press("Tab", "Tab", "Tab", "Tab", "Return")
	a.ben.Until("talks", func(s state.App) bool {
		return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running && s.Calls[0].TheirPicture
	})
	a.ben.Press("Escape")
	untilHangUp(t, a.ben, true)
	if s := a.ben.State(); !s.Stage {
		t.Error("Escape closed more than the sheet")
	}
	a.ben.Press("Control+m")
	a.ben.Until("is muted", func(s state.App) bool { return s.Calls[0].Muted })
	untilHangUp(t, a.ben, false)
	a.ben.Press("Tab")
	untilHangUp(t, a.ben, true)
	keep(t, a.ben, "buttons-by-tab")
	a.ben.Press("Return") // the first of them leads back to the people
	a.ben.Until("looks at the people", func(s state.App) bool { return !s.Stage && len(s.Calls) == 1 })
	a.ben.Press("Control+d")
	a.anna.Until("it is over", func(s state.App) bool { return len(s.Calls) == 0 })
}

// Calls are answered, declined and called back from the notifications of a real
// server, while the window shows something else.
func TestInteropCallsByNotification(t *testing.T) {
	path := lab.DesktopPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	display := lab.StartDisplay(t, "1100x760x24")
	dunst := lab.StartDunst(t, display)
	config := lab.DesktopConfig{Server: server, User: "anna", Display: lab.StartDisplay(t, "1100x760x24"), Args: []string{"--mic", "speech", "--speaker", "null"}}
	a := apps{server: server, anna: lab.StartDesktop(t, path, config)}
	config.User, config.Display, config.Bus = "ben", display, dunst.Bus
	a.ben = lab.StartDesktop(t, path, config)
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		d.Until("sees the other", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Files })
	}
	over := func() {
		t.Helper()
		for _, d := range []*lab.Desktop{a.anna, a.ben} {
			d.Until("it is over", func(s state.App) bool { return len(s.Calls) == 0 })
		}
	}
	ring := func() (annas string) {
		t.Helper()
		a.anna.Do("PlaceCall", state.PlaceCall{Key: a.key("anna", "ben")})
		a.ben.Until("rings", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings })
		dunst.WaitDisplayed(1)
		return a.anna.State().Calls[0].ID
	}
	running := func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running }

	id := ring()
	dunst.Choose("Answer")
	a.ben.Until("talks", running)
	a.anna.Until("talks", running)
	dunst.WaitDisplayed(0)
	display.CloseTop()
	dunst.WaitDisplayed(1) // that the call goes on without its window
	if !running(a.ben.State()) {
		t.Error("closing the window ended the call")
	}
	a.anna.Do("HangUp", state.HangUp{ID: id})
	over()
	dunst.WaitDisplayed(0)

	ring()
	dunst.Choose("Decline")
	a.anna.Until("is told", func(s state.App) bool { return s.Flash != nil && s.Flash.Outcome == state.Declined })
	over()
	dunst.WaitDisplayed(0)

	a.anna.Do("HangUp", state.HangUp{ID: ring()})
	over()
	dunst.WaitDisplayed(1) // that it was missed
	dunst.Choose("Call back")
	in := a.anna.Until("is called back", func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Rings }).Calls[0]
	a.anna.Do("AnswerCall", state.AnswerCall{ID: in.ID})
	a.ben.Until("talks", running)
	a.anna.Do("HangUp", state.HangUp{ID: in.ID})
	over()
}

func TestInteropAFolderDroppedOnAName(t *testing.T) {
	a := startApps(t)
	dir := filepath.Join(t.TempDir(), "holiday")
	want := bytes.Repeat([]byte("carillon"), 100_000)
	if err := os.MkdirAll(filepath.Join(dir, "day one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "day one", "sea.jpg"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	a.anna.Drop(120, 145, dir) // the first name in the list
	x := a.ben.Until("is offered a folder", func(s state.App) bool { return len(s.Transfers) == 1 && s.Transfers[0].Phase == state.Offered }).Transfers[0]
	a.ben.Do("TakeFiles", state.TakeFiles{ID: x.ID})
	for _, d := range []*lab.Desktop{a.anna, a.ben} {
		d.Until("it has arrived", func(s state.App) bool { return s.Transfers[0].Phase == state.Arrived && s.Transfers[0].Verified })
	}
	got, err := os.ReadFile(filepath.Join(a.ben.Received(), "holiday", "day one", "sea.jpg"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
}

func TestInteropAppAndCommandLine(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	anna := lab.StartDesktop(t, lab.DesktopPath(t), lab.DesktopConfig{
		Server: server, User: "anna", Display: lab.StartDisplay(t, "1100x760x24"), Args: []string{"--mic", "tone:440", "--speaker", "null"},
	})
	heard := filepath.Join(t.TempDir(), "heard.wav")
	ben := lab.StartCarillon(t, lab.CarillonPath(t), lab.CarillonConfig{Server: server, User: "ben",
		Args: []string{"answer", "--auto", "--once", "--mic", "tone:1000", "--speaker", "file:" + heard}})
	ben.Wait("online")
	key := state.Key{Account: server.JID("anna"), JID: server.JID("ben")}
	anna.Until("sees ben", func(s state.App) bool {
		return len(s.Contacts) == 1 && s.Contacts[0].Presence == state.Available && !s.Contacts[0].NoDevice
	})
	anna.Do("PlaceCall", state.PlaceCall{Key: key})
	c := anna.Until("talks", func(s state.App) bool {
		return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running && s.Calls[0].Stats.Path != state.PathUnknown && s.Calls[0].Stats.LevelIn > -40 && time.Since(s.Calls[0].Since) > 2*time.Second
	}).Calls[0]
	anna.Do("Hold", state.Hold{ID: c.ID, On: true})
	anna.Until("holds", func(s state.App) bool { return s.Calls[0].Held })
	anna.Do("Hold", state.Hold{ID: c.ID})
	anna.Until("goes on", func(s state.App) bool { return !s.Calls[0].Held })
	anna.Do("HangUp", state.HangUp{ID: c.ID})
	if e := ben.Wait("ended"); e.Outcome != "answered" {
		t.Errorf("ended = %s", e.Line)
	}
	if code := ben.Exit(); code != 0 {
		t.Errorf("the command line exits with %d", code)
	}
	if h, err := lab.ToneInWAV(heard, 440); err != nil || h.Share < 0.5 {
		t.Errorf("ben heard anna's tone in %.2f of the time, %v", h.Share, err)
	}
	anna.Until("it is over", func(s state.App) bool { return len(s.Calls) == 0 })
}
