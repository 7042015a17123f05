package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// The signIn page is the first one.
type signIn struct {
	v    *View
	root *fyne.Container

	title    *line
	text     *widget.Label
	address  *entry
	password *entry
	again    *entry
	server   *entry
	more     *fold
	problem  *widget.Label
	detail   *widget.Label
	do       *button
	other    *button
	back     *button
	busy     *widget.Activity
	shown    state.SignIn
	account  int
}

func newSignIn(v *View) *signIn {
	s := &signIn{v: v, title: newLine("", textTitle, theme.ColorNameForeground).bold().centred(), text: wrapped("", fyne.TextAlignCenter)}
	s.text.Importance = widget.LowImportance
	s.address, s.password, s.server = newEntry(v), newPassword(v), newEntry(v)
	s.again = newPassword(v, s.password)
	s.address.SetPlaceHolder(tr("signin.address"))
	s.password.SetPlaceHolder(tr("signin.password"))
	s.again.SetPlaceHolder(tr("signin.again"))
	s.server.SetPlaceHolder(tr("signin.server"))
	s.more = newFold(v, tr("signin.more"), s.server)
	s.problem = wrapped("", fyne.TextAlignLeading)
	s.problem.Importance = widget.DangerImportance
	s.detail = small("")
	s.do = newButton(v, "", s.submit)
	s.do.Importance = widget.HighImportance
	s.other = newButton(v, "", func() { v.look(state.Creating{On: !s.shown.Create}) })
	s.other.Importance = widget.LowImportance
	s.back = newButton(v, tr("cancel"), func() { v.look(state.Show{Page: state.PageSettings}) })
	s.back.Importance = widget.LowImportance
	s.busy = widget.NewActivity()
	s.busy.Hide()
	for _, e := range []*entry{s.address, s.password, s.again, s.server} {
		e.OnSubmitted = func(string) { s.submit() }
	}
	logo := container.NewCenter(picture(iconBell, 64, theme.ColorNamePrimary))
	form := rows(10, logo, s.title, s.text, s.address, s.password, s.again, s.more.root, s.problem, s.detail,
		container.NewCenter(s.busy), s.do, s.other, s.back)
	back := canvas.NewRectangle(paint(theme.ColorNameBackground))
	s.root = container.New(lowWithout{logo}, back, container.NewVScroll(container.NewCenter(container.New(atLeast(fyne.NewSize(380, 0)), form))))
	s.render(state.SignIn{}, 0)
	return s
}

// lowWithout is a stack that leaves something out where it is low.
type lowWithout struct{ what fyne.CanvasObject }

// MinSize implements [fyne.Layout].
func (l lowWithout) MinSize(o []fyne.CanvasObject) fyne.Size { return atLeast{}.MinSize(o) }

// Layout implements [fyne.Layout].
func (l lowWithout) Layout(o []fyne.CanvasObject, size fyne.Size) {
	const low = 480
	show(l.what, size.Height == 0 || size.Height >= low)
	atLeast{}.Layout(o, size)
}

func (s *signIn) draw(a state.App) {
	if a.SignIn != s.shown || len(a.Accounts) != s.account {
		s.render(a.SignIn, len(a.Accounts))
	}
}

func (s *signIn) render(n state.SignIn, accounts int) {
	if s.shown.Busy && !n.Busy && n.Problem == nil {
		for _, e := range []*entry{s.address, s.password, s.again, s.server} {
			e.SetText("") // of the next account nothing is known
		}
	}
	turned := s.shown.Create != n.Create
	if n.JID != "" && n.JID != s.shown.JID {
		s.address.SetText(n.JID)
		s.password.SetText("")
		turned = true
	}
	s.shown, s.account = n, accounts
	title, text, do, other := "signin.title", "signin.text", "signin.do", "signin.create"
	if n.Create {
		title, text, do, other = "create.title", "create.text", "create.do", "create.signin"
	}
	s.title.set(tr(title))
	say(s.text, tr(text))
	s.do.SetText(tr(do))
	s.other.SetText(tr(other))
	show(s.again, n.Create)
	show(s.password.eye, !n.Create) // that of the second is for both: Tab leads from one to the other
	if turned {
		s.password.reads(false)
		s.again.reads(false)
		s.begin()
	}
	show(s.back, accounts > 0)
	wrong := ""
	if n.Problem != nil {
		wrong = problem(*n.Problem)
		say(s.detail, sentence(n.Problem.Detail))
	}
	say(s.problem, wrong)
	show(s.problem, wrong != "")
	show(s.detail, wrong != "" && n.Problem.Detail != "")
	if n.Busy {
		s.do.Disable()
		s.busy.Show()
		s.busy.Start()
	} else {
		s.do.Enable()
		s.busy.Stop()
		s.busy.Hide()
	}
}

// begin moves the keyboard to what is to be typed first.
func (s *signIn) begin() {
	for _, e := range []*entry{s.address, s.password} {
		if e.Text == "" {
			s.v.focus(e)
			return
		}
	}
}

// like takes over what was typed into another one.
func (s *signIn) like(o *signIn) {
	for _, x := range [][2]*entry{{s.address, o.address}, {s.password, o.password}, {s.again, o.again}, {s.server, o.server}} {
		x[0].SetText(x[1].Text)
	}
	s.more.open(o.more.isOpen())
	s.shown.JID = o.shown.JID // which is typed there already
}

func (s *signIn) submit() {
	if s.shown.Busy {
		return
	}
	wrong := ""
	switch {
	case s.address.Text == "" || s.password.Text == "":
		wrong = tr("signin.empty")
	case s.shown.Create && s.password.Text != s.again.Text:
		wrong = tr("create.differ")
	}
	say(s.problem, wrong)
	show(s.problem, wrong != "")
	s.detail.Hide()
	if wrong == "" {
		s.v.send(state.SignInTo{JID: s.address.Text, Password: s.password.Text, Server: s.server.Text, Create: s.shown.Create})
	}
}
