package ui

import (
	"image/color"
	"slices"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A line is one line of text that ends in "…" where there is no room. Texts of
// others, which may be of any length, are shown with it.
type line struct {
	widget.BaseWidget
	full string
	draw *canvas.Text
	name fyne.ThemeColorName

	size float32        // of the text where there is room
	less float32        // and where there is not; 0 is the same
	most int            // so many lines it may take
	more []*canvas.Text // those after the first
}

func newLine(text string, size float32, name fyne.ThemeColorName) *line {
	l := &line{full: oneLine(text), name: name, size: size, most: 1, draw: canvas.NewText(oneLine(text), paint(name))}
	l.draw.TextSize = size
	l.ExtendBaseWidget(l)
	return l
}

func (l *line) bold() *line {
	l.draw.TextStyle.Bold = true
	return l
}

func (l *line) centred() *line {
	l.draw.Alignment = fyne.TextAlignCenter
	return l
}

func (l *line) trailing() *line {
	l.draw.Alignment = fyne.TextAlignTrailing
	return l
}

// shrinks makes it smaller where there is no room.
func (l *line) shrinks(to float32) *line {
	l.less = to
	return l
}

// wraps lets it have several lines.
func (l *line) wraps(most int) *line {
	l.most = most
	return l
}

// width is what the text takes.
func (l *line) width() float32 { return fyne.MeasureText(l.full, l.size, l.draw.TextStyle).Width }

// set shows another text.
func (l *line) set(text string) {
	if text = oneLine(text); text == l.full {
		return
	}
	l.full = text
	l.Refresh()
}

func (l *line) paint(name fyne.ThemeColorName) {
	if l.name != name {
		l.name = name
		l.Refresh()
	}
}

// oneLine makes text harmless for one line: no breaks, no control characters,
// and no marks that turn the direction of what follows.
func oneLine(s string) string { return strings.TrimSpace(harmless(s)) }

// harmless is oneLine for text within another. Of many blanks two stay, or they
// would take the room of words.
func harmless(s string) string {
	const longest = 400
	var b strings.Builder
	blanks := 0
	for _, r := range s {
		if b.Len() > longest {
			return b.String() + "…"
		}
		switch {
		case r <= ' ', r >= 0x7f && r < 0xa0, unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029:
			if blanks++; blanks <= 2 {
				b.WriteByte(' ')
			}
		default:
			b.WriteRune(r)
			blanks = 0
		}
	}
	return b.String()
}

func (l *line) CreateRenderer() fyne.WidgetRenderer { return &lineRenderer{l} }

type lineRenderer struct{ l *line }

func (r *lineRenderer) Destroy() {}
func (r *lineRenderer) Objects() []fyne.CanvasObject {
	o := []fyne.CanvasObject{r.l.draw}
	for _, t := range r.l.more {
		o = append(o, t)
	}
	return o
}

// MinSize is higher once there are several lines.
func (r *lineRenderer) MinSize() fyne.Size {
	height := fyne.MeasureText("Ay", r.l.size, r.l.draw.TextStyle).Height
	return fyne.NewSize(16, height*float32(1+len(r.l.more)))
}

func (r *lineRenderer) Refresh() {
	r.Layout(r.l.Size())
	for _, t := range append(slices.Clip(r.l.more), r.l.draw) {
		t.Color = paint(r.l.name)
		t.Refresh()
	}
}

func (r *lineRenderer) Layout(size fyne.Size) {
	l, d := r.l, r.l.draw
	fits := func(s string) bool {
		return size.Width <= 0 || fyne.MeasureText(s, d.TextSize, d.TextStyle).Width <= size.Width
	}
	if d.TextSize = l.size; l.less != 0 && !fits(l.full) {
		d.TextSize = l.less
	}
	parts := []string{l.full}
	if l.most > 1 && !fits(l.full) {
		parts = breakText(l.full, size.Width, d.TextSize, d.TextStyle)
		if last := l.most - 1; len(parts) > l.most {
			parts = append(parts[:last:last], strings.Join(parts[last:], " "))
		}
	}
	for len(l.more) < len(parts)-1 {
		t := canvas.NewText("", d.Color)
		t.TextStyle, t.Alignment, t.TextSize = d.TextStyle, d.Alignment, d.TextSize
		l.more = append(l.more, t)
	}
	l.more = l.more[:len(parts)-1]
	each := fyne.NewSize(size.Width, size.Height/float32(len(parts)))
	for i, part := range parts {
		t := d
		if i > 0 {
			t = l.more[i-1]
			put(t, 0, each.Height*float32(i), each)
		} else {
			t.Resize(each)
		}
		t.Text = part
		if fits(part) {
			continue
		}
		runes := []rune(part)
		low, high := 0, len(runes)
		for low < high {
			mid := (low + high + 1) / 2
			if fits(string(runes[:mid]) + "…") {
				low = mid
			} else {
				high = mid - 1
			}
		}
		t.Text = strings.TrimSpace(string(runes[:low])) + "…"
	}
}

// wrapped is a paragraph.
func wrapped(text string, align fyne.TextAlign) *widget.Label {
	l := widget.NewLabelWithStyle(text, align, fyne.TextStyle{})
	l.Wrapping = fyne.TextWrapWord
	return l
}

// say shows another text in a paragraph.
func say(l *widget.Label, text string) {
	if l.Text != text {
		l.SetText(text)
	}
}

// small is a paragraph that matters less.
func small(text string) *widget.Label {
	l := wrapped(text, fyne.TextAlignLeading)
	l.Importance = widget.LowImportance
	l.SizeName = theme.SizeNameCaptionText
	return l
}

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

// Tapped, TappedOnKey and the rest make it a button for mouse and keyboard.
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

// breakText breaks text into lines of at most a width.
func breakText(text string, width, size float32, style fyne.TextStyle) (lines []string) {
	current := ""
	for _, word := range strings.Fields(oneLine(text)) {
		next := strings.TrimSpace(current + " " + word)
		if current != "" && fyne.MeasureText(next, size, style).Width > width {
			lines = append(lines, current)
			next = word
		}
		current = next
	}
	return append(lines, current)
}

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
	switch k.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		r.tapped()
	default:
		r.v.TypedKey(k)
	}
}

// picture is an icon that is no button.
func picture(what icon, size float32, name fyne.ThemeColorName) *canvas.Image {
	i := canvas.NewImageFromResource(what.in(paint(name)))
	i.FillMode = canvas.ImageFillContain
	i.SetMinSize(fyne.NewSquareSize(size))
	return i
}

// Layouts.

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
