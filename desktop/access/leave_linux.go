package access

import (
	"slices"
	"time"
)

// leaveTime is how long a node that is gone is told to be gone, to those who ask.
// interop Orca 43: what it says next depends on what it said last. It says nothing
// when that is not known any more, and hangs for good when that is taken from it
// while it is about to say it.
const leaveTime = 10 * time.Second

// maxLeft bounds the nodes that are; the oldest go.
const maxLeft = 1000

// A leaving is a node that is gone.
type leaving struct {
	node  *flat
	was   *Tree // it was in
	since time.Time
}

// leave keeps what is in a tree and not in the one that follows, and returns what
// is to be forgotten.
func (l *listener) leave(old, now *Tree, at time.Time) (over []ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range gone(old, now) {
		l.left = append(l.left, leaving{old.node(id), old, at})
	}
	n := max(0, len(l.left)-maxLeft)
	for n < len(l.left) && at.Sub(l.left[n].since) >= leaveTime {
		n++
	}
	for _, x := range l.left[:n] {
		over = append(over, x.node.ID)
	}
	l.left = slices.Delete(l.left, 0, n)
	return over
}

// leftNode returns a node that is gone, and what it was in; or nil.
func (l *listener) leftNode(id ID) (*flat, *Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range slices.Backward(l.left) {
		if x.node.ID == id {
			return x.node, x.was
		}
	}
	return nil, nil
}
