package ui

import (
	"bytes"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/thumb"
)

// The transfers are the page of files on their way and those that were.
type transfers struct {
	v     *View
	root  *fyne.Container
	box   *fyne.Container
	empty *widget.Label
	tidy  *button
	rows  map[string]*transferRow
}

func newTransfers(v *View) *transfers {
	t := &transfers{v: v, rows: make(map[string]*transferRow), box: rows(8)}
	t.empty = wrapped(tr("files.none"), fyne.TextAlignCenter)
	t.empty.Importance = widget.LowImportance
	t.tidy = newButton(v, tr("files.tidy"), func() { v.send(state.ForgetFiles{}) })
	t.tidy.Importance = widget.LowImportance
	t.root = page(tr("page.transfers"), t.tidy, container.NewStack(container.NewVScroll(t.box),
		container.NewCenter(container.New(exactly(fyne.NewSize(340, 80)), t.empty))))
	return t
}

func (t *transfers) draw(a state.App) {
	rows := make(map[string]*transferRow)
	var objects []fyne.CanvasObject
	over := false
	for _, x := range a.Transfers {
		r := t.rows[x.ID]
		if r == nil {
			r = newTransferRow(t.v)
		}
		r.draw(x)
		rows[x.ID] = r
		objects = append(objects, r.root)
		over = over || x.Phase.Over()
	}
	t.rows = rows
	if !same(t.box.Objects, objects) {
		t.box.Objects = objects
		t.box.Refresh()
	}
	show(t.empty, len(objects) == 0)
	show(t.tidy, over)
}

// A transferRow is one transfer with what can be done about it.
type transferRow struct {
	v      *View
	root   *fyne.Container
	kind   *canvas.Image
	name   *line
	text   *line
	bar    *widget.ProgressBar
	barBox *fyne.Container
	pause  *round
	cancel *round
	open   *round
	offer  fyne.CanvasObject
	thumb  *canvas.Image
	sign   *fyne.Container // what it is, or how it looks
	kindIs icon
	shown  state.Transfer
}

func newTransferRow(v *View) *transferRow {
	r := &transferRow{v: v}
	r.kind = picture(iconFile, 24, theme.ColorNamePrimary)
	r.thumb = canvas.NewImageFromImage(nil)
	r.thumb.FillMode, r.thumb.CornerRadius = canvas.ImageFillContain, 6
	r.thumb.Hide()
	r.name = newLine("", textNormal, theme.ColorNameForeground).bold()
	r.text = newLine("", textSmall, colorMuted).wraps(2)
	r.bar = widget.NewProgressBar()
	r.bar.TextFormatter = func() string { return "" }
	r.barBox = container.New(exactly(fyne.NewSize(10, 6)), r.bar)
	r.pause = newRound(v, iconHold, 34, "", theme.ColorNameForeground, "", func() {
		if r.shown.Phase == state.Moves || r.shown.Phase == state.WaitsFor {
			v.send(state.PauseFiles{ID: r.shown.ID})
		} else {
			v.send(state.ResumeFiles{ID: r.shown.ID})
		}
	})
	r.cancel = newRound(v, iconClose, 34, "", theme.ColorNameForeground, tr("files.cancel"), func() { v.send(state.CancelFiles{ID: r.shown.ID}) })
	r.open = newRound(v, iconFolder, 34, "", theme.ColorNameForeground, tr("files.open"), func() { v.send(state.OpenPlace{ID: r.shown.ID}) })
	yes := newButton(v, tr("files.take"), func() { v.send(state.TakeFiles{ID: r.shown.ID}) })
	yes.Importance = widget.HighImportance
	no := newButton(v, tr("call.decline"), func() { v.send(state.RefuseFiles{ID: r.shown.ID}) })
	r.offer = vcentre(columns(6, no, yes)) // as a whole, to take no room when it is hidden
	r.sign = container.New(exactly(signSize), container.NewCenter(r.kind), r.thumb)
	r.root = panel(colorCard, padded(container.New(&asideLayout{},
		vcentre(r.sign),
		padding(vcentre(rows(3, r.name, r.text, r.barBox)), 0, 0, 10, 8),
		columns(2, r.offer, r.pause, r.open, r.cancel)), 10))
	return r
}

// An asideLayout has buttons at the end of a row, or below it where they would
// leave no room for what stands between them and what leads the row.
type asideLayout struct{ high bool }

// leastText is room for what a row is about.
const leastText = 150

// MinSize implements [fyne.Layout].
func (l *asideLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	lead, text, tail := o[0].MinSize(), o[1].MinSize(), o[2].MinSize()
	m := fyne.NewSize(max(lead.Width+text.Width+theme.Padding(), tail.Width), max(lead.Height, text.Height))
	if l.high {
		m.Height += theme.Padding() + tail.Height
	} else {
		m.Height = max(m.Height, tail.Height)
	}
	return m
}

