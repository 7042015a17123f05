// Package ui draws what package state holds, with Fyne.
//
//	state.App -> View.Draw -> widgets -> state.Command -> whoever made the View
//
// A [View] is the content of the one window. Draw, Tick and everything else
// must be called on Fyne's thread; what the user does comes out as commands on
// it, too. No goroutine is started here, and the package does not import
// fyne.io/fyne/v2/app, so that its tests need neither display nor C.
package ui

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"

	"github.com/carillon-im/carillon/desktop/state"
)

// A View is the content of the window.
type View struct {
	// Root is what the window shows.
	Root fyne.CanvasObject
	// FullScreen makes the window fill the screen, or no more; set by whoever has
	// the window. Nil does nothing.
	FullScreen func(on bool)
	// CloseDialog gives up a dialog of the toolkit that is open, if there is one;
	// likewise.
	CloseDialog func()
	// Pane shows pictures past the canvas; likewise. Nil is none.
	Pane Pane
	// Touched is called when something may look different, while somebody listens
	// who does not see it; likewise. Nil is nobody.
	Touched func()

	send func(state.Command)
	now  func() time.Time
	app  state.App
	// canvas is that of the window, nil before Bind.
	canvas fyne.Canvas

	tips    *tipLayer
	side    *side
	person  *person
	stage   *stage
	signIn  *signIn
	calls   *calls
	files   *transfers
	options *settings
	doctor  *doctor
	bar     *callBar
	notices *notices
	sheet   *sheet
	parcel  *parcel
	picker  *picker

	rang    string // the call that rang last
	full    bool   // the window fills the screen
	forCall bool   // and does so for a call

	pages map[state.Page]fyne.CanvasObject
	main  *fyne.Container // side and pages
	back  *canvas.Rectangle

	// The keyboard; see keys.go.
	order  []fyne.Focusable // what could have the focus when it moved last
	left   fyne.Focusable   // what had it before a call covered it
	turned state.Page       // the page that was shown then
	next   state.Key        // whose page gets it when that is drawn; the zero Key is nobody
	resume func()           // gives it back when a window shows the view; may be nil
	asks   bool             // the page where one signs in is shown
}

// New returns a View. send takes what the user wants; now is [time.Now]
// outside of tests.
func New(send func(state.Command), now func() time.Time) *View {
	v := &View{send: send, now: now, tips: newTipLayer()}
	v.sheet = newSheet(v)
	v.parcel = &parcel{v: v}
	v.picker = &picker{v: v}
	v.side = newSide(v)
	v.person = newPerson(v)
	v.stage = newStage(v)
	v.signIn = newSignIn(v)
	v.calls = newCalls(v)
	v.files = newTransfers(v)
	v.options = newSettings(v)
	v.doctor = newDoctor(v)
	v.bar = newCallBar(v)
	v.notices = newNotices(v)
	v.pages = map[state.Page]fyne.CanvasObject{
		state.PageContacts: v.person.root, state.PageCalls: v.calls.root, state.PageTransfers: v.files.root,
		state.PageSettings: v.options.root, state.PageDoctor: v.doctor.root,
	}
	stack := container.NewStack()
	for _, p := range []state.Page{state.PageContacts, state.PageCalls, state.PageTransfers, state.PageSettings, state.PageDoctor} {
		stack.Add(v.pages[p])
	}
	edge := canvas.NewRectangle(paint(theme.ColorNameSeparator))
	edge.SetMinSize(fyne.NewSize(1, 1))
	v.main = container.New(sideBySide{}, v.side.root, edge, container.New(above{}, v.bar.root, stack))
	v.back = canvas.NewRectangle(paint(theme.ColorNameBackground))
	v.Root = container.NewStack(v.back, v.main, v.signIn.root, v.stage.root, v.notices.root, v.tips.box)
	v.Draw(state.App{})
	return v
}

