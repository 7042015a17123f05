package screen

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Bar is running transfers as the live line shows them.
type Bar struct {
	What        string // name of the file, or of what is transferred
	State       string // "offered", "waiting", ...; shown instead of figures when not empty
	Bytes       int64
	Total       int64 // 0 or less when unknown
	Speed       float64
	How         string // "directly", "through a relay"
	File        string // at hand, when there are several
	FilePercent int    // -1 when unknown
}

// barWidth is how many columns the bar takes.
const barWidth = 20

// ShowBar draws transfers on the live line. Where there is none it does nothing.
func (s *Screen) ShowBar(b Bar) {
	if s.live {
		s.draw(BarLine(b, Style{Width: s.width(), Color: s.color, Tricks: s.tricks}))
	}
}

// BarLine draws the live line of transfers.
func BarLine(b Bar, style Style) string {
	parts := []part{{Escape(shortName(b.What)) + "  ", bold}}
	if b.State != "" {
		return draw(append(parts, part{b.State, yellow}), style)
	}
	if b.Total > 0 {
		share := min(1, max(0, float64(b.Bytes)/float64(b.Total)))
		parts = append(parts, part{barOf(share, style.Tricks), green}, part{fmt.Sprintf(" %3.0f%%  ", math.Floor(share*100)), bold})
		parts = append(parts, part{fmt.Sprintf("%s of %s", Bytes(b.Bytes), Bytes(b.Total)), ""})
	} else {
		parts = append(parts, part{Bytes(b.Bytes), ""})
	}
	if b.Speed > 0 {
		parts = append(parts, part{"  " + Bytes(int64(b.Speed)) + "/s", green})
		if left := b.Total - b.Bytes; b.Total > 0 && left > 0 {
			parts = append(parts, part{"  " + Clock(time.Duration(float64(left)/b.Speed*float64(time.Second))) + " left", ""})
		}
	}
	if b.How != "" {
		parts = append(parts, part{"  " + b.How, dim})
	}
	if b.File != "" {
		at := ""
		if b.FilePercent >= 0 {
			at = fmt.Sprintf(" %d%%", b.FilePercent)
		}
		parts = append(parts, part{"  " + Escape(shortName(b.File)) + at, dim})
	}
	return draw(parts, style)
}

// shortName cuts a long name in the middle: its end tells the kind of file.
func shortName(s string) string {
	const most = 32
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-12]) + "…" + string(r[len(r)-11:])
}

func barOf(share float64, tricks bool) string {
	if !tricks {
		n := int(share * barWidth)
		return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
	}
	eighths := int(share * barWidth * 8)
	b := strings.Repeat("█", eighths/8)
	n := eighths / 8
	if part := eighths % 8; part > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[part-1])
		n++
	}
	return b + strings.Repeat("░", barWidth-n)
}

// Bytes writes a number of bytes as people read it: 12 bytes, 3.4 MB. Units
// are decimal.
func Bytes(n int64) string {
	if n < 1000 {
		if n == 1 {
			return "1 byte"
		}
		return fmt.Sprintf("%d bytes", n)
	}
	f, units := float64(n), []string{"kB", "MB", "GB", "TB", "PB"}
	i := -1
	for f >= 999.5 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if f < 9.995 {
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.0f %s", f, units[i])
}
