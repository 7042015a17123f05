package ui

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A button of the standard kind keeps the focus when it is pressed by a key, and
// shows it: the toolkit paints it in a shade of the theme's colour, which is not
// seen on a button of that colour.
type button struct {
	widget.Button
	v       *View
	ring    *canvas.Rectangle
	focused bool
	fold    *fold // that it is the head of, or nil
}

func newButton(v *View, text string, tapped func()) *button {
	b := &button{v: v, ring: canvas.NewRectangle(color.Transparent)}
	b.Text, b.OnTapped = text, tapped
	b.ExtendBaseWidget(b)
	return b
}

// CreateRenderer is that of the toolkit with a ring around it.
func (b *button) CreateRenderer() fyne.WidgetRenderer {
	return &ringed{b.Button.CreateRenderer(), b}
}

type ringed struct {
	fyne.WidgetRenderer
	b *button
}

func (r *ringed) Objects() []fyne.CanvasObject {
	return append(slices.Clip(r.WidgetRenderer.Objects()), r.b.ring)
}

func (r *ringed) Layout(size fyne.Size) {
	r.WidgetRenderer.Layout(size)
	r.b.ring.Resize(size)
}

func (r *ringed) Refresh() {
	r.WidgetRenderer.Refresh()
	r.b.ring.StrokeWidth = 0
	if i := r.b.Importance; r.b.focused && i != widget.MediumImportance && i != widget.LowImportance {
		r.b.ring.StrokeColor, r.b.ring.StrokeWidth = paint(theme.ColorNameForeground), 2
		r.b.ring.CornerRadius = theme.Size(theme.SizeNameButtonRadius)
	}
	r.b.ring.Refresh()
}

func (b *button) FocusGained() {
	b.focused = true
	b.Button.FocusGained()
	b.v.reveal(b)
}

func (b *button) FocusLost() {
	b.focused = false
	b.Button.FocusLost()
}

// Disabled says that Tab goes past it: not while it has the focus, or the toolkit
// would not know what comes next.
func (b *button) Disabled() bool { return b.Button.Disabled() && !b.focused }

func (b *button) TypedRune(r rune) { b.v.TypedRune(r) }
func (b *button) TypedKey(k *fyne.KeyEvent) {
	defer b.v.touch()
	switch k.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		if !b.Button.Disabled() && b.OnTapped != nil {
			b.OnTapped()
		}
	default:
		b.v.TypedKey(k)
	}
}

// An entry is a field for text.
type entry struct {
	widget.Entry
	v     *View
	eye   *round // of a password
	label string // what is to be written, where that is not what stands in the empty field
	// key takes a key before the field does, and reports whether it did; may be nil.
	key func(fyne.KeyName) bool
}

func newEntry(v *View) *entry {
	e := &entry{v: v}
	e.Wrapping = fyne.TextWrap(fyne.TextTruncateClip)
	e.ExtendBaseWidget(e)
	return e
}

// newPassword is one whose text is shown only when that is wanted, and with it
// that of others.
func newPassword(v *View, others ...*entry) *entry {
	e := newEntry(v)
	e.eye = newRound(v, iconEyeOff, 36, "", colorMuted, tr("password.show"), func() {
		on := e.Password
		for _, x := range append([]*entry{e}, others...) {
			x.reads(on)
		}
	})
	e.ActionItem = e.eye
	e.reads(false)
	return e
}

// reads shows a password, or hides it.
func (e *entry) reads(on bool) {
	e.Password = !on
	if on {
		e.eye.look(iconEye, "", colorMuted, tr("password.hide"))
	} else {
		e.eye.look(iconEyeOff, "", colorMuted, tr("password.show"))
	}
	e.Refresh()
}

func (e *entry) FocusGained() { e.Entry.FocusGained(); e.v.reveal(e) }

func (e *entry) TypedKey(k *fyne.KeyEvent) {
	defer e.v.touch()
	enter := k.Name == fyne.KeyReturn || k.Name == fyne.KeyEnter
	switch {
	case e.key != nil && e.key(k.Name):
	case k.Name == fyne.KeyEscape, k.Name == fyne.KeyF11, enter && e.OnSubmitted == nil:
		e.v.TypedKey(k)
	default:
		e.Entry.TypedKey(k)
	}
}

// TypedShortcut lets the shortcuts of the window work also while something is
// written.
func (e *entry) TypedShortcut(s fyne.Shortcut) {
	defer e.v.touch()
	if !e.v.shortcut(s) {
		e.Entry.TypedShortcut(s)
	}
}

