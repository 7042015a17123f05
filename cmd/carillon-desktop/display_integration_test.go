//go:build integration && native && linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Without a display the app says so. It is another process, since Fyne leaves
// goroutines behind.
func TestIntegrationNoDisplay(t *testing.T) {
	const child = "CARILLON_TEST_NO_DISPLAY"
	if os.Getenv(child) != "" {
		if err := run(nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1", "DISPLAY=", "WAYLAND_DISPLAY=")
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+t.TempDir())
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "find a display") || strings.Contains(string(out), "panic") {
		t.Errorf("without a display: %v\n%s", err, out)
	}
}
