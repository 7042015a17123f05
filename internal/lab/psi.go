package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A Psi is a running Psi without a screen, driven by its own windows.
type Psi struct {
	JID string

	t       testing.TB
	widgets *Widgets
	display *Display
	bus     *Bus
	*process
}

// A PsiConfig describes a Psi. Server and User are required.
type PsiConfig struct {
	Server *Prosody
	User   string
	// Proxy is the JID of the SOCKS5 proxy that its person has told it, if any.
	Proxy string
}

// psiAccount is an account as Psi keeps it.
const psiAccount = `<!DOCTYPE accounts>
<accounts version="1.5" xmlns="http://psi-im.org/options">
 <accounts><a0>
  <enabled type="bool">true</enabled><auto type="bool">true</auto>
  <id type="QString">lab</id><name type="QString">lab</name>
  <jid type="QString">%s</jid><password type="QString">%s</password>
  <use-host type="bool">true</use-host><host type="QString">%s</host><port type="int">%s</port>
  <automatic-resource type="bool">false</automatic-resource><resource type="QString">psi</resource><priority type="int">5</priority>
  <ssl type="QString">yes</ssl><bytestreams-proxy type="QString">%s</bytestreams-proxy>
 </a0></accounts>
</accounts>
`

// psiOptions differ from what Psi begins with.
const psiOptions = `<!DOCTYPE psi>
<psi version="1.5" xmlns="http://psi-im.org/options">
 <options>
  <ui>
   <tip><show type="bool">false</show></tip>
   <file-transfer><auto-popup type="bool">true</auto-popup></file-transfer>
   <notifications><sounds><enable type="bool">false</enable></sounds></notifications>
  </ui>
  <p2p><bytestreams><listen-port type="int">%d</listen-port></bytestreams></p2p>
 </options>
</psi>
`

// obscured is how Psi keeps a password.
func obscured(password, jid string) string {
	var b strings.Builder
	key := []rune(jid)
	for i, c := range []rune(password) {
		fmt.Fprintf(&b, "%04x", c^key[i%len(key)])
	}
	return b.String()
}

// StartPsi starts a Psi for a user and waits until it is online. It is stopped
// when the test ends.
func StartPsi(t testing.TB, cfg PsiConfig) *Psi {
	t.Helper()
	Need(t, "psi", "Xvfb", "dbus-daemon", "at-spi-bus-launcher")
	dir := tempDir(t)
	jid := cfg.Server.JID(cfg.User)
	p := &Psi{JID: jid + "/psi", t: t, bus: StartBus(t), display: StartDisplay(t, "1024x768x24")}
	host, port, _ := strings.Cut(cfg.Server.Addr, ":")
	profile := filepath.Join(dir, "config/psi/profiles/default")
	write(t, filepath.Join(profile, "accounts.xml"), fmt.Sprintf(psiAccount, jid, obscured(Password(cfg.User), jid), host, port, cfg.Proxy))
	write(t, filepath.Join(profile, "options.xml"), fmt.Sprintf(psiOptions, FreePort(t, "127.0.0.1")))
	env := []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "XDG_DATA_HOME=" + filepath.Join(dir, "data"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR=" + dir, "DBUS_SESSION_BUS_ADDRESS=" + p.bus.Address,
		"LANG=C.UTF-8", "WAYLAND_DISPLAY=", "QT_QPA_PLATFORM=xcb", "QT_LINUX_ACCESSIBILITY_ALWAYS_ON=1", "DISPLAY=" + p.display.Name}
	cmd := exec.Command("psi", "--profile=default")
	cmd.Env = append(os.Environ(), env...)
	p.process = start(t, "psi", filepath.Join(dir, "psi.log"), cmd)
	p.waitFor("show a window", func() error {
		if _, at := p.display.front(); at.Empty() {
			return errors.New("there is none")
		}
		return nil
	})
	p.widgets = StartWidgets(t, p.bus, env)
	p.widgets.Press("Server Authentication", "Trust this certificate")
	p.waitFor("be online", func() error {
		if !strings.Contains(cfg.Server.Stanzas(), "in "+p.JID+" <presence") {
			return errors.New("it has sent no presence")
		}
		return nil
	})
	// Its menu has the files; there is one for each conversation.
	p.open("xmpp:" + cfg.Server.JID("alice") + "?message;type=chat")
	p.widgets.Await("alice")
	return p
}

// open gives it a link.
func (p *Psi) open(uri string) {
	p.t.Helper()
	p.waitFor("open a link", func() error {
		conn, err := dbus.Connect(p.bus.Address)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Object("org.psi-im.Psi", "/Main").Call("org.psi_im.Psi.Main.openURI", 0, uri).Err
	})
}

// SendFile offers a file to a full JID of alice.
func (p *Psi) SendFile(to, path string) {
	p.t.Helper()
	p.widgets.Press("alice", "Send File")
	p.choose("Choose a file", "Open", path)
	p.widgets.Enter("Send File", to, func(x Widget) bool { return strings.HasPrefix(x.Text(), "alice@") })
	p.widgets.Press("Send File", "Send")
}

// choose chooses a file in a dialog, and waits until that is closed.
func (p *Psi) choose(dialog, button, path string) {
	p.t.Helper()
	p.widgets.Enter(dialog, path, func(x Widget) bool { return x.Name == "File name:" })
	p.widgets.Press(dialog, button)
	p.gone(dialog)
}

func (p *Psi) gone(window string) {
	p.t.Helper()
	p.widgets.until("the end of "+window, func() bool {
		_, there := p.widgets.Window(window)
		return !there
	})
}

// AcceptFile waits for an offer and takes it to path.
func (p *Psi) AcceptFile(path string) {
	p.t.Helper()
	p.widgets.Press("Receive File", "Accept")
	p.choose("Save As", "Save", path)
}

// DeclineFile waits for an offer and rejects it.
func (p *Psi) DeclineFile() {
	p.t.Helper()
	p.widgets.Press("Receive File", "Reject")
}

// CancelFile cancels the transfer that runs, by the menu of its line.
func (p *Psi) CancelFile() {
	p.t.Helper()
	const window = "Transfer Manager"
	p.widgets.Press(window, "Clear Finished")
	soon := func(ok func() bool) bool { // a menu opens and closes in its own time
		for end := time.Now().Add(time.Second); !ok() && time.Now().Before(end); {
			time.Sleep(pollInterval)
		}
		return ok()
	}
	p.widgets.until("the end of the transfer", func() bool {
		list, ok := p.widgets.Window(window)
		if !ok {
			return false
		}
		line, ok := list.Find("list item", "")
		if !ok {
			return true
		}
		p.display.Raise(window)
		left, top, width, height := line.Place()
		p.display.Click(int(left+width/2), int(top+height/2), 3)
		if soon(func() bool { return !p.display.Menu().Empty() }) {
			menu := p.display.Menu()
			p.display.Click(menu.Min.X+menu.Dx()/2, menu.Min.Y+menuLine/2, 1) // its first line
			soon(func() bool { return p.display.Menu().Empty() })
		}
		return false
	})
}

// menuLine is about how high a line of a menu is.
const menuLine = 20

// Told waits for a message box that says so, and closes it.
func (p *Psi) Told(text string) {
	p.t.Helper()
	p.widgets.until("the message "+text, func() bool {
		box, ok := p.widgets.Window("Error")
		if ok {
			_, ok = box.Find("label", text)
		}
		return ok
	})
	p.widgets.Press("Error", "OK")
}
