package ui

// fullScreen makes the window fill the screen, or no more.
func (v *View) fullScreen() { v.fill(!v.full) }

func (v *View) fill(on bool) {
	if v.FullScreen == nil || on == v.full {
		return
	}
	v.full, v.forCall = on, on && v.stage.root.Visible()
	v.FullScreen(on)
	v.stage.drawFull()
}

// unfill gives the screen back when the call goes for which it was filled: what
// is behind it has no button for that.
func (v *View) unfill() {
	if v.forCall && !v.stage.root.Visible() {
		v.fill(false)
	}
}

func (s *stage) drawFull() {
	if s.v.full {
		s.full.look(iconUnfull, "", colorOnStage, tr("call.unfull"))
	} else {
		s.full.look(iconFull, "", colorOnStage, tr("shortcut.full"))
	}
}
