//go:build interop

package interop

import (
	"strings"
	"testing"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// accessible are anna, who calls, and ben, whose app is used by somebody who does
// not see it, and who has signed in nowhere yet.
type accessible struct {
	apps
	display *lab.Display
	access  *lab.Access
}

func startAccessible(t *testing.T) accessible {
	t.Helper()
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	path := lab.DesktopPath(t)
	display := lab.StartDisplay(t, "1100x760x24")
	access := lab.StartAccess(t, display)
	config := lab.DesktopConfig{Server: server, User: "anna", Display: lab.StartDisplay(t, "1100x760x24"), Args: []string{"--mic", "speech", "--speaker", "null"}}
	a := accessible{apps{server: server, anna: lab.StartDesktop(t, path, config)}, display, access}
	config.User, config.Display, config.Bus = "ben", display, access.Bus
	config.Args = append(config.Args, "--server", "starttls://"+server.Addr)
	a.ben = lab.RunDesktop(t, path, config)
	return a
}

// A person who sees nothing signs in, looks who is there, is called and answers,
// by what libatspi tells and does alone.
func TestInteropByATSPIAlone(t *testing.T) {
	a := startAccessible(t)
	c := a.access.ATSPI()
	if n := c.Tree(); len(n) != 0 {
		t.Errorf("nobody listens, and is told %+v", n)
	}
	a.access.Listen(true)

	c.Until("heading", "Welcome to Carillon", nil)
	if w := c.Until("frame", "Carillon", nil); !w.Is("showing") || w.At[2] != 1000 || w.At[3] != 660 {
		t.Errorf("the window is %+v", w)
	}
	address := c.Until("entry", "Address", nil)
	if !address.Is("editable") || !address.Is("focusable") || address.At[2] == 0 {
		t.Errorf("the field is %+v", address)
	}
	// Nothing written is told as such.
	c.Press("push button", "Sign in")
	c.Announced("Type your address and your password")
	// The keyboard goes through what there is.
	c.Focus("push button", "Create an account")
	c.Focused("push button", "Create an account")
	c.Focus("entry", "Address")
	c.Focused("entry", "Address")
	a.ben.Press("Tab")
	c.Focused("password text", "Password")
	a.ben.Press("x", "y")
	c.Heard("that something is written", func(e lab.SpokenEvent) bool {
		if strings.ContainsAny(e.Any, "xy") {
			t.Errorf("of the password is told %+v", e)
		}
		return e.Event == "object:text-changed:insert" && e.Role == "password text"
	})
	a.ben.Press("Tab")
	c.Focused("push button", "Show the password")
	a.ben.Press("Return") // shown or not, it is not told
	c.Until("push button", "Hide the password", nil)
	if n := c.Until("password text", "Password", nil); n.Text != "••" {
		t.Errorf("of a password is told %q", n.Text)
	}
	a.ben.Press("Tab")
	c.Focused("push button", "Server")
	a.ben.Press("Return")
	c.Heard("that it is open", func(e lab.SpokenEvent) bool {
		return e.Event == "object:state-changed:expanded" && e.Detail == 1 && e.Name == "Server"
	})

	c.Write("entry", "Address", a.server.JID("ben"))
	c.Write("password text", "Password", lab.Password("ben"))
	c.Until("password text", "Password", func(n lab.SpokenNode) bool {
		return n.Text == strings.Repeat("•", len(lab.Password("ben")))
	})
	c.Press("push button", "Sign in")
	c.Until("list", "People", nil)
	a.ben.Until("sees anna", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Presence == state.Available })
	row := c.Until("list item", "anna", func(n lab.SpokenNode) bool { return strings.Contains(n.Name, "online") })
	if row.Attributes["posinset"] != "1" || row.Attributes["setsize"] != "1" {
		t.Errorf("the row is %+v", row)
	}
	c.Press("list item", "anna")
	c.Until("heading", "anna", nil)
	if b := c.Until("page tab", "People", nil); !b.Is("selected") {
		t.Errorf("the page is %+v", b)
	}

	// Settings: boxes and choices with what they are at.
	c.Press("page tab", "Settings")
	box := c.Until("check box", "", func(n lab.SpokenNode) bool { return n.Name != "" })
	c.Press("check box", box.Name)
	c.Until("check box", box.Name, func(n lab.SpokenNode) bool { return n.Is("checked") != box.Is("checked") })
	c.Heard("that the box is another", func(e lab.SpokenEvent) bool {
		return e.Event == "object:state-changed:checked" && e.Name == box.Name
	})
	language := c.Until("combo box", "Language", nil)
	if language.Text == "" {
		t.Errorf("the choice is %+v", language)
	}
	c.Press("combo box", "Language")
	c.Until("menu item", "Deutsch", nil)
	a.ben.Press("Down")
	c.Focused("menu item", language.Text)
	a.ben.Press("Escape")
	c.Press("page tab", "People")

	// A sheet is a dialog, with a name.
	c.Press("push button", "Add")
	c.Until("dialog", "Add", func(n lab.SpokenNode) bool { return n.Is("modal") })
	c.Focused("entry", "Address")
	a.ben.Press("Escape")
	c.Until("list", "People", nil)

	a.anna.Until("sees ben", func(s state.App) bool {
		return len(s.Contacts) == 1 && s.Contacts[0].Why == state.WhyNothing || len(s.Contacts) == 1 && s.Contacts[0].Why == state.WhyNoRelay
	})
	a.anna.Do("PlaceCall", state.PlaceCall{Key: a.key("anna", "ben")})
	c.Announced("calls you")
	c.Press("push button", "Answer")
	running := func(s state.App) bool { return len(s.Calls) == 1 && s.Calls[0].Phase == state.Running }
	a.anna.Until("talks", running)
	c.Announced("connected")
	c.Press("push button", "Mute the microphone")
	c.Announced("Your microphone is muted")
	a.anna.Until("is told", func(s state.App) bool { return s.Calls[0].TheyMuted })
	a.anna.Do("HangUp", state.HangUp{ID: a.anna.State().Calls[0].ID})
	c.Announced("hung up after")

	// Who does not listen any more is told nothing.
	a.access.Listen(false)
	a.ben.Until("goes on", func(s state.App) bool { return len(s.Calls) == 0 })
	c.UntilGone()
	// Another bus of screen readers takes the place of the one that was there, also
	// while somebody listens.
	a.access.Listen(true)
	c.Until("list", "People", nil)
	a.access.Restart()
	a.access.Listen(true)
	a.access.ATSPI().Until("list", "People", nil)
	a.ben.Quit()
	if code := a.ben.ExitCode(); code != 0 {
		t.Errorf("it ended with %d\n%s", code, a.ben.Log())
	}
}

