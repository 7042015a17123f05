package turn

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// replyBuckets bounds the memory of a replyLimiter. Addresses that fall into
// one bucket share it.
const replyBuckets = 1 << 14

// A replyLimiter bounds the replies that an address gets to requests without
// valid credentials. Such a reply can be larger than its request, and the
// address may be somebody else's.
type replyLimiter struct {
	seed maphash.Seed

	mu    sync.Mutex
	rate  float64 // per nanosecond
	burst float64
	level [replyBuckets]float32 // taken
	at    [replyBuckets]int64   // nanoseconds
}

func newReplyLimiter(perSecond int) *replyLimiter {
	l := &replyLimiter{seed: maphash.MakeSeed()}
	l.set(perSecond)
	return l
}

func (l *replyLimiter) set(perSecond int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = float64(perSecond)/1e9, 10*float64(perSecond)
}

// bucket of an IPv4 address, or of the /64 that one IPv6 host has to itself.
func (l *replyLimiter) bucket(a netip.Addr) int {
	if a.Is6() {
		a = netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr()
	}
	return int(maphash.Comparable(l.seed, a) % replyBuckets)
}

// take says whether a reply without valid credentials may go to a.
func (l *replyLimiter) take(a netip.Addr, now int64) bool {
	i := l.bucket(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	level := max(0, float64(l.level[i])-float64(now-l.at[i])*l.rate)
	l.at[i] = now
	if level+1 > l.burst {
		l.level[i] = float32(level)
		return false
	}
	l.level[i] = float32(level + 1)
	return true
}

// giveBack forgets one reply to a, which has shown that it asks itself.
func (l *replyLimiter) giveBack(a netip.Addr) {
	i := l.bucket(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level[i] = max(0, l.level[i]-1)
}
