package ui

import (
	"fmt"
	"image"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"github.com/carillon-im/carillon/desktop/state"
)

// A picker is the sheet that asks which screen or window to share. It shows how
// they look now, for as long as it is open.
type picker struct {
	v     *View
	call  string
	list  *fyne.Container // nil while it is not open
	shown []state.Scene
	rows  map[string]*sceneRow
}

// A sceneRow is one of those to choose from.
type sceneRow struct {
	row         *row
	sign        *canvas.Image // while there is no picture
	look        *canvas.Image
	title, note *line
}

// lookRoom is the room for the picture of one.
var lookRoom = fyne.NewSize(120, 68)

func (p *picker) open(call string) {
	if p.list != nil {
		return
	}
	p.call, p.shown, p.rows = call, nil, make(map[string]*sceneRow)
	p.list = rows(2)
	p.fill(p.v.app)
	p.v.sheet.open(tr("screen.title"), container.New(atLeast(fyne.NewSize(460, 330)), container.NewVScroll(p.list)), "", false, nil)
	p.v.sheet.closed = func() {
		p.list, p.rows = nil, nil
		p.v.send(state.WatchScreens{})
	}
	p.v.sheet.again = func(n *View) { n.picker.open(call) }
	p.v.send(state.WatchScreens{On: true})
}

// Hidden is called when the window is hidden: nobody chooses what to share then,
// and nothing is looked at for it.
func (v *View) Hidden() {
	if v.picker.list != nil {
		v.sheet.close()
	}
}

// draw follows what there is to choose from, and goes away with the call.
func (p *picker) draw(a state.App) {
	if p.list == nil {
		return
	}
	if _, ok := a.Call(p.call); !ok {
		p.v.sheet.close()
		return
	}
	p.fill(a)
}

func (p *picker) fill(a state.App) {
	scenes := a.Devices.Screens
	if len(scenes) == 0 {
		scenes = []state.Scene{{}}
	}
	if slices.Equal(scenes, p.shown) {
		return
	}
	p.shown = slices.Clone(scenes)
	there := make(map[string]*sceneRow)
	var objects []fyne.CanvasObject
	for _, s := range scenes {
		r := p.rows[s.ID]
		if r == nil {
			r = p.newRow(s)
		}
		title, note := sceneText(s)
		r.title.set(title)
		r.note.set(note)
		show(r.note, note != "")
		there[s.ID] = r
		objects = append(objects, r.row)
	}
	p.rows = there
	p.list.Objects = objects
	p.list.Refresh()
}

func (p *picker) newRow(s state.Scene) *sceneRow {
	what := iconScreen
	if s.Kind == state.OneWindow {
		what = iconWindow
	}
	r := &sceneRow{sign: picture(what, 26, theme.ColorNameForeground), look: canvas.NewImageFromImage(nil),
		title: newLine("", textNormal, theme.ColorNameForeground), note: newLine("", textSmall, colorMuted)}
	r.look.FillMode, r.look.ScaleMode, r.look.CornerRadius = canvas.ImageFillContain, canvas.ImageScaleFastest, 4
	r.look.Hide()
	place := container.New(exactly(lookRoom), container.NewCenter(r.sign), r.look)
	r.row = newRow(p.v, border(nil, nil, place, nil, padding(vcentre(rows(2, r.title, r.note)), 0, 0, 12, 4)), func() {
		call := p.call
		p.v.sheet.close()
		p.v.send(state.SendPicture{ID: call, Picture: state.Screen, Device: s.ID})
	})
	return r
}

// sceneText is what a screen or window is called, and what more there is to say.
func sceneText(s state.Scene) (title, note string) {
	size := ""
	if s.Width > 0 && s.Height > 0 {
		size = fmt.Sprintf("%d × %d", s.Width, s.Height)
	}
	switch s.Kind {
	case state.WholeScreen:
		title = tr("screen.number", s.Number)
		if size != "" {
			title += " · " + size
		}
		if s.Primary {
			note = tr("screen.primary")
		}
	case state.OneWindow:
		title, note = s.Title, tr("screen.window")
		if size != "" {
			note += " · " + size
		}
	case state.AskDesktop:
		title, note = tr("screen.ask"), tr("screen.ask.text")
	default:
		title = tr("screen.whole")
	}
	return title, note
}

// ShowScreens shows how screens and windows look now, by their ID; what has none
// looks like nothing. The caller must not change them any more.
func (v *View) ShowScreens(now map[string]image.Image) {
	p := v.picker
	if p.list == nil {
		return // a last one came after the choice
	}
	for id, r := range p.rows {
		i := now[id]
		if i == nil && r.look.Image == nil {
			continue
		}
		r.look.Image = i
		show(r.look, i != nil)
		show(r.sign, i == nil)
		r.look.Refresh()
	}
}