// Layout implements [fyne.Layout].
func (l *asideLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	lead, tail := o[0].MinSize(), o[2].MinSize()
	gap := theme.Padding()
	start := lead.Width + gap
	l.high = size.Width-start-gap-tail.Width < leastText && tail.Width > 0
	end := size.Width - tail.Width
	if l.high {
		size.Height -= gap + tail.Height
		put(o[2], end, size.Height+gap, tail)
		end = size.Width + gap
	} else {
		put(o[2], end, 0, fyne.NewSize(tail.Width, size.Height))
	}
	put(o[0], 0, 0, fyne.NewSize(lead.Width, size.Height))
	put(o[1], start, 0, fyne.NewSize(end-gap-start, size.Height))
}

func (r *transferRow) draw(t state.Transfer) {
	old := r.shown
	r.shown = t
	kind := iconFile
	if t.Files > 1 || len(t.Names) > 1 {
		kind = iconFolder
	}
	if kind != r.kindIs {
		r.kindIs = kind
		r.kind.Resource = kind.in(paint(theme.ColorNamePrimary))
		r.kind.Refresh()
	}
	r.look(old, t)
	r.name.set(fileNames(t))
	r.text.set(transferText(t))
	tint := colorMuted
	if t.Phase == state.Broke {
		tint = theme.ColorNameError
	}
	r.text.paint(tint)
	moving := t.Phase == state.Moves || t.Phase == state.Paused
	show(r.barBox, moving)
	if moving {
		if share := t.Share(); r.bar.Value != share {
			r.bar.SetValue(share)
		}
	}
	show(r.offer, t.Incoming && t.Phase == state.Offered)
	switch {
	case t.Phase == state.Moves && t.Resumable, t.Phase == state.WaitsFor:
		tip := tr("files.pause")
		if t.Incoming {
			tip = tr("files.pause.theirs", cmpOr(t.Name, t.JID))
		}
		r.pause.look(iconHold, "", theme.ColorNameForeground, tip)
		r.pause.Show()
	case t.Phase == state.Paused, t.Phase == state.Broke && !t.Incoming:
		r.pause.look(iconResume, "", theme.ColorNameForeground, tr("files.resume"))
		show(r.pause, !t.Incoming)
	default:
		r.pause.Hide()
	}
	show(r.open, t.Incoming && t.Place != "" && t.Phase == state.Arrived)
	show(r.cancel, !t.Phase.Over() && (!t.Incoming || t.Phase != state.Offered))
}

// Sizes of the picture before a transfer. One that waits for an answer is
// looked at in order to give it.
var (
	signSize = fyne.NewSize(44, 44)
	lookSize = fyne.NewSize(96, 72)
)

// look shows what is sent, when that is an image.
func (r *transferRow) look(old, t state.Transfer) {
	if !bytes.Equal(old.Thumbnail, t.Thumbnail) {
		i, err := thumb.Decode(t.Thumbnail)
		if err != nil {
			i = nil // it is drawn as any file
		}
		r.thumb.Image = i
		show(r.thumb, i != nil)
		show(r.kind, i == nil)
		r.thumb.Refresh()
	}
	size := signSize
	if r.thumb.Image != nil && t.Incoming && t.Phase == state.Offered {
		size = lookSize
	}
	if r.sign.MinSize() != size {
		r.sign.Layout = exactly(size)
		r.root.Refresh()
	}
}

// fileNames is what a transfer is called.
func fileNames(t state.Transfer) string {
	switch len(t.Names) {
	case 0:
		return count("files.count", max(1, t.Files))
	case 1:
		return t.Names[0]
	}
	return tr("files.more", t.Names[0], len(t.Names)-1)
}

// transferText is one line about a transfer: who, how much, how fast.
func transferText(t state.Transfer) string {
	who := tr("files.to", cmpOr(t.Name, t.JID))
	if t.Incoming {
		who = tr("files.from", cmpOr(t.Name, t.JID))
	}
	parts := []string{who}
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	whole := ""
	if t.Size >= 0 {
		whole = size(t.Size)
	}
	switch t.Phase {
	case state.Moves:
		if t.Size > 0 {
			add(tr("files.of", size(t.Done), whole))
		} else {
			add(size(t.Done))
		}
		if t.Speed >= 1 {
			add(size(int64(t.Speed)) + "/s")
		}
		add(left(t.Left()))
		if t.Path == state.PathRelay {
			add(tr("path.relay"))
		}
	case state.Broke:
		if t.Problem != nil {
			p := *t.Problem
			p.Who = cmpOr(p.Who, cmpOr(t.Name, t.JID))
			if t.GivenUp {
				return tr("files.given.up", problem(p))
			}
			return problem(p)
		}
		add(tr("files.failed"))
	case state.Offered:
		add(whole)
		if !t.Incoming {
			add(tr("files.asked"))
		}
	case state.Arrived:
		add(whole)
		if t.Verified {
			add(tr("files.verified"))
		} else {
			add(tr("files.arrived"))
		}
	case state.Paused:
		add(whole)
		if t.Incoming { // only who sends can go on
			add(tr("files.paused.theirs", cmpOr(t.Name, t.JID)))
		} else {
			add(tr("files.paused"))
		}
	default:
		add(whole)
		add(tr("files." + string(t.Phase)))
	}
	return strings.Join(parts, "  ·  ")
}
