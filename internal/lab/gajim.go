package lab

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Gajim is a running Gajim without a screen, driven by a plugin that presses
// its own buttons.
type Gajim struct {
	JID string

	t      testing.TB
	dir    string
	in     io.WriteCloser
	events *Stream[GajimEvent]
	*process
}

// A GajimEvent is an object that the plugin printed.
type GajimEvent struct {
	Name    string `json:"event"`
	SID     string `json:"sid"`
	Message string `json:"message"`

	Line string `json:"-"`
}

//go:embed gajimplugin/lab.py
var gajimPlugin string

const gajimManifest = `{"name": "Lab", "short_name": "lab", "version": "1.0.0", "description": "does what it is told, for tests",
"authors": [], "homepage": "", "config_dialog": false, "requirements": ["gajim>=1.7,<1.8"], "platforms": ["linux"]}`

// A GajimConfig describes a Gajim. Server and User are required.
type GajimConfig struct {
	Server *Prosody
	User   string
}

// gajimSettings is what Gajim keeps: one account, and nothing that looks around
// on the machine or on the network.
const gajimSettings = `CREATE TABLE settings (name TEXT UNIQUE, settings TEXT);
CREATE TABLE account_settings (account TEXT UNIQUE, settings TEXT);
INSERT INTO settings VALUES ('app', '%s'), ('soundevents', '{}'), ('status_presets', '{}'), ('proxies', '{}'),
('plugins', '{"lab": {"active": true}}'),
('workspaces', '{"0": {"name": "lab", "color": "rgb(191,0,0)", "avatar_sha": "", "chats": []}}');
INSERT INTO account_settings VALUES ('lab', '%s');
PRAGMA user_version=5;
`

// StartGajim starts a Gajim for a user and waits until it is online. It is
// stopped when the test ends.
func StartGajim(t testing.TB, cfg GajimConfig) *Gajim {
	t.Helper()
	Need(t, "gajim", "Xvfb", "sqlite3", "unshare")
	dir := tempDir(t)
	g := &Gajim{JID: cfg.Server.JID(cfg.User) + "/gajim", t: t, dir: dir, events: newStream[GajimEvent]()}
	root := filepath.Join(dir, "gajim")
	write(t, filepath.Join(root, "plugins/lab/lab.py"), gajimPlugin)
	write(t, filepath.Join(root, "plugins/lab/__init__.py"), "from .lab import LabPlugin\n")
	write(t, filepath.Join(root, "plugins/lab/plugin-manifest.json"), gajimManifest)
	cert, err := os.ReadFile(filepath.Join(cfg.Server.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	// As if its person had looked at the certificate once.
	write(t, filepath.Join(root, "cert_store/server"), string(cert))
	host, port, _ := strings.Cut(cfg.Server.Addr, ":")
	object := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	sql := fmt.Sprintf(gajimSettings, object(map[string]any{
		"use_keyring": false, "check_for_update": false, "sounds_on": false, "show_notifications": false, "file_transfers_port": FreePort(t, "127.0.0.1"),
		"autodetect_browser_mailer": false, "plugins_update_check": false, "plugins_auto_update": false, "gajim_update_check": false, "use_speller": false,
	}), object(map[string]any{"account": map[string]any{
		"name": cfg.User, "hostname": cfg.Server.Domain, "password": Password(cfg.User), "savepass": true, "active": true, "autoconnect": true,
		"resource": "gajim", "use_custom_host": true, "custom_host": host, "custom_port": json.Number(port), "custom_type": "START TLS",
	}, "contact": map[string]any{}, "group_chat": map[string]any{}}))
	if out, err := exec.Command("sqlite3", filepath.Join(root, "settings.sqlite"), sql).CombinedOutput(); err != nil {
		t.Fatalf("write Gajim's settings: %v: %s", err, out)
	}

	cmd := exec.Command("gajim", "-c", root)
	if os.Getuid() == 0 { // Gajim refuses to be root
		cmd = exec.Command("unshare", append([]string{"--user", "--map-user=1000", "--map-group=1000"}, cmd.Args...)...)
	}
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_DATA_HOME="+filepath.Join(dir, "data"),
		"XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR="+dir, "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(dir, "no-bus"),
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path="+filepath.Join(dir, "no-bus"),
		"LANG=C.UTF-8", "WAYLAND_DISPLAY=", "GDK_BACKEND=x11", "GSETTINGS_BACKEND=memory", "GIO_USE_VFS=local", "NO_AT_BRIDGE=1", "PYTHONDONTWRITEBYTECODE=1",
		"DISPLAY="+StartDisplay(t, "1024x768x24").Name)
	if g.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	g.process = start(t, "gajim", filepath.Join(dir, "gajim.log"), cmd)
	w.Close() // Gajim has its own now
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer g.events.close()
		for s := bufio.NewScanner(r); s.Scan(); {
			e := GajimEvent{Line: s.Text()}
			json.Unmarshal(s.Bytes(), &e) // or something else that Gajim prints
			g.events.add(e)
		}
	}()
	t.Cleanup(func() {
		g.stop()
		<-read
		r.Close()
		if t.Failed() {
			t.Logf("Gajim printed:\n%s", strings.Join(g.lines(), "\n"))
		}
	})
	g.Wait("online", "")
	return g
}

func (g *Gajim) lines() (out []string) {
	for _, e := range g.events.all() {
		out = append(out, e.Line)
	}
	return out
}

// Wait waits for an event of that name, and of a transfer unless sid is empty,
// that no earlier Wait took, and skips those before it. It fails the test when
// none comes in 20 s.
func (g *Gajim) Wait(name, sid string) GajimEvent {
	g.t.Helper()
	e, err := g.Await(startTimeout, name, sid)
	if err != nil {
		g.t.Fatalf("Gajim: no event %q: %v; it printed:\n%s", name, err, strings.Join(g.lines(), "\n"))
	}
	return e
}

// Await is Wait with an error.
func (g *Gajim) Await(timeout time.Duration, name, sid string) (GajimEvent, error) {
	return g.events.await(timeout, func(e GajimEvent) bool { return e.Name == name && (sid == "" || e.SID == sid) })
}

func (g *Gajim) do(what map[string]string) {
	g.t.Helper()
	if err := json.NewEncoder(g.in).Encode(what); err != nil {
		g.t.Fatalf("tell Gajim: %v", err)
	}
}

// SendFile offers a file to a full JID, once Gajim knows that it takes files,
// and returns the id of the session.
func (g *Gajim) SendFile(to, path string) (sid string) {
	g.t.Helper()
	g.do(map[string]string{"do": "send", "to": to, "path": path})
	return g.Wait("sent", "").SID
}

// CancelFile presses the button that cancels a transfer.
func (g *Gajim) CancelFile(sid string) {
	g.t.Helper()
	g.do(map[string]string{"do": "cancel", "sid": sid})
}
