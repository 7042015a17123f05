package ui

import (
	"image/color"
	"math"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// The keyboard. Tab goes through what is visible, in the order of the
// containers, and through the topmost overlay alone: Fyne does that. What is
// here lets keys that a control does not need do what they do in the whole
// window, keeps the focus at something that is there, and shows what has it.

// A button of the standard kind keeps the focus when it is pressed by a key, and
// shows it: the toolkit paints it in a shade of the theme's colour, which is not
// seen on a button of that colour.
type button struct {
	widget.Button
	v       *View
	ring    *canvas.Rectangle
	focused bool
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
	v *View
	// key takes a key before the field does, and reports whether it did; may be nil.
	key func(fyne.KeyName) bool
}

func newEntry(v *View) *entry {
	e := &entry{v: v}
	e.Wrapping = fyne.TextWrap(fyne.TextTruncateClip)
	e.ExtendBaseWidget(e)
	return e
}

// newPassword is one whose text is shown only when that is wanted.
func newPassword(v *View) *entry {
	e := newEntry(v)
	e.Password = true
	var eye *round
	eye = newRound(v, iconEyeOff, 36, "", colorMuted, tr("password.show"), func() {
		e.Password = !e.Password
		if e.Password {
			eye.look(iconEyeOff, "", colorMuted, tr("password.show"))
		} else {
			eye.look(iconEye, "", colorMuted, tr("password.hide"))
		}
		e.Refresh()
	})
	e.ActionItem = eye
	return e
}

func (e *entry) FocusGained() { e.Entry.FocusGained(); e.v.reveal(e) }

func (e *entry) TypedKey(k *fyne.KeyEvent) {
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
	opened func(i int)    // by Return; nil is chosen
	went   func(i int)    // at another row; may be nil
	inRow  map[int]*round // the buttons of rows, by the row they were in last
}

func newList(v *View, length func() int, create func() fyne.CanvasObject, update func(int, fyne.CanvasObject)) *list {
	l := &list{v: v, step: create().MinSize().Height + theme.Padding()}
	l.Length, l.CreateItem, l.UpdateItem = length, create, update
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

// border is a border layout whose parts follow one another as they are read:
// Tab goes through them in that order.
func border(top, bottom, left, right fyne.CanvasObject, middle ...fyne.CanvasObject) *fyne.Container {
	var all []fyne.CanvasObject
	for _, o := range append(append([]fyne.CanvasObject{top, left}, middle...), right, bottom) {
		if o != nil {
			all = append(all, o)
		}
	}
	return container.New(layout.NewBorderLayout(top, bottom, left, right), all...)
}

// inside is what can have the focus in something, besides the rows of lists.
func inside(o fyne.CanvasObject) []fyne.CanvasObject {
	switch o := o.(type) {
	case *fyne.Container:
		return o.Objects
	case *container.Scroll:
		return []fyne.CanvasObject{o.Content}
	case *container.ThemeOverride:
		return []fyne.CanvasObject{o.Content}
	case *row:
		return []fyne.CanvasObject{o.content}
	case *entry:
		if o.ActionItem != nil {
			return []fyne.CanvasObject{o.ActionItem}
		}
	}
	return nil
}

// stops adds what can have the focus in o, in the order of Tab.
func stops(o fyne.CanvasObject, list []fyne.Focusable) []fyne.Focusable {
	if !o.Visible() {
		return list
	}
	if f, ok := o.(fyne.Focusable); ok {
		list = append(list, f)
	}
	for _, x := range inside(o) {
		list = stops(x, list)
	}
	return list
}

// way is how to come from one object to another in it: both, and what lies
// between. It is nil when there is none.
func way(from, to fyne.CanvasObject) []fyne.CanvasObject {
	if from == to {
		return []fyne.CanvasObject{from}
	}
	for _, x := range inside(from) {
		if w := way(x, to); w != nil {
			return append([]fyne.CanvasObject{from}, w...)
		}
	}
	return nil
}

// works reports whether something takes the focus.
func works(f fyne.Focusable) bool {
	d, ok := f.(fyne.Disableable)
	return !ok || !d.Disabled()
}

// focus moves the keyboard to something.
func (v *View) focus(f fyne.Focusable) {
	if v.canvas != nil && f != nil {
		v.canvas.Focus(f)
	}
}

// focusFirst moves it to the first of what is in something.
func (v *View) focusFirst(o fyne.CanvasObject) {
	for _, f := range stops(o, nil) {
		if works(f) {
			v.focus(f)
			return
		}
	}
}

// top is what the keyboard is kept to.
func (v *View) top() fyne.CanvasObject {
	if v.sheet.shown() {
		return v.sheet.layer
	}
	return v.Root
}

// focused is what has the focus, or for the button of a row its list; nil also
// while a menu or a dialog of the toolkit is open.
func (v *View) focused() fyne.Focusable {
	if v.canvas == nil || v.foreign() {
		return nil
	}
	f := v.canvas.Focused()
	if b, ok := f.(*round); ok && b.of != nil {
		return b.of
	}
	return f
}

// foreign reports whether a menu or a dialog of the toolkit has the keyboard.
func (v *View) foreign() bool {
	top := v.canvas.Overlays().Top()
	return top != nil && top != fyne.CanvasObject(v.sheet.layer)
}

// Writes reports whether something is being written, so that a cursor blinks.
func (v *View) Writes() bool {
	if v.canvas == nil {
		return false
	}
	_, ok := v.canvas.Focused().(interface{ SelectedText() string })
	return ok
}

// reveal scrolls what got the focus into sight.
func (v *View) reveal(o fyne.CanvasObject) {
	v.order = stops(v.top(), v.order[:0])
	if v.stage.root.Visible() {
		v.stage.wake()
	}
	const margin = 8
	w := way(v.top(), o)
	for i, x := range w {
		s, ok := x.(*container.Scroll)
		if !ok || i+1 >= len(w) {
			continue
		}
		at := float32(0) // in the content, whose own place is how far it is scrolled
		for _, y := range w[min(i+2, len(w)):] {
			at += y.Position().Y
		}
		to := s.Offset.Y
		if end := at + o.Size().Height + margin; end > to+s.Size().Height {
			to = end - s.Size().Height
		}
		to = min(to, max(0, at-margin))
		to = max(0, min(to, s.Content.Size().Height-s.Size().Height))
		if to != s.Offset.Y {
			s.ScrollToOffset(fyne.NewPos(s.Offset.X, to))
		}
	}
}

// attend keeps the focus at something that is there, after what is shown has
// changed. What a call covered has it again when the call goes.
func (v *View) attend() {
	if v.canvas == nil {
		return
	}
	v.sheet.stay()
	page := v.app.Page
	turned := page != v.turned
	v.turned = page
	f := v.focused()
	asks := v.signIn.root.Visible()
	if came := asks && !v.asks; came && !v.sheet.shown() && !v.foreign() {
		// Nothing else can be done there: what is typed goes into the form.
		if !slices.Contains(stops(v.signIn.root, nil), f) {
			v.focus(v.signIn.address)
			f = v.focused()
		}
	}
	v.asks = asks
	if f == nil && v.left == nil || v.foreign() {
		return
	}
	now := stops(v.top(), nil)
	covered := v.stage.root.Visible()
	switch {
	case f != nil && slices.Contains(now, f):
	case v.sheet.shown():
		if f != nil {
			v.near(f, now)
		}
	case covered:
		if f != nil {
			v.left = f
			v.canvas.Unfocus()
		}
	case v.left != nil:
		if slices.Contains(now, v.left) {
			v.focus(v.left)
		} else if f != nil {
			v.canvas.Unfocus()
		}
		v.left = nil
	case turned && v.main.Visible():
		v.canvas.Unfocus()
		v.focusFirst(v.pages[page])
	default:
		v.near(f, now)
	}
	v.order = now
}

// near moves the focus from what has gone to what came after it, or else before.
func (v *View) near(gone fyne.Focusable, now []fyne.Focusable) {
	v.canvas.Unfocus()
	i := slices.Index(v.order, gone)
	if i < 0 {
		return
	}
	before := slices.Clone(v.order[:i])
	slices.Reverse(before)
	for _, f := range append(slices.Clone(v.order[i+1:]), before...) {
		if slices.Contains(now, f) && works(f) {
			v.focus(f)
			return
		}
	}
}

// A mark says where the focus is in a tree of objects: which part of which part.
type mark []int

func (v *View) mark(root fyne.CanvasObject, f fyne.Focusable) (m mark) {
	if f == nil {
		return nil
	}
	w := way(root, f.(fyne.CanvasObject))
	for i := range w[:max(0, len(w)-1)] {
		m = append(m, slices.Index(inside(w[i]), w[i+1]))
	}
	return m
}

// find returns what is there in another tree.
func (m mark) find(root fyne.CanvasObject) fyne.Focusable {
	if m == nil {
		return nil
	}
	for _, i := range m {
		parts := inside(root)
		if i >= len(parts) {
			return nil
		}
		root = parts[i]
	}
	f, _ := root.(fyne.Focusable)
	return f
}

// scrollLike scrolls what is in a tree as it is in another.
func scrollLike(to, from fyne.CanvasObject) {
	if a, ok := to.(*container.Scroll); ok {
		if b, ok := from.(*container.Scroll); ok && b.Offset != a.Offset {
			a.ScrollToOffset(b.Offset)
		}
	}
	if a, ok := to.(*list); ok {
		if b, ok := from.(*list); ok {
			a.at = b.at
			a.ScrollToOffset(b.GetScrollOffset())
		}
	}
	x, y := inside(to), inside(from)
	for i := range min(len(x), len(y)) {
		scrollLike(x[i], y[i])
	}
}

// shortcut does what a shortcut of the window does.
func (v *View) shortcut(s fyne.Shortcut) bool {
	c, ok := s.(*desktop.CustomShortcut)
	if !ok {
		return false
	}
	for _, x := range v.Shortcuts() {
		if x.Mod != 0 && x.Key == c.KeyName && x.Mod == c.Modifier {
			x.Do()
			return true
		}
	}
	return false
}
