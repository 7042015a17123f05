package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// A sheet is a card above everything that asks something. It lies in an overlay
// of the window, so that the keyboard stays within it.
type sheet struct {
	v      *View
	root   *fyne.Container // visible while it is open
	layer  *fyne.Container // the overlay: root and the tips. A view made anew takes it over
	middle *fyne.Container // holds holds there
	holds  *fyne.Container
	closed func()      // called once when what it shows goes away; may be nil
	again  func(*View) // opens it as it is in another view; may be nil
	main   func()      // what Return does; nil does nothing
	want   fyne.Focusable
	before fyne.Focusable // what had the focus when it was opened

	// Somebody may call meanwhile.
	ring *fyne.Container
	who  *line
	call state.Call
}

func newSheet(v *View) *sheet {
	s := &sheet{v: v, holds: container.NewStack()}
	shade := newShade(func() { s.close() })
	s.who = newLine("", textNormal, colorOnStage).bold()
	no := newRound(v, iconHangUp, 38, colorHangUp, colorOnStage, tr("call.decline"), func() { v.send(state.DeclineCall{ID: s.call.ID}) })
	yes := newRound(v, iconPhone, 38, colorCall, colorOnStage, tr("call.answer"), func() { v.send(state.AnswerCall{ID: s.call.ID}) })
	s.ring = panel(colorControl, padding(border(nil, nil, nil, columns(8, no, yes), container.New(exactly(fyne.NewSize(320, 38)), vcentre(s.who))), 6, 6, 14, 8))
	s.ring.Hide()
	s.middle = container.New(within{s}, s.holds)
	s.root = container.NewStack(shade, s.middle, container.New(floating{0.5, 0, ringMargin}, s.ring))
	s.root.Hide()
	s.layer = container.NewStack(s.root)
	return s
}

func (s *sheet) shown() bool { return s.root.Visible() }

// open shows a card. do is the name of the button that does it; empty has none.
// The focus goes to the first field, or else to the button that does no harm.
func (s *sheet) open(title string, content fyne.CanvasObject, do string, danger bool, done func()) {
	s.empty() // what it showed before
	back := canvas.NewRectangle(paint(theme.ColorNameOverlayBackground))
	back.CornerRadius = 14
	shut := newButton(s.v, tr("cancel"), s.close)
	s.main, s.want = done, shut
	buttons := container.NewHBox(layout.NewSpacer(), shut)
	if do != "" {
		b := newButton(s.v, do, done)
		b.Importance = widget.HighImportance
		if danger {
			b.Importance = widget.DangerImportance
			s.main = nil
		} else {
			s.want = b
		}
		buttons.Add(b)
	} else {
		shut.SetText(tr("close"))
		s.main = s.close
	}
	for _, f := range stops(content, nil) {
		switch f.(type) {
		case *entry, *choice:
			s.want = f
		default:
			continue
		}
		break
	}
	// For a window that is low. What has the focus is drawn a little beyond itself.
	const edge = 2
	body := content
	if !scrolls(content) {
		scroll := container.NewVScroll(padded(content, edge))
		body = padded(container.New(asContent{scroll}, scroll), -edge)
	}
	s.holds.Objects = []fyne.CanvasObject{back, padded(container.New(atLeast(fyne.NewSize(380, 0)),
		border(padding(newLine(title, textHead, theme.ColorNameForeground).bold(), 0, 8, 0, 0), padding(buttons, 12, 0, 0, 0), nil, nil, body)), 20)}
	s.holds.Refresh()
	s.root.Show()
	s.stay()
	s.root.Refresh()
	s.v.focus(s.want)
	s.v.stage.pass()
}

// scrolls reports whether something in o scrolls by itself.
func scrolls(o fyne.CanvasObject) bool {
	_, ok := o.(*container.Scroll)
	return ok || slices.ContainsFunc(inside(o), scrolls)
}

