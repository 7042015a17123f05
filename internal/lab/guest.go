package lab

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A GuestConfig describes a guest: a machine with Debian's kernel and nothing
// else, neither disk nor network.
type GuestConfig struct {
	// Modules of the kernel are loaded before, each with its parameters:
	// "vivid n_devs=2". What they depend on is loaded without a word.
	Modules []string
	// Timeout is for everything, the start of the machine included.
	Timeout time.Duration
}

// In the guest.
const (
	guestModules = "/lab/modules" // a line for each: its file, and parameters
	guestArgs    = "/lab/args"    // a line for each
	guestOutput  = "/dev/ttyS1"
	guestExit    = "exit status " // begins the last line of the output
)

// The processor is emulated by QEMU: /dev/kvm is missing in many a container, and
// in some it is there and the guest hangs.
const guestMachine = "-accel tcg -machine pc -smp 2 -m 384 -nodefaults -no-user-config -no-reboot -display none -nic none"

// RunGuest runs, as root of a guest, the tests of the same package whose names
// begin with TestGuest, and reports what became of each. They are built with the
// tag guest and without C, and have func TestMain(m *testing.M) { lab.GuestMain(m) }.
func RunGuest(t *testing.T, c GuestConfig) {
	t.Helper()
	Need(t, "qemu-system-x86_64")
	kernel := guestKernel(t)
	dir := tempDir(t)
	tests := filepath.Join(dir, "tests")
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		os.Stat(s) // so that go test sees that another one is another test
	}
	build := exec.Command("go", "test", "-c", "-tags", "guest", "-o", tests, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests for the guest: %v\n%s", err, out)
	}
	image, output := filepath.Join(dir, "initramfs"), filepath.Join(dir, "output")
	if err := writeGuest(image, tests, kernel, c.Modules); err != nil {
		t.Fatalf("make the file system of the guest: %v", err)
	}
	args := append(strings.Fields(guestMachine), "-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", image,
		"-append", "console=ttyS0 loglevel=5 panic=-1", "-serial", "file:"+filepath.Join(dir, "console"), "-serial", "file:"+output)
	began := time.Now()
	p := start(t, "qemu", filepath.Join(dir, "qemu"), exec.Command("qemu-system-x86_64", args...))
	timer := time.NewTimer(c.Timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.stop()
		t.Errorf("the guest has not ended within %v", c.Timeout)
	}
	t.Logf("the guest ran for %v", time.Since(began).Round(100*time.Millisecond))
	text := strings.ReplaceAll((&process{log: output}).readLog(), "\r", "")
	if !guestReport(t, text) {
		t.Errorf("the guest's tests wrote:\n%s", text)
		t.Errorf("the guest's kernel wrote:\n%s", tail((&process{log: filepath.Join(dir, "console")}).readLog()))
	}
}

// guestReport shows what go test -v said of each test as a test of ours, and
// whether all is well: every one ran to its end, one at least, none was skipped,
// and the program ended without a mistake.
func guestReport(t *testing.T, text string) bool {
	t.Helper()
	var names, said []string // of each
	ran := map[string]string{}
	for line := range strings.Lines(text) {
		if _, name, ok := strings.Cut(line, "=== RUN   "); ok && !strings.Contains(name, "/") {
			names, said = append(names, strings.TrimSpace(name)), append(said, "")
		}
		if len(said) > 0 {
			said[len(said)-1] += line
		}
		if rest, ok := strings.CutPrefix(line, "--- "); ok {
			result, name, _ := strings.Cut(rest, ": ")
			name, _, _ = strings.Cut(name, " ")
			ran[name] = result
		}
	}
	good := true
	for i, name := range names {
		good = t.Run(name, func(t *testing.T) {
			t.Log(said[i])
			if ran[name] != "PASS" || strings.Contains(said[i], "--- SKIP") {
				t.Errorf("in the guest: %q", ran[name])
			}
		}) && good
	}
	if len(names) == 0 || !strings.HasSuffix(text, guestStatus(0)) {
		t.Error("the guest's tests have not ended well")
		good = false
	}
	return good
}

// guestKernel returns where setup.sh has put Debian's kernel.
func guestKernel(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "carillon-lab", "linux")
	if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err != nil {
		missing(t, "the kernel for guests (%v)", err)
	}
	return dir
}

// writeGuest makes the file system that the kernel begins with.
func writeGuest(path, tests, kernel string, modules []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	files, err := moduleFiles(filepath.Join(kernel, "modules"))
	if err != nil {
		return err
	}
	a := newArchive(f)
	a.add("dev/console", modeCharDev|0o600, 5, 1, 0, strings.NewReader("")) // what init writes to
	a.file("init", tests)
	var list strings.Builder
	loaded := map[string]bool{}
	var load func(name, parameters string) error
	load = func(name, parameters string) error {
		name = moduleName(name)
		if loaded[name] {
			return nil
		}
		loaded[name] = true
		from := files[name]
		if from == "" {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		needs, err := moduleNeeds(from)
		if err != nil {
			return fmt.Errorf("read %s: %w", from, err)
		}
		for _, n := range needs {
			if err := load(n, ""); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		a.file("lab/"+name+".ko", from)
		fmt.Fprintf(&list, "/lab/%s.ko %s\n", name, parameters)
		return nil
	}
	for _, m := range modules {
		name, parameters, _ := strings.Cut(m, " ")
		if err := load(name, parameters); err != nil {
			return err
		}
	}
	a.text(guestModules[1:], list.String())
	a.text(guestArgs[1:], "-test.v\n-test.run=^TestGuest")
	if err := a.close(); err != nil {
		return err
	}
	return f.Close()
}

// moduleFiles finds the modules below a folder by their names.
func moduleFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			files[moduleName(name)] = path
		}
		return err
	})
	return files, err
}

// moduleName is how the kernel writes it, whatever its file is called.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// moduleNeeds reads what a module depends on.
func moduleNeeds(path string) (list []string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(data), "\x00") {
		if names, ok := strings.CutPrefix(line, "depends="); ok && names != "" {
			list = append(list, strings.Split(names, ",")...)
		}
	}
	return list, nil
}

// guestStatus is the last line of the output.
func guestStatus(code int) string { return "\n" + guestExit + strconv.Itoa(code) + "\n" }
