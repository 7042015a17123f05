package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// GuestMain runs tests that RunGuest has brought into a guest. As the first
// process there it makes the machine ready, and starts itself for the tests.
func GuestMain(m *testing.M) {
	if os.Getpid() != 1 {
		os.Exit(m.Run())
	}
	code, err := guestInit()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err) // the console
	}
	if out, err := os.OpenFile(guestOutput, os.O_WRONLY, 0); err == nil {
		fmt.Fprint(out, guestStatus(code))
		unix.IoctlSetInt(int(out.Fd()), unix.TCSBRK, 1) // until it has left
	}
	// With -no-reboot QEMU ends.
	fmt.Fprintln(os.Stderr, "guest:", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

// guestInit returns how the tests ended.
func guestInit() (int, error) {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		if err := errors.Join(os.MkdirAll(m.at, 0o755), unix.Mount(m.kind, m.at, m.kind, 0, "")); err != nil {
			return 1, fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	out, err := os.OpenFile(guestOutput, os.O_WRONLY, 0)
	if err != nil {
		return 1, err
	}
	defer out.Close()
	list, err := os.ReadFile(guestModules)
	if err != nil {
		return 1, err
	}
	for line := range strings.Lines(string(list)) {
		file, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := loadModule(file, parameters); err != nil {
			return 1, fmt.Errorf("load %s: %w", file, err)
		}
	}
	args, err := os.ReadFile(guestArgs)
	if err != nil {
		return 1, err
	}
	tests := exec.Command("/proc/self/exe", strings.Split(string(args), "\n")...)
	tests.Stdout, tests.Stderr = out, out
	tests.Env = []string{"HOME=/tmp"}
	err = tests.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run the tests: %w", err)
	}
	return 0, nil
}

func loadModule(file, parameters string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), parameters, 0)
}
