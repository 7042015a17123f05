package files

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12,
	"ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30, "ti": 1 << 40, "tib": 1 << 40,
}

// ParseSize reads a number of bytes as people write it: 500k, 5MB, 1.5 GiB.
// Units are decimal unless they have an i.
func ParseSize(s string) (int64, error) {
	number := strings.TrimRightFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	unit, known := units[strings.ToLower(strings.TrimSpace(s[len(number):]))]
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || f <= 0 || f*unit >= math.MaxInt64 || f*unit < 1 {
		return 0, fmt.Errorf("%q is not a size such as 500kB, 5MB or 2GiB", s)
	}
	return int64(f * unit), nil
}

// ParseRate reads bytes a second, such as 5MB/s; "/s" may be left out.
func ParseRate(s string) (int64, error) {
	n, err := ParseSize(strings.TrimSuffix(s, "/s"))
	if err != nil {
		return 0, fmt.Errorf("%q is not a rate such as 500kB/s or 5MB/s", s)
	}
	return n, nil
}
