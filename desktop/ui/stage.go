package ui

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The stage is the call in front, over the whole window and dark, so that
// pictures look as they should.
type stage struct {
	v    *View
	root *fyne.Container
	body *fyne.Container // without the ground
	call state.Call
	laid stageNeeds // what body was laid out for

	theirs, ours *canvas.Image
	ground       *canvas.Rectangle // behind everything, when no picture is
	curtains     *fyne.Container   // beside a picture that is not as wide or as high as the window
	own          *fyne.Container   // the self-view with its frame
	frame        *canvas.Rectangle // of that

	face         *avatar
	name, status *line
	centre       *fyne.Container

	topName, topStatus *line
	badge              *round
	lock               *round
	remarks            *line
	remarkBox          *fyne.Container

	mute, camera, screen, hold, keys, devices, full, info, hang *round
	controls                                                    *fyne.Container
	answer                                                      *fyne.Container
	answerVideo                                                 *fyne.Container
	note                                                        *widget.Label
	noteBox                                                     *fyne.Container
	top, bottom                                                 *fyne.Container     // the bars of buttons
	shades                                                      []fyne.CanvasObject // behind them, over a picture

	mover  *mover
	chrome *fyne.Container // everything over the picture that goes away when nobody moves
	moved  time.Time       // when the pointer moved last
	fed    time.Time       // when a picture of theirs came last
	waits  image.Image     // of ours, to be shown with the next of theirs
	stale  bool            // a picture came while others were looked at
	shape  image.Point     // of their picture, when the curtains were drawn
	passed bool            // the pane shows the pictures
	placed PanePlace       // where

	details  *details
	pad      *fyne.Container
	padText  *line
	cards    *fyne.Container // those that follow
	waiting  *fyne.Container
	choices  *inRow
	waitFor  *line
	waitID   string
	parked   *fyne.Container
	parkOf   *line
	parkID   string
	changed  *fyne.Container // their key is another one
	changedN *line
	changedT *widget.Label
	warns    bool   // and that is to be said
	told     string // the call of which that was read
}