// A choice is one of several, in a menu.
type choice struct {
	widget.Select
	v *View
}

func newChoice(v *View, options []string, changed func(string)) *choice {
	c := &choice{v: v}
	c.Options, c.OnChanged = options, changed
	c.ExtendBaseWidget(c)
	return c
}

func (c *choice) FocusGained()     { c.Select.FocusGained(); c.v.reveal(c) }
func (c *choice) TypedRune(r rune) { c.v.TypedRune(r) }
func (c *choice) TypedKey(k *fyne.KeyEvent) {
	defer c.v.touch()
	switch k.Name {
	case fyne.KeySpace, fyne.KeyUp, fyne.KeyDown, fyne.KeyLeft, fyne.KeyRight:
		c.Select.TypedKey(k)
	default:
		c.v.TypedKey(k)
	}
}

// A check is switched on or off. Its text, which that of the toolkit keeps in one
// line, is wrapped.
type check struct {
	widget.Check
	v    *View
	text *widget.Label
}

func newCheck(v *View, text string, changed func(bool)) *check {
	c := &check{v: v, text: wrapped(text, fyne.TextAlignLeading)}
	c.OnChanged = changed
	c.ExtendBaseWidget(c)
	return c
}

// CreateRenderer is that of the toolkit with the text beside it.
func (c *check) CreateRenderer() fyne.WidgetRenderer {
	return &checkRenderer{c.Check.CreateRenderer(), c}
}

type checkRenderer struct {
	fyne.WidgetRenderer // of the box
	c                   *check
}

// before is how much room the box takes beside the text.
func (r *checkRenderer) before() float32 {
	return theme.Size(theme.SizeNameInlineIcon) + 2*theme.Size(theme.SizeNameInputBorder)
}

func (r *checkRenderer) Objects() []fyne.CanvasObject {
	return append(slices.Clip(r.WidgetRenderer.Objects()), r.c.text)
}

func (r *checkRenderer) MinSize() fyne.Size {
	text := r.c.text.MinSize()
	return fyne.NewSize(r.before()+text.Width, max(r.WidgetRenderer.MinSize().Height, text.Height))
}

// Layout has the box beside the first line.
func (r *checkRenderer) Layout(size fyne.Size) {
	r.WidgetRenderer.Layout(fyne.NewSize(size.Width, min(size.Height, r.WidgetRenderer.MinSize().Height)))
	r.c.text.Resize(fyne.NewSize(size.Width-r.before(), size.Height))
	r.c.text.Move(fyne.NewPos(r.before(), 0))
}

// Tapped and MouseMoved take all of the text for the box.
func (c *check) Tapped(*fyne.PointEvent) {
	c.Check.Tapped(&fyne.PointEvent{Position: fyne.NewPos(0, c.Size().Height/2)})
}

func (c *check) MouseIn(e *desktop.MouseEvent)  { c.MouseMoved(e) }
func (c *check) MouseMoved(*desktop.MouseEvent) { c.Check.MouseMoved(&desktop.MouseEvent{}) }

func (c *check) FocusGained() { c.Check.FocusGained(); c.v.reveal(c) }
func (c *check) TypedKey(k *fyne.KeyEvent) {
	defer c.v.touch()
	switch k.Name {
	case fyne.KeySpace: // comes as a letter too
	case fyne.KeyReturn, fyne.KeyEnter:
		if c.v.sheet.shown() {
			c.v.TypedKey(k)
		} else if !c.Disabled() {
			c.SetChecked(!c.Checked)
		}
	default:
		c.v.TypedKey(k)
	}
}

// A fold is a button that shows what lies below it, or does not.
type fold struct {
	root   *fyne.Container
	head   *button
	detail fyne.CanvasObject
}

func newFold(v *View, title string, detail fyne.CanvasObject) *fold {
	f := &fold{detail: detail}
	f.head = newButton(v, title, func() {
		f.open(!f.isOpen())
		if e, ok := detail.(*entry); ok && f.isOpen() {
			v.focus(e) // for that it was opened
		}
	})
	f.head.fold = f
	f.head.Importance, f.head.Alignment = widget.LowImportance, widget.ButtonAlignLeading
	f.root = rows(theme.Padding(), f.head, detail)
	f.open(false)
	return f
}

func (f *fold) isOpen() bool { return f.detail.Visible() }

func (f *fold) open(on bool) {
	show(f.detail, on)
	name := theme.IconNameArrowDropDown
	if on {
		name = theme.IconNameArrowDropUp
	}
	f.head.SetIcon(theme.Icon(name))
	f.root.Refresh()
}
