package ui

import (
	"math"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A list is one stop for Tab, however long it is. Up and Down go through its
// rows, Return opens one and Space shows it, and Right goes to the button that
// a row may have.
type list struct {
	widget.List
	v *View
	// at is the row that the keys are at. It is marked while the list has the
	// focus, unless it came there by a tap.
	at     int
	marked bool
	step   float32 // from one row to the next
	chosen func(i int)
	opened func(i int)               // by Return; nil is chosen
	went   func(i int)               // at another row; may be nil
	inRow  map[int]*round            // the buttons of rows, by the row they were in last
	shows  map[int]fyne.CanvasObject // what shows a row; see access.go
}

func newList(v *View, length func() int, create func() fyne.CanvasObject, update func(int, fyne.CanvasObject)) *list {
	l := &list{v: v, step: create().MinSize().Height + theme.Padding()}
	l.Length, l.CreateItem = length, create
	l.UpdateItem = func(i int, o fyne.CanvasObject) {
		l.nowShows(i, o)
		update(i, o)
	}
	l.HideSeparators = true
	l.OnSelected = func(i widget.ListItemID) {
		l.UnselectAll()
		if i < l.Length() {
			l.at, l.marked = i, false
			l.tell()
			l.chosen(i)
		}
	}
	l.ExtendBaseWidget(l)
	return l
}

// puts says that a button is in a row now. It is no stop of its own: Tab would
// not come to an end in a long list.
func (l *list) puts(b *round, i int) {
	if len(l.inRow) > maxInRow || l.inRow == nil {
		l.inRow = make(map[int]*round)
	}
	if b.of != nil && b.at != i && b.focused {
		l.v.focus(l) // it is about somebody else now
	}
	b.of, b.at = l, i
	l.inRow[i] = b
}

// beside is the button in the row that the keys are at.
func (l *list) beside() *round {
	l.Refresh()
	if b := l.inRow[l.at]; b != nil && b.at == l.at {
		return b
	}
	return nil
}

// maxInRow bounds the buttons that are known; more are in no window.
const maxInRow = 200

// isMarked reports whether a row has the focus.
func (l *list) isMarked(i int) bool { return l.marked && l.at == i }

func (l *list) FocusGained() {
	l.marked = true
	// It may be that a row was tapped: nothing moves, and the keys begin at what
	// is in sight.
	first := int(math.Ceil(float64(l.GetScrollOffset() / l.step)))
	last := int((l.GetScrollOffset()+l.Size().Height+theme.Padding())/l.step) - 1
	l.goTo(min(max(l.at, first), max(first, last)))
	l.List.FocusGained()
	l.v.reveal(l)
}

func (l *list) FocusLost() {
	l.marked = false
	l.List.FocusLost()
}

// goTo moves to a row, or the nearest there is.
func (l *list) goTo(i int) {
	n := l.Length()
	if n == 0 {
		l.at = 0
		return
	}
	l.at = min(max(0, i), n-1)
	l.tell()
	l.Highlight(l.at)
}

func (l *list) tell() {
	if l.went != nil {
		l.went(l.at)
	}
}

// Disabled says that Tab goes past it: nothing is in it.
func (l *list) Disabled() bool { return l.Length() == 0 }
func (l *list) Enable()        {}
func (l *list) Disable()       {}

func (l *list) TypedRune(r rune) { l.v.TypedRune(r) }
func (l *list) TypedKey(k *fyne.KeyEvent) {
	defer l.v.touch()
	l.marked = true
	page := max(1, int(l.Size().Height/l.step)-1)
	switch k.Name {
	case fyne.KeyUp:
		l.goTo(l.at - 1)
	case fyne.KeyDown:
		l.goTo(l.at + 1)
	case fyne.KeyPageUp:
		l.goTo(l.at - page)
	case fyne.KeyPageDown:
		l.goTo(l.at + page)
	case fyne.KeyHome:
		l.goTo(0)
	case fyne.KeyEnd:
		l.goTo(l.Length() - 1)
	case fyne.KeyRight:
		if b := l.beside(); b != nil {
			b.invite()
		}
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		if l.at >= l.Length() {
			return
		}
		if k.Name != fyne.KeySpace && l.opened != nil {
			l.opened(l.at)
		} else {
			l.chosen(l.at)
		}
	default:
		l.v.TypedKey(k)
	}
}