func newStage(v *View) *stage {
	s := &stage{v: v}
	s.mover = newMover(s)
	picture := func() *canvas.Image {
		i := canvas.NewImageFromImage(nil)
		i.FillMode, i.ScaleMode = canvas.ImageFillContain, canvas.ImageScaleFastest
		i.Hide()
		return i
	}
	s.theirs, s.ours = picture(), picture()
	s.ground = canvas.NewRectangle(paint(colorStage))
	s.curtains = container.New(beyond{s.theirs}, canvas.NewRectangle(paint(colorStage)), canvas.NewRectangle(paint(colorStage)))
	s.frame = canvas.NewRectangle(paint(colorControl))
	s.frame.CornerRadius = frameCorner
	s.own = container.NewStack(s.frame, padded(s.ours, frameWidth))
	s.own.Hide()

	s.face = newAvatar(132)
	s.name = newLine("", 26, colorOnStage).bold().centred()
	s.status = newLine("", textHead, colorDimStage).centred()
	s.note = wrapped("", fyne.TextAlignCenter)
	s.noteBox = container.NewStack(container.NewThemeOverride(s.note, onStage{}))
	s.centre = container.NewWithoutLayout(s.face, s.name, s.status, s.noteBox)

	b := func(what icon, tip string, do func()) *round {
		return newRound(v, what, 50, colorControl, colorOnStage, tip, do)
	}
	s.mute = b(iconMic, "", func() { v.send(state.Mute{ID: s.call.ID, On: !s.call.Muted}) })
	s.camera = b(iconCamera, "", func() { s.toggle(s.call, state.Camera) })
	s.screen = b(iconScreen, "", func() { s.toggle(s.call, state.Screen) })
	s.hold = b(iconHold, "", func() { v.send(state.Hold{ID: s.call.ID, On: !s.call.Held}) })
	s.keys = b(iconKeys, tr("call.keys"), func() { show(s.pad, !s.pad.Visible()); s.arrange() })
	s.devices = b(iconSpeaker, tr("call.devices"), func() { v.send(state.FindDevices{}); v.options.soundSheet() })
	s.hang = newRound(v, iconHangUp, 58, colorHangUp, colorOnStage, tr("call.hangup"), v.hangUp)
	s.controls = container.NewCenter(columns(12, s.mute, s.camera, s.screen, s.hold, s.keys, s.devices, s.hang))

	under := func(b *round, text string) fyne.CanvasObject {
		c := canvas.NewText(text, paint(colorDimStage))
		c.TextSize, c.Alignment = textSmall, fyne.TextAlignCenter
		return container.New(atLeast(fyne.NewSize(110, 0)), rows(6, container.NewCenter(b), c))
	}
	decline := newRound(v, iconHangUp, 66, colorHangUp, colorOnStage, tr("call.decline"), v.hangUp)
	accept := newRound(v, iconPhone, 66, colorCall, colorOnStage, tr("call.answer"), v.answer)
	film := newRound(v, iconCamera, 66, colorCall, colorOnStage, tr("call.answer.video"), func() { v.send(state.AnswerCall{ID: s.call.ID, Video: true}) })
	s.answerVideo = container.NewStack(under(film, tr("call.answer.video")))
	s.answer = container.NewCenter(columns(26, under(decline, tr("call.decline")), under(accept, tr("call.answer")), s.answerVideo))

	back := newRound(v, iconBack, 38, "", colorOnStage, tr("call.back.people"), func() { v.look(state.StageShown{}) })
	s.topName = newLine("", textNormal, colorOnStage).bold()
	s.topStatus = newLine("", textSmall, colorDimStage)
	s.badge = newRound(v, iconSignal3, 38, "", colorDimStage, "", s.switchDetails)
	s.lock = newRound(v, iconLock, 38, "", colorDimStage, "", s.switchDetails)
	s.full = newRound(v, iconFull, 38, "", colorOnStage, tr("shortcut.full"), v.fullScreen)
	s.info = newRound(v, iconInfo, 38, "", colorOnStage, tr("shortcut.details"), s.switchDetails)
	s.remarks = newLine("", textSmall, colorFair).centred()
	pillBack := canvas.NewRectangle(rgba(0x101216, 0xb8))
	pillBack.CornerRadius = 10
	s.shades = append(s.shades, pillBack)
	s.remarkBox = container.New(pill{s.remarks}, pillBack, s.remarks)
	s.top = padded(border(nil, nil, columns(2, back), columns(2, s.badge, s.lock, s.info, s.full),
		padding(rows(0, s.topName, s.topStatus), 0, 0, 6, 6)), 10)

	s.makePad()
	s.makeWaiting()
	s.details = newDetails(v)
	s.bottom = padding(rows(8, container.NewCenter(s.remarkBox), s.controls, s.answer), 0, 20, 0, 0)
	// What is written must be read before a bright picture, too.
	shade := func(from, to uint8) fyne.CanvasObject {
		g := canvas.NewVerticalGradient(rgba(0x101216, from), rgba(0x101216, to))
		s.shades = append(s.shades, g)
		return g
	}
	fade := func(from, to uint8) fyne.CanvasObject {
		return container.New(exactly(fyne.NewSize(1, 28)), shade(from, to))
	}
	s.chrome = border(rows(0, container.NewStack(shade(0xd8, 0xa0), s.top), fade(0xa0, 0)), rows(0, fade(0, 0x58), container.NewStack(shade(0x58, 0xd0), s.bottom)), nil, nil)
	s.cards = rows(8, s.waiting, s.parked, s.changed)
	s.body = container.New(stageLayout{s}, s.curtains, s.theirs, s.centre, s.mover, s.chrome, s.own, s.pad, s.cards, s.details.root)
	s.root = container.NewStack(s.ground, s.body)
	s.root.Hide()
	return s
}

// onStage is the theme of standard widgets on the dark stage.
type onStage struct{ text fyne.ThemeColorName } // empty is dim

func (s onStage) Color(name fyne.ThemeColorName, _ fyne.ThemeVariant) color.Color {
	if name == theme.ColorNameForeground {
		return paint(cmpOr(s.text, colorDimStage))
	}
	t := NewTheme("dark")
	return t.Color(name, theme.VariantDark)
}
func (onStage) Font(s fyne.TextStyle) fyne.Resource     { return theme.DefaultTheme().Font(s) }
func (onStage) Icon(n fyne.ThemeIconName) fyne.Resource { return theme.DefaultTheme().Icon(n) }
func (onStage) Size(n fyne.ThemeSizeName) float32       { return NewTheme("dark").Size(n) }

