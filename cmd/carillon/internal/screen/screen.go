// Package screen writes for people: plain lines where the output is a file or
// a pipe, and in a terminal colours, one live line at the bottom, and keys.
//
//	carillon: warning: ...          stderr, always whole lines
//	calling bob@example.org         stdout, lines that stay
//	● bob@example.org  ringing      stdout, the live line, drawn again and again
//
// All writing goes through one [Screen], so that a log line never cuts the
// live line in two.
package screen

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/term"
)

// A Config says where a Screen writes.
type Config struct {
	Out, Err io.Writer
	In       io.Reader
	// Getenv is [os.Getenv] outside of tests.
	Getenv func(string) string
	// Quiet leaves the lines for people out: programs read Out.
	Quiet bool
}

// A Screen writes for people. Its methods may be called from any goroutine.
type Screen struct {
	out, err io.Writer
	in       *os.File // nil unless a terminal
	quiet    bool
	live     bool // Out is a terminal that can redraw a line
	color    bool
	tricks   bool
	width    func() int

	mu      sync.Mutex
	status  string // the live line on the screen; "" when there is none
	raw     bool   // the terminal does not turn \n into \r\n
	restore func() // gives the terminal back; nil when it is not taken
}

// New returns a Screen that fits where it writes.
func New(cfg Config) *Screen {
	s := &Screen{out: cfg.Out, err: cfg.Err, quiet: cfg.Quiet, width: func() int { return 0 }}
	if f, ok := cfg.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && cfg.Getenv("TERM") != "dumb" {
		s.live = !cfg.Quiet
		s.color = cfg.Getenv("NO_COLOR") == "" // see no-color.org
		s.tricks = unicodeTerminal(cfg.Getenv)
		s.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return w
		}
	}
	if f, ok := cfg.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.in = f
	}
	return s
}

// unicodeTerminal follows the order in which the C library looks.
func unicodeTerminal(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return getenv("WT_SESSION") != "" // Windows Terminal says nothing else
}

// Live reports whether there is a live line.
func (s *Screen) Live() bool { return s.live }

// Interactive reports whether a person can be asked.
func (s *Screen) Interactive() bool { return s.in != nil }

// Color reports whether colours are wanted.
func (s *Screen) Color() bool { return s.color }

// Printf writes a line that stays. The text is for people; a [Screen] for
// programs leaves it out.
func (s *Screen) Printf(format string, args ...any) {
	if !s.quiet {
		s.write(s.out, fmt.Sprintf(format, args...))
	}
}

// Error writes an error, with a hint when we know the next step.
func (s *Screen) Error(message, hint string) {
	s.write(s.err, "carillon: error: "+message)
	if hint != "" {
		s.write(s.err, "carillon: hint: "+hint)
	}
}

// Warn writes a warning.
func (s *Screen) Warn(format string, args ...any) {
	s.write(s.err, "carillon: warning: "+fmt.Sprintf(format, args...))
}

// Log is a writer of whole lines on stderr.
func (s *Screen) Log() io.Writer { return logWriter{s} }

type logWriter struct{ s *Screen }

func (w logWriter) Write(p []byte) (int, error) {
	w.s.write(w.s.err, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// write writes one line. What stands on the live line is taken away before and
// drawn again after it.
func (s *Screen) write(w io.Writer, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := "\n"
	if s.raw {
		end = "\r\n"
		line = strings.ReplaceAll(line, "\n", "\r\n")
	}
	if s.status == "" {
		io.WriteString(w, line+end)
		return
	}
	io.WriteString(s.out, s.erase())
	io.WriteString(w, line+end)
	io.WriteString(s.out, s.status)
}

// Show draws the live line. Where there is none it does nothing.
func (s *Screen) Show(st Status) {
	if !s.live {
		return
	}
	s.draw(Line(st, Style{Width: s.width(), Color: s.color, Tricks: s.tricks}))
}

// draw puts a line in place of the live line.
func (s *Screen) draw(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.status {
		return
	}
	io.WriteString(s.out, s.erase()+line)
	s.status = line
}

// erase takes what stands on the live line away. A terminal that was made
// narrower since has broken it into several rows.
func (s *Screen) erase() string {
	width := s.width()
	if s.status == "" || width <= 0 {
		return "\r\x1b[K"
	}
	rows := (columns(colors.ReplaceAllString(s.status, "")) - 1) / width
	if rows <= 0 {
		return "\r\x1b[K"
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", rows)
}

// colors are the sequences that draw writes.
var colors = regexp.MustCompile("\x1b\\[[0-9]*m")

// Clear takes the live line away.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != "" {
		io.WriteString(s.out, s.erase())
		s.status = ""
	}
}