// Draw shows a state. What did not change is left alone.
func (v *View) Draw(a state.App) {
	v.app = a
	first := len(a.Accounts) == 0 || a.Page == state.PageSignIn
	stage := a.Stage && len(a.Calls) > 0
	show(v.signIn.root, first && !stage)
	show(v.main, !first && !stage)
	show(v.back, !stage) // what nobody sees is not drawn
	if stage != v.stage.root.Visible() {
		v.tips.hide(v.tips.of) // what it was about is not there any more
	}
	show(v.stage.root, stage)
	v.unfill()
	v.uncoverRinging()
	v.signIn.draw(a)
	if stage {
		v.stage.draw(a)
	}
	v.notices.draw(a, stage)
	v.options.drawLevels(a)
	v.parcel.draw(a)
	v.picker.draw(a)
	v.sheet.draw(a)
	v.stage.pass()
	if !first && !stage {
		v.bar.draw(a)
		v.side.draw(a)
		for p, o := range v.pages {
			show(o, p == a.Page)
		}
		switch a.Page {
		case state.PageContacts:
			v.person.draw(a)
		case state.PageCalls:
			v.calls.draw(a)
		case state.PageTransfers:
			v.files.draw(a)
		case state.PageSettings:
			v.options.draw(a)
		case state.PageDoctor:
			v.doctor.draw(a)
		}
	}
	if v.next != (state.Key{}) && a.Selected == v.next && v.person.page.Visible() {
		v.next = state.Key{}
		if !v.sheet.shown() {
			v.focusFirst(v.person.page) // which calls nobody, should the key be pressed twice
		}
	}
	v.attend()
}

// Tick lets the clocks of calls go on. It is called about once a second.
func (v *View) Tick() {
	v.heed()
	defer v.touch()
	if v.stage.root.Visible() {
		v.stage.tick()
		v.stage.pass()
	}
	if v.bar.root.Visible() {
		v.bar.tick()
	}
}

// Rebuild returns a View like v for another theme; v is not to be used any more.
// What was typed is typed in it, too, and a sheet that can be opened as it was
// is open again.
func (v *View) Rebuild() *View {
	n := New(v.send, v.now)
	n.Root.Resize(v.Root.Size())
	open, again, f := v.sheet.shown(), v.sheet.again, v.focused()
	in, under := v.mark(v.sheet.layer, f), v.mark(v.Root, f)
	if open {
		under = v.mark(v.Root, v.sheet.before)
	}
	left := v.mark(v.Root, v.left)
	v.tips.hide(v.tips.of)
	v.parcel.shown = state.Parcel{} // it stays in the state, and n opens it
	v.sheet.root.Hide()
	v.sheet.empty()
	n.sheet.take(v.sheet)
	n.signIn.like(v.signIn)
	n.stage.told = v.stage.told
	n.Draw(v.app)
	n.stage.like(v.stage)
	n.canvas = v.canvas // not before: its window does not show n yet
	n.turned, n.asks = v.turned, v.asks
	if v.stage.details.root.Visible() {
		n.stage.switchDetails()
	}
	show(n.stage.pad, v.stage.pad.Visible() && n.stage.call.ID == v.stage.call.ID)
	if again != nil {
		again(n)
	}
	n.Root.Refresh() // all is laid out, or nothing could have the focus
	scrollLike(n.Root, v.Root)
	n.left = left.find(n.Root)
	n.sheet.before = under.find(n.Root)
	switch {
	case n.sheet.shown():
		if n.focus(n.sheet.want); in != nil {
			n.focus(in.find(n.sheet.layer))
		}
	case open:
		n.sheet.drop()
		fallthrough
	default: // a window does not show n yet
		n.resume = func() { n.focus(n.sheet.before); n.sheet.before = nil }
	}
	n.FullScreen, n.Pane, n.Touched = v.FullScreen, v.Pane, v.Touched // not before, likewise
	n.CloseDialog, n.rang = v.CloseDialog, v.rang
	n.full, n.forCall = v.full, v.forCall
	n.stage.drawFull()
	return n
}