func (s *stage) makePad() {
	s.padText = newLine("", textHead, colorOnStage).centred()
	grid := container.NewGridWithColumns(3)
	for _, k := range "123456789*0#" {
		grid.Add(container.NewCenter(newKeyButton(s.v, string(k), func() { s.v.send(state.TypeKey{ID: s.call.ID, Key: k}) })))
	}
	s.pad = panel(colorControl, padded(border(padding(container.New(exactly(fyne.NewSize(190, 26)), s.padText), 0, 1, 0, 0), nil, nil, nil, grid), 12))
	s.pad.Hide()
}

func newKeyButton(v *View, text string, do func()) fyne.CanvasObject {
	r := newRow(v, container.New(exactly(fyne.NewSize(44, 30)), newLine(text, 20, colorOnStage).centred()), do)
	return r
}

func (s *stage) makeWaiting() {
	s.waitFor = newLine("", textNormal, colorOnStage).bold()
	button := func(text string, i widget.Importance, do func()) *button {
		b := newButton(s.v, text, do)
		b.Importance = i
		return b
	}
	s.choices = &inRow{gap: 8}
	s.waiting = panel(colorControl, padded(rows(8, container.New(exactly(fyne.NewSize(40, 22)), s.waitFor), container.New(s.choices,
		button(tr("waiting.hold"), widget.SuccessImportance, func() { s.v.send(state.AnswerCall{ID: s.waitID}) }),
		button(tr("waiting.end"), widget.MediumImportance, func() { s.v.send(state.AnswerCall{ID: s.waitID, End: true}) }),
		button(tr("call.decline"), widget.DangerImportance, func() { s.v.send(state.DeclineCall{ID: s.waitID}) }))), 12))
	s.parkOf = newLine("", textNormal, colorOnStage)
	swap := newRound(s.v, iconSwap, 36, colorCall, colorOnStage, tr("call.swap"), func() { s.v.send(state.Swap{ID: s.parkID}) })
	end := newRound(s.v, iconHangUp, 36, colorHangUp, colorOnStage, tr("call.hangup"), func() { s.v.send(state.HangUp{ID: s.parkID}) })
	s.parked = panel(colorControl, padding(border(nil, nil, nil, columns(8, swap, end), container.New(exactly(fyne.NewSize(40, 36)), vcentre(s.parkOf))), 6, 6, 14, 8))
	s.changedN = newLine("", textHead, colorOnStage).bold()
	s.changedT = wrapped("", fyne.TextAlignLeading)
	read := newRound(s.v, iconClose, 30, "", colorOnStage, tr("dismiss"), func() {
		s.told = s.call.ID
		s.draw(s.v.app)
	})
	s.changed = panel(colorControl, padded(border(nil, nil, container.NewVBox(picture(iconAlert, 22, colorFair)), container.NewVBox(read),
		rows(0, padding(s.changedN, 0, 0, 8, 0), container.NewThemeOverride(s.changedT, onStage{colorOnStage}))), 10))
	for _, o := range []fyne.CanvasObject{s.waiting, s.parked, s.changed} {
		o.Hide()
	}
}

