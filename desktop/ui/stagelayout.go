package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

const (
	detailsWidth = 290
	nameWidth    = 520 // of the other side, in the middle
	noteWidth    = 460
	cardWidth    = 444 // of those at the top
	faceSize     = 132
	// leastFace is an avatar that is worth its room.
	leastFace = 40
)

// roomBeside reports whether the details, and the telephone keys, have room
// beside who is talked to.
func roomBeside(size fyne.Size) bool { return size.Width >= detailsWidth+nameWidth+10 }

// stageNeeds is what a stage is laid out for, besides its size.
type stageNeeds struct {
	waits, parked, changed, pad, details, rings, remark bool
	note                                                string
}

func (s *stage) needs() stageNeeds {
	return stageNeeds{
		waits: s.waiting.Visible(), parked: s.parked.Visible(), changed: s.warns, pad: s.pad.Visible(),
		details: s.details.root.Visible(), rings: s.answer.Visible(), remark: s.remarks.full != "", note: s.note.said.Text,
	}
}

// arrange lays the stage out anew: Fyne does it only where something needs
// another size than before, and the window is larger than it must be.
func (s *stage) arrange() {
	s.body.Layout.Layout(s.body.Objects, s.body.Size())
}

// A stageLayout keeps all that lies over a picture, or in its place, apart. In a
// narrow window the details are a card over the picture, and whoever is talked
// to moves aside and gets smaller.
type stageLayout struct{ s *stage }

// MinSize implements [fyne.Layout].
func (l stageLayout) MinSize([]fyne.CanvasObject) fyne.Size {
	const name = 80 // and the clock
	return l.s.chrome.MinSize().Max(fyne.NewSize(0, l.s.top.MinSize().Height+name+l.s.bottom.MinSize().Height))
}

// Layout implements [fyne.Layout].
func (l stageLayout) Layout(_ []fyne.CanvasObject, size fyne.Size) {
	s := l.s
	wide := roomBeside(size)
	if !wide && s.pad.Visible() {
		show(s.details.root, false) // one of them has room
	}
	s.laid = s.needs()
	details := s.details.root.Visible()
	show(s.changed, s.warns && (wide || !details)) // the details say it, too
	room := size
	if details && wide {
		room.Width -= detailsWidth + theme.Padding()
	}
	for _, o := range []fyne.CanvasObject{s.curtains, s.theirs, s.mover, s.chrome} {
		put(o, 0, 0, room)
	}
	top := s.top.MinSize().Height
	const remark, gap = 16, 8 // of the bar below
	low := size.Height - s.bottom.MinSize().Height + remark + gap
	right := room.Width // of what is free

	if s.pad.Visible() {
		m := s.pad.MinSize()
		x, y := room.Width-24-m.Width, 24+(size.Height-m.Height-48)*0.6
		if !wide {
			y = max(top, min(y, low-gap-m.Height))
			m.Height = min(m.Height, low-gap-y)
			right = x - gap
		}
		put(s.pad, x, y, m)
	}
	above := top // what is free begins
	if s.waiting.Visible() || s.parked.Visible() || s.changed.Visible() {
		const margin = 12
		w := min(right-2*margin, s.cardWidth())
		s.cards.Resize(fyne.NewSize(w, s.cards.MinSize().Height)) // what wraps knows its height
		m := fyne.NewSize(w, s.cards.MinSize().Height)
		y := max(top, margin+(size.Height-m.Height-2*margin)*0.1)
		put(s.cards, (right-w)/2, y, m)
		above = y + m.Height + gap
	}
	switch {
	case details && wide:
		s.details.back.CornerRadius = 0
		put(s.details.root, size.Width-detailsWidth, 0, fyne.NewSize(detailsWidth, size.Height))
	case details:
		const margin, pad = 10, 32
		s.details.back.CornerRadius = 12
		x := room.Width - margin - detailsWidth
		put(s.details.root, x, above, fyne.NewSize(detailsWidth, max(0, min(low-gap-above, s.details.box.MinSize().Height+pad))))
		right = x - gap
	}
	own := fyne.NewSize(196, 147)
	if size.Width < narrowWindow {
		own = fyne.NewSize(144, 108)
	}
	if h := low - 6 - above; h < own.Height {
		own = fyne.NewSize(own.Width*h/own.Height, h)
	}
	const margin = 18
	x := room.Width - margin - own.Width
	if s.pad.Visible() || details && !wide {
		x = margin
	}
	put(s.own, x, min(margin+(size.Height-own.Height-2*margin)*0.86, low-6-own.Height), own)
	if s.remarks.full != "" {
		low -= remark + gap
	}
	put(s.centre, 0, 0, fyne.NewSize(right, size.Height))
	s.layCentre(right, above, low-gap)
}

