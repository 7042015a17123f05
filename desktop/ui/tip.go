package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"
)

// A tipLayer shows one text beside what the pointer rests on. It lies above
// everything and takes no events.
type tipLayer struct {
	box  *fyne.Container
	back *canvas.Rectangle
	text *widget.Label
	of   fyne.CanvasObject
}

const tipWidth = 260

func newTipLayer() *tipLayer {
	t := &tipLayer{back: canvas.NewRectangle(rgb(0x2a2d35)), text: widget.NewLabel("")}
	t.back.CornerRadius = 7
	t.box = container.NewWithoutLayout()
	t.box.Hide()
	return t
}

func (t *tipLayer) show(of fyne.CanvasObject, text string) {
	if text == "" {
		return
	}
	t.of = of
	var lines []fyne.CanvasObject
	var size fyne.Size
	for _, part := range breakText(text, tipWidth, textSmall, fyne.TextStyle{}) {
		c := canvas.NewText(part, rgb(0xf4f5f8))
		c.TextSize = textSmall
		m := c.MinSize()
		c.Move(fyne.NewPos(9, 6+size.Height))
		c.Resize(m)
		size = fyne.NewSize(max(size.Width, m.Width), size.Height+m.Height)
		lines = append(lines, c)
	}
	size = size.AddWidthHeight(18, 12)
	t.back.Resize(size)
	t.box.Objects = append([]fyne.CanvasObject{t.back}, lines...)
	driver := fyne.CurrentApp().Driver()
	at := driver.AbsolutePositionForObject(of).Subtract(driver.AbsolutePositionForObject(t.box))
	room := t.box.Size()
	x := at.X + of.Size().Width/2 - size.Width/2
	y := at.Y - size.Height - 6
	if y < 4 {
		y = at.Y + of.Size().Height + 6
	}
	move := fyne.NewPos(min(max(4, x), max(4, room.Width-size.Width-4)), y)
	for _, o := range t.box.Objects {
		o.Move(o.Position().Add(move))
	}
	t.back.Move(move)
	t.box.Show()
	t.box.Refresh()
}

func (t *tipLayer) hide(of fyne.CanvasObject) {
	if t.of == of {
		t.of = nil
		t.box.Objects = nil
		t.box.Hide()
	}
}
