package lab

import (
	"bufio"
	"crypto/rand"
	_ "embed"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed dinoplugin/labctl.c
var dinoPlugin string

//go:embed dinoplugin/labcam.c
var dinoCamera string

// A DinoConfig describes a Dino. Server and User are required; the server must
// listen for STARTTLS on port 5222 of an address of its own, see [DinoServer].
type DinoConfig struct {
	Server *Prosody
	User   string
	Plugin string // from BuildDinoPlugin; empty builds it
	Camera string // what its camera shows: a pattern of videotestsrc, such as "red"; empty is no camera
}

// A Dino is a running Dino without a screen, driven by its own buttons.
type Dino struct {
	JID   string
	Pulse *Pulse // its person is "dino"

	t      testing.TB
	dir    string
	env    []string
	screen *Display
	events *Stream[DinoEvent]
	*process
}

// A DinoEvent is something Dino told the lab.
type DinoEvent struct {
	At     time.Time
	Name   string            // online, call-incoming, call-state, call-terminated, pressed-accept-call, ...
	Fields map[string]string // state, reason, ...
	Line   string
}

// DinoServer starts a Prosody that Dino finds: Dino looks for port 5222 of its
// domain's address. The address is one of loopback's 16 million, so that
// several labs run at once.
func DinoServer(t testing.TB, cfg ProsodyConfig) *Prosody {
	t.Helper()
	b := make([]byte, 2)
	rand.Read(b)
	cfg.Host, cfg.Port = fmt.Sprintf("127.77.%d.%d", b[0], 1+b[1]%250), 5222
	return StartProsody(t, cfg)
}

// BuildDinoPlugin compiles the plugin by which Dino is driven.
func BuildDinoPlugin(t testing.TB) string {
	t.Helper()
	Need(t, "gcc", "pkg-config", "dino-im")
	dir := tempDir(t)
	plugin := filepath.Join(dir, "labctl.so")
	compile(t, dinoPlugin, plugin, "gio-2.0")
	gst := filepath.Join(dir, "gst")
	if err := os.Mkdir(gst, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(t, dinoCamera, filepath.Join(gst, "libgstlabcam.so"), "gstreamer-1.0")
	return plugin
}

// compile makes a shared object of C, with a package of pkg-config.
func compile(t testing.TB, source, object, pkg string) {
	t.Helper()
	file := strings.TrimSuffix(object, ".so") + ".c"
	write(t, file, source)
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", pkg).Output()
	if err != nil {
		t.Fatalf("pkg-config %s: %v: run make setup", pkg, err)
	}
	args := append([]string{"-O1", "-Wall", "-shared", "-fPIC", file, "-o", object}, strings.Fields(string(flags))...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", filepath.Base(file), err, out)
	}
}

// dinoBus is a session bus that starts nothing by itself, so that no portal or
// notification daemon of the machine joins in.
const dinoBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`

// inNamespace runs its arguments where the domain has the server's address and
// the server's CA is trusted: Dino asks the system for both. Only this program
// sees the changed files.
const inNamespace = `mount --bind "$LAB_HOSTS" /etc/hosts && mount --bind "$LAB_CAS" /etc/ssl/certs/ca-certificates.crt && exec "$@"`

// StartDino starts a Dino with its own screen, bus and sound server, and waits
// until its account is online. It is stopped when the test ends.
func StartDino(t testing.TB, cfg DinoConfig) *Dino {
	t.Helper()
	Need(t, "dino-im", "Xvfb", "dbus-daemon", "gdbus", "sqlite3", "unshare")
	if cfg.Plugin == "" {
		cfg.Plugin = BuildDinoPlugin(t)
	}
	dir := tempDir(t)
	d := &Dino{JID: cfg.Server.JID(cfg.User), Pulse: StartPulse(t, "dino"), t: t, dir: dir, events: newStream[DinoEvent]()}
	for _, sub := range []string{"home", "config", "data/dino", "cache", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	bus := "unix:path=" + filepath.Join(dir, "bus")
	d.env = append(os.Environ(), "PULSE_SERVER="+d.Pulse.Server, "HOME="+filepath.Join(dir, "home"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"),
		"DBUS_SESSION_BUS_ADDRESS="+bus, "LANG=C.UTF-8", "WAYLAND_DISPLAY=")

	write(t, filepath.Join(dir, "bus.conf"), fmt.Sprintf(dinoBus, bus))
	daemon := exec.Command("dbus-daemon", "--config-file="+filepath.Join(dir, "bus.conf"), "--nofork", "--nopidfile")
	start(t, "dbus-daemon", filepath.Join(dir, "bus.log"), daemon).waitFor("start", func() error {
		_, err := os.Stat(filepath.Join(dir, "bus"))
		return err
	})
	d.screen = StartDisplay(t, "1024x768x24")
	d.env = append(d.env, "DISPLAY="+d.screen.Name)
	if cfg.Camera != "" {
		d.env = append(d.env, "GST_PLUGIN_PATH="+filepath.Join(filepath.Dir(cfg.Plugin), "gst"), "LABCAM="+cfg.Camera)
	}
	d.writeAccount(Password(cfg.User))

	for name, content := range map[string][]string{
		"hosts": {cfg.Server.Host + " " + cfg.Server.Domain + " proxy." + cfg.Server.Domain + "\n", "/etc/hosts"},
		"cas":   {cfg.Server.CAFile, "/etc/ssl/certs/ca-certificates.crt"},
	} {
		var b strings.Builder
		for _, c := range content {
			if strings.HasPrefix(c, "/") {
				file, err := os.ReadFile(c)
				if err != nil {
					t.Fatal(err)
				}
				c = string(file)
			}
			b.WriteString(c)
		}
		write(t, filepath.Join(dir, name), b.String())
		os.Chmod(filepath.Join(dir, name), 0o644)
	}

	args := []string{"--mount", "--propagation", "private", "sh", "-c", inNamespace, "sh", "dino-im"}
	if os.Getuid() != 0 {
		args = append([]string{"--map-root-user"}, args...)
	}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(d.env, "LAB_HOSTS="+filepath.Join(dir, "hosts"), "LAB_CAS="+filepath.Join(dir, "cas"),
		"DINO_PLUGIN_DIR="+filepath.Dir(cfg.Plugin), "GST_REGISTRY="+filepath.Join(filepath.Dir(cfg.Plugin), "gstreamer.bin"), "GSK_RENDERER=cairo", "GDK_BACKEND=x11", "LIBGL_ALWAYS_SOFTWARE=1",
		"GTK_A11Y=none", "GSETTINGS_BACKEND=memory", "GIO_USE_VFS=local", "GTK_USE_PORTAL=0", "G_MESSAGES_DEBUG=ice rtp libdino")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	d.process = start(t, "dino", filepath.Join(dir, "dino.log"), cmd)
	w.Close() // Dino has its own now
	debug, err := os.Create(filepath.Join(dir, "debug.log"))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer debug.Close()
		d.read(r, debug)
	}()
	t.Cleanup(func() {
		d.stop()
		<-read
		r.Close()
		if t.Failed() {
			t.Logf("Dino %s said:\n%s", d.JID, strings.Join(d.lines(), "\n"))
			if b, err := os.ReadFile(filepath.Join(dir, "debug.log")); err == nil {
				t.Logf("of its own account:\n%s", b[max(0, len(b)-maxDebug):])
			}
		}
	})
	d.Wait("online", nil)
	// Dino looks for sound devices meanwhile and does not say when it is done.
	time.Sleep(time.Second)
	return d
}

// writeAccount puts the account where Dino looks for it. Dino 0.4 keeps
// passwords in clear, and makes the other tables itself.
func (d *Dino) writeAccount(password string) {
	d.t.Helper()
	sql := fmt.Sprintf(`CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, bare_jid TEXT UNIQUE NOT NULL, resourcepart TEXT,
password TEXT, alias TEXT, enabled INTEGER, roster_version TEXT, mam_earliest_synced INTEGER);
INSERT INTO account (bare_jid, resourcepart, password, alias, enabled) VALUES ('%s', 'dino.%s', '%s', '', 1);`, d.JID, rand.Text()[:8], password)
	if out, err := exec.Command("sqlite3", filepath.Join(d.dir, "data/dino/dino.db"), sql).CombinedOutput(); err != nil {
		d.t.Fatalf("write Dino's account: %v: %s", err, out)
	}
}

func (d *Dino) read(r *os.File, debug io.Writer) {
	defer d.events.close()
	for s := bufio.NewScanner(r); s.Scan(); {
		if e, ok := parseDinoEvent(s.Text()); ok {
			d.events.add(e)
		} else {
			fmt.Fprintln(debug, s.Text())
		}
	}
}

// parseDinoEvent reads a line such as "LAB 1763700000123 call-state id=1 state=RINGING".
func parseDinoEvent(line string) (DinoEvent, bool) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "LAB" {
		return DinoEvent{}, false
	}
	ms, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return DinoEvent{}, false
	}
	e := DinoEvent{At: time.UnixMilli(ms), Name: f[2], Fields: make(map[string]string), Line: line}
	for _, kv := range f[3:] {
		if k, v, ok := strings.Cut(kv, "="); ok {
			e.Fields[k] = v
		}
	}
	return e, true
}

func (d *Dino) lines() (out []string) {
	for _, e := range d.events.all() {
		out = append(out, e.Line)
	}
	return out
}

// Wait waits for an event with the given fields that no earlier Wait took.
// Events before it are skipped. It fails the test when none comes in 20 s.
func (d *Dino) Wait(name string, fields map[string]string) DinoEvent {
	d.t.Helper()
	e, err := d.Await(startTimeout, name, fields)
	if err != nil {
		d.t.Fatalf("Dino %s: %v", d.JID, err)
	}
	return e
}

// Await is Wait with an error.
func (d *Dino) Await(timeout time.Duration, name string, fields map[string]string) (DinoEvent, error) {
	e, err := d.events.await(timeout, func(e DinoEvent) bool {
		for k, v := range fields {
			if e.Fields[k] != v {
				return false
			}
		}
		return e.Name == name
	})
	if err != nil {
		return e, fmt.Errorf("no %s %v: %w; it said:\n%s", name, fields, err, strings.Join(d.lines(), "\n"))
	}
	return e, nil
}

// Call calls a JID with sound.
func (d *Dino) Call(jid string) { d.t.Helper(); d.do("lab-call", "<'"+jid+"'>") }

// CallVideo calls a JID with sound and picture.
func (d *Dino) CallVideo(jid string) { d.t.Helper(); d.do("lab-call-video", "<'"+jid+"'>") }

// Video presses the camera button.
func (d *Dino) Video(on bool) { d.t.Helper(); d.do("lab-video", "<"+strconv.FormatBool(on)+">") }

// Display is the X display of its window.
func (d *Dino) Display() string { return d.screen.Name }

// Picture returns what is on its display.
func (d *Dino) Picture() image.Image { d.t.Helper(); return d.screen.Picture() }

// Accept takes the newest incoming call, after a second, as a person would:
// when it is taken at once, Dino's sound now and then never starts.
func (d *Dino) Accept() {
	d.t.Helper()
	time.Sleep(time.Second)
	d.do("lab-accept", "")
}

// Reject declines the newest incoming call.
func (d *Dino) Reject() { d.t.Helper(); d.do("lab-reject", "") }

// Hangup ends every call.
func (d *Dino) Hangup() { d.t.Helper(); d.do("lab-hangup", "") }

// SendFile offers a file to a JID.
func (d *Dino) SendFile(jid, path string) {
	d.t.Helper()
	d.do("lab-send-file", fmt.Sprintf("<('%s', '%s')>", jid, path))
}

// Files returns the paths of the files that it has received or sent: it keeps
// copies of both.
func (d *Dino) Files() []string {
	list, err := filepath.Glob(filepath.Join(d.dir, "data/dino/files/*"))
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// Mute presses the microphone button.
func (d *Dino) Mute(on bool) { d.t.Helper(); d.do("lab-mute", "<"+strconv.FormatBool(on)+">") }

func (d *Dino) do(action, parameter string) {
	d.t.Helper()
	cmd := exec.Command("gdbus", "call", "--session", "--dest", "im.dino.Dino", "--object-path", "/im/dino/Dino",
		"--method", "org.gtk.Actions.Activate", action, "["+parameter+"]", "{}")
	cmd.Env = d.env
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("Dino %s: %s: %v: %s", d.JID, action, err, out)
	}
}

// Frozen reports whether Dino's window in front draws no more. When the size of
// a picture is known, of its own camera or of ours, Dino 0.4 sizes the window of
// the call from the thread that decodes, which GTK does not bear: now and then
// the window never draws again, while everything else goes on. Fixed in Dino
// 0.5.0 ("Fix potential crash in video calls"). A window that lives follows when
// it is made wider: its buttons move.
func (d *Dino) Frozen() bool {
	d.t.Helper()
	before := d.screen.Picture()
	where := d.screen.WidenTop(frozenBy).Intersect(before.Bounds())
	if where.Empty() {
		return false
	}
	for deadline := time.Now().Add(frozenTime); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if !samePixels(before, d.screen.Picture(), where) {
			return false
		}
	}
	return true
}

func samePixels(a, b image.Image, in image.Rectangle) bool {
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				return false
			}
		}
	}
	return true
}

const (
	frozenBy   = 40 // pixels
	frozenTime = 3 * time.Second
)

// Stop lets nothing of it run, and Continue lets it go on.
func (d *Dino) Stop() { d.signal(syscall.SIGSTOP) }

// Continue undoes Stop.
func (d *Dino) Continue() { d.signal(syscall.SIGCONT) }

func (d *Dino) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// microphoneEncoded is what Dino logs when sound comes to its encoder.
var microphoneEncoded = regexp.MustCompile(`pulsedevice\w*_encoder_encode: live=true`)

// maxDebug is how much of what Dino logs is shown when a test fails, in bytes.
const maxDebug = 40_000

// Void says which of its own bugs this Dino has run into, if any, when sound is
// missing; such a call shows nothing about the other side. Call it during the
// call.
func (d *Dino) Void() string {
	d.t.Helper()
	// The echo canceller refuses the microphone and Dino sends no sound at all.
	// Fixed in Dino 0.5.0.
	if strings.Count(d.readLog(), "ProcessReverseStream -7") > 5 {
		return "Dino's microphone is stuck (ProcessReverseStream -7)"
	}
	// When the microphone is faster than Dino, which links its encoder to it, the
	// capture ends there and then. Otherwise the encoder tells its latency; that of
	// the camera does so too.
	debug, err := os.ReadFile(filepath.Join(d.dir, "debug.log"))
	if err != nil {
		d.t.Fatal(err)
	}
	if log := string(debug); strings.Contains(log, "VoiceProcessor.setup") && !microphoneEncoded.MatchString(log) {
		return "Dino's microphone never reached its encoder"
	}
	if d.Frozen() {
		return "Dino's window draws no more"
	}
	// Opening the speaker, GStreamer first asks the sound server what it can do,
	// with a stream of this name. It is there for an instant, or for ever.
	streams, err := d.Pulse.control("list", "sink-inputs")
	if err != nil {
		d.t.Fatalf("list sink inputs: %v: %s", err, streams)
	}
	if strings.Contains(streams, "pulsesink probe") {
		return "Dino's speaker never opened (pulsesink probe)"
	}
	return ""
}
