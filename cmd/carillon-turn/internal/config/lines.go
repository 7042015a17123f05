package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines says where in a file each key stands, "user[1].password" for the second
// [[user]].
type lines struct {
	name string
	at   map[string]int
}

// linesOf reads text, which has been decoded before.
func linesOf(name string, text []byte) lines {
	l := lines{name: name, at: map[string]int{}}
	var p unstable.Parser
	p.Reset(text)
	table, arrays := "", map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		line := 0
		for it := e.Key(); it.Next(); {
			if line == 0 {
				line = p.Shape(it.Node().Raw).Start.Line
			}
			parts = append(parts, string(it.Node().Data))
		}
		key := strings.Join(parts, ".")
		switch e.Kind {
		case unstable.Table:
			table = key + "."
		case unstable.ArrayTable:
			key = l.within(key, arrays)
			table = fmt.Sprintf("%s[%d].", key, arrays[key])
			arrays[key]++
			key = strings.TrimSuffix(table, ".")
		default:
			key = table + key
		}
		l.at[key] = line
	}
	return l
}

// within puts the array table key into the last element of the one around it.
func (l lines) within(key string, arrays map[string]int) string {
	if outer, inner, ok := strings.Cut(key, "."); ok && arrays[outer] > 0 {
		return fmt.Sprintf("%s[%d].%s", outer, arrays[outer]-1, inner)
	}
	return key
}

// A keyError is a value that cannot be used.
type keyError struct {
	key string
	err error
}

func (e *keyError) Error() string { return e.key + ": " + e.err.Error() }

func (e *keyError) Unwrap() error { return e.err }

func wrong(key string, err error) error { return &keyError{key, err} }

// locate puts the place in front of an error.
func (l lines) locate(err error) error {
	if err == nil || l.name == "" {
		return err
	}
	var k *keyError
	if errors.As(err, &k) {
		if line := l.at[k.key]; line > 0 {
			return fmt.Errorf("%s:%d: %w", l.name, line, err)
		}
		return err // from a flag
	}
	return fmt.Errorf("%s: %w", l.name, err)
}

// Override forgets where key stands, as its value comes from elsewhere.
func (f *File) Override(key string) { delete(f.lines.at, key) }
