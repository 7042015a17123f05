package bench

import (
	"fmt"
	"slices"
	"time"
)

// Figures are repeated measurements of one thing.
type Figures []time.Duration

// Median returns the middle figure, zero when there is none.
func (f Figures) Median() time.Duration {
	if len(f) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(f))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// String returns median, smallest and largest in milliseconds, and how many.
func (f Figures) String() string {
	if len(f) == 0 {
		return "nothing measured"
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.0f ms (%.0f to %.0f, n=%d)", ms(f.Median()), ms(slices.Min(f)), ms(slices.Max(f)), len(f))
}
