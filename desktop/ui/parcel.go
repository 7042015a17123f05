package ui

import (
	"path/filepath"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"github.com/carillon-im/carillon/desktop/state"
)

// A parcel is the sheet of files and folders that are chosen one after the
// other: the dialog of the toolkit returns one at a time.
type parcel struct {
	v     *View
	shown state.Parcel
	list  *fyne.Container
}

// draw opens the sheet with the first file and closes it when nothing is left.
func (p *parcel) draw(a state.App) {
	now := a.Parcel
	if now.Key == p.shown.Key && same(now.Paths, p.shown.Paths) {
		return
	}
	was := p.shown
	p.shown = now
	switch {
	case len(now.Paths) == 0:
		p.v.sheet.close()
	case len(was.Paths) == 0 || was.Key != now.Key:
		p.open()
	}
	if p.list == nil {
		return
	}
	p.list.RemoveAll()
	for _, path := range now.Paths {
		out := newRound(p.v, iconClose, 28, "", colorMuted, tr("parcel.remove"), func() { p.v.look(state.Unpacked{Path: path}) })
		name := rows(0, newLine(filepath.Base(path), textNormal, theme.ColorNameForeground), newLine(filepath.Dir(path), textSmall, colorMuted))
		p.list.Add(border(nil, nil, nil, out, name))
	}
}

func (p *parcel) open() {
	p.list = rows(6)
	to := p.shown
	more := func(key string, folder bool) *button {
		return newButton(p.v, tr(key), func() { p.v.send(state.ChooseFiles{Key: to.Key, Folder: folder}) })
	}
	content := border(nil, padding(container.NewHBox(more("parcel.file", false), more("parcel.folder", true)), 8, 0, 0, 0), nil, nil,
		container.New(atLeast(fyne.NewSize(420, 200)), container.NewVScroll(p.list)))
	p.v.sheet.open(tr("parcel.title", cmpOr(to.Name, to.JID)), content, tr("parcel.send"), false, func() {
		p.v.send(state.SendFiles{Key: p.shown.Key, Paths: p.shown.Paths})
	})
	p.v.sheet.closed = func() {
		p.list = nil
		if len(p.shown.Paths) > 0 { // the user does not want to any more
			p.v.look(state.ParcelGone{})
		}
	}
}
