package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Wayland is a desktop without a screen: sway, with Xwayland, PipeWire and
// the portal that shares its screen.
type Wayland struct {
	Bus     *Bus
	Display *Display // of Xwayland

	t       testing.TB
	dir     string
	runtime string   // XDG_RUNTIME_DIR
	env     []string // of programs that belong to the desktop
	sway    *process
	portal  *process // which programs ask
	backend *process // which asks the person, and takes the pictures
}

// The one output, which has no screen, and what a desktop of wlroots is called.
const output, swayDisplay, swaySocket = "HEADLESS-1", "wayland-1", "sway"

// StartWayland starts one of the given size, "1280x720".
func StartWayland(t testing.TB, size string) *Wayland {
	t.Helper()
	const frontend, wlr, store = "xdg-desktop-portal", "xdg-desktop-portal-wlr", "xdg-permission-store"
	Need(t, "sway", "swaymsg", "Xwayland", "pipewire", "wireplumber", frontend, wlr, store)
	dir := tempDir(t)
	w := &Wayland{Bus: StartBus(t), t: t, dir: dir, runtime: filepath.Join(dir, "run")}
	if err := os.Mkdir(w.runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_DATA_HOME="+filepath.Join(dir, "data"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR="+w.runtime,
		"XDG_CURRENT_DESKTOP=sway", "XDG_SESSION_TYPE=wayland", "DISPLAY=", "WAYLAND_DISPLAY=", "SWAYSOCK="+filepath.Join(w.runtime, swaySocket), "DBUS_SESSION_BUS_ADDRESS="+w.Bus.Address)

	w.run("pipewire", nil)
	w.run("wireplumber", nil)
	config := filepath.Join(dir, "sway.conf")
	shown := filepath.Join(dir, "display")
	write(t, config, fmt.Sprintf("output %s resolution %s\nxwayland force\ndefault_border none\nexec 'echo $DISPLAY > %s.new && mv %[3]s.new %[3]s'\n", output, size, shown))
	w.sway = w.run("sway", func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "WLR_BACKENDS=headless", "WLR_RENDERER=pixman", "WLR_LIBINPUT_NO_DEVICES=1")
		if os.Getuid() == 0 { // it does not run as root: it gets a namespace where we are somebody else
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: oneID, GidMappings: oneID}
		}
	}, "-c", config)
	w.sway.waitFor("its displays", func() error {
		name, err := os.ReadFile(shown)
		if err != nil {
			return err
		}
		w.Display = &Display{Name: strings.TrimSpace(string(name)), t: t, process: w.sway}
		_, err = os.Stat(filepath.Join(w.runtime, swayDisplay))
		return err
	})
	w.Choose(output)
	write(t, filepath.Join(dir, "config", wlr, "config"), "[screencast]\nchooser_type=simple\nchooser_cmd="+filepath.Join(dir, "choose")+"\n")
	w.run(store, nil)
	w.backend = w.run(wlr, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "WAYLAND_DISPLAY="+startScreencopy(t, w.runtime, filepath.Join(w.runtime, swayDisplay)))
	}, "-l", "DEBUG")
	w.named("org.freedesktop.impl.portal.desktop.wlr", w.backend)
	w.portal = w.run(frontend, nil)
	w.named("org.freedesktop.portal.Desktop", w.portal)
	return w
}

var oneID = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}

// run starts a program of the desktop.
func (w *Wayland) run(name string, change func(*exec.Cmd), args ...string) *process {
	w.t.Helper()
	path, err := find(name)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = w.env
	if change != nil {
		change(cmd)
	}
	return start(w.t, name, filepath.Join(w.dir, name+".log"), cmd)
}

// named waits until a program has its name on the bus.
func (w *Wayland) named(name string, p *process) {
	w.t.Helper()
	p.waitFor("its name on the bus", func() error {
		owned, err := w.Bus.Owned(name)
		if err == nil && !owned {
			err = errors.New("nobody has it")
		}
		return err
	})
}

// Env is what makes a program part of the desktop, which sees its screen only
// by the portal. Own windows it has by Xwayland.
func (w *Wayland) Env() []string {
	return []string{"DBUS_SESSION_BUS_ADDRESS=" + w.Bus.Address, "WAYLAND_DISPLAY=" + filepath.Join(w.runtime, swayDisplay),
		"XDG_SESSION_TYPE=wayland", "XDG_CURRENT_DESKTOP=sway", "DISPLAY=" + w.Display.Name}
}

// Choose says what the person will choose when they are asked: the output,
// which is the beginning, or nothing with "".
func (w *Wayland) Choose(what string) {
	w.t.Helper()
	w.chooser("echo " + what)
}

// Think lets the person think, when they are asked, until the returned function
// is called. Then they choose nothing.
func (w *Wayland) Think() (enough func()) {
	w.t.Helper()
	pipe := filepath.Join(w.dir, "thoughts")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		w.t.Fatal(err)
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // both ends, so that neither waits to be opened
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	w.chooser("head -n 1 " + pipe)
	return func() { fmt.Fprintln(f) }
}

func (w *Wayland) chooser(line string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "choose")
	write(w.t, path+".new", "#!/bin/sh\n"+line+"\n")
	if err := errors.Join(os.Chmod(path+".new", 0o700), os.Rename(path+".new", path)); err != nil {
		w.t.Fatal(err)
	}
}

// Output changes the screen, as sway-output(5) says: "resolution 800x600".
func (w *Wayland) Output(change string) {
	w.t.Helper()
	w.tell("output " + output + " " + change)
}

// Fill lets the window that opened last fill the screen.
func (w *Wayland) Fill() {
	w.t.Helper()
	w.tell("fullscreen enable")
}

func (w *Wayland) tell(command string) {
	w.t.Helper()
	args := append([]string{"-s", filepath.Join(w.runtime, swaySocket)}, strings.Fields(command)...)
	if out, err := exec.Command("swaymsg", args...).CombinedOutput(); err != nil {
		w.t.Fatalf("swaymsg %s: %v: %s", command, err, out)
	}
}

// EndBackend ends what takes the pictures, as when it fails.
func (w *Wayland) EndBackend() { w.backend.stop() }

// EndPortal ends the portal that programs ask, as when it fails.
func (w *Wayland) EndPortal() { w.portal.stop() }
