// Package safename reduces file names chosen by somebody else to names that
// are harmless in a folder of ours.
//
// The result never leaves the folder, hides nothing from the person who reads
// it, and works on every system people copy files to.
package safename

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is accepted.
const (
	MaxName  = 200  // bytes of one name: 255 less room for "_", " (1048576)", ".part" and the journal
	MaxDepth = 64   // folders in one path
	MaxPath  = 4000 // bytes of one path
)

// ErrPath reports a path that cannot be made safe.
var ErrPath = errors.New("path is not acceptable")

// Name returns a safe form of a single name. It is never empty and never
// changes a name that is already safe.
func Name(s string) string {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r == '\uFFFE', r == '\uFFFF', unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r) && !joiner(r), r == '\u2028', r == '\u2029':
			return -1 // what XML cannot carry, control characters, bidirectional overrides, invisible marks
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_' // not allowed on Windows, and confusing in a shell
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	s = strings.TrimSpace(s)
	s = strings.TrimRight(s, ". ") // Windows drops them, so two names could become one
	if reserved(s) {
		s = "_" + s
	}
	s = shorten(s)
	if journal := ".part.journal"; len(s) >= len(journal) && strings.EqualFold(s[len(s)-len(journal):], journal) {
		// What one of these says about the .part beside it is only for
		// package exchange to write.
		s = s[:len(s)-len(".journal")] + "_journal"
	}
	if s == "" {
		return "file"
	}
	return s
}

// Visible returns the name that a file or folder with a safe name gets in the
// folder that receives. A leading dot would hide it, and programs look for such
// names where people may receive files: .bashrc, .ssh, .config. Inside a folder
// that was sent dots mean nothing to anybody else, as in .git, and stay.
func Visible(s string) string {
	if strings.HasPrefix(s, ".") {
		return "_" + s
	}
	return s
}

// Path returns a safe form of a slash-separated relative path. Parts that are
// safe stay as they are. An absolute path, one with "..", or one over the
// limits is refused: no honest sender makes one.
func Path(p string) (string, error) {
	if len(p) > MaxPath {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrPath, MaxPath)
	}
	if p == "" || strings.HasPrefix(p, "/") || strings.Contains(p, `\`) || path.Clean(p) != p {
		return "", fmt.Errorf("%w: %q is not a plain relative path", ErrPath, p)
	}
	parts := strings.Split(p, "/")
	if len(parts) > MaxDepth {
		return "", fmt.Errorf("%w: deeper than %d folders", ErrPath, MaxDepth)
	}
	for i, part := range parts {
		if part == ".." || part == "." {
			return "", fmt.Errorf("%w: %q leaves its folder", ErrPath, p)
		}
		parts[i] = Name(part)
	}
	return strings.Join(parts, "/"), nil
}

// joiner reports whether r is one of the two format characters that scripts
// and emoji need inside a name.
func joiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// reserved reports whether Windows gives the name, with any extension, to a
// device, or whether it means a folder.
func reserved(s string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(s), ".")
	base = strings.TrimSpace(base)
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if len(base) >= 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) {
		switch base[3:] {
		case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
			return true
		}
	}
	return false
}

// shorten cuts a name to MaxName bytes and keeps its extension.
func shorten(s string) string {
	if len(s) <= MaxName {
		return s
	}
	ext := path.Ext(s)
	if len(ext) > 20 {
		ext = ""
	}
	stem := s[:MaxName-len(ext)]
	for !utf8.ValidString(stem) {
		stem = stem[:len(stem)-1]
	}
	return strings.TrimRight(stem, ". ") + ext
}
