package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"github.com/carillon-im/carillon/desktop/state"
)

// The callBar leads back to a call while something else is shown. It is about
// one that waits as long as there is one.
type callBar struct {
	v      *View
	root   *fyne.Container
	text   *line
	hang   *round
	call   state.Call
	answer *button
}

func newCallBar(v *View) *callBar {
	b := &callBar{v: v, text: newLine("", textNormal, colorOnStage).bold()}
	back := canvas.NewRectangle(paint(colorCall))
	b.hang = newRound(v, iconHangUp, 34, colorHangUp, colorOnStage, "", func() {
		if b.call.Phase == state.Rings {
			v.send(state.DeclineCall{ID: b.call.ID})
		} else {
			v.hangUp()
		}
	})
	b.answer = newButton(v, tr("call.answer"), v.answer)
	go2 := newRow(v, vcentre(b.text), func() { v.look(state.StageShown{On: true}) })
	b.root = container.NewStack(back, padding(border(nil, nil, padding(container.NewCenter(picture(iconPhone, 18, colorOnStage)), 0, 0, 8, 2), columns(8, b.answer, b.hang), go2), 4, 4, 8, 8))
	b.root.Hide()
	return b
}

func (b *callBar) draw(a state.App) {
	c, ok := a.Front()
	if w, waits := a.Waiting(); waits {
		c = w
	}
	show(b.root, ok)
	b.call = c
	show(b.answer, ok && c.Phase == state.Rings)
	tip := "call.hangup"
	if c.Phase == state.Rings {
		tip = "call.decline"
	}
	b.hang.look(iconHangUp, colorHangUp, colorOnStage, tr(tip))
	if ok {
		b.tick()
	}
}

func (b *callBar) tick() {
	b.text.set(cmpOr(b.call.Name, b.call.JID) + "  ·  " + phase(b.call, b.v.now()) + "  ·  " + tr("bar.return"))
}