// stay puts the overlay above the window while the sheet is open, and reports
// whether it was not there: something of the toolkit may have taken it away
// together with its own.
func (s *sheet) stay() (anew bool) {
	c := s.v.canvas
	if c == nil || !s.shown() || slices.Contains(c.Overlays().List(), fyne.CanvasObject(s.layer)) {
		return false
	}
	s.before = s.v.focused()
	c.Unfocus()
	s.v.Root.(*fyne.Container).Remove(s.v.tips.box) // above the shade
	s.layer.Objects = []fyne.CanvasObject{s.root, s.v.tips.box}
	c.Overlays().Add(s.layer)
	return true
}

// empty ends what it shows.
func (s *sheet) empty() {
	s.holds.Objects = nil
	s.again, s.main, s.want = nil, nil, nil
	if f := s.closed; f != nil {
		s.closed = nil
		f()
	}
}

func (s *sheet) close() {
	open := s.shown()
	s.root.Hide()
	s.empty()
	if open {
		s.lift()
	}
}

// lift takes the overlay away, and the focus returns to where it was.
func (s *sheet) lift() {
	c := s.v.canvas
	if c == nil || !slices.Contains(c.Overlays().List(), fyne.CanvasObject(s.layer)) {
		return
	}
	if c.Overlays().Top() == fyne.CanvasObject(s.layer) {
		c.Unfocus()
	}
	c.Overlays().Remove(s.layer)
	s.layer.Objects = nil
	root := s.v.Root.(*fyne.Container)
	root.Add(s.v.tips.box)
	f := s.before
	s.before = nil
	if f == nil {
		return
	}
	if s.v.stage.root.Visible() {
		s.v.stage.wake()
	}
	switch {
	case slices.Contains(stops(root, nil), f):
		s.v.focus(f)
	case s.v.stage.root.Visible():
		s.v.left = f
	default:
		s.v.focusFirst(s.v.pages[s.v.app.Page])
	}
}

// draw shows who calls: what is below cannot be reached.
func (s *sheet) draw(a state.App) {
	c, ok := a.Front()
	if !ok || c.Phase != state.Rings {
		c, ok = a.Waiting()
	}
	if ok {
		s.call = c
		s.who.set(tr("waiting.text", cmpOr(c.Name, c.JID)))
	}
	if s.ring.Visible() != ok {
		show(s.ring, ok)
		s.middle.Refresh() // it moves out of the way
	}
}

// ringMargin is around the card of who calls.
const ringMargin = 12

// within keeps a sheet in the middle and below who calls, at its size or less
// where there is no room for that.
type within struct{ s *sheet }

// MinSize implements [fyne.Layout].
func (within) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size{} }

// Layout implements [fyne.Layout].
func (w within) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	top := float32(0)
	if w.s.ring.Visible() {
		top = ringMargin + w.s.ring.MinSize().Height + ringMargin/2
	}
	for _, o := range objects {
		m := o.MinSize()
		const edge = ringMargin / 2
		m = fyne.NewSize(min(m.Width, size.Width-2*edge), min(m.Height, size.Height-top-edge))
		o.Resize(m)
		o.Move(fyne.NewPos((size.Width-m.Width)/2, max(top, (size.Height-m.Height)/2)))
	}
}

// A shade darkens what is behind a sheet; a tap on it closes that.
type shade struct {
	widget.BaseWidget
	tapped func()
}

func newShade(tapped func()) *shade {
	s := &shade{tapped: tapped}
	s.ExtendBaseWidget(s)
	return s
}

func (s *shade) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(canvas.NewRectangle(rgba(0x000000, 0x80)))
}
func (s *shade) Tapped(*fyne.PointEvent) { s.tapped() }

// take takes over the overlay of the sheet of a view that is made anew: what the
// toolkit shows above it stays.
func (s *sheet) take(from *sheet) {
	s.layer = from.layer
	s.layer.Objects = []fyne.CanvasObject{s.root}
	if c := from.v.canvas; c != nil && slices.Contains(c.Overlays().List(), fyne.CanvasObject(s.layer)) {
		s.v.Root.(*fyne.Container).Remove(s.v.tips.box)
		s.layer.Add(s.v.tips.box)
	}
	s.layer.Refresh()
}

// drop takes away the overlay that nothing is shown in any more.
func (s *sheet) drop() {
	s.before = nil
	s.lift()
}