// look shows something else.
func (v *View) look(e state.Event) { v.send(state.Look{Event: e}) }

// Dropped takes files that were dropped on the window: for the person under
// the pointer, or else the one whose page is shown or who is on the phone. Where
// there is none it says what to do. A parcel that is being packed takes them in.
func (v *View) Dropped(at fyne.Position, paths []string) {
	if len(paths) == 0 {
		return
	}
	if open := v.parcel.shown; v.parcel.list != nil && len(open.Paths) > 0 {
		v.look(state.Packed{Key: open.Key, Paths: paths})
		return
	}
	to, ok := v.side.at(at)
	switch front, calling := v.app.Front(); {
	case ok && v.side.root.Visible() && v.main.Visible():
	case v.app.Stage && calling:
		to, ok = front.Key, true
	default:
		to = v.app.Selected
		ok = to != (state.Key{}) && v.app.Page == state.PageContacts
	}
	switch {
	case ok:
		v.send(state.SendFiles{Key: to, Paths: paths})
	case len(v.app.Accounts) == 0:
		v.look(state.WentWrong{Problem: state.Problem{Code: "drop-signin"}})
	default:
		v.look(state.WentWrong{Problem: state.Problem{Code: state.DroppedNowhere}})
	}
}

// A Shortcut is a key and what it does, for the window and for the list that
// the user can see.
type Shortcut struct {
	Key   fyne.KeyName
	Mod   fyne.KeyModifier
	Label string // of the translations
	Do    func()
}

// Shortcuts returns what the keyboard does anywhere in the window.
func (v *View) Shortcuts() []Shortcut {
	const ctrl, shift = fyne.KeyModifierControl, fyne.KeyModifierShift
	front := func(f func(state.Call)) func() {
		return func() {
			if c, ok := v.app.Front(); ok {
				f(c)
			}
		}
	}
	// What a sheet asks is answered before something else is looked at.
	free := func(f func()) func() {
		return func() {
			if !v.sheet.shown() {
				f()
			}
		}
	}
	return []Shortcut{
		{fyne.KeyF, ctrl, "shortcut.search", free(v.side.focus)},
		{fyne.KeyN, ctrl, "shortcut.add", free(v.side.addContact)},
		{fyne.KeyReturn, ctrl, "shortcut.answer", func() { v.answer() }},
		{fyne.KeyM, ctrl, "shortcut.mute", front(func(c state.Call) { v.send(state.Mute{ID: c.ID, On: !c.Muted}) })},
		{fyne.KeyE, ctrl, "shortcut.camera", front(func(c state.Call) { v.stage.toggle(c, state.Camera) })},
		{fyne.KeyH, ctrl, "shortcut.hold", front(func(c state.Call) { v.send(state.Hold{ID: c.ID, On: !c.Held}) })},
		{fyne.KeyD, ctrl, "shortcut.hangup", func() { v.hangUp() }},
		{fyne.KeyI, ctrl, "shortcut.details", front(func(state.Call) {
			if v.stage.root.Visible() {
				v.stage.switchDetails()
			}
		})},
		{fyne.KeyF11, 0, "shortcut.full", func() { v.fullScreen() }},
		{fyne.Key1, ctrl, "page.contacts", free(func() { v.look(state.Show{Page: state.PageContacts}) })},
		{fyne.Key2, ctrl, "page.calls", free(func() { v.look(state.Show{Page: state.PageCalls}) })},
		{fyne.Key3, ctrl, "page.transfers", free(func() { v.look(state.Show{Page: state.PageTransfers}) })},
		{fyne.Key4, ctrl, "page.settings", free(func() { v.look(state.Show{Page: state.PageSettings}) })},
		{fyne.KeyQ, ctrl | shift, "shortcut.quit", func() { v.send(state.Quit{}) }},
	}
}

