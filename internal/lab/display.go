package lab

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Display is an X server without a screen.
type Display struct {
	Name string // for DISPLAY, ":99"
	*process
}

// StartDisplay starts one, of the given size and depth, "1024x768x24".
func StartDisplay(t testing.TB, size string) *Display {
	t.Helper()
	Need(t, "Xvfb")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// It chooses a number that is free and writes it to this file.
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", size, "-nolisten", "tcp", "-noreset")
	cmd.ExtraFiles = []*os.File{w}
	p := start(t, "Xvfb", filepath.Join(tempDir(t), "log"), cmd)
	w.Close()
	r.SetReadDeadline(time.Now().Add(startTimeout))
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb: no display: %v\n%s", err, tail(p.readLog()))
	}
	return &Display{Name: ":" + strings.TrimSpace(number), process: p}
}
