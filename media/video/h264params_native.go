//go:build native && cgo

package video

import (
	"strconv"
	"strings"
)

// h264Fits reports whether format parameters describe what is coded here:
// constrained baseline in packets that may be parts of a unit. A parameter that
// is absent means baseline, in whole units. RFC 6184 §8.1, table 5
func h264Fits(ps []Parameter) bool {
	mode, profile := "0", "420010"
	for _, p := range ps {
		switch strings.ToLower(p.Name) {
		case "packetization-mode":
			mode = strings.TrimSpace(p.Value)
		case "profile-level-id":
			profile = strings.TrimSpace(p.Value)
		}
	}
	n, err := strconv.ParseUint(profile, 16, 24)
	if err != nil || len(profile) != 6 || mode != "1" {
		return false
	}
	switch idc, iop := n>>16, n>>8&0xff; idc {
	case 0x42: // baseline that keeps to main
		return iop&0x4f == 0x40
	case 0x4d: // main that keeps to baseline
		return iop&0x8f == 0x80
	case 0x58: // extended that keeps to both
		return iop&0xcf == 0xc0
	}
	return false
}
