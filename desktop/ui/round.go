package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A round is a button that is an icon in a circle. Its tip, shown beside it
// while the pointer rests on it, is its name.
type round struct {
	widget.BaseWidget
	size        float32
	fill, front fyne.ThemeColorName // the zero fill is transparent
	what        icon
	tip         string
	tapped      func()
	tips        *tipLayer

	disabled, hovered, focused bool

	v       *View
	of      *list // whose rows it is in one of, or nil
	at      int   // and in which
	invited bool  // it may have the focus all the same

	back, over, ring *canvas.Circle
	image            *canvas.Image
	count            *canvas.Text
	badge            *canvas.Rectangle
}

func newRound(v *View, what icon, size float32, fill, front fyne.ThemeColorName, tip string, tapped func()) *round {
	b := &round{size: size, fill: fill, front: front, what: what, tip: tip, tapped: tapped, v: v, tips: v.tips,
		back: canvas.NewCircle(color.Transparent), over: canvas.NewCircle(color.Transparent), ring: canvas.NewCircle(color.Transparent),
		image: canvas.NewImageFromResource(nil), count: canvas.NewText("", color.White), badge: canvas.NewRectangle(color.Transparent)}
	b.image.FillMode = canvas.ImageFillContain
	b.count.TextSize, b.count.Alignment = 10, fyne.TextAlignCenter
	b.count.TextStyle.Bold = true
	b.badge.CornerRadius = 8
	b.ExtendBaseWidget(b)
	b.update()
	return b
}

// look changes the icon and its meaning.
func (b *round) look(what icon, fill, front fyne.ThemeColorName, tip string) {
	if b.what == what && b.fill == fill && b.front == front && b.tip == tip {
		return
	}
	b.what, b.fill, b.front, b.tip = what, fill, front, tip
	b.Refresh()
}

// number shows how many there are; zero shows nothing.
func (b *round) number(n int) {
	text := ""
	switch {
	case n > 99:
		text = "99+"
	case n > 0:
		text = itoa(n)
	}
	if b.count.Text != text {
		b.count.Text = text
		b.Refresh()
	}
}

func (b *round) enable(on bool) {
	if b.disabled == on {
		b.disabled = !on
		b.Refresh()
	}
}

func (b *round) update() {
	b.back.FillColor = color.Transparent
	if b.fill != "" {
		b.back.FillColor = paint(b.fill)
	}
	front := b.front
	if b.disabled {
		front = theme.ColorNameDisabled
	}
	b.image.Resource = b.what.in(paint(front))
	b.over.FillColor, b.ring.StrokeColor, b.ring.StrokeWidth = color.Transparent, color.Transparent, 0
	if b.hovered && !b.disabled {
		b.over.FillColor = rgba(0x808898, 0x33)
	}
	if b.focused {
		b.ring.StrokeColor, b.ring.StrokeWidth = paint(theme.ColorNamePrimary), 2
	}
	b.badge.FillColor = color.Transparent
	if b.count.Text != "" {
		b.badge.FillColor = paint(colorHangUp)
	}
}

func (b *round) CreateRenderer() fyne.WidgetRenderer { return &roundRenderer{b} }

type roundRenderer struct{ b *round }

func (r *roundRenderer) Destroy() {}
func (r *roundRenderer) Objects() []fyne.CanvasObject {
	b := r.b
	return []fyne.CanvasObject{b.back, b.over, b.ring, b.image, b.badge, b.count}
}
func (r *roundRenderer) MinSize() fyne.Size { return fyne.NewSquareSize(r.b.size) }
func (r *roundRenderer) Refresh() {
	r.b.update()
	r.Layout(r.b.Size())
	for _, o := range r.Objects() {
		o.Refresh()
	}
}

func (r *roundRenderer) Layout(size fyne.Size) {
	b := r.b
	at := fyne.NewPos((size.Width-b.size)/2, (size.Height-b.size)/2)
	for _, c := range []*canvas.Circle{b.back, b.over, b.ring} {
		c.Resize(fyne.NewSquareSize(b.size))
		c.Move(at)
	}
	in := b.size * 0.5
	b.image.Resize(fyne.NewSquareSize(in))
	b.image.Move(at.AddXY((b.size-in)/2, (b.size-in)/2))
	w := max(16, b.count.MinSize().Width+8)
	b.badge.Resize(fyne.NewSize(w, 16))
	b.badge.Move(at.AddXY(b.size-w+3, -1))
	h := b.count.MinSize().Height
	b.count.Resize(fyne.NewSize(w, h))
	b.count.Move(at.AddXY(b.size-w+3, -1+(16-h)/2))
}

// Tapped and the rest make it a button for mouse and keyboard.
func (b *round) Tapped(*fyne.PointEvent) {
	if b.tips != nil {
		b.tips.hide(b)
	}
	if !b.disabled && b.tapped != nil {
		b.tapped()
	}
}

func (b *round) MouseIn(*desktop.MouseEvent) {
	b.hovered = true
	if b.tips != nil {
		b.tips.show(b, b.tip)
	}
	b.Refresh()
}

func (b *round) MouseMoved(*desktop.MouseEvent) {}

func (b *round) MouseOut() {
	b.hovered = false
	if b.tips != nil {
		b.tips.hide(b)
	}
	b.Refresh()
}

func (b *round) FocusGained() {
	b.focused = true
	if b.tips != nil {
		b.tips.show(b, b.tip)
	}
	b.Refresh()
	b.v.reveal(b)
}

func (b *round) FocusLost() {
	b.focused = false
	if b.tips != nil {
		b.tips.hide(b)
	}
	b.Refresh()
}

func (b *round) TypedRune(r rune) { b.v.TypedRune(r) }

func (b *round) TypedKey(k *fyne.KeyEvent) {
	defer b.v.touch()
	switch {
	case k.Name == fyne.KeySpace, k.Name == fyne.KeyReturn, k.Name == fyne.KeyEnter:
		b.Tapped(nil)
	case b.of != nil && (k.Name == fyne.KeyLeft || k.Name == fyne.KeyEscape):
		b.v.focus(b.of)
	case b.of != nil && (k.Name == fyne.KeyUp || k.Name == fyne.KeyDown):
		b.v.focus(b.of)
		b.of.TypedKey(k)
	default:
		b.v.TypedKey(k)
	}
}

// invite gives it the focus, although it is in a row of a list.
func (b *round) invite() {
	b.invited = true
	b.v.focus(b)
	b.invited = false
}

// Disabled says that Tab goes past it. One that does nothing now has the focus
// all the same: its tip says why.
func (b *round) Disabled() bool { return b.of != nil && !b.focused && !b.invited }
func (b *round) Enable()        { b.enable(true) }
func (b *round) Disable()       { b.enable(false) }

var _ interface {
	fyne.Focusable
	fyne.Tappable
	desktop.Hoverable
} = (*round)(nil)
