package turn

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Secret is a password or a shared secret. It does not show itself in logs.
type Secret string

// String says that there is a secret, not which.
func (Secret) String() string { return "[secret]" }

// GoString is String, for %#v.
func (Secret) GoString() string { return "[secret]" }

// LogValue is String, for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText is String, so that encoders do not write it either.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

const maxSecretFile = 64 << 10

// SecretFile reads a secret from the first line of a file.
func SecretFile(path string) (Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if info.Size() > maxSecretFile {
		return "", fmt.Errorf("read secret: %s is too large to hold one", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("read secret: the first line of %s is empty", path)
	}
	return Secret(line), nil
}

// Credentials makes a user name and a password that are good until expires, as
// an XMPP server would hand them out. User may be empty; it is who limits are
// counted for. draft-uberti-behave-turn-rest-00#section-2.2
func Credentials(secret Secret, user string, expires time.Time) (username string, password Secret) {
	username = strconv.FormatInt(expires.Unix(), 10)
	if user != "" {
		username += ":" + user
	}
	return username, restPassword(secret, username)
}

func restPassword(secret Secret, username string) Secret {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return Secret(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// expiry splits the user name of time-limited credentials.
func expiry(username string) (expires time.Time, user string, ok bool) {
	stamp, user, found := strings.Cut(username, ":")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}, "", false
	}
	if !found || user == "" {
		// Nothing else tells one person from another.
		user = username
	}
	return time.Unix(seconds, 0), user, true
}

// maxUsername bounds user names, RFC 8489#section-14.3.
const maxUsername = 508