func (s *stage) draw(a state.App) {
	c, ok := a.Front()
	if !ok {
		return
	}
	if s.stale {
		s.stale = false
		s.theirs.Refresh()
		s.ours.Refresh()
	}
	if c.ID != s.call.ID || c.Phase != s.call.Phase {
		s.back()
	}
	if c.ID != s.call.ID {
		s.unpass()
		s.Show(nil)
		s.ShowOwn(nil)
		s.pad.Hide()
	}
	s.call = c
	name := cmpOr(c.Name, c.JID)
	s.face.show(name, c.JID, nil, nil)
	s.name.set(name)
	s.topName.set(name)
	show(s.controls, c.Phase != state.Rings)
	show(s.answer, c.Phase == state.Rings)
	show(s.answerVideo, c.Video)
	live := c.Phase.Live()
	for _, b := range []*round{s.mute, s.hold, s.keys} {
		b.enable(live)
	}
	s.camera.enable(c.Phase != state.Ending)
	s.screen.enable(live)
	toggle(s.mute, c.Muted, iconMicOff, iconMic, "call.unmute", "call.mute")
	toggle(s.camera, c.Picture == state.Camera, iconCamera, iconCameraOff, "call.camera.off", "call.camera.on")
	toggle(s.screen, c.Picture == state.Screen, iconScreen, iconScreen, "call.screen.off", "call.screen.on")
	toggle(s.hold, c.Held, iconResume, iconHold, "call.resume", "call.hold")
	picture := c.TheirPicture && live && !c.TheyHeld
	film := picture && s.theirs.Image != nil
	show(s.theirs, film)
	show(s.centre, !film)
	s.uncover()
	show(s.own, c.Picture != state.NoPicture && s.ours.Image != nil)
	note := ""
	switch {
	case c.Phase == state.Rings && c.Stranger:
		note = tr("call.stranger")
	case c.Why != state.WhyNothing:
		note = why(c.Why, name)
	case c.Trust == state.TrustChanged && live:
		note = c.Verification + "\n" + tr("trust.changed.text", name)
	}
	say(s.note, note)
	// A picture hides what is in the middle, and nobody may miss this.
	s.warns = film && c.Trust == state.TrustChanged && s.told != c.ID
	if s.warns {
		s.changedN.set(c.Verification)
		say(s.changedT, tr("trust.changed.text", name))
	}
	tint := colorDimStage
	if film {
		tint = colorOnStage
	}
	s.topStatus.paint(tint)
	for _, o := range s.shades {
		show(o, film)
	}
	show(s.noteBox, note != "")
	var remark string
	switch {
	case c.TheyHeld:
		remark = tr("call.they.hold", name)
	case c.TheyMuted:
		remark = tr("call.they.mute", name)
	}
	if s.remarks.full != oneLine(remark) {
		s.remarks.set(remark)
		s.remarkBox.Refresh()
	}
	s.drawBadges(c)
	s.padText.set(c.Digits)
	if s.details.root.Visible() {
		s.details.draw(c)
	}
	w, waits := a.Waiting()
	if waits {
		s.waitID = w.ID
		s.waitFor.set(tr("waiting.text", cmpOr(w.Name, w.JID)))
	}
	show(s.waiting, waits)
	p, parked := a.Parked()
	if parked {
		s.parkID = p.ID
		s.parkOf.set(tr("parked.text", cmpOr(p.Name, p.JID)))
	}
	show(s.parked, parked)
	if now := s.needs(); now != s.laid {
		s.arrange()
	}
	s.tick()
}

func toggle(b *round, on bool, yes, no icon, undo, do string) {
	if on {
		b.look(yes, colorOnStage, colorStage, tr(undo))
	} else {
		b.look(no, colorControl, colorOnStage, tr(do))
	}
}

func (s *stage) drawBadges(c state.Call) {
	show(s.badge, c.Quality != state.QualityUnknown)
	show(s.lock, c.Verification != "")
	what, front := iconSignal3, colorGood
	switch c.Quality {
	case state.Fair:
		what, front = iconSignal2, colorFair
	case state.Poor:
		what, front = iconSignal1, colorPoor
	}
	if c.Quality != state.QualityUnknown {
		s.badge.look(what, "", front, tr("quality."+string(c.Quality)))
	}
	front = colorDimStage
	switch c.Trust {
	case state.TrustVerified:
		front = colorGood
	case state.TrustChanged:
		front = colorPoor
	}
	s.lock.look(iconLock, "", front, tr("trust."+string(cmpOr(c.Trust, "unknown"))))
}

// tick shows how long the call has been.
func (s *stage) tick() {
	// A picture is looked at without buttons before it.
	if s.theirs.Visible() && !s.pad.Visible() && s.v.now().Sub(s.moved) >= chromeTime {
		s.rest()
	} else {
		show(s.chrome, true)
	}
	s.clock()
}

// clock shows how long the call has been, where that is seen.
func (s *stage) clock() {
	text := phase(s.call, s.v.now())
	if s.centre.Visible() {
		s.status.set(text)
	}
	if s.chrome.Visible() {
		s.topStatus.set(text)
	}
}

// chromeTime is how long the buttons of a call with a picture stay after the
// pointer moved.
const chromeTime = 3 * time.Second

// wake shows the buttons again.
func (s *stage) wake() {
	s.back()
	s.pass()
}

// back is wake without the pane.
func (s *stage) back() {
	s.moved = s.v.now()
	if s.chrome.Visible() {
		return
	}
	s.chrome.Show()
	s.clock()
	if s.v.focused() == fyne.Focusable(s.mover) {
		if s.mover.back != nil {
			s.v.focus(s.mover.back)
		} else {
			s.v.focusFirst(s.chrome)
		}
	}
}

