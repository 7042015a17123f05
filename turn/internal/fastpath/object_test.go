//go:build linux

package fastpath

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compiler made relay.o; others make the same program in other words.
const compiler = "clang version 14.0.6"

func TestObjectIsOfTheSource(t *testing.T) {
	version, err := exec.Command("clang", "--version").Output()
	if err != nil {
		t.Skipf("no clang: %v", err)
	}
	if !strings.Contains(string(version), compiler) {
		t.Skipf("relay.o was made by %s, here is %s", compiler, version)
	}
	for _, needed := range []string{"/usr/include/bpf/bpf_helpers.h", "/usr/bin/llvm-strip"} {
		if _, err := os.Stat(needed); err != nil {
			t.Skip(err)
		}
	}
	file := filepath.Join(t.TempDir(), "relay.o")
	if out, err := exec.Command("sh", "compile.sh", file).CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	if fresh, err := os.ReadFile(file); err != nil || !bytes.Equal(fresh, object) {
		t.Errorf("relay.o is not what relay.c compiles to (%v): run go generate", err)
	}
}
