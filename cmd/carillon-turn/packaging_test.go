package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
)

const packaging = "../../packaging/turn"

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(packaging, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metricsOf are the names that a running relay serves.
func metricsOf(t *testing.T) map[string]bool {
	t.Helper()
	r := startRelay(t, "--listen", on, "--relay-ip", "127.0.0.1", "--realm", "r", "--user", "u:p", "--metrics", on)
	udp, at := r.wait(`transport=udp address=(\S+)`), r.wait(`msg=metrics address=(\S+)`)
	output(t, 1, "check", "turn:"+udp+"?transport=udp", "--user", "u") // so that something is refused
	names := map[string]bool{}
	for line := range strings.Lines(fetch(t, "http://"+at+"/metrics")) {
		if name, _, ok := strings.Cut(line, "{"); ok || !strings.HasPrefix(line, "#") {
			name, _, _ = strings.Cut(name, " ")
			names[strings.TrimSpace(name)] = true
		}
	}
	return names
}

// Every metric that the dashboard and the autoscaler name is served.
func TestDashboardAndAutoscalerNameWhatIsServed(t *testing.T) {
	served := metricsOf(t)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`[a-z_:]+\{`)
	n := 0
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			found := named.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("panel %q asks for no metric: %s", p.Title, target.Expr)
			}
			for _, name := range found {
				if n++; !served[strings.TrimSuffix(name, "{")] {
					t.Errorf("panel %q names %s, which is not served", p.Title, name)
				}
			}
		}
	}
	var scaler struct {
		Spec struct {
			Metrics []struct {
				Pods struct{ Metric struct{ Name string } }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/autoscaling.yaml")), &scaler); err != nil {
		t.Fatal(err)
	}
	for _, m := range scaler.Spec.Metrics {
		if n++; !served[m.Pods.Metric.Name] {
			t.Errorf("the autoscaler follows %q, which is not served", m.Pods.Metric.Name)
		}
	}
	if n < 15 {
		t.Errorf("%d names found", n)
	}
}

// The configuration in the manifests is one, and says what the probes ask for.
func TestManifestsConfigureTheRelay(t *testing.T) {
	d := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/relay.yaml")))
	var text string
	for {
		var object struct {
			Kind string
			Data map[string]string
		}
		if err := d.Decode(&object); err != nil {
			break
		}
		if object.Kind == "ConfigMap" {
			text = object.Data["relay.toml"]
		}
	}
	f, err := config.Parse("relay.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(f.SecretFiles) != 1 || f.SecretFiles[0] != "/run/secrets/carillon-turn/secret" {
		t.Errorf("secret files %v are not where the secret is mounted", f.SecretFiles)
	}
	f.SecretFiles = []string{secret}
	if _, err := f.Turn(config.Outside{Getenv: os.Getenv, Check: true}); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(f.Metrics, ":9641") || !strings.HasPrefix(f.Admin, "127.0.0.1:") {
		t.Errorf("metrics at %s, status at %s", f.Metrics, f.Admin)
	}
}

// The reference says every key there is, and nothing that is none.
func TestReferenceOfTheConfiguration(t *testing.T) {
	text := read(t, "relay.toml")
	if _, err := config.Parse("relay.toml", []byte(text)); err != nil {
		t.Error(err)
	}
	// Comments begin with a space, keys that are commented out do not.
	all := regexp.MustCompile(`(?m)^#([^ \n])`).ReplaceAllString(text, "$1")
	// Tables end where others begin, so what stands after a table was meant for it.
	f, err := config.Parse("relay.toml", []byte(tablesLast(all)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Realms) != 1 || len(f.Users) != 1 || f.Limits.Total.Allocations != 10000 {
		t.Errorf("realms %d, users %d, limits %+v", len(f.Realms), len(f.Users), f.Limits)
	}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			field := s.Field(i)
			key := field.Tag.Get("toml")
			if key == "" {
				continue
			}
			kind := field.Type
			if kind.Kind() == reflect.Slice {
				kind = kind.Elem()
			}
			table := kind.Kind() == reflect.Struct
			if !table && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(key)+` = `).MatchString(all) ||
				table && !regexp.MustCompile(`(?m)^\[.*\b`+regexp.QuoteMeta(key)+`\]`).MatchString(all) {
				t.Errorf("%s.%s is not in the reference", s.Name(), key)
			}
			if table {
				walk(kind)
			}
		}
	}
	walk(reflect.TypeFor[config.File]())
}

// tablesLast moves what belongs to no table in front of all tables.
func tablesLast(text string) string {
	var top, tables strings.Builder
	to := &top
	for block := range strings.SplitSeq(text, "\n\n") {
		to = &top
		for line := range strings.Lines(block + "\n") {
			if strings.HasPrefix(line, "[") {
				to = &tables
			}
			to.WriteString(line)
		}
	}
	return top.String() + tables.String()
}

// systemd understands the units, and says that little is exposed.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dropIn := filepath.Join(dir, "carillon-turn.service.d")
	if err := os.Mkdir(dropIn, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dropIn, "ebpf.conf"), []byte(read(t, "ebpf.conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carillon-turn.service", "carillon-turn.socket"} {
		// What the unit starts has to be there to be verified.
		text := strings.ReplaceAll(read(t, name), "/usr/bin/carillon-turn", self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, "carillon-turn.service"), filepath.Join(dir, "carillon-turn.socket")).CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=25", "--no-pager", filepath.Join(dir, "carillon-turn.service")).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// The unit leaves it to the configuration how long calls may last, and says
// less than the default of a relay started by hand.
func TestUnitLeavesDrainingToTheConfiguration(t *testing.T) {
	unit := read(t, "carillon-turn.service")
	if start := regexp.MustCompile(`(?m)^ExecStart=.*`).FindString(unit); strings.Contains(start, "--") && strings.Contains(start, "drain") {
		t.Errorf("%s overrides drain-timeout", start)
	}
	if !strings.Contains(unit, "\nEnvironment=CARILLON_TURN_DRAIN_TIMEOUT=60s\n") {
		t.Error("the unit says nothing for a configuration without drain-timeout")
	}
	// What the program adds to the configuration's word, it tells systemd.
	dropIn := read(t, "ebpf.conf")
	for _, want := range []string{"AmbientCapabilities=CAP_BPF CAP_NET_ADMIN", "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN", "SystemCallFilter=bpf"} {
		if !strings.Contains(dropIn, "\n"+want+"\n") {
			t.Errorf("the drop-in for ebpf lacks %s", want)
		}
	}
}