// rest takes them away. One that has the focus must not be pressed by somebody
// who does not see it.
func (s *stage) rest() {
	if !s.chrome.Visible() {
		return
	}
	s.mover.back = nil
	if f := s.v.focused(); f != nil && slices.Contains(stops(s.chrome, nil), f) {
		s.mover.back = f
	}
	s.chrome.Hide()
	if s.mover.back != nil {
		s.mover.rests = true
		s.v.focus(s.mover)
		s.mover.rests = false
	}
}

// A mover notices that the pointer moves over a picture. While the buttons are
// away it is there for the keyboard in their place.
type mover struct {
	widget.BaseWidget
	s     *stage
	moved func()
	back  fyne.Focusable // which of the buttons had the focus
	rests bool           // it gets the focus, and nobody pressed a key
}

func newMover(s *stage) *mover {
	m := &mover{s: s, moved: s.wake}
	m.ExtendBaseWidget(m)
	return m
}

// Disabled says that Tab goes past it.
func (m *mover) Disabled() bool { return m.s.chrome.Visible() }
func (m *mover) Enable()        {}
func (m *mover) Disable()       {}

// AcceptsTab has Tab bring the buttons back.
func (m *mover) AcceptsTab() bool { return true }

func (m *mover) FocusGained() {
	if !m.rests {
		m.moved()
	}
}
func (m *mover) FocusLost()       {}
func (m *mover) TypedRune(r rune) { m.s.v.TypedRune(r) }
func (m *mover) TypedKey(k *fyne.KeyEvent) {
	if k.Name == fyne.KeyEscape || k.Name == fyne.KeyF11 {
		m.s.v.TypedKey(k)
		return
	}
	m.moved()
}

func (m *mover) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.NewWithoutLayout())
}
func (m *mover) Resize(size fyne.Size) {
	m.BaseWidget.Resize(size)
	m.s.pass()
}
func (m *mover) MouseIn(*desktop.MouseEvent)    { m.moved() }
func (m *mover) MouseMoved(*desktop.MouseEvent) { m.moved() }
func (m *mover) MouseOut()                      {}
func (m *mover) Tapped(*fyne.PointEvent)        { m.moved() }

// phase says how far a call is.
func phase(c state.Call, now time.Time) string {
	switch {
	case c.Phase == state.Running && c.Held:
		return tr("phase.held")
	case c.Phase == state.Running && !c.Since.IsZero():
		return clock(now.Sub(c.Since))
	case c.Phase == state.Rings && c.Video:
		return tr("phase.rings.video")
	}
	return tr("phase." + string(c.Phase))
}

// toggle sends a picture or stops it. What to share is asked for.
func (s *stage) toggle(c state.Call, p state.Picture) {
	switch {
	case c.Picture == p:
		s.v.send(state.SendPicture{ID: c.ID})
	case p == state.Screen:
		s.v.picker.open(c.ID)
	default:
		s.v.send(state.SendPicture{ID: c.ID, Picture: p, Device: s.v.app.Settings.Camera})
	}
}

func (s *stage) switchDetails() {
	if !s.details.root.Visible() {
		s.details.draw(s.call)
	}
	show(s.details.root, !s.details.root.Visible())
	over := s.details.root.Visible() && !roomBeside(s.body.Size())
	if over {
		s.pad.Hide()
	}
	s.arrange()
	if over && s.warns {
		s.details.scroll.ScrollToBottom() // where it is said
	}
	s.uncover()
	s.pass()
}

// Show shows a picture of theirs, or none with nil. The caller must not change
// it before another one was shown. Between the first and the last picture
// nothing is laid out anew.
func (s *stage) Show(i image.Image) {
	s.fed = s.v.now()
	s.setPicture(s.theirs, i)
	if s.waits != nil {
		s.setPicture(s.ours, s.waits)
		s.waits = nil
	}
}

// like takes over the pictures of another stage, which shows none any more: a
// screen that stands still sends the next one late.
func (s *stage) like(old *stage) {
	theirs, ours := old.unpass()
	if theirs == nil {
		theirs, ours = old.theirs.Image, old.waits
	}
	if ours == nil {
		ours = old.ours.Image
	}
	if s.call.ID == old.call.ID {
		s.setPicture(s.theirs, theirs)
		s.setPicture(s.ours, ours)
	}
}

// ShowOwn shows our own picture, likewise. While theirs moves it waits for the
// next of those: each drawing of the window costs, whatever changed in it.
func (s *stage) ShowOwn(i image.Image) {
	if i != nil && s.ours.Image != nil && s.theirs.Visible() && s.v.now().Sub(s.fed) < stillTime {
		s.waits = i
		return
	}
	s.waits = nil
	s.setPicture(s.ours, i)
}

