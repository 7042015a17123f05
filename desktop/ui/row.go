package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A row is something that can be chosen by pointer and keyboard, with any content.
type row struct {
	widget.BaseWidget
	v                *View
	content          fyne.CanvasObject
	tapped           func()
	back             *canvas.Rectangle
	hovered, focused bool
}

func newRow(v *View, content fyne.CanvasObject, tapped func()) *row {
	r := &row{v: v, content: content, tapped: tapped, back: canvas.NewRectangle(color.Transparent)}
	r.back.CornerRadius = 8
	r.ExtendBaseWidget(r)
	return r
}

func (r *row) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewStack(r.back, padded(r.content, 6)))
}

func (r *row) update() {
	r.back.FillColor, r.back.StrokeWidth = color.Transparent, 0
	if r.hovered {
		r.back.FillColor = paint(theme.ColorNameHover)
	}
	if r.focused {
		r.back.StrokeColor, r.back.StrokeWidth = paint(theme.ColorNamePrimary), 2
	}
	r.back.Refresh()
}

func (r *row) Tapped(*fyne.PointEvent)        { r.tapped() }
func (r *row) MouseIn(*desktop.MouseEvent)    { r.hovered = true; r.update() }
func (r *row) MouseMoved(*desktop.MouseEvent) {}
func (r *row) MouseOut()                      { r.hovered = false; r.update() }
func (r *row) FocusGained()                   { r.focused = true; r.update(); r.v.reveal(r) }
func (r *row) FocusLost()                     { r.focused = false; r.update() }
func (r *row) TypedRune(k rune)               { r.v.TypedRune(k) }
func (r *row) TypedKey(k *fyne.KeyEvent) {
	defer r.v.touch()
	switch k.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		r.tapped()
	default:
		r.v.TypedKey(k)
	}
}
