//go:build interop

package interop

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// The app starts, shows its first page, and says when the window can be used.
func TestInteropFirstStart(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	path := lab.DesktopPath(t)
	display := lab.StartDisplay(t, "1100x760x24")
	began := time.Now()
	d := lab.RunDesktop(t, path, lab.DesktopConfig{Server: server, User: "anna", Display: display})
	t.Logf("window usable after %v", time.Since(began).Round(time.Millisecond))
	d.Do("SignInTo", state.SignInTo{JID: server.JID("anna"), Password: "wrong", Server: "starttls://" + server.Addr})
	d.Until("refused", func(a state.App) bool { return a.SignIn.Problem != nil && a.SignIn.Problem.Code == "wrong-password" })
	keep(t, d, "first-start")
	d.Do("SignInTo", state.SignInTo{JID: server.JID("anna"), Password: lab.Password("anna"), Server: "starttls://" + server.Addr})
	d.Until("online", func(a state.App) bool {
		return len(a.Accounts) == 1 && a.Accounts[0].Link == state.Online && len(a.Contacts) == 1
	})
	keep(t, d, "people")
	// The first notice is seen, although nothing else is drawn with it.
	empty := d.Picture("")
	quiet := time.Now().Add(pictureTimeout)
	for same := 0; same < 30 && time.Now().Before(quiet); same++ { // nothing is on its way to the screen any more
		if now := d.Picture(""); differ(empty, now) > 0 {
			empty, same = now, 0
		}
	}
	d.Drop(700, 300, "/etc/hostname")
	d.Until("says what to do", func(a state.App) bool { return a.Problem != nil && a.Problem.Code == state.DroppedNowhere })
	const card = 10_000 // pixels of it, at least
	for deadline := time.Now().Add(pictureTimeout); differ(empty, d.Picture("")) < card; {
		if time.Now().After(deadline) {
			t.Fatal("the window does not show what it is to say")
		}
	}
}

// differ counts the pixels that are not the same.
func differ(a, b image.Image) (n int) {
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				n++
			}
		}
	}
	return n
}

// Twice as large the app has its window on a small screen, whatever it shows.
func TestInteropASmallScreen(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	display := lab.StartDisplay(t, "1280x800x24")
	d := lab.StartDesktop(t, lab.DesktopPath(t), lab.DesktopConfig{Server: server, User: "anna", Display: display, Args: []string{"--mic", "tone:440", "--speaker", "null"}})
	a := d.Until("sees ben", func(a state.App) bool { return len(a.Contacts) == 1 })
	if got := display.WidenTop(0); got.Dx() != 1000 || got.Dy() != 660 {
		t.Errorf("it starts with %v", got)
	}
	settings := a.Settings
	settings.Scale = 2
	d.Do("Change", state.Change{Settings: settings})
	var last []byte // what was on the screen
	check := func(what string) {
		t.Helper()
		var before []byte
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			i := display.Picture().(*image.RGBA)
			if drawn := bytes.Equal(i.Pix, before) && !bytes.Equal(i.Pix, last); !drawn {
				before = i.Pix
				continue
			}
			last = i.Pix
			keepImage(t, i, "small-"+what)
			if got := display.WidenTop(0); got.Dx() != 1280 || got.Dy() > 800 || got.Dy() < 700 {
				t.Errorf("with %s the window is %v", what, got)
			}
			return
		}
		t.Errorf("%s is not drawn", what)
	}
	for right, tries := 0, 0; right < 20; tries++ { // the display answers in its own time
		if right++; display.WidenTop(0).Dx() != 1280 {
			right = 0
		}
		if tries > 200 {
			t.Fatalf("the window is %v", display.WidenTop(0))
		}
		time.Sleep(50 * time.Millisecond)
	}
	check("people")
	people := last
	for _, p := range []state.Page{state.PageCalls, state.PageTransfers, state.PageDoctor, state.PageSettings, state.PageSignIn, state.PageContacts} {
		d.Page(p)
		d.Until("is there", func(a state.App) bool { return a.Page == p })
		check("page" + string(p))
	}
	if !bytes.Equal(last, people) {
		t.Error("the first page was not drawn as it is drawn later")
	}
	d.Do("PlaceCall", state.PlaceCall{Key: a.Contacts[0].Key})
	d.Until("calls", func(a state.App) bool { return len(a.Calls) == 1 && a.Stage })
	check("call")
}

// keep takes a picture of the window, for people to look at in $CARILLON_PICTURES.
func keep(t *testing.T, d *lab.Desktop, name string) {
	t.Helper()
	dir := os.Getenv("CARILLON_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	d.Picture(filepath.Join(dir, name+".png"))
}

// keepImage keeps one, where they are kept.
func keepImage(t *testing.T, i image.Image, name string) {
	t.Helper()
	dir := os.Getenv("CARILLON_PICTURES")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, name+".png"))
	if err == nil {
		err = errors.Join(png.Encode(f, i), f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}
