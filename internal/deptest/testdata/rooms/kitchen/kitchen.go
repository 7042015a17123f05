// Package kitchen reaches the clock and, through the cellar, the network.
package kitchen

import (
	clock "time"

	"example.test/rooms/cellar"
)

// Dinner says when dinner is.
func Dinner() (clock.Time, string) { return clock.Now(), cellar.Host() }