// stillTime is when a picture of theirs is taken to stand still.
const stillTime = 250 * time.Millisecond

func (s *stage) setPicture(c *canvas.Image, i image.Image) {
	first := (c.Image == nil) != (i == nil)
	turned := !first && i != nil && c.Image.Bounds().Size() != i.Bounds().Size()
	c.Image = i
	if first {
		show(c, i != nil)
	}
	if first || turned {
		s.relay()
	}
	switch {
	case i == nil:
	case s.root.Visible():
		c.Refresh()
	default:
		s.stale = true
	}
}

// uncover takes the ground away from under a picture: to draw what nobody sees
// is a good part of what a call with a picture costs without a graphics card.
func (s *stage) uncover() {
	film := s.theirs.Visible() && s.theirs.Image != nil && !s.details.root.Visible()
	show(s.ground, !film)
	show(s.curtains, film)
	if !film {
		s.shape = image.Point{}
	} else if now := s.theirs.Image.Bounds().Size(); now != s.shape {
		s.shape = now
		s.curtains.Refresh()
	}
}

// beyond lays two objects where a picture leaves its place empty, which it
// fills as far as its shape allows.
type beyond struct{ of *canvas.Image }

// MinSize implements [fyne.Layout].
func (beyond) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size{} }

// Layout implements [fyne.Layout]. The picture is above and covers a unit of
// each, so that no line shows between them.
func (b beyond) Layout(two []fyne.CanvasObject, size fyne.Size) {
	if b.of.Image == nil {
		return
	}
	is := b.of.Image.Bounds()
	w, h := float32(is.Dx()), float32(is.Dy())
	if w == 0 || h == 0 || size.Height == 0 {
		return
	}
	left := fyne.NewSize(max(0, size.Width-size.Height*w/h)/2, size.Height)
	if size.Width/size.Height < w/h {
		left = fyne.NewSize(size.Width, (size.Height-size.Width*h/w)/2)
		left.Height = min(size.Height, left.Height+1)
	} else {
		left.Width = min(size.Width, left.Width+1)
	}
	for _, o := range two {
		o.Resize(left)
	}
	two[0].Move(fyne.NewPos(0, 0))
	two[1].Move(fyne.NewPos(size.Width-left.Width, size.Height-left.Height))
}

// relay decides anew what is visible.
func (s *stage) relay() {
	if c, ok := s.v.app.Front(); ok && c.ID == s.call.ID {
		s.draw(s.v.app)
	}
}

// ShowPicture shows what the other side of a call sends; see [stage.Show].
func (v *View) ShowPicture(call string, i image.Image) {
	if c, ok := v.app.Front(); ok && c.ID == call {
		v.stage.Show(i)
	}
}

// ShowOwnPicture shows what we send in a call.
func (v *View) ShowOwnPicture(call string, i image.Image) {
	if c, ok := v.app.Front(); ok && c.ID == call {
		v.stage.ShowOwn(i)
	}
}

// The details are figures of a call and what is known of its keys.
type details struct {
	v        *View
	root     *fyne.Container
	values   map[string]*line
	words    *line
	trust    *widget.Label
	verified *button
	mic, ear *meter
	id       string
	back     *canvas.Rectangle
	box      *fyne.Container // what is scrolled
	scroll   *container.Scroll
}

var detailNames = []string{"path", "codec", "video", "rtt", "delay", "loss", "rate"}

func newDetails(v *View) *details {
	d := &details{v: v, values: make(map[string]*line), mic: newMeter(), ear: newMeter()}
	box := rows(8, newLine(tr("details.title"), textHead, colorOnStage).bold())
	pair := func(name string, o fyne.CanvasObject) {
		box.Add(container.New(halves{}, newLine(tr("details."+name), textSmall, colorDimStage), o))
	}
	for _, n := range detailNames {
		d.values[n] = newLine("", textSmall, colorOnStage)
		pair(n, d.values[n])
	}
	pair("mic", d.mic)
	pair("ear", d.ear)
	d.words = newLine("", textHead, colorOnStage).bold()
	d.trust = small("")
	d.verified = newButton(v, tr("trust.verify"), func() { v.send(state.Verified{ID: d.id}) })
	box.Add(padding(newLine(tr("details.keys"), textHead, colorOnStage).bold(), 12, 0, 0, 0))
	box.Add(d.words)
	box.Add(container.NewThemeOverride(d.trust, onStage{}))
	box.Add(container.NewThemeOverride(d.verified, onStage{}))
	d.back = canvas.NewRectangle(rgb(0x191b21))
	d.box, d.scroll = box, container.NewVScroll(box)
	d.root = container.NewStack(d.back, padded(d.scroll, 16))
	d.root.Hide()
	return d
}