// Orca says what a person has to hear who works with the keyboard.
func TestInteropOrcaSpeaks(t *testing.T) {
	a := startAccessible(t)
	o := a.access.Orca()
	o.Says("Address, such as alice@example.org entry")
	a.ben.Press("Tab")
	o.Says("Password password text")
	a.ben.Press("Tab")
	o.Says("Show the password push button")
	a.ben.Press("Tab")
	o.Says("Server collapsed push button")
	a.ben.Press("Tab")
	o.Says("Sign in push button")
	a.ben.Press("Return")
	o.Says("Type your address and your password")

	a.ben.Do("SignInTo", state.SignInTo{JID: a.server.JID("ben"), Password: lab.Password("ben"), Server: "starttls://" + a.server.Addr})
	a.ben.Until("sees anna", func(s state.App) bool { return len(s.Contacts) == 1 && s.Contacts[0].Presence == state.Available })
	a.ben.Press("Control+f")
	o.Says("Search entry")
	a.ben.Press("Tab")
	o.Says("anna, online")
	a.ben.Press("Right")
	o.Says("Call anna push button")
	a.ben.Press("Control+n")
	o.Says("Add a contact dialog Their address looks like an e-mail address")
	o.Says("entry alice@example.org")
	a.ben.Press("Escape")
	o.Says("anna, online")
	a.ben.Press("Control+4")
	o.Says("Settings")
	a.anna.Until("sees ben", func(s state.App) bool {
		return len(s.Contacts) == 1 && (s.Contacts[0].Why == state.WhyNothing || s.Contacts[0].Why == state.WhyNoRelay)
	})
	a.anna.Do("PlaceCall", state.PlaceCall{Key: a.key("anna", "ben")})
	o.Says("calls you")
	a.ben.Press("Control+Return")
	o.Says("connected")
	a.ben.Press("Control+m")
	o.Says("Your microphone is muted")
	a.anna.Do("HangUp", state.HangUp{ID: a.anna.State().Calls[0].ID})
	o.Says("hung up after")
}
