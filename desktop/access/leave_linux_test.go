package access

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is gone says so for a while.
func TestWhatIsGone(t *testing.T) {
	l, asked := newListener()
	old, now := sample(), NewTree(window(), sample().origin)
	at := time.Unix(1_800_000_000, 0)
	if over := l.leave(old, now, at); len(over) != 0 {
		t.Errorf("forgotten at once is %v", over)
	}
	l.s.latest.Store(now)
	for name, want := range map[string]any{"GetState": []uint32{1 << stateDefunct, 0}, "GetRole": uint32(43), "GetIndexInParent": int32(0)} {
		out, err := ask(l, l.path(2), atspi+"Accessible", name)
		if err != nil || !cmp.Equal(out, []any{want}) {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	if out, err := ask(l, l.path(2), atspi+"Action", "DoAction", int32(0)); err != nil || out[0] != false || len(*asked) != 0 {
		t.Errorf("it is pressed: %v, %v, %v", out, err, *asked)
	}
	if out, err := ask(l, l.path(7), atspi+"Component", "GetAccessibleAtPoint", int32(0), int32(0), uint32(0)); err != nil {
		t.Errorf("what was there: %v, %v", out, err)
	}
	over := l.leave(now, now, at.Add(leaveTime))
	if !slices.Contains(over, 2) || slices.Contains(over, 1) || len(l.left) != 0 {
		t.Errorf("forgotten is %v", over)
	}
	if _, err := ask(l, l.path(2), atspi+"Accessible", "GetState"); err == nil {
		t.Error("it is still told")
	}
	for range maxLeft {
		l.leave(old, now, at)
	}
	if len(l.left) != maxLeft {
		t.Errorf("%d are kept", len(l.left))
	}
}
