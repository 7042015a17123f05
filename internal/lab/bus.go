package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A Bus is a private D-Bus on which nothing is started by itself.
type Bus struct {
	Address string // for DBUS_SESSION_BUS_ADDRESS
	*process
}

// StartBus starts one.
func StartBus(t testing.TB) *Bus {
	t.Helper()
	Need(t, "dbus-daemon")
	dir := tempDir(t)
	config := filepath.Join(dir, "bus.conf")
	write(t, config, fmt.Sprintf(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>`, dir))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile", "--print-address=3")
	cmd.ExtraFiles = []*os.File{w}
	p := start(t, "dbus-daemon", filepath.Join(dir, "log"), cmd)
	w.Close()
	r.SetReadDeadline(time.Now().Add(startTimeout))
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon: no address: %v\n%s", err, tail(p.readLog()))
	}
	return &Bus{Address: strings.TrimSpace(address), process: p}
}

// Run starts a program that uses the bus, with more environment as NAME=value,
// until the test ends.
func (b *Bus) Run(name string, env []string, args ...string) {
	b.t.Helper()
	Need(b.t, name)
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+b.Address), env...)
	start(b.t, name, filepath.Join(tempDir(b.t), "log"), cmd)
}

// Owned reports whether a program has this name.
func (b *Bus) Owned(name string) (owned bool, err error) {
	conn, err := dbus.Connect(b.Address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	return owned, conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned)
}

// Stop ends the bus before the test does.
func (b *Bus) Stop() { b.stop() }
