package config

import (
	"os"
	"path/filepath"
	"runtime"
)

// Paths says where a person's files are. Nothing is created until it is written.
type Paths struct {
	Config string // config.toml
	Data   string // folder: accounts and, without a keyring, passwords
	State  string // folder: history
}

// FindPaths follows the XDG Base Directory specification where its variables
// are set, and the custom of the system otherwise. getenv is os.Getenv outside
// of tests.
func FindPaths(getenv func(string) string) (Paths, error) {
	home := getenv("HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return Paths{}, err
		}
	}
	return findPaths(getenv, home, runtime.GOOS), nil
}

func findPaths(getenv func(string) string, home, goos string) Paths {
	dir := func(xdg, unix, windows string) string {
		// A relative path in an XDG variable is invalid and to be ignored.
		if d := getenv(xdg); d != "" && filepath.IsAbs(d) {
			return filepath.Join(d, "carillon")
		}
		switch goos {
		case "windows":
			if d := getenv(windows); d != "" {
				return filepath.Join(d, "Carillon")
			}
			return filepath.Join(home, "Carillon")
		case "darwin":
			return filepath.Join(home, "Library", "Application Support", "Carillon")
		}
		return filepath.Join(home, filepath.FromSlash(unix), "carillon")
	}
	return Paths{
		Config: filepath.Join(dir("XDG_CONFIG_HOME", ".config", "APPDATA"), "config.toml"),
		Data:   dir("XDG_DATA_HOME", ".local/share", "LOCALAPPDATA"),
		State:  dir("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA"),
	}
}
