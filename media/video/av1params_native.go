//go:build native && cgo

package video

import (
	"strconv"
	"strings"
)

// Of AV1 that is sent and taken: the main profile, main tier, level 3.1, which is
// 1280x720, 30 times a second.
const (
	av1Profile = 0
	av1Level   = 5
	av1Tier    = 0
)

// av1Fits reports whether format parameters describe a receiver of what is coded
// here. One that is absent means the main profile, main tier and level 3.1; a
// higher level is no reason to send more. AV1 RTP payload format §7.2
func av1Fits(ps []Parameter) bool {
	for _, p := range ps {
		n, err := strconv.Atoi(strings.TrimSpace(p.Value))
		switch strings.ToLower(p.Name) {
		case "profile":
			if err != nil || n != av1Profile {
				return false
			}
		case "level-idx":
			if err != nil || n < av1Level || n > 31 {
				return false
			}
		case "tier":
			if err != nil || n != 0 && n != 1 {
				return false
			}
		}
	}
	return true
}
