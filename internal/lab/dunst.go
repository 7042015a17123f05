package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Dunst is a real notification server on a private bus, with which a test does
// what a person does: look how many notifications there are, and choose from the
// menu of their actions.
type Dunst struct {
	Bus *Bus

	t      testing.TB
	conn   *dbus.Conn
	choice string // file with what is chosen from the menu
}

// What dunst is called, and where it is, on a bus.
const (
	dunstName = "org.freedesktop.Notifications"
	dunstPath = "/org/freedesktop/Notifications"
)

// StartDunst starts one that shows its notifications on a display. A click with
// the middle button does what a notification is for.
func StartDunst(t testing.TB, display *Display) *Dunst {
	t.Helper()
	bus, dir := StartBus(t), tempDir(t)
	choice, menu, config := filepath.Join(dir, "choice"), filepath.Join(dir, "menu"), filepath.Join(dir, "dunstrc")
	write(t, menu, "#!/bin/sh\nexec grep -e \"$(cat "+choice+")\"\n") // dunst writes what there is to its standard input
	if err := os.Chmod(menu, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, config, "[global]\n    dmenu = "+menu+"\n    mouse_middle_click = do_action, close_current\n")
	bus.Run("dunst", []string{"DISPLAY=" + display.Name, "HOME=" + dir}, "-conf", config)
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	bus.waitFor("dunst", func() error {
		owned, err := bus.Owned(dunstName)
		if err == nil && !owned {
			err = errors.New("it has no name yet")
		}
		return err
	})
	return &Dunst{Bus: bus, t: t, conn: conn, choice: choice}
}

// Do calls dunst's own interface, as dunstctl does.
func (d *Dunst) Do(method string, args ...any) {
	d.t.Helper()
	if err := d.conn.Object(dunstName, dunstPath).Call("org.dunstproject.cmd0."+method, 0, args...).Err; err != nil {
		d.t.Fatalf("dunst: %s: %v", method, err)
	}
}

// Choose opens the menu of actions and chooses one by its label.
func (d *Dunst) Choose(label string) {
	d.t.Helper()
	if err := os.WriteFile(d.choice, []byte(label), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.Do("ContextMenuCall")
}

// Displayed is how many notifications are shown.
func (d *Dunst) Displayed() uint32 {
	d.t.Helper()
	v, err := d.conn.Object(dunstName, dunstPath).GetProperty("org.dunstproject.cmd0.displayedLength")
	if err != nil {
		d.t.Fatal(err)
	}
	return v.Value().(uint32)
}

// WaitDisplayed waits until so many are shown.
func (d *Dunst) WaitDisplayed(want uint32) {
	d.t.Helper()
	for deadline := time.Now().Add(startTimeout); d.Displayed() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("dunst shows %d notifications, want %d", d.Displayed(), want)
		}
	}
}
