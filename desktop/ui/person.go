package ui

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// recent is how many calls and files of somebody stand on their page.
const recent = 8

// The person is the page of a contact, or an invitation to choose one.
type person struct {
	v    *View
	root *fyne.Container

	nobody *fyne.Container
	hint   *widget.Label
	page   *container.Scroll

	face              *avatar
	name, jid, status *line
	call, video, file *round
	reason            *widget.Label
	ask               *button
	notice            *fyne.Container
	past              *fyne.Container
	pastTitle         *line

	shown    state.Contact
	lines    []state.Line
	transfer map[string]*transferRow
	moving   *fyne.Container
}

func newPerson(v *View) *person {
	p := &person{v: v, face: newAvatar(104), transfer: make(map[string]*transferRow)}
	p.hint = wrapped("", fyne.TextAlignCenter)
	p.hint.Importance = widget.LowImportance
	p.nobody = container.NewCenter(rows(14, container.NewCenter(picture(iconBell, 72, theme.ColorNameSeparator)),
		container.New(exactly(fyne.NewSize(340, 80)), p.hint)))

	p.name = newLine("", textTitle, theme.ColorNameForeground).bold().centred()
	p.jid = newLine("", textSmall, colorMuted).centred()
	p.status = newLine("", textNormal, colorMuted).centred()
	p.call = newRound(v, iconPhone, 58, colorCall, colorOnStage, "", func() { v.send(state.PlaceCall{Key: p.shown.Key}) })
	p.video = newRound(v, iconCamera, 58, theme.ColorNameButton, theme.ColorNameForeground, "", func() { v.send(state.PlaceCall{Key: p.shown.Key, Video: true}) })
	p.file = newRound(v, iconFile, 58, theme.ColorNameButton, theme.ColorNameForeground, tr("send.tip"), func() { v.send(state.ChooseFiles{Key: p.shown.Key}) })
	folder := newRound(v, iconFolder, 58, theme.ColorNameButton, theme.ColorNameForeground, tr("send.folder.tip"), func() { v.send(state.ChooseFiles{Key: p.shown.Key, Folder: true}) })
	under := func(b *round, text string) fyne.CanvasObject {
		c := canvas.NewText(text, paint(colorMuted))
		c.TextSize, c.Alignment = textSmall, fyne.TextAlignCenter
		return container.New(atLeast(fyne.NewSize(82, 0)), rows(5, container.NewCenter(b), c))
	}
	p.reason = wrapped("", fyne.TextAlignLeading)
	examine := newButton(p.v, tr("why.examine"), func() {
		v.look(state.Show{Page: state.PageDoctor})
		v.send(state.Examine{Key: p.shown.Key})
	})
	examine.Importance = widget.LowImportance
	p.ask = newButton(p.v, tr("why.ask"), func() { v.send(state.AddContact{Key: p.shown.Key, Name: p.shown.Name}) })
	p.notice = panel(colorNotice, padded(border(nil, nil, container.NewCenter(picture(iconAlert, 22, theme.ColorNameWarning)), container.NewCenter(rows(4, p.ask, examine)), p.reason), 8))
	p.past, p.moving = rows(2), rows(8)
	p.pastTitle = newLine(tr("recent"), textNormal, colorMuted).bold()
	more := newRound(v, iconMore, 36, "", theme.ColorNameForeground, tr("more.tip"), p.more)
	body := rows(6,
		border(nil, nil, nil, more),
		container.NewCenter(p.face), p.name, p.jid, p.status,
		padding(container.NewCenter(columns(6, under(p.call, tr("do.call")), under(p.video, tr("do.video")), under(p.file, tr("do.file")), under(folder, tr("do.folder")))), 14, 10, 0, 0),
		p.notice, p.moving, padding(p.pastTitle, 10, 0, 6, 0), p.past)
	p.page = container.NewVScroll(container.New(middle(560), padding(body, 14, 24, 16, 16)))
	p.root = container.NewStack(p.nobody, p.page)
	return p
}

