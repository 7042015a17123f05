package ui

import (
	"fmt"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The settings are the page of what the user may choose. Every change is a
// command at once; there is nothing to save.
type settings struct {
	v    *View
	root *fyne.Container

	speech, look, scale  *choice
	mic, speaker, camera *choice
	checkSound           *button
	micLevel, earLevel   *meter
	levels               *fyne.Container
	ring, relay, strange *check
	take, auto, hide     *check
	preview              *check
	folder               *line
	quota                *choice
	accounts             *fyne.Container
	shown                state.Settings
	devices              state.Devices
	who                  []string
	live                 *liveLevels // nil while the sheet is not open
	drawing              bool        // what changes now was not the user
	sound                *fyne.Container
}

var (
	themes = []string{"", "light", "dark"}
	scales = []float64{0, 1, 1.25, 1.5, 1.75, 2}
	quotas = []int64{0, 100e6, 1e9, 10e9, 100e9}
)

func newSettings(v *View) *settings {
	s := &settings{v: v, micLevel: newMeter(), earLevel: newMeter(), accounts: rows(4)}
	change := func(f func(*state.Settings)) {
		if s.drawing {
			return
		}
		n := s.shown
		f(&n)
		if n != s.shown {
			v.send(state.Change{Settings: n})
		}
	}
	option := func(key string, f func(*state.Settings, bool)) *check {
		return newCheck(s.v, tr(key), func(on bool) { change(func(n *state.Settings) { f(n, on) }) })
	}
	options := []string{tr("theme.system")}
	for _, l := range languages {
		options = append(options, l.name)
	}
	s.speech = newChoice(s.v, options, nil)
	s.speech.OnChanged = func(string) {
		change(func(n *state.Settings) {
			n.Language = ""
			if i := s.speech.SelectedIndex(); i > 0 {
				n.Language = languages[i-1].code
			}
		})
	}
	options = nil
	for _, t := range themes {
		options = append(options, tr("theme."+cmpOr(t, "system")))
	}
	s.look = newChoice(s.v, options, nil)
	s.look.OnChanged = func(string) { change(func(n *state.Settings) { n.Theme = themes[s.look.SelectedIndex()] }) }
	options = nil
	for _, x := range scales {
		if x == 0 {
			options = append(options, tr("theme.system"))
		} else {
			options = append(options, fmt.Sprintf("%.0f %%", x*100))
		}
	}
	s.scale = newChoice(s.v, options, nil)
	s.scale.OnChanged = func(string) { change(func(n *state.Settings) { n.Scale = scales[s.scale.SelectedIndex()] }) }
	device := func(list func() []state.Device, set func(*state.Settings, string)) *choice {
		x := newChoice(s.v, nil, nil)
		x.OnChanged = func(string) {
			i := x.SelectedIndex() - 1
			change(func(n *state.Settings) {
				id := ""
				if l := list(); i >= 0 && i < len(l) {
					id = l[i].ID
				}
				set(n, id)
			})
		}
		return x
	}
	s.mic = device(func() []state.Device { return s.devices.Mics }, func(n *state.Settings, id string) { n.Mic = id })
	s.speaker = device(func() []state.Device { return s.devices.Speakers }, func(n *state.Settings, id string) { n.Speaker = id })
	s.camera = device(func() []state.Device { return s.devices.Cameras }, func(n *state.Settings, id string) { n.Camera = id })
	s.checkSound = newButton(s.v, "", func() { v.send(state.CheckSound{On: !s.devices.Checking}) })
	s.ring = option("settings.ring", func(n *state.Settings, on bool) { n.Quiet = !on })
	s.relay = option("settings.relay", func(n *state.Settings, on bool) { n.RelayOnly = on })
	s.strange = option("settings.strangers", func(n *state.Settings, on bool) { n.Strangers = on })
	s.take = option("settings.take", func(n *state.Settings, on bool) { n.TakeFiles = on })
	s.preview = option("settings.preview", func(n *state.Settings, on bool) { n.NoPreview = !on })
	s.auto = option("settings.autostart", func(n *state.Settings, on bool) { n.Autostart = on })
	s.hide = option("settings.hide", func(n *state.Settings, on bool) { n.HideOnly = on })
	s.folder = newLine("", textNormal, theme.ColorNameForeground)
	options = nil
	for _, q := range quotas {
		if q == 0 {
			options = append(options, tr("quota.none"))
		} else {
			options = append(options, size(q))
		}
	}
	s.quota = newChoice(s.v, options, nil)
	s.quota.OnChanged = func(string) { change(func(n *state.Settings) { n.Quota = quotas[s.quota.SelectedIndex()] }) }

	pairOf := func(key string, least float32, o fyne.CanvasObject) fyne.CanvasObject {
		name := newLine(tr(key), textNormal, theme.ColorNameForeground).wraps(2)
		return container.New(&pairLayout{name: name, least: least}, vcentre(name), o)
	}
	pair := func(key string, o fyne.CanvasObject) fyne.CanvasObject { return pairOf(key, 0, o) }
	group := func(key string, objects ...fyne.CanvasObject) fyne.CanvasObject {
		return rows(6, padding(newLine(tr(key), textNormal, colorMuted).bold(), 8, 0, 6, 0), panel(colorCard, padded(rows(8, objects...), 14)))
	}
	choose := newButton(s.v, tr("settings.choose"), func() { v.send(state.ChooseFolder{}) })
	add := newButton(s.v, tr("settings.account.add"), func() { v.look(state.Show{Page: state.PageSignIn}) })
	keys := newButton(s.v, tr("settings.keys"), s.showKeys)
	keys.Importance = widget.LowImportance
	quit := newButton(s.v, tr("shortcut.quit"), func() { v.send(state.Quit{}) })
	quit.Importance = widget.LowImportance
	s.levels = rows(6, pair("details.mic", s.micLevel), pair("details.ear", s.earLevel))
	s.sound = rows(8, pair("settings.mic", s.mic), pair("settings.speaker", s.speaker), pair("settings.camera", s.camera), s.levels)
	box := rows(8,
		group("settings.accounts", s.accounts, container.NewHBox(add)),
		group("settings.sound", s.sound, container.NewHBox(s.checkSound), s.ring),
		group("settings.privacy", s.relay, s.strange),
		group("settings.files", pairOf("settings.folder", 250, border(nil, nil, nil, choose, vcentre(s.folder))), pair("settings.quota", s.quota), s.take, s.preview),
		group("settings.app", pair("settings.language", s.speech), pair("settings.theme", s.look), pair("settings.scale", s.scale), s.auto, s.hide, container.NewHBox(keys, quit)))
	s.root = page(tr("page.settings"), nil, container.NewVScroll(padding(box, 0, 12, 0, 12)))
	return s
}

func (s *settings) draw(a state.App) {
	s.drawing = true
	defer func() { s.drawing = false }()
	n := a.Settings
	pick := func(x *choice, i int) {
		if x.SelectedIndex() != i {
			x.SetSelectedIndex(i)
		}
	}
	find := func(n int, ok func(int) bool) int {
		for i := range n {
			if ok(i) {
				return i
			}
		}
		return 0
	}
	pick(s.speech, 1+slices.IndexFunc(languages, func(l language) bool { return l.code == n.Language }))
	pick(s.look, find(len(themes), func(i int) bool { return themes[i] == n.Theme }))
	pick(s.scale, find(len(scales), func(i int) bool { return scales[i] == n.Scale }))
	pick(s.quota, find(len(quotas), func(i int) bool { return quotas[i] == n.Quota }))
	for _, x := range []struct {
		check *check
		on    bool
	}{{s.ring, !n.Quiet}, {s.relay, n.RelayOnly}, {s.strange, n.Strangers}, {s.take, n.TakeFiles}, {s.preview, !n.NoPreview}, {s.auto, n.Autostart}, {s.hide, n.HideOnly}} {
		if x.check.Checked != x.on {
			x.check.SetChecked(x.on)
		}
	}
	s.folder.set(n.Folder)
	s.shown = n
	s.devices = a.Devices
	for _, x := range []struct {
		choice *choice
		list   []state.Device
		id     string
	}{{s.mic, a.Devices.Mics, n.Mic}, {s.speaker, a.Devices.Speakers, n.Speaker}, {s.camera, a.Devices.Cameras, n.Camera}} {
		names := []string{tr("device.default")}
		chosen := 0
		for i, d := range x.list {
			names = append(names, oneLine(d.Name))
			if d.ID == x.id && x.id != "" {
				chosen = i + 1
			}
		}
		if x.id != "" && chosen == 0 {
			names = append(names, tr("device.gone"))
			chosen = len(names) - 1
		}
		if !same(x.choice.Options, names) {
			x.choice.SetOptions(names)
		}
		pick(x.choice, chosen)
	}
	text := tr("settings.check")
	if a.Devices.Checking {
		text = tr("settings.check.stop")
	}
	if s.checkSound.Text != text {
		s.checkSound.SetText(text)
	}
	mic, ear := a.Devices.MicLevel, a.Devices.SpeakerLevel
	live := a.Devices.Checking
	if c, ok := a.Front(); ok && c.Phase == state.Running {
		mic, ear, live = c.Stats.LevelOut, c.Stats.LevelIn, true
	}
	show(s.levels, live)
	s.micLevel.set(mic)
	s.earLevel.set(ear)
	said := func(x state.Account) string {
		if x.Link == state.LoggedOut && x.Problem != nil {
			return problem(*x.Problem)
		}
		return ""
	}
	var who []string
	for _, x := range a.Accounts {
		who = append(who, x.JID+string(x.Link)+said(x))
	}
	if !same(who, s.who) {
		s.who = who
		s.accounts.RemoveAll()
		for _, x := range a.Accounts {
			out := newButton(s.v, tr("settings.signout"), func() { s.signOut(x.JID) })
			out.Importance = widget.LowImportance
			s.accounts.Add(border(nil, nil, newAvatar(34).show(x.JID, x.JID, linkColor(x.Link), paint(colorCard)), out,
				padding(vcentre(rows(0, newLine(x.JID, textNormal, theme.ColorNameForeground), newLine(tr("link."+string(cmpOr(x.Link, "connecting"))), textSmall, colorMuted))), 0, 0, 8, 4)))
			if x.Link == state.LoggedOut {
				again := newButton(s.v, tr("settings.again"), func() { s.v.look(state.SigningInAgain{JID: x.JID}) })
				again.Importance = widget.HighImportance
				text := wrapped(said(x), fyne.TextAlignLeading)
				text.Importance = widget.DangerImportance
				s.accounts.Add(text)
				s.accounts.Add(container.NewHBox(again))
			}
		}
	}
}

// A pairLayout puts a name before a value, or above it where one of them has too
// little room.
type pairLayout struct {
	name  *line
	least float32 // width of the value
	high  bool
}

// MinSize implements [fyne.Layout].
func (l *pairLayout) MinSize(o []fyne.CanvasObject) fyne.Size {
	m := halves{}.MinSize(o)
	if l.high {
		m.Height = o[0].MinSize().Height + theme.Padding() + o[1].MinSize().Height
	}
	return m
}

// Layout implements [fyne.Layout].
func (l *pairLayout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := size.Width * nameShare
	if l.high = l.name.width() > w-6 || size.Width-w < l.least; !l.high {
		halves{}.Layout(o, size)
		return
	}
	h := o[0].MinSize().Height
	put(o[0], 0, 0, fyne.NewSize(size.Width, h))
	h += theme.Padding()
	put(o[1], 0, h, fyne.NewSize(size.Width, size.Height-h))
}

// signOut asks whether an account is to be forgotten.
func (s *settings) signOut(jid string) {
	s.v.sheet.open(tr("signout.title"), wrapped(tr("signout.text", jid), fyne.TextAlignLeading), tr("settings.signout"), true, func() {
		s.v.send(state.SignOut{JID: jid})
		s.v.sheet.close()
	})
	s.v.sheet.again = func(n *View) { n.options.signOut(jid) }
}

// liveLevels are the meters above a call while its devices are chosen.
type liveLevels struct {
	call     string
	mic, ear *meter
}

// drawLevels moves the meters of the sheet, if it is open.
func (s *settings) drawLevels(a state.App) {
	if s.live == nil {
		return
	}
	c, _ := a.Call(s.live.call)
	mic, ear := levels(c)
	s.live.mic.set(mic)
	s.live.ear.set(ear)
}

// levels are how loud a call is, which it is only once people talk.
func levels(c state.Call) (mic, ear float64) {
	mic, ear = silent, silent
	if c.Phase.Live() {
		ear = c.Stats.LevelIn
		if !c.Muted {
			mic = c.Stats.LevelOut
		}
	}
	return mic, ear
}

// soundSheet shows the devices above a call.
func (s *settings) soundSheet() {
	s.draw(s.v.app)
	like := func(of *choice) *choice {
		x := newChoice(s.v, of.Options, nil)
		x.SetSelectedIndex(max(0, of.SelectedIndex()))
		x.OnChanged = func(string) { of.SetSelectedIndex(x.SelectedIndex()) }
		return x
	}
	pair := func(key string, o fyne.CanvasObject) fyne.CanvasObject {
		return container.New(halves{}, vcentre(newLine(tr(key), textNormal, theme.ColorNameForeground)), o)
	}
	c, ok := s.v.app.Front()
	if !ok {
		return
	}
	s.live = &liveLevels{call: c.ID, mic: newMeter(), ear: newMeter()}
	s.v.sheet.open(tr("call.devices"), rows(8,
		pair("settings.mic", like(s.mic)), pair("settings.speaker", like(s.speaker)), pair("settings.camera", like(s.camera)),
		pair("details.mic", s.live.mic), pair("details.ear", s.live.ear)), "", false, nil)
	s.v.sheet.closed = func() {
		s.live = nil
		s.v.send(state.WatchLevels{ID: c.ID})
	}
	s.v.sheet.again = func(n *View) { n.options.soundSheet() }
	s.drawLevels(s.v.app)
	s.v.send(state.WatchLevels{ID: c.ID, On: true})
}

// showKeys lists the shortcuts.
func (s *settings) showKeys() {
	box := rows(4)
	line := func(key, label string) {
		box.Add(container.New(halves{}, newLine(key, textNormal, colorMuted), newLine(tr(label), textNormal, theme.ColorNameForeground).wraps(2)))
	}
	line("Tab", "keys.tab")
	line("↑↓", "keys.list")
	line("→", "keys.row")
	line("Return", "keys.press")
	line("Esc", "keys.close")
	for _, k := range s.v.Shortcuts() {
		name := string(k.Key)
		if k.Mod&fyne.KeyModifierShift != 0 {
			name = tr("key.shift") + "+" + name
		}
		if k.Mod&fyne.KeyModifierControl != 0 {
			name = tr("key.control") + "+" + name
		}
		line(name, k.Label)
	}
	s.v.sheet.open(tr("settings.keys"), box, "", false, nil)
	s.v.sheet.again = func(n *View) { n.options.showKeys() }
}
