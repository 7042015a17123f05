// Package config reads the file of settings that a person may write, and finds
// the folders where carillon keeps its own files.
//
// Every setting can also be given as a flag, and the flag wins. A key that
// carillon does not know is an error that names the line, because a setting
// that silently does nothing is worse than none.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A File is what config.toml may say. The zero File is what an absent one says.
type File struct {
	Account    string `toml:"account"`     // bare JID used when --account is not given
	Server     string `toml:"server"`      // HOST:PORT instead of what DNS says
	CAFile     string `toml:"ca-file"`     // PEM certificates trusted besides those of the system
	Mic        string `toml:"mic"`         // source of sound, for example "device"
	Speaker    string `toml:"speaker"`     // sink of sound
	RelayOnly  bool   `toml:"relay-only"`  // never reveal own addresses to peers
	AllowPlain bool   `toml:"allow-plain"` // SASL PLAIN over TLS, where the server offers nothing better
	LogLevel   string `toml:"log-level"`   // trace, debug, info, warn or error

	Relays []Relay `toml:"relay"` // STUN and TURN servers besides those the XMPP server names
}

// A Relay is a STUN or TURN server.
type Relay struct {
	URL          string `toml:"url"`           // as in RFC 7064 and RFC 7065, "turn:relay.example.org:3478?transport=udp"
	Username     string `toml:"username"`      // TURN only
	PasswordFile string `toml:"password-file"` // TURN only; its first line is the password
}

// maxFile bounds a config file, so that a wrong path such as a film is refused
// at once.
const maxFile = 1 << 20

// An Error is something wrong in a config file, at a line a person can find.
type Error struct {
	Path   string
	Line   int // from 1
	Reason string
	Hint   string // what was probably meant; may be empty
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Reason) }

// Load reads the file at path. When it does not exist and required is false,
// the zero File is returned. What cannot be understood is an [*Error].
func Load(path string, required bool) (File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return File{}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("read config: %w", err)
	}
	if info.Size() > maxFile {
		return File{}, &Error{Path: path, Line: 1, Reason: fmt.Sprintf("%d bytes is too large for a config file", info.Size())}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read config: %w", err)
	}
	return parse(path, text)
}

func parse(path string, text []byte) (File, error) {
	var f File
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return File{}, describe(path, err)
	}
	return f, nil
}

func describe(path string, err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		first := &missing.Errors[0]
		line, _ := first.Position()
		key := first.Key()
		e := &Error{Path: path, Line: line, Reason: fmt.Sprintf("unknown key %q", strings.Join(key, "."))}
		if near := nearest(key); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", near)
		} else {
			e.Hint = "known keys are " + strings.Join(keys(reflect.TypeFor[File]()), ", ")
		}
		return e
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		line, _ := dec.Position()
		reason := strings.TrimPrefix(dec.Error(), "toml: ")
		if key := dec.Key(); len(key) > 0 {
			reason = fmt.Sprintf("key %q: %s", strings.Join(key, "."), reason)
		}
		return &Error{Path: path, Line: line, Reason: reason}
	}
	return fmt.Errorf("read config %s: %w", path, err)
}

// keys lists the keys of a table, in the order of its fields.
func keys(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, t.Field(i).Tag.Get("toml"))
	}
	return out
}

// nearest returns the known key that looks most like the last part of key, or
// "" when none is near.
func nearest(key []string) string {
	if len(key) == 0 {
		return ""
	}
	table := reflect.TypeFor[File]()
	if len(key) > 1 && key[0] == "relay" {
		table = reflect.TypeFor[Relay]()
	}
	word := strings.ReplaceAll(strings.ToLower(key[len(key)-1]), "_", "-")
	best, bestDistance := "", 3 // further than two letters away is another word
	for _, k := range keys(table) {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{replace, row[j] + 1, row[j+1] + 1})
		}
	}
	return row[len(b)]
}
