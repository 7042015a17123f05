package autostart

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestAutostart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only where XDG_CONFIG_HOME counts")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	want := func(when string, on bool) {
		t.Helper()
		if got, err := Enabled(); got != on || err != nil {
			t.Errorf("%s: enabled %v, %v, want %v", when, got, err, on)
		}
	}
	want("at first", false)
	if err := Disable(); err != nil {
		t.Error(err)
	}
	if err := Enable(`/opt/my apps/100% "good"/carillon-desktop`, "--hidden"); err != nil {
		t.Fatal(err)
	}
	want("enabled", true)
	path := filepath.Join(dir, "autostart", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if line := `Exec="/opt/my apps/100%% \\"good\\"/carillon-desktop" --hidden` + "\n"; !strings.Contains(string(text), line) {
		t.Errorf("the file says\n%s\nwant %s", text, line)
	}
	if validate, err := exec.LookPath("desktop-file-validate"); err == nil {
		if out, err := exec.Command(validate, path).CombinedOutput(); err != nil {
			t.Errorf("desktop-file-validate: %v\n%s", err, out)
		}
	}
	for _, off := range []string{"Hidden=true\n", "X-GNOME-Autostart-enabled = false\n"} {
		if err := os.WriteFile(path, append(text, off...), 0o600); err != nil {
			t.Fatal(err)
		}
		want(off, false)
	}
	if err := Enable("/usr/bin/carillon-desktop"); err != nil {
		t.Fatal(err)
	}
	want("enabled again", true)
	if err := Disable(); err != nil {
		t.Fatal(err)
	}
	want("disabled", false)
}
