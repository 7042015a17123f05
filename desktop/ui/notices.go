package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The notices are what is said above a page and goes away again: how a call
// ended, and problems.
type notices struct {
	v    *View
	root *fyne.Container
	card *fyne.Container

	text   *widget.Label
	detail *widget.Label
	again  *button
	key    state.Key
	video  bool
	asks   string // the account that asks for its password again, or none
	over   bool   // it lies over a call
	shown  [2]any
}

// overCall is how much of the window below a notice is left to the buttons of a
// call: that which hangs up must not be covered.
const overCall = 132

func newNotices(v *View) *notices {
	n := &notices{v: v, text: wrapped("", fyne.TextAlignLeading), detail: small("")}
	n.again = newButton(v, tr("call.again"), func() {
		v.look(state.Dismissed{})
		if n.asks != "" {
			v.look(state.SigningInAgain{JID: n.asks})
		} else {
			v.send(state.PlaceCall{Key: n.key, Video: n.video})
		}
	})
	n.again.Importance = widget.HighImportance
	shut := newRound(v, iconClose, 30, "", colorMuted, tr("dismiss"), func() { v.look(state.Dismissed{}) })
	back := canvas.NewRectangle(paint(theme.ColorNameOverlayBackground))
	back.CornerRadius, back.StrokeWidth, back.StrokeColor = 12, 1, paint(theme.ColorNameSeparator)
	n.card = container.NewStack(back, padded(border(nil, nil, nil, container.NewVBox(shut), rows(0, n.text, n.detail, container.NewHBox(n.again))), 10))
	n.root = container.New(overPage{floating{0.72, 1, 18}}, container.New(atLeast(fyne.NewSize(noticeWidth, 0)), n.card))
	n.root.Hide()
	return n
}

func (n *notices) draw(a state.App, stage bool) {
	if stage != n.over {
		n.over = stage
		n.root.Layout = overPage{floating{0.72, 1, 18}}
		if stage {
			n.root.Layout = raised{floating{0.5, 1, 18}, overCall}
		}
		n.root.Layout.Layout(n.root.Objects, n.root.Size())
	}
	now := [2]any{a.Problem, a.Flash}
	if now == n.shown {
		return
	}
	n.shown = now
	show(n.root, a.Problem != nil || a.Flash != nil)
	n.again.Hide()
	n.asks = ""
	detail := ""
	switch {
	case a.Problem != nil:
		say(n.text, problem(*a.Problem))
		detail = a.Problem.Detail
		if own, ok := a.AsksAgain(a.Problem); ok {
			n.asks = own.JID
			n.again.SetText(tr("settings.again"))
			n.again.Show()
		}
	case a.Flash != nil:
		f := a.Flash
		n.key, n.video = f.Key, f.Video
		again := tr("call.again")
		if f.Outcome == state.Missed {
			again = CallBack()
		}
		if n.again.Text != again {
			n.again.SetText(again)
		}
		name := cmpOr(f.Name, f.JID)
		switch {
		case f.Problem != nil:
			p := *f.Problem
			p.Who = cmpOr(p.Who, name)
			say(n.text, problem(p))
			detail = p.Detail
			n.again.Show()
		case f.Outcome == state.Answered:
			who := "ended.us"
			if f.Remote {
				who = "ended.them"
			}
			say(n.text, tr(who, name, clock(f.Lasted)))
		default:
			say(n.text, tr("ended."+string(f.Outcome), name))
			if f.Outcome != state.Elsewhere {
				n.again.Show()
			}
		}
	}
	say(n.detail, sentence(detail))
	show(n.detail, detail != "")
}

// noticeWidth is that of a notice where there is room.
const noticeWidth = 460

// overPage is a floating that in a narrow window leaves the side free, with the
// buttons that turn the pages.
type overPage struct{ floating }

// Layout implements [fyne.Layout].
func (l overPage) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	if size.Width >= narrowWindow {
		l.floating.Layout(objects, size)
		return
	}
	const margin = 10
	w := min(noticeWidth, size.Width-narrowWidth-2*margin)
	for _, o := range objects {
		o.Resize(fyne.NewSize(w, o.MinSize().Height)) // what wraps knows its height
		h := min(o.MinSize().Height, size.Height-2*margin)
		put(o, size.Width-margin-w, size.Height-margin-h, fyne.NewSize(w, h))
	}
}
