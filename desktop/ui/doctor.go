package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The doctor is the page that says what stands in the way of calls.
type doctor struct {
	v     *View
	root  *fyne.Container
	run   *button
	busy  *widget.Activity
	intro *widget.Label
	box   *fyne.Container
	shown []state.Check
}

func newDoctor(v *View) *doctor {
	d := &doctor{v: v, box: rows(4), busy: widget.NewActivity(), intro: wrapped(tr("doctor.text"), fyne.TextAlignLeading)}
	d.intro.Importance = widget.LowImportance
	d.busy.Hide()
	d.run = newButton(v, tr("doctor.run"), func() { v.send(state.Examine{Key: v.app.Selected}) })
	d.run.Importance = widget.HighImportance
	d.root = page(tr("page.doctor"), d.run, border(border(nil, nil, nil, container.NewCenter(d.busy), d.intro), nil, nil, nil, container.NewVScroll(d.box)))
	return d
}

func (d *doctor) draw(a state.App) {
	if a.Doctor.Running {
		d.run.Disable()
		d.busy.Show()
		d.busy.Start()
	} else {
		d.run.Enable()
		d.busy.Stop()
		d.busy.Hide()
	}
	alike := func(x, y state.Check) bool {
		return x.Kind == y.Kind && x.Which == y.Which && x.Status == y.Status && x.Detail.English == y.Detail.English && x.Means.English == y.Means.English
	}
	if slices.EqualFunc(d.shown, a.Doctor.Checks, alike) {
		return
	}
	d.shown = a.Doctor.Checks
	d.box.RemoveAll()
	for _, c := range d.shown {
		what, tint := iconCheck, theme.ColorNameSuccess
		switch c.Status {
		case "warn":
			what, tint = iconAlert, theme.ColorNameWarning
		case "fail":
			what, tint = iconClose, theme.ColorNameError
		case "skip":
			what, tint = iconMore, colorMuted
		}
		name, which := doctorName(c.Kind), c.Which
		detail, _ := doctorSays(c.Detail)
		short := cmpOr(which, detail)
		if which == "" && len([]rune(detail)) > shortDetail {
			short = ""
		}
		says := newLine(short, textNormal, theme.ColorNameForeground).wraps(3)
		text := rows(0, container.New(&checkLayout{says: says}, newLine(name, textNormal, theme.ColorNameForeground).bold(), says))
		if detail != short && detail != "" {
			text.Add(small(sentence(detail)))
		}
		if c.Means.English != "" {
			means, known := doctorSays(c.Means)
			if !known {
				means = sentence(means)
			}
			text.Add(small(means))
		}
		d.box.Add(panel(colorCard, padding(border(nil, nil, container.NewVBox(picture(what, 20, tint)), nil, padding(text, 0, 0, 8, 0)), 8, 8, 12, 10)))
	}
}

// A checkLayout has the name of a check before what is found, or above it where
// that has no room.
type checkLayout struct {
	says *line
	high bool
}

const checkName, checkHeight = 170, 20

// MinSize implements [fyne.Layout].
func (l *checkLayout) MinSize([]fyne.CanvasObject) fyne.Size {
	h := float32(checkHeight)
	if l.high {
		h += l.says.MinSize().Height
	}
	return fyne.NewSize(checkName, h)
}

// Layout implements [fyne.Layout].
func (l *checkLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	x := checkName + theme.Padding()
	if l.high = l.says.full != "" && l.says.width() > size.Width-x; l.high {
		put(o[0], 0, 0, fyne.NewSize(size.Width, checkHeight))
		put(l.says, 0, checkHeight, fyne.NewSize(size.Width, size.Height-checkHeight))
		return
	}
	put(o[0], 0, 0, fyne.NewSize(checkName, size.Height))
	put(l.says, x, 0, fyne.NewSize(size.Width-x, size.Height))
}

// shortDetail is how many letters have room beside the name of a check; more are
// wrapped below it.
const shortDetail = 48

func sentenceStart(s string) string {
	s = sentence(s)
	return s[:max(0, len(s)-1)]
}
