//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Sockets that systemd has bound are served, and it is told what happens: by
// sd_listen_fds(3) and sd_notify(3), in the way of a service manager.
func TestSocketActivationAndNotification(t *testing.T) {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for _, c := range []interface{ File() (*os.File, error) }{u, l, web} {
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	dir, err := os.MkdirTemp("", "sd") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()

	c := command(t, "run", "--listen", "systemd", "--relay-ip", "127.0.0.1", "--realm", "r", "--allow-peer", "127.0.0.0/8")
	r := &relay{t: t, new: make(chan struct{}, 1)}
	// The process id that LISTEN_PID and WATCHDOG_PID name is that of the shell.
	r.cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" "$@"`}, c.Args...)...)
	r.cmd.Env = append(c.Env, "LISTEN_FDS=3", "LISTEN_FDNAMES=clients:clients:admin", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"),
		"WATCHDOG_USEC=600000", "CARILLON_TURN_USER=u:p", "CARILLON_TURN_DRAIN_TIMEOUT=45s")
	r.cmd.ExtraFiles, r.cmd.Stderr = files, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })

	hear := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		notify.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			n, err := notify.Read(b)
			if err != nil {
				t.Fatalf("systemd was not told %s: %v\n%s", want, err, r.log.String())
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	hear("READY=1")
	hear("WATCHDOG=1")
	for transport, at := range map[string]net.Addr{"udp": u.LocalAddr(), "tcp": l.Addr()} {
		if out, _ := output(t, 0, "check", "turn:"+at.String()+"?transport="+transport, "--user", "u"); !strings.Contains(out, "good") {
			t.Errorf("check says %q", out)
		}
	}
	if out, _ := output(t, 0, "status", "--admin", web.Addr().String()); !strings.HasPrefix(out, "serving") {
		t.Errorf("status says %q", out)
	}
	r.cmd.Process.Signal(syscall.SIGHUP)
	hear("RELOADING=1")
	hear("READY=1")
	r.wait(`msg=(reloaded)`)
	r.cmd.Process.Signal(syscall.SIGTERM)
	hear("STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000") // and a quarter of a minute to end
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("the relay ended with %v", err)
	}
}

func TestSecretsInArgumentsAreWarnedOf(t *testing.T) {
	r := startRelay(t, "--listen", on, "--realm", "r", "--secret", "hunter2")
	r.wait(`others on this machine can see secrets in arguments.*flags=(--secret)`)
	r.wait(`transport=udp address=(\S+)`)
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte("hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := startRelay(t, "--listen", on, "--realm", "r", "--secret-file", path, "--log-json", "--hide-addresses")
	at := quiet.wait(`"transport":"udp","address":"(\S+?)"`)
	output(t, 1, "check", "turn:"+at+"?transport=udp", "--secret-file", path) // loopback peers are refused
	quiet.wait(`"msg":"peer refused".*"reason":"(loopback)"`)
	quiet.mu.Lock()
	defer quiet.mu.Unlock()
	for line := range strings.Lines(quiet.log.String()) {
		if strings.Contains(line, "hunter3") || strings.Contains(line, "arguments") || !strings.Contains(line, `"msg":"serving"`) && strings.Contains(line, "127.0.0.1") {
			t.Errorf("the log says %s", line)
		}
	}
}
