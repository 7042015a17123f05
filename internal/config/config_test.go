package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadReadsEverySetting(t *testing.T) {
	path := write(t, `
account = "alice@example.org"
server = "127.0.0.1:5222"
ca-file = "/etc/ca.pem"
mic = "tone:440"
speaker = "null"
relay-only = true
log-level = "debug"

[[relay]]
url = "turn:relay.example.org:3478"
username = "alice"
password-file = "/run/secret"
`)
	got, err := Load(path, true)
	if err != nil {
		t.Fatal(err)
	}
	want := File{
		Account: "alice@example.org", Server: "127.0.0.1:5222", CAFile: "/etc/ca.pem",
		Mic: "tone:440", Speaker: "null", RelayOnly: true, LogLevel: "debug",
		Relays: []Relay{{URL: "turn:relay.example.org:3478", Username: "alice", PasswordFile: "/run/secret"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("config differs (-want +got):\n%s", d)
	}
}

func TestLoadNamesTheLineAndTheReason(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		reason     string
		hint       string
	}{
		{"a misspelt key", "account = \"a@b\"\nspeeker = \"null\"\n", 2, `unknown key "speeker"`, `did you mean "speaker"?`},
		{"underscores for hyphens", "relay_only = true\n", 1, `unknown key "relay_only"`, `did you mean "relay-only"?`},
		{"a key nobody knows", "\n\nringtone = \"bell\"\n", 3, `unknown key "ringtone"`,
			"known keys are account, server, ca-file, mic, speaker, relay-only, allow-plain, log-level, relay"},
		{"a misspelt key of a relay", "[[relay]]\nurl = \"stun:h\"\nuser-name = \"a\"\n", 3, `unknown key "relay.user-name"`, `did you mean "username"?`},
		{"a value of the wrong type", "relay-only = \"yes\"\n", 1, "", ""},
		{"text that is not TOML", "account = \"a@b\"\naccount alice\n", 2, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			_, err := Load(path, true)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error = %v, want an *Error", err)
			}
			if e.Line != tt.line {
				t.Errorf("line = %d, want %d", e.Line, tt.line)
			}
			if e.Reason == "" || tt.reason != "" && e.Reason != tt.reason {
				t.Errorf("reason = %q, want %q", e.Reason, tt.reason)
			}
			if e.Hint != tt.hint {
				t.Errorf("hint = %q, want %q", e.Hint, tt.hint)
			}
		})
	}
}

func TestLoadAbsentFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.toml")
	if f, err := Load(path, false); err != nil || !cmp.Equal(f, File{}) {
		t.Errorf("optional: got %v, %v, want the zero File", f, err)
	}
	if _, err := Load(path, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("required: error = %v, want not exist", err)
	}
}

func TestLoadRefusesHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "film.toml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Load(path, true); !errors.As(err, &e) {
		t.Errorf("error = %v, want an *Error", err)
	}
}

func TestFindPaths(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for _, tt := range []struct {
		name, goos string
		env        map[string]string
		want       Paths
	}{
		{"defaults of Linux", "linux", nil,
			Paths{"/h/.config/carillon/config.toml", "/h/.local/share/carillon", "/h/.local/state/carillon"}},
		{"XDG variables win", "linux",
			map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"},
			Paths{"/c/carillon/config.toml", "/d/carillon", "/s/carillon"}},
		{"a relative XDG variable is ignored", "linux", map[string]string{"XDG_CONFIG_HOME": "c"},
			Paths{"/h/.config/carillon/config.toml", "/h/.local/share/carillon", "/h/.local/state/carillon"}},
		{"macOS", "darwin", nil, Paths{
			"/h/Library/Application Support/Carillon/config.toml",
			"/h/Library/Application Support/Carillon", "/h/Library/Application Support/Carillon"}},
		{"Windows", "windows", map[string]string{"APPDATA": "/roam", "LOCALAPPDATA": "/local"},
			Paths{"/roam/Carillon/config.toml", "/local/Carillon", "/local/Carillon"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, findPaths(env(tt.env), "/h", tt.goos)); d != "" {
				t.Errorf("paths differ (-want +got):\n%s", d)
			}
		})
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
