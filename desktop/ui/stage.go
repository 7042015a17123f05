package ui

import (
	"image"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
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
	note                                                        *prose
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
	changedT *prose
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
	s.note = newProse(fyne.TextAlignCenter, colorDimStage, theme.SizeNameText)
	s.noteBox = container.NewStack(s.note)
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
	s.changedT = newProse(fyne.TextAlignLeading, colorOnStage, theme.SizeNameText)
	read := newRound(s.v, iconClose, 30, "", colorOnStage, tr("dismiss"), func() {
		s.told = s.call.ID
		s.draw(s.v.app)
	})
	s.changed = panel(colorControl, padded(border(nil, nil, container.NewVBox(picture(iconAlert, 22, colorFair)), container.NewVBox(read),
		rows(0, padding(s.changedN, 0, 0, 8, 0), s.changedT)), 10))
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
	s.note.say(note)
	// A picture hides what is in the middle, and nobody may miss this.
	s.warns = film && c.Trust == state.TrustChanged && s.told != c.ID
	if s.warns {
		s.changedN.set(c.Verification)
		s.changedT.say(tr("trust.changed.text", name))
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
