package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
)

// The keyboard. Tab goes through what is visible, in the order of the
// containers, and through the topmost overlay alone: Fyne does that. What is
// here lets keys that a control does not need do what they do in the whole
// window, keeps the focus at something that is there, and shows what has it.

// inside is what can have the focus in something, besides the rows of lists.
func inside(o fyne.CanvasObject) []fyne.CanvasObject {
	switch o := o.(type) {
	case *fyne.Container:
		return o.Objects
	case *container.Scroll:
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
	defer v.touch()
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
	defer v.touch()
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
