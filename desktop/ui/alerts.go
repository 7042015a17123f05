package ui

import (
	"strings"

	"github.com/carillon-im/carillon/desktop/state"
)

// alert is one that stays as long as it is true. It is said when it begins, and
// again when its text is another.
type alert struct {
	key   any
	text  string
	once  bool // it is said only when it begins
	quiet bool // it is not said when it begins
	waits bool // without a text it stays what it was
	now   bool // urgent
}

type alertKey struct{ what, id string }

// Alerts returns what those who listen must hear and have not. What is true
// already when somebody begins to listen is in the window, but for calls.
func (r *Reader) Alerts(v *View) (list []Alert) {
	first := r.said == nil
	said := make(map[any]string)
	for _, a := range v.alerts() {
		was, told := r.said[a.key]
		a.text = spoken(a.text)
		if told && (a.once || a.text == "" && a.waits) {
			a.text = was
		}
		if a.text == "" {
			continue
		}
		said[a.key] = a.text
		if was != a.text && (!first || a.now) && (told || !a.quiet) {
			list = append(list, Alert{a.text, a.now})
		}
	}
	r.said = said
	return list
}

// Forget has the next listener be the first.
func (r *Reader) Forget() { *r = Reader{last: r.last} }

func (v *View) alerts() (list []alert) {
	a := v.app
	add := func(what, id, text string) { list = append(list, alert{key: alertKey{what, id}, text: text}) }
	for _, c := range a.Calls {
		list = append(list, callAlerts(c)...)
	}
	if v.stage.root.Visible() {
		if v.stage.noteBox.Visible() {
			add("note", v.stage.call.ID, v.stage.note.said.Text)
		}
		add("remark", v.stage.call.ID, v.stage.remarks.full)
	}
	if v.notices.root.Visible() {
		text := v.notices.text.Text
		if v.notices.detail.Visible() {
			text += " " + v.notices.detail.Text
		}
		add("notice", "", text)
	}
	if v.signIn.root.Visible() {
		if v.signIn.problem.Visible() {
			add("sign-in", "", v.signIn.problem.Text)
		}
		if v.signIn.shown.Busy {
			add("signing in", "", tr("link.connecting"))
		}
	}
	if v.main.Visible() {
		list = append(list, alert{key: alertKey{"page", ""}, text: v.pageName(), quiet: true})
	}
	for _, x := range a.Accounts {
		text := sayList(x.JID, tr("link."+string(cmpOr(x.Link, "connecting"))))
		if x.Problem != nil && (x.Link == state.LoggedOut || explained(*x.Problem)) {
			text = sayList(x.JID, problem(*x.Problem))
		}
		if x.Link == state.Connecting { // as often as it is tried again
			text = ""
		}
		list = append(list, alert{key: alertKey{"link", x.JID}, text: text, waits: true})
	}
	// Anybody can send requests, from as many addresses as they like.
	if len(a.Requests) > 0 {
		list = append(list, alert{key: alertKey{"requests", ""}, text: a.Requests[0].JID + " " + tr("request.text"), once: true})
	}
	for _, t := range a.Transfers {
		switch {
		case t.Incoming && t.Phase == state.Offered:
			add("offer", t.ID, cmpOr(t.Name, t.JID)+" "+Offered(fileNames(t), t.Size))
		case t.Phase == state.Arrived, t.Phase == state.Broke, t.Phase == state.WaitsFor, t.Phase.Over():
			add("transfer", t.ID, sayList(fileNames(t), strings.ReplaceAll(transferText(t), "  ·  ", ", ")))
		}
	}
	return list
}

// pageName is what the page that is shown is about.
func (v *View) pageName() string {
	if v.app.Page == state.PageContacts {
		if v.person.page.Visible() {
			return v.person.shown.Title()
		}
		return tr("page.contacts")
	}
	return tr("page." + string(v.app.Page))
}

// callAlerts are those of one call.
func callAlerts(c state.Call) (list []alert) {
	name := cmpOr(c.Name, c.JID)
	what := name + ", " + tr("phase."+string(c.Phase))
	switch {
	case c.Phase == state.Rings:
		what = name + " " + Calls(c.Video)
	case c.Phase == state.Running && c.Held:
		what = name + ", " + tr("phase.held")
	}
	list = append(list, alert{key: alertKey{"call", c.ID}, text: what, now: c.Phase == state.Rings})
	if c.Phase.Live() {
		mic, picture := "said.unmuted", "said.picture"
		if c.Muted {
			mic = "said.muted"
		}
		switch c.Picture {
		case state.Camera:
			picture = "said.camera"
		case state.Screen:
			picture = "said.screen"
		}
		list = append(list, alert{key: alertKey{"microphone", c.ID}, text: tr(mic), quiet: true}, alert{key: alertKey{"picture", c.ID}, text: tr(picture), quiet: true})
		if c.Verification != "" && c.Trust == state.TrustChanged {
			list = append(list, alert{key: alertKey{"trust", c.ID}, text: tr("trust.changed.text", name)})
		}
	}
	return list
}
