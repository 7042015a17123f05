package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
)

func padded(o fyne.CanvasObject, by float32) *fyne.Container {
	return container.New(layout.NewCustomPaddedLayout(by, by, by, by), o)
}

func padding(o fyne.CanvasObject, top, bottom, left, right float32) *fyne.Container {
	return container.New(layout.NewCustomPaddedLayout(top, bottom, left, right), o)
}

func rows(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(layout.NewCustomPaddedVBoxLayout(gap), objects...)
}

func columns(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(layout.NewCustomPaddedHBoxLayout(gap), objects...)
}

// panel lays a rounded surface under something.
func panel(name fyne.ThemeColorName, o fyne.CanvasObject) *fyne.Container {
	back := canvas.NewRectangle(paint(name))
	back.CornerRadius = 12
	return container.NewStack(back, o)
}

// atLeast gives a minimum size.
type atLeast fyne.Size

func (l atLeast) MinSize(objects []fyne.CanvasObject) fyne.Size {
	size := fyne.Size(l)
	for _, o := range objects {
		size = size.Max(o.MinSize())
	}
	return size
}

func (l atLeast) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		o.Resize(size)
		o.Move(fyne.NewPos(0, 0))
	}
}

// exactly gives a size, whatever the content wants.
type exactly fyne.Size

func (l exactly) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size(l) }
func (l exactly) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	atLeast(l).Layout(objects, size)
}

// middle keeps a column in the middle that does not grow beyond a width.
type middle float32

func (l middle) MinSize(objects []fyne.CanvasObject) (size fyne.Size) {
	for _, o := range objects {
		size = size.Max(o.MinSize())
	}
	return fyne.NewSize(min(size.Width, float32(l)), size.Height)
}

func (l middle) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	w := min(size.Width, float32(l))
	for _, o := range objects {
		o.Resize(fyne.NewSize(w, size.Height))
		o.Move(fyne.NewPos((size.Width-w)/2, 0))
	}
}

// floating keeps something at its own size at a place of the whole: 0 is left
// or top, 1 right or bottom.
type floating struct{ x, y, margin float32 }

func (l floating) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(0, 0) }
func (l floating) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		m := o.MinSize()
		m = fyne.NewSize(min(m.Width, size.Width-2*l.margin), min(m.Height, size.Height-2*l.margin))
		o.Resize(m)
		o.Move(fyne.NewPos(l.margin+(size.Width-m.Width-2*l.margin)*l.x, l.margin+(size.Height-m.Height-2*l.margin)*l.y))
	}
}

// raised leaves room below.
type raised struct {
	floating
	by float32
}

func (l raised) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	l.floating.Layout(objects, fyne.NewSize(size.Width, size.Height-l.by))
}

// narrowWindow is a window where there is not room for everything beside
// everything.
const narrowWindow = 760

// sideBySide puts the side and the edge to the left, without a gap, and gives the
// page the rest.
type sideBySide struct{}

func (sideBySide) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b, c := o[0].MinSize(), o[1].MinSize(), o[2].MinSize()
	return fyne.NewSize(a.Width+b.Width+c.Width, max(a.Height, b.Height, c.Height))
}

func (sideBySide) Layout(o []fyne.CanvasObject, size fyne.Size) {
	side := float32(sideWidth)
	if size.Width < narrowWindow {
		side = narrowWidth
	}
	x := float32(0)
	for i, w := range []float32{side, o[1].MinSize().Width, 0} {
		if i == 2 {
			w = size.Width - x
		}
		o[i].Resize(fyne.NewSize(w, size.Height))
		o[i].Move(fyne.NewPos(x, 0))
		x += w
	}
}

// above puts the first, if it is visible, over the second without a gap.
type above struct{}

func (above) MinSize(o []fyne.CanvasObject) fyne.Size {
	m := o[1].MinSize()
	if o[0].Visible() {
		m = fyne.NewSize(max(m.Width, o[0].MinSize().Width), m.Height+o[0].MinSize().Height)
	}
	return m
}

func (above) Layout(o []fyne.CanvasObject, size fyne.Size) {
	h := float32(0)
	if o[0].Visible() {
		h = o[0].MinSize().Height
		o[0].Resize(fyne.NewSize(size.Width, h))
		o[0].Move(fyne.NewPos(0, 0))
	}
	o[1].Resize(fyne.NewSize(size.Width, size.Height-h))
	o[1].Move(fyne.NewPos(0, h))
}

// asContent makes a scroll want the size of what it shows. It gets less where
// there is no room for that.
type asContent struct{ of *container.Scroll }

func (l asContent) MinSize([]fyne.CanvasObject) fyne.Size { return l.of.Content.MinSize() }
func (l asContent) Layout(o []fyne.CanvasObject, size fyne.Size) {
	atLeast{}.Layout(o, size)
}

// upToHalf puts the first, if it is visible, over the second. The first has no
// more than half of the room, or what one request needs.
type upToHalf struct{}

func (upToHalf) MinSize(o []fyne.CanvasObject) fyne.Size {
	m := o[1].MinSize()
	return fyne.NewSize(max(m.Width, o[0].MinSize().Width), m.Height)
}

func (upToHalf) Layout(o []fyne.CanvasObject, size fyne.Size) {
	h := float32(0)
	if o[0].Visible() {
		const least, rest = 175, 64
		h = min(o[0].MinSize().Height, max(size.Height/2, min(least, size.Height-rest)))
		o[0].Resize(fyne.NewSize(size.Width, h))
		o[0].Move(fyne.NewPos(0, 0))
	}
	o[1].Resize(fyne.NewSize(size.Width, size.Height-h))
	o[1].Move(fyne.NewPos(0, h))
}

func vcentre(o fyne.CanvasObject) fyne.CanvasObject {
	return container.New(vmiddle{}, o)
}

// vmiddle keeps something in the middle of the height, over the whole width.
type vmiddle struct{}

func (vmiddle) MinSize(objects []fyne.CanvasObject) fyne.Size { return objects[0].MinSize() }
func (vmiddle) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	h := objects[0].MinSize().Height
	objects[0].Resize(fyne.NewSize(size.Width, h))
	objects[0].Move(fyne.NewPos(0, (size.Height-h)/2))
}

// page is a page with a title and perhaps something beside it.
func page(title string, beside, content fyne.CanvasObject) *fyne.Container {
	head := border(nil, nil, nil, beside, vcentre(newLine(title, textTitle, theme.ColorNameForeground).bold().shrinks(textHead)))
	return container.New(middle(700), padding(border(padding(head, 0, 12, 8, 0), nil, nil, nil, content), 18, 12, 16, 16))
}

// put moves something that is not there already.
func put(o fyne.CanvasObject, x, y float32, size fyne.Size) {
	o.Resize(size)
	if at := fyne.NewPos(x, y); o.Position() != at {
		o.Move(at)
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
