package config

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/carillon-im/carillon/turn"
)

// A Duration is written as "90s" or "1h".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a time such as 90s or 1h", text)
	}
	*d = Duration(v)
	return nil
}

// userFile adds the lines NAME:PASSWORD of a file to users.
func userFile(path string, users map[string]turn.Secret) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	if info.Size() > maxFile {
		return fmt.Errorf("read users: %s is too large", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return fmt.Errorf("%s:%d: want NAME:PASSWORD", path, n)
		}
		users[name] = turn.Secret(password)
	}
	return nil
}

// RedisURL is where the ledger is, empty for none.
func (f File) RedisURL() (turn.Secret, error) {
	if f.Redis.URLFile == "" {
		return turn.Secret(f.Redis.URL), nil
	}
	url, err := turn.SecretFile(f.Redis.URLFile)
	return url, f.lines.locate(wrongIf("redis.url-file", err))
}

func wrongIf(key string, err error) error {
	if err == nil {
		return nil
	}
	return wrong(key, err)
}
