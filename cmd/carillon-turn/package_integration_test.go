//go:build integration

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

// The packages hold what they should, and the Debian one installs, in a folder
// in place of the machine.
func TestIntegrationPackages(t *testing.T) {
	lab.Need(t, "make", "dpkg", "rpm", "systemd-sysusers")
	if os.Getuid() != 0 {
		t.Skip("dpkg installs as root only")
	}
	build := exec.Command("make", "--no-print-directory", "package", "VERSION=1.2.3")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	rpm, err := exec.Command("rpm", "-qlp", "../../dist/carillon-turn-1.2.3-1.x86_64.rpm").Output()
	if err != nil {
		t.Fatalf("rpm: %v", err)
	}
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "etc", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available"} {
		if err := os.WriteFile(filepath.Join(root, path), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-not-root", "--log=/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("dpkg %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := install("-i", "../../dist/carillon-turn_1.2.3_amd64.deb"); !strings.Contains(out, "next: carillon-turn init") {
		t.Errorf("dpkg says %s", out)
	}
	for _, path := range []string{
		"/usr/bin/carillon-turn", "/usr/lib/systemd/system/carillon-turn.service", "/usr/lib/systemd/system/carillon-turn.socket",
		"/usr/lib/sysusers.d/carillon-turn.conf", "/usr/share/man/man1/carillon-turn.1.gz", "/usr/share/man/man1/carillon-turn-run.1.gz",
		"/usr/share/bash-completion/completions/carillon-turn", "/usr/share/doc/carillon-turn/copyright", "/usr/share/doc/carillon-turn/relay.toml",
	} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(rpm), path+"\n") {
			t.Errorf("the rpm lacks %s:\n%s", path, rpm)
		}
	}
	users, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(users), "carillon-turn:") {
		t.Errorf("users %q, %v", users, err)
	}
	dir := filepath.Join(root, "etc/carillon-turn")
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if info.Mode().Perm() != 0o700 || owner == 0 {
		t.Errorf("%s has mode %v and owner %d", dir, info.Mode(), owner)
	}
	// The program that was installed makes a configuration for its own user.
	program := filepath.Join(root, "usr/bin/carillon-turn")
	if out, err := exec.Command(program, "--version").Output(); err != nil || string(out) != "carillon-turn 1.2.3\n" {
		t.Errorf("version %q, %v", out, err)
	}
	runsFromScratch(t, program)
	path := filepath.Join(dir, "relay.toml")
	if out, err := exec.Command(program, "init", "--realm", "example.org", "-o", path).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	if info, err = os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != owner {
		t.Errorf("%s: %+v, %v", path, info, err)
	}
	install("--remove", "carillon-turn")
	if _, err := os.Stat(program); !os.IsNotExist(err) {
		t.Errorf("the program is still there: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the configuration is gone: %v", err)
	}
}

// runsFromScratch serves from a root folder with the program and nothing else,
// as in the container, and as nobody.
func runsFromScratch(t *testing.T, program string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "carillon-turn"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, new: make(chan struct{}, 1)}
	r.cmd = exec.Command("/carillon-turn", "run", "--listen", on, "--relay-ip", "127.0.0.1", "--realm", "r", "--allow-peer", "127.0.0.0/8")
	r.cmd.Dir, r.cmd.Env, r.cmd.Stderr = "/", []string{"CARILLON_TURN_USER=u:p"}, r
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { r.cmd.Process.Kill(); r.cmd.Wait() }()
	at := r.wait(`transport=udp address=(\S+)`)
	output(t, 0, "check", "turn:"+at+"?transport=udp", "--user", "u")
}
