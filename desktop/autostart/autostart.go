// Package autostart lets the app start with the desktop, as the Desktop
// Application Autostart Specification has it: by a file in the folder autostart
// of $XDG_CONFIG_HOME.
//
// Systems without that specification return [ErrUnsupported].
package autostart

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrUnsupported says that this system starts programs in another way.
var ErrUnsupported = errors.New("starting with the desktop is not supported on this system")

// file is named after the app, so that desktops show its name and icon.
const file = "im.carillon.Carillon.desktop"

func path() (string, error) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return "", ErrUnsupported
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the settings folder: %w", err)
	}
	return filepath.Join(dir, "autostart", file), nil
}

// Enabled reports whether the app starts with the desktop.
func Enabled() (bool, error) {
	p, err := path()
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(p)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", p, err)
	}
	// Desktops switch an entry off by one of these lines.
	for line := range strings.Lines(string(text)) {
		switch strings.ReplaceAll(strings.TrimSpace(line), " ", "") {
		case "Hidden=true", "X-GNOME-Autostart-enabled=false":
			return false, nil
		}
	}
	return true, nil
}

// Enable lets program, a path, start with the desktop, with the given arguments.
func Enable(program string, args ...string) error {
	p, err := path()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("[Desktop Entry]\nType=Application\nName=Carillon\nIcon=carillon\nTerminal=false\nX-GNOME-Autostart-enabled=true\n")
	b.WriteString("Exec=" + quote(program))
	for _, a := range args {
		b.WriteString(" " + quote(a))
	}
	b.WriteString("\n")
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return fmt.Errorf("make the autostart folder: %w", err)
	}
	// Whole or not at all: a desktop may read it at any time.
	tmp := p + ".new"
	if err := os.WriteFile(tmp, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := os.Rename(tmp, p); err != nil {
		return fmt.Errorf("write %s: %w", p, err)
	}
	return nil
}

// Disable undoes Enable.
func Disable() error {
	p, err := path()
	if err != nil {
		return err
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", p, err)
	}
	return nil
}

// quote writes an argument of Exec. Desktop Entry Specification, "The Exec key"
func quote(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if s != "" && !strings.ContainsAny(s, " \t\n\"'\\><~|&;$*?#()`") {
		return s
	}
	for _, c := range []string{`\`, `"`, "`", "$"} { // the backslash first
		s = strings.ReplaceAll(s, c, `\`+c)
	}
	// The file as a whole knows backslashes, too.
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "\n", `\n`) + `"`
}
