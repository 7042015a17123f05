package screen

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

// A Status is a running call as the live line shows it.
type Status struct {
	Peer    string
	State   string        // "calling", "ringing", "connected", ...
	Time    time.Duration // since media flows; shown when Timed
	Timed   bool
	Levels  bool    // whether Mic and Ear are known
	Mic     float64 // what we say, in dBFS
	Ear     float64 // what we hear, in dBFS
	Network bool    // whether Loss and Delay are known
	Loss    float64 // share of packets lost on the way to us, 0 to 1
	Delay   time.Duration
	Muted   bool // by us
	Held    bool // by us
	TheyMut bool // the peer is muted
	TheyHld bool // the peer holds the call
	Keys    string
}

// Style says how a line is drawn.
type Style struct {
	Width  int  // columns; 0 means do not cut
	Color  bool // ANSI colours
	Tricks bool // characters beyond ASCII
}

// Line draws the live line. Nothing wider than the terminal is written, so
// that it stays one line.
func Line(s Status, style Style) string {
	var parts []part
	mark, color := "*", yellow
	if style.Tricks {
		mark = "●"
	}
	if s.Timed {
		color = green
	}
	parts = append(parts, part{mark + " ", color}, part{Escape(s.Peer) + "  ", bold}, part{s.State, color})
	if s.Timed {
		parts = append(parts, part{"  " + Clock(s.Time), bold})
	}
	if s.Levels {
		mic := meter(s.Mic, style.Tricks)
		switch {
		case s.Held:
			mic = "hold"
		case s.Muted:
			mic = "mute"
		}
		ear := meter(s.Ear, style.Tricks)
		switch {
		case s.TheyHld:
			ear = "held"
		case s.TheyMut:
			ear = "mute"
		}
		parts = append(parts, part{"  mic ", dim}, part{mic, micColor(s)}, part{"  ear ", dim}, part{ear, green})
	}
	if s.Network {
		c := dim
		if s.Loss >= 0.05 || s.Delay >= 400*time.Millisecond {
			c = red
		}
		parts = append(parts, part{fmt.Sprintf("  loss %.1f%%  delay %d ms", s.Loss*100, s.Delay.Milliseconds()), c})
	}
	if s.Keys != "" {
		parts = append(parts, part{"  " + s.Keys, dim})
	}
	return draw(parts, style)
}

func micColor(s Status) string {
	if s.Muted || s.Held {
		return red
	}
	return green
}

// part is a piece of a line in one colour.
type part struct{ text, color string }

const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

func draw(parts []part, style Style) string {
	var b strings.Builder
	left := math.MaxInt
	if style.Width > 0 {
		left = style.Width - 1 // some terminals wrap when the last column is written
	}
	for _, p := range parts {
		text := cut(p.text, left)
		left -= columns(text)
		if style.Color && text != "" {
			b.WriteString(p.color + text + reset)
		} else {
			b.WriteString(text)
		}
	}
	return b.String()
}

// cut shortens s to n columns.
func cut(s string, n int) string {
	if n <= 0 {
		return ""
	}
	for i, r := range s {
		if n -= width(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

func columns(s string) (n int) {
	for _, r := range s {
		n += width(r)
	}
	return n
}

// width is how many columns a character takes. It is right for the scripts of
// addresses and names; too much is harmless, since the line only gets shorter.
func width(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 ||
		r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
		return 2
	}
	return 1
}

// meter draws a level between -60 and 0 dBFS in four columns.
func meter(db float64, tricks bool) string {
	const width, quietest = 4, -60.0
	steps := []rune(" .:=#")
	if tricks {
		steps = []rune(" ▁▂▃▄▅▆▇█")
	}
	share := min(1, max(0, (db-quietest)/-quietest))
	level := int(math.Round(share * float64(width*(len(steps)-1))))
	var b strings.Builder
	for range width {
		n := min(level, len(steps)-1)
		b.WriteRune(steps[n])
		level -= n
	}
	return b.String()
}

// Clock writes a duration as people write the length of a call: 0:07, 12:34,
// 1:02:03.
func Clock(d time.Duration) string {
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
