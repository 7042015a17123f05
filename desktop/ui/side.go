package ui

import (
	"image/color"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

const (
	sideWidth   = 300
	narrowWidth = 220 // in a narrow window
	rowHeight   = 56
	// fewRequests are shown at first. Anybody can send them, from as many
	// addresses as they like.
	fewRequests = 1
	// someRequests are shown in addition, each time the user wants to see more.
	someRequests = 8
)

// The side is who we are, the people, and the bar of pages.
type side struct {
	v    *View
	root *fyne.Container

	me       *avatar
	name     *line
	link     *line
	search   *entry
	list     *list
	empty    *widget.Label
	asking   *fyne.Container // requests and what is below them
	requests *fyne.Container
	rest     *button // how many requests are not shown
	nav      map[state.Page]*round

	found  []*state.Contact
	among  []state.Contact // those that found was looked for among
	query  string          // and what was looked for
	asked  []state.Request // those shown
	most   int             // how many may be shown
	drawn  listed
	walked state.Key // whom the keys are at in the list
	shown  state.App
}

// What the list of people was drawn for.
type listed struct {
	selected state.Key
	page     state.Page
}

func newSide(v *View) *side {
	s := &side{v: v, me: newAvatar(36), nav: make(map[state.Page]*round)}
	s.name = newLine("", textNormal, theme.ColorNameForeground).bold()
	s.link = newLine("", textSmall, colorMuted)
	s.search = newEntry(s.v)
	s.search.SetPlaceHolder(tr("search"))
	s.search.OnChanged = func(text string) { v.look(state.Searched{Text: text}) }
	s.search.OnSubmitted = func(string) {
		if len(s.found) > 0 {
			v.look(state.Select{Key: s.found[0].Key})
		}
	}
	add := newRound(v, iconPlus, 34, "", theme.ColorNameForeground, tr("add.tip"), s.addContact)
	s.search.key = func(k fyne.KeyName) bool {
		switch {
		case k == fyne.KeyDown && len(s.found) > 0:
			v.focus(s.list)
		case k == fyne.KeyEscape && s.search.Text != "":
			s.search.SetText("")
		default:
			return false
		}
		return true
	}
	s.list = newList(v, func() int { return len(s.found) }, func() fyne.CanvasObject { return newContactRow(v) },
		func(i int, o fyne.CanvasObject) {
			if i < len(s.found) {
				r := o.(*contactRow)
				s.list.puts(r.call, i)
				r.show(*s.found[i], s.shown, s.list.isMarked(i))
			}
		})
	s.list.chosen = func(i int) { v.look(state.Select{Key: s.found[i].Key}) }
	s.list.opened = func(i int) {
		s.list.chosen(i)
		v.next = s.found[i].Key
	}
	s.list.went = func(i int) { s.walked = s.found[i].Key }
	s.empty = wrapped("", fyne.TextAlignCenter)
	s.empty.Importance = widget.LowImportance
	s.requests, s.most = rows(6), fewRequests
	s.rest = newButton(s.v, "", func() {
		s.most += someRequests
		s.drawRequests(s.shown.Requests)
	})
	s.rest.Importance = widget.LowImportance
	scroll := container.NewVScroll(s.requests)
	s.asking = padding(border(nil, s.rest, nil, nil, container.New(asContent{scroll}, scroll)), 0, 10, 12, 12)
	head := border(nil, nil, s.me, add, padding(rows(0, s.name, s.link), 0, 0, 8, 4))
	bar := container.New(layout.NewCustomPaddedHBoxLayout(0), layout.NewSpacer())
	for _, n := range []struct {
		page state.Page
		what icon
		tip  string
	}{
		{state.PageContacts, iconPeople, "page.contacts"}, {state.PageCalls, iconClock, "page.calls"},
		{state.PageTransfers, iconFiles, "page.transfers"}, {state.PageDoctor, iconPulse, "page.doctor"},
		{state.PageSettings, iconSettings, "page.settings"},
	} {
		b := newRound(v, n.what, 40, "", colorMuted, tr(n.tip), func() { v.look(state.Show{Page: n.page}) })
		s.nav[n.page] = b
		bar.Add(b)
		bar.Add(layout.NewSpacer())
	}
	line := canvas.NewRectangle(paint(theme.ColorNameSeparator))
	line.SetMinSize(fyne.NewSize(1, 1))
	back := canvas.NewRectangle(paint(colorSide))
	content := border(
		padding(rows(10, head, s.search), 12, 5, 12, 12),
		rows(0, line, padding(bar, 6, 6, 6, 6)), nil, nil,
		container.New(upToHalf{}, s.asking, container.NewStack(padding(s.list, 3, 0, 6, 6), padding(s.empty, 27, 0, 20, 20))))
	s.root = container.New(exactly(fyne.NewSize(narrowWidth, 320)), back, content)
	return s
}

func (s *side) draw(a state.App) {
	s.shown = a
	if len(a.Accounts) > 0 {
		own := a.Accounts[0]
		var names string
		for i, x := range a.Accounts {
			if i > 0 {
				names += ", "
			}
			names += x.JID
			if x.Link != state.Online {
				own = x // what is not well is what is told
			}
		}
		s.name.set(names)
		text, tint := tr("link."+string(cmpOr(own.Link, "connecting"))), colorMuted
		if own.Link == state.Offline || own.Link == state.LoggedOut {
			tint = theme.ColorNameError
			// That it is tried again says more than an error without words, and what
			// to do about a login is said where it is done.
			if own.Problem != nil && own.Link == state.Offline && explained(*own.Problem) {
				text = problem(*own.Problem)
			}
		}
		s.link.set(text)
		s.link.paint(tint)
		s.me.show(a.Accounts[0].JID, a.Accounts[0].JID, linkColor(own.Link), paint(colorSide))
	}
	if s.search.Text != a.Search {
		s.search.SetText(a.Search)
	}
	for page, b := range s.nav {
		front := colorMuted
		fill := fyne.ThemeColorName("")
		if page == a.Page {
			front, fill = theme.ColorNamePrimary, colorChosen
		}
		b.look(b.what, fill, front, b.tip)
	}
	s.nav[state.PageCalls].number(a.MissedCalls())
	waiting := 0
	for _, t := range a.Transfers {
		if t.Incoming && t.Phase == state.Offered {
			waiting++
		}
	}
	s.nav[state.PageTransfers].number(waiting)
	s.drawRequests(a.Requests)
	// Between two calls of Draw the contacts are mostly the same, and to look
	// through ten thousand takes longer than the rest of it.
	anew := s.query != a.Search || !alike(s.among, a.Contacts)
	if anew {
		s.found, s.among, s.query = a.Found(), a.Contacts, a.Search
		s.follow()
	}
	switch {
	case len(s.found) > 0:
		s.empty.Hide()
	case a.Search != "":
		say(s.empty, tr("search.nobody", a.Search))
		s.empty.Show()
	default:
		say(s.empty, tr("contacts.none"))
		s.empty.Show()
	}
	if now := (listed{a.Selected, a.Page}); now != s.drawn || anew {
		s.drawn = now
		s.list.Refresh()
	}
}

// follow keeps the keys at the same person when the others move.
func (s *side) follow() {
	i := slices.IndexFunc(s.found, func(c *state.Contact) bool { return c.Key == s.walked })
	switch {
	case i == s.list.at:
	case i >= 0 && s.list.marked:
		s.list.goTo(i)
	case i >= 0:
		s.list.at = i
	default:
		s.list.at = min(s.list.at, max(0, len(s.found)-1))
	}
}

// drawRequests shows the first requests and how many there are besides.
func (s *side) drawRequests(all []state.Request) {
	if len(all) <= fewRequests {
		s.most = fewRequests
	}
	some := all[:min(len(all), s.most)]
	if !same(s.asked, some) {
		s.asked = some
		s.requests.RemoveAll()
		for _, r := range some {
			s.requests.Add(s.request(r))
		}
	}
	if n := len(all) - len(some); n > 0 {
		if text := count("request.more", n); s.rest.Text != text {
			s.rest.SetText(text)
		}
	}
	show(s.rest, len(all) > len(some))
	show(s.asking, len(all) > 0)
}

// request is somebody who wants to be a contact.
func (s *side) request(r state.Request) fyne.CanvasObject {
	text := newLine(r.JID, textNormal, theme.ColorNameForeground).bold()
	why := small(tr("request.text"))
	if r.Text != "" {
		say(why, oneLine(r.Text))
	}
	yes := newButton(s.v, tr("request.yes"), func() { s.v.send(state.AnswerRequest{Key: r.Key, Yes: true}) })
	yes.Importance = widget.HighImportance
	no := newButton(s.v, tr("request.no"), func() { s.v.send(state.AnswerRequest{Key: r.Key}) })
	return panel(colorChosen, padded(rows(2, text, why, container.NewGridWithColumns(2, no, yes)), 10))
}

// focus moves the keyboard to the search.
func (s *side) focus() {
	if s.v.main.Visible() {
		s.v.focus(s.search)
	}
}

// at returns whose row is at a place of the window.
func (s *side) at(p fyne.Position) (state.Key, bool) {
	driver := fyne.CurrentApp().Driver()
	top := driver.AbsolutePositionForObject(s.list)
	p = p.Subtract(top)
	if p.X < 0 || p.Y < 0 || p.X > s.list.Size().Width || p.Y > s.list.Size().Height {
		return state.Key{}, false
	}
	step := float32(rowHeight) + theme.Padding()
	i := int((p.Y + s.list.GetScrollOffset()) / step)
	if i >= len(s.found) {
		return state.Key{}, false
	}
	return s.found[i].Key, true
}

// addContact asks for an address.
func (s *side) addContact() { s.addContactAs("", "", "") }

// addContactAs asks with something in the fields already.
func (s *side) addContactAs(jid, as, from string) {
	address, name := newEntry(s.v), newEntry(s.v)
	address.SetText(jid)
	name.SetText(as)
	address.SetPlaceHolder("alice@example.org")
	address.label = tr("signin.address")
	name.SetPlaceHolder(tr("add.name"))
	accounts := make([]string, len(s.shown.Accounts))
	for i, a := range s.shown.Accounts {
		accounts[i] = a.JID
	}
	if len(accounts) == 0 {
		return
	}
	if !slices.Contains(accounts, from) {
		from = accounts[0]
	}
	content := rows(10, wrapped(tr("add.text"), fyne.TextAlignLeading), address, name)
	if len(accounts) > 1 {
		choice := newChoice(s.v, accounts, func(chosen string) { from = chosen })
		choice.SetSelected(from)
		content.Add(choice)
	}
	done := func() {
		if address.Text == "" {
			return
		}
		s.v.send(state.AddContact{Key: state.Key{Account: from, JID: address.Text}, Name: name.Text})
		s.v.sheet.close()
	}
	address.OnSubmitted = func(string) { done() }
	name.OnSubmitted = func(string) { done() }
	s.v.sheet.open(tr("add.title"), content, tr("add.do"), false, done)
	s.v.sheet.again = func(n *View) { n.side.addContactAs(address.Text, name.Text, from) }
}

// A contactRow is one line of the list.
type contactRow struct {
	widget.BaseWidget
	v      *View
	back   *canvas.Rectangle
	face   *avatar
	name   *line
	status *line
	call   *round
	who    state.Key
	root   *fyne.Container
}

func newContactRow(v *View) *contactRow {
	r := &contactRow{v: v, face: newAvatar(38), back: canvas.NewRectangle(color.Transparent)}
	r.back.CornerRadius = 8
	r.name = newLine("", textNormal, theme.ColorNameForeground)
	r.status = newLine("", textSmall, colorMuted)
	r.call = newRound(v, iconPhone, 34, "", colorMuted, "", func() { v.send(state.PlaceCall{Key: r.who}) })
	middle := container.NewVBox(layout.NewSpacer(), rows(0, r.name, r.status), layout.NewSpacer())
	r.root = container.NewStack(r.back, padding(border(nil, nil, r.face, r.call, padding(middle, 0, 0, 9, 4)), 4, 4, 8, 6))
	r.ExtendBaseWidget(r)
	return r
}

func (r *contactRow) CreateRenderer() fyne.WidgetRenderer {
	return widget.NewSimpleRenderer(container.New(atLeast(fyne.NewSize(0, rowHeight)), r.root))
}

func (r *contactRow) show(c state.Contact, a state.App, mark bool) {
	if r.who != c.Key && r.call.focused {
		r.v.focus(r.call.of) // a key must not call somebody else than was seen
	}
	r.who = c.Key
	r.name.set(c.Title())
	r.status.set(presenceText(c))
	chosen := c.Key == a.Selected && a.Page == state.PageContacts
	behind := colorSide
	r.back.FillColor = color.Transparent
	if chosen {
		behind = colorChosen
		r.back.FillColor = paint(behind)
	}
	r.back.StrokeWidth = 0
	if mark {
		r.back.StrokeColor, r.back.StrokeWidth = paint(theme.ColorNamePrimary), 2
	}
	r.back.Refresh()
	r.face.show(c.Title(), c.JID, presenceColor(c.Presence), paint(behind))
	front, tip := colorCall, tr("call.tip", c.Title())
	if c.Why != state.WhyNothing {
		front, tip = colorMuted, why(c.Why, c.Title())
		if c.Why == state.WhyNoRelay {
			front = colorCall
		}
	}
	r.call.look(iconPhone, "", front, tip)
}

// presenceText is what is said below a name.
func presenceText(c state.Contact) string {
	switch {
	case c.Status != "" && c.Presence != state.Gone:
		return c.Status
	case c.SeenByUs:
		return tr("presence." + string(cmpOr(c.Presence, "gone")))
	case c.Asked:
		return tr("presence.asked")
	}
	return tr("presence.hidden")
}

func presenceColor(p state.Presence) color.Color {
	switch p {
	case state.Available:
		return rgb(0x2fae6e)
	case state.Away:
		return rgb(0xe0a93a)
	case state.Busy:
		return rgb(0xd13b44)
	}
	return nil
}

func linkColor(l state.Link) color.Color {
	switch l {
	case state.Online:
		return rgb(0x2fae6e)
	case state.Connecting:
		return rgb(0xe0a93a)
	}
	return rgb(0xd13b44)
}

// cmpOr returns the first text that is not empty.
func cmpOr[T ~string](a, b T) T {
	if a != "" {
		return a
	}
	return b
}

// alike reports whether two lists are the same one. A list of the state does not
// change: an event makes another.
func alike[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// same reports whether two lists of comparable things are the same.
func same[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