func (p *person) draw(a state.App) {
	c, ok := a.Contact(a.Selected)
	if !ok && a.Selected.JID != "" {
		// Somebody who called, or whose address was opened, and is no contact.
		c, ok = state.Contact{Key: a.Selected, Why: state.WhyNotSeen}, true
	}
	show(p.nobody, !ok)
	show(p.page, ok)
	if !ok {
		text := tr("choose.somebody")
		if len(a.Contacts) == 0 {
			text = tr("choose.add")
		}
		say(p.hint, text)
		return
	}
	p.shown = c
	p.face.show(c.Title(), c.JID, presenceColor(c.Presence), paint(theme.ColorNameBackground))
	p.name.set(c.Title())
	p.jid.set(c.JID)
	show(p.jid, c.Name != "")
	p.status.set(presenceText(c))
	reason := why(c.Why, c.Title())
	tip, fill, front := tr("call.tip", c.Title()), colorCall, colorOnStage
	if c.Why != state.WhyNothing {
		tip = reason
		if c.Why != state.WhyNoRelay {
			fill, front = theme.ColorNameButton, theme.ColorNameForeground
		}
	}
	p.call.look(iconPhone, fill, front, tip)
	videoTip := tr("video.tip", c.Title())
	switch {
	case c.Why != state.WhyNothing:
		videoTip = reason
	case !c.Video:
		videoTip = tr("video.none", c.Title())
	}
	p.video.look(iconCamera, p.video.fill, p.video.front, videoTip)
	say(p.reason, reason)
	show(p.ask, c.Why == state.WhyNotSeen)
	show(p.notice, reason != "")
	p.drawTransfers(a)
	p.drawPast(a)
}

func (p *person) drawTransfers(a state.App) {
	rows := make(map[string]*transferRow)
	var objects []fyne.CanvasObject
	for _, t := range a.Transfers {
		if t.Key != p.shown.Key || len(objects) >= recent {
			continue
		}
		r := p.transfer[t.ID]
		if r == nil {
			r = newTransferRow(p.v)
		}
		r.draw(t)
		rows[t.ID] = r
		objects = append(objects, r.root)
	}
	p.transfer = rows
	if !same(p.moving.Objects, objects) {
		p.moving.Objects = objects
		p.moving.Refresh()
	}
	show(p.moving, len(objects) > 0)
}

func (p *person) drawPast(a state.App) {
	var lines []state.Line
	for _, l := range a.History {
		if l.Key == p.shown.Key && len(lines) < recent {
			lines = append(lines, l)
		}
	}
	show(p.pastTitle, len(lines) > 0)
	if same(lines, p.lines) {
		return
	}
	p.lines = lines
	p.past.RemoveAll()
	for _, l := range lines {
		o, _ := pastRow(p.v, l, false)
		p.past.Add(o)
	}
}

// remove asks whether somebody is to be a contact no more.
func (p *person) remove(c state.Contact) {
	p.v.sheet.open(tr("remove.title"), wrapped(tr("remove.text", c.Title()), fyne.TextAlignLeading), tr("remove.yes"), true, func() {
		p.v.send(state.RemoveContact{Key: c.Key})
		p.v.sheet.close()
	})
	p.v.sheet.again = func(n *View) { n.person.remove(c) }
}

// more is what is needed rarely.
func (p *person) more() { p.moreAs(p.shown, p.shown.Name) }

// short is the beginning of a name that may have any length, for a button.
func short(name string) string {
	const most = 24
	r := []rune(oneLine(name))
	if len(r) <= most {
		return string(r)
	}
	return strings.TrimSpace(string(r[:most-1])) + "…"
}

// moreAs is more about c, with a name in the field.
func (p *person) moreAs(c state.Contact, as string) {
	name := newEntry(p.v)
	name.SetText(oneLine(as))
	name.SetPlaceHolder(c.JID)
	name.label = tr("add.name")
	_, known := p.v.app.Contact(c.Key)
	content := rows(10, wrapped(tr("rename.text"), fyne.TextAlignLeading), name)
	label := tr("rename.do")
	done := func() {
		p.v.send(state.RenameContact{Key: c.Key, Name: name.Text})
		p.v.sheet.close()
	}
	if !known {
		label = tr("add.do")
		done = func() {
			p.v.send(state.AddContact{Key: c.Key, Name: name.Text})
			p.v.sheet.close()
		}
	} else {
		remove := newButton(p.v, tr("remove.do", short(c.Title())), func() { p.remove(c) })
		remove.Icon = iconTrash.in(paint(theme.ColorNameError))
		remove.Importance = widget.LowImportance
		content.Add(container.NewHBox(remove))
	}
	p.v.sheet.open(c.Title(), content, label, false, done)
	p.v.sheet.again = func(n *View) { n.person.moreAs(c, name.Text) }
}
