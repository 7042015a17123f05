package desktop_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	entry    = "im.carillon.Carillon.desktop"
	metainfo = "im.carillon.Carillon.metainfo.xml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// validate runs a checker of the desktop, which make setup installs.
func validate(t *testing.T, program string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CARILLON_LAB") == "required" {
			t.Fatalf("%s is not installed: run make setup", program)
		}
		t.Skipf("%s is not installed: run make setup", program)
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
	} else if len(out) > 0 {
		t.Logf("%s", out)
	}
}

func TestDesktopFile(t *testing.T) {
	text := read(t, entry)
	for _, line := range []string{"MimeType=x-scheme-handler/xmpp;", "Exec=carillon-desktop %u", "Icon=carillon"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	validate(t, "desktop-file-validate", entry)
}

func TestMetainfo(t *testing.T) { validate(t, "appstreamcli", "validate", "--no-net", metainfo) }

// A link opens the app on a desktop that has the package.
func TestLinkHandler(t *testing.T) {
	for _, program := range []string{"update-desktop-database", "xdg-mime"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	data := t.TempDir()
	apps := filepath.Join(data, "applications")
	if err := os.MkdirAll(apps, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(apps, entry), []byte(read(t, entry)), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "XDG_DATA_HOME="+data, "XDG_DATA_DIRS="+data, "XDG_CONFIG_HOME="+t.TempDir(), "HOME="+t.TempDir(), "XDG_CURRENT_DESKTOP=")
	update := exec.Command("update-desktop-database", apps)
	update.Env = env
	if out, err := update.CombinedOutput(); err != nil {
		t.Fatalf("update-desktop-database: %v\n%s", err, out)
	}
	query := exec.Command("xdg-mime", "query", "default", "x-scheme-handler/xmpp")
	query.Env = env
	out, err := query.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != entry {
		t.Errorf("xmpp: links are opened by %q, %v, want %s", got, err, entry)
	}
}

// The manual has every flag of the program, and no other.
func TestManual(t *testing.T) {
	source, manual := read(t, "../../cmd/carillon-desktop/main.go"), strings.ReplaceAll(read(t, "carillon-desktop.1"), `\-`, "-")
	flags := map[string]bool{}
	for _, m := range regexp.MustCompile(`f\.(?:String|Bool)Var\(&o\.\w+, "([a-z-]+)"`).FindAllStringSubmatch(source, -1) {
		flags["--"+m[1]] = true
	}
	if len(flags) < 5 {
		t.Fatalf("flags %v were found in the program", flags)
	}
	for _, m := range regexp.MustCompile(`(?m)^\.BI? (--[a-z-]+)`).FindAllStringSubmatch(strings.ReplaceAll(manual, `\ `, " "), -1) {
		if !flags[m[1]] {
			t.Errorf("the manual has %s, and the program has not", m[1])
		}
		delete(flags, m[1])
	}
	for f := range flags {
		t.Errorf("the manual lacks %s", f)
	}
	if _, err := exec.LookPath("man"); err == nil {
		cmd := exec.Command("man", "--warnings", "-l", "carillon-desktop.1")
		cmd.Env = append(os.Environ(), "MANPAGER=cat", "LC_ALL=C.UTF-8")
		var errs strings.Builder
		cmd.Stderr = &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Errorf("man: %v\n%s", err, errs.String())
		}
	}
}

// A link may come from any page: it calls nobody, and the manual says so.
func TestManualOfLinks(t *testing.T) {
	_, obey, found := strings.Cut(read(t, "../../cmd/carillon-desktop/desk.go"), "\nfunc (d *desk) obey(")
	obey, _, ends := strings.Cut(obey, "\n}\n")
	if !found || !ends || !strings.Contains(obey, "state.Select{") || strings.Contains(obey, "state.PlaceCall{") {
		t.Fatalf("a link does something else now: %s", obey)
	}
	if manual := read(t, "carillon-desktop.1"); !strings.Contains(manual, "shows that contact") || !strings.Contains(manual, "calls nobody") {
		t.Error("the manual does not say that a link shows a contact and calls nobody")
	}
}

// What is packed is there, but for what make builds.
func TestPackage(t *testing.T) {
	for _, m := range regexp.MustCompile(`(?m)src: (\S+)`).FindAllStringSubmatch(read(t, "nfpm.yaml"), -1) {
		if !strings.HasPrefix(m[1], "dist/") {
			read(t, filepath.Join("../..", m[1]))
		}
	}
}
