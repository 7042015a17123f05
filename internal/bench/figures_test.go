package bench

import (
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, tt := range []struct {
		f    Figures
		want string
	}{
		{nil, "nothing measured"},
		{Figures{3 * time.Millisecond}, "3 ms (3 to 3, n=1)"},
		{Figures{4 * time.Millisecond, 1 * time.Millisecond}, "2 ms (1 to 4, n=2)"},
		{Figures{9 * time.Millisecond, 1 * time.Millisecond, 5 * time.Millisecond}, "5 ms (1 to 9, n=3)"},
	} {
		if got := tt.f.String(); got != tt.want {
			t.Errorf("%v: got %q, want %q", []time.Duration(tt.f), got, tt.want)
		}
	}
}
