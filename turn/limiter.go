package turn

import (
	"hash/maphash"
	"sync"
)

// limiterBuckets bounds the memory of a limiter. Keys that fall into one bucket
// share it.
const limiterBuckets = 1 << 14

// A limiter bounds how often something happens for each of any number of keys.
type limiter[K comparable] struct {
	seed maphash.Seed

	mu      sync.Mutex
	rate    float64 // per nanosecond
	burst   float64
	buckets []limiterBucket
}

type limiterBucket struct {
	level float32 // taken
	at    int64   // when it was so
}

func newLimiter[K comparable]() *limiter[K] {
	return &limiter[K]{seed: maphash.MakeSeed(), buckets: make([]limiterBucket, limiterBuckets)}
}

func (l *limiter[K]) set(perSecond, burst float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = perSecond/1e9, burst
}

func (l *limiter[K]) bucket(key K) *limiterBucket {
	return &l.buckets[maphash.Comparable(l.seed, key)%limiterBuckets]
}

// current is what is taken of a bucket at now.
func (l *limiter[K]) current(b *limiterBucket, now int64) float64 {
	return max(0, float64(b.level)-float64(max(0, now-b.at))*l.rate)
}

// take takes one, if there is one.
func (l *limiter[K]) take(key K, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	level := l.current(b, now)
	b.at = now
	if level+1 > l.burst {
		b.level = float32(level)
		return false
	}
	b.level = float32(level + 1)
	return true
}

// full says whether there is nothing to take.
func (l *limiter[K]) full(key K, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current(l.bucket(key), now)+1 > l.burst
}

// giveBack forgets that one was taken.
func (l *limiter[K]) giveBack(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	b.level = max(0, b.level-1)
}
