package ui

import (
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/widget"
)

// avatarColors are told apart by most people, and white is readable on them.
var avatarColors = []uint32{0x5b6ee1, 0x2f8f83, 0xb4578f, 0xc26a3a, 0x6c8a2f, 0x8a5fc7, 0x2f86b8, 0xb04a55, 0x7a6a4f, 0x3f9460}

// An avatar is the initials of somebody in a colour that stays theirs, and a
// dot that says whether they are there.
type avatar struct {
	widget.BaseWidget
	size     float32
	back     *canvas.Circle
	text     *canvas.Text
	rim, dot *canvas.Circle
	shown    look
}

// A look is whom an avatar shows.
type look struct {
	name, jid string
	dot, rim  color.Color
}

func newAvatar(size float32) *avatar {
	a := &avatar{size: size, back: canvas.NewCircle(color.Transparent), text: canvas.NewText("", color.White),
		rim: canvas.NewCircle(color.Transparent), dot: canvas.NewCircle(color.Transparent)}
	a.text.TextSize, a.text.Alignment = size*0.38, fyne.TextAlignCenter
	a.text.TextStyle.Bold = true
	a.ExtendBaseWidget(a)
	return a
}

// show shows somebody. dot is nil where presence does not matter; rim is the
// colour of what lies behind.
func (a *avatar) show(name, jid string, dot, rim color.Color) *avatar {
	now := look{name, jid, dot, rim}
	if a.shown == now {
		return a
	}
	a.shown = now
	a.back.FillColor = rgb(avatarColors[hash(strings.ToLower(jid))%uint32(len(avatarColors))])
	a.text.Text = initials(name)
	a.dot.FillColor, a.rim.FillColor = color.Transparent, color.Transparent
	if dot != nil {
		a.dot.FillColor, a.rim.FillColor = dot, rim
	}
	a.Refresh()
	return a
}

// fit gives it another size.
func (a *avatar) fit(size float32) {
	if a.size != size {
		a.size, a.text.TextSize = size, size*0.38
		a.Refresh()
	}
}

// initials are the first letters of the first and the last word.
func initials(name string) string {
	name, _, _ = strings.Cut(oneLine(name), "@")
	words := strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '.' || r == '_' || r == '-' })
	if len(words) == 0 {
		return "?"
	}
	first := []rune(strings.ToUpper(words[0]))[:1]
	if len(words) > 1 {
		first = append(first, []rune(strings.ToUpper(words[len(words)-1]))[0])
	}
	return string(first)
}

func (a *avatar) CreateRenderer() fyne.WidgetRenderer { return &avatarRenderer{a} }

type avatarRenderer struct{ a *avatar }

func (r *avatarRenderer) Destroy() {}
func (r *avatarRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.a.back, r.a.text, r.a.rim, r.a.dot}
}
func (r *avatarRenderer) MinSize() fyne.Size { return fyne.NewSquareSize(r.a.size) }
func (r *avatarRenderer) Refresh() {
	r.Layout(r.a.Size())
	for _, o := range r.Objects() {
		o.Refresh()
	}
}

func (r *avatarRenderer) Layout(size fyne.Size) {
	a := r.a
	at := fyne.NewPos((size.Width-a.size)/2, (size.Height-a.size)/2)
	a.back.Resize(fyne.NewSquareSize(a.size))
	a.back.Move(at)
	h := a.text.MinSize().Height
	a.text.Resize(fyne.NewSize(a.size, h))
	a.text.Move(at.AddXY(0, (a.size-h)/2))
	dot := min(20, max(9, a.size*0.27))
	a.rim.Resize(fyne.NewSquareSize(dot + 4))
	a.rim.Move(at.AddXY(a.size-dot-1, a.size-dot-1))
	a.dot.Resize(fyne.NewSquareSize(dot))
	a.dot.Move(at.AddXY(a.size-dot+1, a.size-dot+1))
}