// Bind makes the shortcuts work on a canvas. Keys without a modifier come
// through [View.TypedKey].
func (v *View) Bind(c fyne.Canvas) {
	for _, s := range v.Shortcuts() {
		if s.Mod != 0 {
			c.AddShortcut(&desktop.CustomShortcut{KeyName: s.Key, Modifier: s.Mod}, func(fyne.Shortcut) { s.Do() })
		}
	}
	c.SetOnTypedKey(v.TypedKey)
	c.SetOnTypedRune(v.TypedRune)
	v.canvas = c
	if f := v.resume; f != nil {
		v.resume = nil
		f()
	}
	if v.sheet.stay() {
		v.focus(v.sheet.want)
	}
}

// TypedKey takes keys that nothing with the focus wanted.
func (v *View) TypedKey(k *fyne.KeyEvent) {
	defer v.touch()
	switch {
	case k.Name == fyne.KeyEscape:
		switch {
		case v.canvas != nil && v.foreign():
			v.closeDialog()
		case v.sheet.shown():
			v.sheet.close()
		case v.full:
			v.fill(false)
		case v.app.Stage:
			v.look(state.StageShown{})
		case v.app.Page == state.PageSignIn && len(v.app.Accounts) > 0:
			v.look(state.Show{Page: state.PageSettings})
		default:
			v.look(state.Dismissed{})
		}
		return
	case v.sheet.shown() && (k.Name == fyne.KeyReturn || k.Name == fyne.KeyEnter):
		if v.sheet.main != nil {
			v.sheet.main()
		}
		return
	}
	for _, s := range v.Shortcuts() {
		if s.Mod == 0 && s.Key == k.Name {
			s.Do()
		}
	}
}

// TypedRune sends digits typed during a call as telephone keys.
func (v *View) TypedRune(r rune) {
	c, ok := v.app.Front()
	if ok && v.app.Stage && !v.sheet.shown() && c.Phase.Live() && (r >= '0' && r <= '9' || r == '*' || r == '#') {
		v.send(state.TypeKey{ID: c.ID, Key: r})
	}
}

// answer takes the call that rings.
func (v *View) answer() {
	if c, ok := v.app.Front(); ok && c.Phase == state.Rings {
		v.send(state.AnswerCall{ID: c.ID})
	} else if c, ok := v.app.Waiting(); ok {
		v.send(state.AnswerCall{ID: c.ID})
	}
}

// hangUp ends the call in front, or declines it.
func (v *View) hangUp() {
	c, ok := v.app.Front()
	switch {
	case !ok:
	case c.Phase == state.Rings:
		v.send(state.DeclineCall{ID: c.ID})
	default:
		v.send(state.HangUp{ID: c.ID})
	}
}

// uncoverRinging has a dialog for files make room for a call that rings: it lies
// over all that answers it.
func (v *View) uncoverRinging() {
	rings, ok := v.app.Front()
	if ok && rings.Phase != state.Rings {
		rings, ok = v.app.Waiting()
	}
	if ok && rings.ID != v.rang {
		v.rang = rings.ID
		if v.canvas != nil && v.foreign() {
			v.closeDialog()
		}
	}
}

func (v *View) closeDialog() {
	if v.CloseDialog != nil {
		v.CloseDialog()
	}
}

func show(o fyne.CanvasObject, on bool) {
	switch {
	case on && !o.Visible():
		o.Show()
		drawAgain()
	case !on && o.Visible():
		o.Hide()
	}
}

// drawAgain has the window drawn. The toolkit does it when something is hidden,
// but knows no window for what it has never drawn: without it, what is shown for
// the first time is not seen before something else changes.
func drawAgain() {
	for _, w := range fyne.CurrentApp().Driver().AllWindows() {
		if c, ok := w.Canvas().(interface{ SetDirty() }); ok {
			c.SetDirty()
		}
	}
}
