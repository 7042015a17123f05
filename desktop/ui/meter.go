package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// silent is the level of no sound, in dBFS.
const silent = -96.0

// A meter shows how loud something is, from -60 dBFS to full scale.
type meter struct {
	widget.BaseWidget
	level     float64
	back, bar *canvas.Rectangle
}

func newMeter() *meter {
	m := &meter{level: silent, back: canvas.NewRectangle(rgba(0x808898, 0x44)), bar: canvas.NewRectangle(paint(theme.ColorNameSuccess))}
	m.back.CornerRadius, m.bar.CornerRadius = 3, 3
	m.ExtendBaseWidget(m)
	return m
}

func (m *meter) set(dB float64) {
	if m.level != dB {
		m.level = dB
		m.Refresh()
	}
}

func (m *meter) CreateRenderer() fyne.WidgetRenderer { return &meterRenderer{m} }

type meterRenderer struct{ m *meter }

func (r *meterRenderer) Destroy()                     {}
func (r *meterRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.m.back, r.m.bar} }
func (r *meterRenderer) MinSize() fyne.Size           { return fyne.NewSize(60, 6) }
func (r *meterRenderer) Refresh() {
	r.Layout(r.m.Size())
	r.m.bar.Refresh()
}

func (r *meterRenderer) Layout(size fyne.Size) {
	const height = 6
	at := fyne.NewPos(0, (size.Height-height)/2)
	r.m.back.Resize(fyne.NewSize(size.Width, height))
	r.m.back.Move(at)
	share := float32(min(1, max(0, (r.m.level+60)/60)))
	r.m.bar.Resize(fyne.NewSize(size.Width*share, height))
	r.m.bar.Move(at)
	r.m.bar.Hidden = share < 0.02
}
