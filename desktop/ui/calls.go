package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The calls are the page of what is past.
type calls struct {
	v     *View
	root  *fyne.Container
	list  *list
	empty *widget.Label
	lines []state.Line
}

func newCalls(v *View) *calls {
	c := &calls{v: v, empty: wrapped(tr("calls.none"), fyne.TextAlignCenter)}
	c.empty.Importance = widget.LowImportance
	c.list = newList(v, func() int { return len(c.lines) },
		func() fyne.CanvasObject { return newPastItem(v) },
		func(i int, o fyne.CanvasObject) {
			if i < len(c.lines) {
				p := o.(*pastItem)
				p.show(c.lines[i], c.list.isMarked(i))
				c.list.puts(p.again, i)
			}
		})
	c.list.chosen = func(i int) { v.look(state.Select{Key: c.lines[i].Key}) }
	c.list.opened = func(i int) {
		c.list.chosen(i)
		v.next = c.lines[i].Key
	}
	c.root = page(tr("page.calls"), nil, container.NewStack(c.list, container.NewCenter(container.New(exactly(fyne.NewSize(320, 60)), c.empty))))
	return c
}

func (c *calls) draw(a state.App) {
	show(c.empty, len(a.History) == 0)
	if !same(c.lines, a.History) {
		c.lines = a.History
		c.list.Refresh()
	}
}

// A pastItem is a row of the list.
type pastItem struct {
	widget.BaseWidget
	v     *View
	line  state.Line
	back  *canvas.Rectangle
	holds *fyne.Container
	again *round
}

func newPastItem(v *View) *pastItem {
	p := &pastItem{v: v, back: canvas.NewRectangle(color.Transparent), holds: container.NewStack()}
	p.back.CornerRadius = 8
	p.fill()
	p.ExtendBaseWidget(p)
	return p
}

func (p *pastItem) fill() {
	var o fyne.CanvasObject
	o, p.again = pastRow(p.v, p.line, true)
	p.holds.Objects = []fyne.CanvasObject{p.back, o}
}

func (p *pastItem) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(p.holds) }

func (p *pastItem) show(l state.Line, mark bool) {
	if l != p.line {
		p.line = l
		if p.again.focused {
			p.v.focus(p.again.of) // a key must not call somebody else than was seen
		}
		p.fill()
		p.holds.Refresh()
	}
	width := float32(0)
	if mark {
		width = 2
	}
	if p.back.StrokeWidth != width {
		p.back.StrokeColor, p.back.StrokeWidth = paint(theme.ColorNamePrimary), width
		p.back.Refresh()
	}
}

// pastRow is one call that is over, with a button to call back.
func pastRow(v *View, l state.Line, named bool) (fyne.CanvasObject, *round) {
	arrow, tint := iconOut, colorMuted
	if l.Incoming {
		arrow = iconIn
	}
	if l.Outcome == state.Missed {
		tint = theme.ColorNameError
	}
	what := outcome(l)
	text := []fyne.CanvasObject{newLine(what, textNormal, theme.ColorNameForeground)}
	if named {
		name := newLine(cmpOr(l.Name, l.JID), textNormal, theme.ColorNameForeground)
		if l.Outcome == state.Missed && !l.Seen {
			name.bold()
		}
		text = []fyne.CanvasObject{name, newLine(what, textSmall, colorMuted)}
	}
	when := newLine(day(l.Start, v.now()), textSmall, colorMuted).trailing()
	kind := iconPhone
	if l.Video {
		kind = iconCamera
	}
	back := newRound(v, kind, 34, "", colorCall, tr("call.back", cmpOr(l.Name, l.JID)), func() { v.send(state.PlaceCall{Key: l.Key, Video: l.Video}) })
	var lead fyne.CanvasObject = container.NewCenter(picture(arrow, 18, tint))
	if named {
		lead = columns(10, container.NewCenter(picture(arrow, 18, tint)), newAvatar(36).show(cmpOr(l.Name, l.JID), l.JID, nil, nil))
	}
	return padding(container.New(&pastLayout{when: when}, append([]fyne.CanvasObject{lead, back, when}, text...)...), 4, 4, 8, 4), back
}

// A pastLayout has what leads a row, the button at its end, when it was, and the
// one or two lines of text. Where there is little room, when it was stands beside
// the first line if there are two, and else below it.
type pastLayout struct {
	when   *line
	narrow bool
}

// MinSize implements [fyne.Layout].
func (l *pastLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	lead, back, text := o[0].MinSize(), o[1].MinSize(), float32(0)
	for _, x := range o[3:] {
		text += x.MinSize().Height
	}
	if l.narrow && len(o) == 4 {
		text += l.when.MinSize().Height
	}
	return fyne.NewSize(lead.Width+back.Width+120, max(lead.Height, back.Height, text))
}

// Layout implements [fyne.Layout].
func (l *pastLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	const before, after, gap, whenWidth, whenHeight, wide = 15, 11, 6, 120, 18, 480
	lead, back := o[0].MinSize(), o[1].MinSize()
	put(o[0], 0, 0, fyne.NewSize(lead.Width, size.Height))
	end := size.Width - back.Width
	put(o[1], end, 0, fyne.NewSize(back.Width, size.Height))
	start := lead.Width + before
	end -= gap
	l.narrow = size.Width < wide
	two := len(o) > 4
	first := o[3].MinSize().Height
	high := first // of the text
	if two {
		high += o[4].MinSize().Height
	}
	l.when.draw.Alignment = fyne.TextAlignTrailing
	small := l.when.MinSize().Height
	switch {
	case !l.narrow:
		end -= whenWidth
		put(l.when, end, (size.Height-whenHeight)/2, fyne.NewSize(whenWidth, whenHeight))
		end -= after
	case two:
		w := l.when.width() + 1
		put(l.when, end-w, (size.Height-high)/2+first-small-1, fyne.NewSize(w, small))
		end -= w + gap
	default:
		high += small
		l.when.draw.Alignment = fyne.TextAlignLeading
		put(l.when, start, (size.Height-high)/2+first, fyne.NewSize(end-start, small))
	}
	y := (size.Height - high) / 2
	put(o[3], start, y, fyne.NewSize(end-start, first))
	if two {
		if l.narrow {
			end = size.Width - back.Width - gap
		}
		put(o[4], start, y+first, fyne.NewSize(end-start, o[4].MinSize().Height))
	}
}

// outcome says how a call went.
func outcome(l state.Line) string {
	switch l.Outcome {
	case state.Answered:
		if l.Duration > 0 {
			return clock(l.Duration)
		}
		return tr("outcome.answered")
	case state.NoAnswer, state.Declined, state.WasBusy, state.Missed, state.Elsewhere, state.Retracted:
		key := "outcome." + string(l.Outcome)
		if l.Incoming && l.Outcome == state.Declined {
			key = "outcome.declined here"
		}
		return tr(key)
	}
	return tr("outcome.failed")
}
