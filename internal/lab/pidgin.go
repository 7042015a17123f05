package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A Pidgin is a running Pidgin without a screen, driven over its D-Bus
// interface.
type Pidgin struct {
	JID string

	t       testing.TB
	dir     string
	env     []string
	signals string // what it said on the bus
	taken   int    // offers of files
	*process
}

// pidginAccount is an account as libpurple keeps it.
const pidginAccount = `<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'>
 <account>
  <protocol>prpl-jabber</protocol>
  <name>%s</name>
  <password>%s</password>
  <settings>
   <setting name='connect_server' type='string'>%s</setting>
   <setting name='port' type='int'>%s</setting>
   <setting name='connection_security' type='string'>require_tls</setting>
   <setting name='ft_proxies' type='string'></setting>
  </settings>
  <settings ui='gtk-gaim'>
   <setting name='auto-login' type='bool'>1</setting>
  </settings>
 </account>
</account>
`

// StartPidgin starts a Pidgin for a user and waits until it is online. It is
// stopped when the test ends.
func StartPidgin(t testing.TB, server *Prosody, user string) *Pidgin {
	t.Helper()
	Need(t, "pidgin", "Xvfb", "dbus-daemon", "gdbus")
	dir := tempDir(t)
	p := &Pidgin{JID: server.JID(user) + "/pidgin", t: t, dir: dir}
	host, port, _ := strings.Cut(server.Addr, ":")
	write(t, filepath.Join(dir, "purple/accounts.xml"), fmt.Sprintf(pidginAccount, p.JID, Password(user), host, port))
	cert, err := os.ReadFile(filepath.Join(server.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	// As if its person had looked at the certificate once.
	write(t, filepath.Join(dir, "purple/certificates/x509/tls_peers", host), string(cert))

	bus := "unix:path=" + filepath.Join(dir, "bus")
	write(t, filepath.Join(dir, "bus.conf"), fmt.Sprintf(dinoBus, bus))
	daemon := exec.Command("dbus-daemon", "--config-file="+filepath.Join(dir, "bus.conf"), "--nofork", "--nopidfile")
	start(t, "dbus-daemon", filepath.Join(dir, "bus.log"), daemon).waitFor("start", func() error {
		_, err := os.Stat(filepath.Join(dir, "bus"))
		return err
	})
	p.env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_RUNTIME_DIR="+dir,
		"DBUS_SESSION_BUS_ADDRESS="+bus, "LANG=C.UTF-8", "WAYLAND_DISPLAY=", "GSETTINGS_BACKEND=memory", "GIO_USE_VFS=local", "DISPLAY="+StartDisplay(t, "1024x768x24").Name)
	cmd := exec.Command("pidgin", "--debug", "--multiple", "--config="+filepath.Join(dir, "purple"))
	cmd.Env = p.env
	p.process = start(t, "pidgin", filepath.Join(dir, "pidgin.log"), cmd)
	p.signals = filepath.Join(dir, "signals")
	monitor := exec.Command("gdbus", "monitor", "--session", "--dest", "im.pidgin.purple.PurpleService")
	monitor.Env = p.env
	start(t, "gdbus", p.signals, monitor)
	p.waitFor("be online", func() error { _, err := p.connection(); return err })
	return p
}

var number = regexp.MustCompile(`-?\d+`)

// call calls a function of libpurple and returns the numbers in its answer.
func (p *Pidgin) call(name string, args ...string) ([]string, error) {
	cmd := exec.Command("gdbus", append([]string{"call", "--session", "--dest", "im.pidgin.purple.PurpleService",
		"--object-path", "/im/pidgin/purple/PurpleObject", "--method", "im.pidgin.purple.PurpleInterface." + name}, args...)...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pidgin %s: %w: %s", name, err, out)
	}
	return number.FindAllString(strings.ReplaceAll(string(out), "int32 ", ""), -1), nil
}

// connection returns the connection of the account once it is online.
func (p *Pidgin) connection() (string, error) {
	accounts, err := p.call("PurpleAccountsGetAllActive")
	if err != nil {
		return "", err
	}
	if len(accounts) == 0 {
		return "", errors.New("no account is active")
	}
	online, err := p.call("PurpleAccountIsConnected", accounts[0])
	if err != nil {
		return "", err
	}
	if len(online) != 1 || online[0] != "1" {
		return "", errors.New("the account is not connected")
	}
	gc, err := p.call("PurpleAccountGetConnection", accounts[0])
	if err != nil {
		return "", err
	}
	return gc[0], nil
}

// SendFile offers a file to a JID.
func (p *Pidgin) SendFile(to, path string) {
	p.t.Helper()
	gc, err := p.connection()
	if err == nil {
		_, err = p.call("ServSendFile", gc, to, path)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// fileOffered is the signal of an offer: the number of the transfer.
var fileOffered = regexp.MustCompile(`PurpleInterface\.FileRecvRequest \((-?\d+),`)

// AcceptFile waits for an offer that no earlier AcceptFile took, and takes it
// to path.
func (p *Pidgin) AcceptFile(path string) {
	p.t.Helper()
	for end := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		// PurpleXfersGetAll would free the list that libpurple goes on to use.
		signals, err := os.ReadFile(p.signals)
		if err != nil {
			p.t.Fatal(err)
		}
		if found := fileOffered.FindAllStringSubmatch(string(signals), -1); len(found) > p.taken {
			if _, err := p.call("PurpleXferRequestAccepted", found[p.taken][1], path); err != nil {
				p.t.Fatal(err)
			}
			p.taken++
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("Pidgin %s is offered no file", p.JID)
		}
	}
}
