package media

import "time"

// toNTP is how many seconds passed from 1900, where the time of sender reports
// begins, to 1970. RFC 3550 §4
const toNTP = 2208988800

// compactNTP is the middle of an NTP timestamp.
func compactNTP(t time.Time) uint32 {
	sec := uint64(t.Unix() + toNTP)
	frac := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return uint32((sec<<32 | frac) >> 16)
}

// fromNTP reads an NTP timestamp.
func fromNTP(ntp uint64) time.Time {
	return time.Unix(int64(ntp>>32)-toNTP, int64(ntp&0xffffffff)*int64(time.Second)>>32)
}
