package ui

import (
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// tick is called every second, and when the stage was drawn anew: the clock goes
// on, and the buttons go from before a picture when nobody moves.
func (s *stage) tick() {
	if s.theirs.Visible() && !s.pad.Visible() && s.v.now().Sub(s.moved) >= chromeTime {
		s.rest()
	} else {
		show(s.chrome, true)
	}
	s.clock()
}

// clock shows how long the call has been, where that is seen.
func (s *stage) clock() {
	text := phase(s.call, s.v.now())
	if s.centre.Visible() {
		s.status.set(text)
	}
	if s.chrome.Visible() {
		s.topStatus.set(text)
	}
}

// chromeTime is how long the buttons of a call with a picture stay after the
// pointer moved.
const chromeTime = 3 * time.Second

// wake shows the buttons again.
func (s *stage) wake() {
	s.back()
	s.pass()
}

// back is wake without the pane.
func (s *stage) back() {
	s.moved = s.v.now()
	if s.chrome.Visible() {
		return
	}
	s.chrome.Show()
	s.clock()
	if s.v.focused() == fyne.Focusable(s.mover) {
		if s.mover.back != nil {
			s.v.focus(s.mover.back)
		} else {
			s.v.focusFirst(s.chrome)
		}
	}
}

// rest takes them away. One that has the focus must not be pressed by somebody
// who does not see it.
func (s *stage) rest() {
	if !s.chrome.Visible() {
		return
	}
	s.mover.back = nil
	if f := s.v.focused(); f != nil && slices.Contains(stops(s.chrome, nil), f) {
		s.mover.back = f
	}
	s.chrome.Hide()
	if s.mover.back != nil {
		s.mover.rests = true
		s.v.focus(s.mover)
		s.mover.rests = false
	}
}

// A mover notices that the pointer moves over a picture. While the buttons are
// away it is there for the keyboard in their place.
type mover struct {
	widget.BaseWidget
	s     *stage
	moved func()
	back  fyne.Focusable // which of the buttons had the focus
	rests bool           // it gets the focus, and nobody pressed a key
}

func newMover(s *stage) *mover {
	m := &mover{s: s, moved: s.wake}
	m.ExtendBaseWidget(m)
	return m
}

// Disabled says that Tab goes past it.
func (m *mover) Disabled() bool { return m.s.chrome.Visible() }
func (m *mover) Enable()        {}
func (m *mover) Disable()       {}

// AcceptsTab has Tab bring the buttons back.
func (m *mover) AcceptsTab() bool { return true }

func (m *mover) FocusGained() {
	if !m.rests {
		m.moved()
	}
}
func (m *mover) FocusLost()       {}
func (m *mover) TypedRune(r rune) { m.s.v.TypedRune(r) }
func (m *mover) TypedKey(k *fyne.KeyEvent) {
	if k.Name == fyne.KeyEscape || k.Name == fyne.KeyF11 {
		m.s.v.TypedKey(k)
		return
	}
	m.moved()
}

func (m *mover) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewWithoutLayout())
}
func (m *mover) Resize(size fyne.Size) {
	m.BaseWidget.Resize(size)
	m.s.pass()
}
func (m *mover) MouseIn(*desktop.MouseEvent)    { m.moved() }
func (m *mover) MouseMoved(*desktop.MouseEvent) { m.moved() }
func (m *mover) MouseOut()                      {}
func (m *mover) Tapped(*fyne.PointEvent)        { m.moved() }