// cardWidth is how wide the cards at the top are where there is room.
func (s *stage) cardWidth() float32 {
	w := float32(0)
	if s.waiting.Visible() || s.changed.Visible() {
		w = cardWidth
	}
	if s.waiting.Visible() {
		s.waiting.MinSize()
		w = max(w, s.choices.wide+cardWidth-420)
	}
	if s.parked.Visible() {
		w = max(w, s.parked.MinSize().Width+280)
	}
	return w
}

// layCentre puts who is talked to in the middle, or where there is room: between
// two heights, and not beyond a width.
func (s *stage) layCentre(width, from, to float32) {
	const gap, name = 10, 36
	w := max(0, min(nameWidth, width-32))
	status := s.status.MinSize().Height
	rest := float32(name + gap + status + gap)
	note := fyne.NewSize(max(0, min(noteWidth, width-32)), 64)
	if s.noteBox.Visible() {
		s.noteBox.Resize(note)
		note.Height = max(note.Height, s.noteBox.MinSize().Height)
		rest += note.Height
	}
	face := min(float32(faceSize), to-from-rest-gap)
	show(s.face, face >= leastFace)
	if s.face.Visible() {
		s.face.fit(face)
		rest += face + gap
	}
	// The bar above says who it is and how long, too.
	for _, o := range []fyne.CanvasObject{s.name, s.status} {
		show(o, to-from >= rest-gap)
	}
	y := max(from, min((s.centre.Size().Height-rest)/2, to-rest))
	if s.face.Visible() {
		put(s.face, (width-face)/2, y, fyne.NewSquareSize(face))
		y += face + gap
	}
	put(s.name, (width-w)/2, y, fyne.NewSize(w, name))
	y += name + gap
	put(s.status, (width-w)/2, y, fyne.NewSize(w, status))
	y += status + gap
	put(s.noteBox, (width-note.Width)/2, y, note)
}

// inRow lays things side by side, or one below the other where there is no room
// for that. Its height follows its width, as that of text that wraps.
type inRow struct {
	gap  float32
	wide float32 // what side by side takes
	high bool    // one below the other
}

// MinSize implements [fyne.Layout].
func (l *inRow) MinSize(o []fyne.CanvasObject) (m fyne.Size) {
	l.wide = -l.gap
	sum := -l.gap
	for _, x := range o {
		if x.Visible() {
			m = m.Max(x.MinSize())
			l.wide += x.MinSize().Width + l.gap
			sum += x.MinSize().Height + l.gap
		}
	}
	if l.high {
		m.Height = sum
	}
	return m
}

// Layout implements [fyne.Layout].
func (l *inRow) Layout(o []fyne.CanvasObject, size fyne.Size) {
	l.MinSize(o)
	l.high = l.wide > size.Width
	x, y := float32(0), float32(0)
	for _, o := range o {
		m := o.MinSize()
		switch {
		case !o.Visible():
		case l.high:
			put(o, 0, y, fyne.NewSize(size.Width, m.Height))
			y += m.Height + l.gap
		default:
			put(o, x, 0, fyne.NewSize(m.Width, size.Height))
			x += m.Width + l.gap
		}
	}
}

// A pill is a ground for a line of text, as wide as that is.
type pill struct{ text *line }

// MinSize implements [fyne.Layout].
func (pill) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(420, 16) }

// Layout implements [fyne.Layout].
func (p pill) Layout(o []fyne.CanvasObject, size fyne.Size) {
	const side, high = 10, 20
	w := float32(0)
	if p.text.full != "" {
		w = min(size.Width, p.text.width()+2*side)
	}
	put(o[0], (size.Width-w)/2, (size.Height-high)/2, fyne.NewSize(w, high))
	put(o[1], side, 0, fyne.NewSize(size.Width-2*side, size.Height))
}