// halves puts a name before a value.
type halves struct{}

// nameShare is how much of a row its name has.
const nameShare = 0.44

func (halves) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(200, max(o[0].MinSize().Height, o[1].MinSize().Height))
}
func (halves) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := size.Width * nameShare
	o[0].Resize(fyne.NewSize(w-6, size.Height))
	o[0].Move(fyne.NewPos(0, 0))
	o[1].Resize(fyne.NewSize(size.Width-w, size.Height))
	o[1].Move(fyne.NewPos(w, 0))
}

func (d *details) draw(c state.Call) {
	d.id = c.ID
	s := c.Stats
	set := func(name, text string) {
		d.values[name].set(cmpOr(text, "–"))
	}
	path := ""
	if s.Path != state.PathUnknown {
		path = tr("path." + string(s.Path))
	}
	set("path", path)
	set("codec", s.Codec)
	video := s.VideoCodec
	if s.Width > 0 {
		video += fmt.Sprintf(" %d×%d, %.0f/s", s.Width, s.Height, s.FPS)
	}
	set("video", video)
	ms := func(t time.Duration) string {
		if t <= 0 {
			return ""
		}
		return fmt.Sprintf("%d ms", t.Milliseconds())
	}
	set("rtt", ms(s.RTT))
	set("delay", ms(s.Delay))
	loss, rate := "", ""
	if s.Path != state.PathUnknown {
		loss = tr("details.both", fmt.Sprintf("%.1f %%", s.LossIn*100), fmt.Sprintf("%.1f %%", s.LossOut*100))
		rate = tr("details.both", fmt.Sprintf("%.0f", s.RateIn/1000), fmt.Sprintf("%.0f kbit/s", s.RateOut/1000))
	}
	set("loss", loss)
	set("rate", rate)
	mic, ear := levels(c)
	d.mic.set(mic)
	d.ear.set(ear)
	d.words.set(cmpOr(c.Verification, "–"))
	text := tr("trust."+string(cmpOr(c.Trust, "unknown"))+".text", cmpOr(c.Name, c.JID))
	if d.trust.Text != text {
		d.trust.SetText(text)
	}
	show(d.verified, c.Verification != "" && c.Trust != state.TrustVerified)
}

// The callBar leads back to a call while something else is shown.
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
	b.hang = newRound(v, iconHangUp, 34, colorHangUp, colorOnStage, tr("call.hangup"), v.hangUp)
	b.answer = newButton(v, tr("call.answer"), v.answer)
	go2 := newRow(v, vcentre(b.text), func() { v.look(state.StageShown{On: true}) })
	b.root = container.NewStack(back, padding(border(nil, nil, padding(container.NewCenter(picture(iconPhone, 18, colorOnStage)), 0, 0, 8, 2), columns(8, b.answer, b.hang), go2), 4, 4, 8, 8))
	b.root.Hide()
	return b
}

func (b *callBar) draw(a state.App) {
	c, ok := a.Front()
	show(b.root, ok)
	b.call = c
	show(b.answer, ok && c.Phase == state.Rings)
	if ok {
		b.tick()
	}
}

func (b *callBar) tick() {
	b.text.set(cmpOr(b.call.Name, b.call.JID) + "  ·  " + phase(b.call, b.v.now()) + "  ·  " + tr("bar.return"))
}

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
	over   bool // it lies over a call
	shown  [2]any
}

// overCall is how much of the window below a notice is left to the buttons of a
// call: that which hangs up must not be covered.
const overCall = 132

func newNotices(v *View) *notices {
	n := &notices{v: v, text: wrapped("", fyne.TextAlignLeading), detail: small("")}
	n.again = newButton(v, tr("call.again"), func() { v.look(state.Dismissed{}); v.send(state.PlaceCall{Key: n.key, Video: n.video}) })
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
	detail := ""
	switch {
	case a.Problem != nil:
		say(n.text, problem(*a.Problem))
		detail = a.Problem.Detail
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
