package ui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/desktop/access"
	"github.com/carillon-im/carillon/desktop/state"
)

var whole = Place{Scale: 1, Active: true}

// heard is what is in the window for somebody who does not see it.
func (d *desk) heard(r *Reader) []*access.Node {
	d.settled()
	return r.Read(d.View, whole).Nodes()
}

func find(t *testing.T, list []*access.Node, role access.Role, name string) *access.Node {
	t.Helper()
	var names []string
	for _, n := range list {
		if n.Role == role && strings.HasPrefix(n.Name, name) {
			return n
		}
		if n.Role == role {
			names = append(names, n.Name)
		}
	}
	t.Fatalf("no %q; there are %q", name, names)
	return nil
}

// controls are what is worked with, and so needs a name.
var controls = []access.Role{access.Window, access.Dialog, access.Button, access.CheckBox, access.ComboBox, access.Entry, access.Password,
	access.Heading, access.Label, access.List, access.ListItem, access.MenuItem, access.Tab, access.Progress, access.Meter}

// Whatever the keyboard comes to has a name and is where the focus is.
func TestEverythingHasAName(t *testing.T) {
	for _, lang := range []string{"en", "de", "es"} {
		for _, s := range scenes() {
			t.Run(lang+" "+s.name, func(t *testing.T) {
				speak(t, lang)
				d := s.desk(t)
				d.settled()
				var r Reader
				ids := make(map[access.ID]bool)
				for _, n := range d.heard(&r) {
					if ids[n.ID] {
						t.Errorf("%d is the number of two", n.ID)
					}
					ids[n.ID] = true
					if slices.Contains(controls, n.Role) && n.Name == "" {
						t.Errorf("without a name: %+v", n)
					}
				}
				if lang != "en" {
					return
				}
				for _, f := range d.walk(t) {
					if _, ok := f.(*mover); ok {
						continue // there for those who see the picture
					}
					d.focus(f)
					var at []*access.Node
					for _, n := range d.heard(&r) {
						if n.State&access.Focused != 0 {
							at = append(at, n)
						}
					}
					if len(at) != 1 {
						t.Fatalf("the focus is at a %T, and told are %d", f, len(at))
					}
					if at[0].State&access.Focusable == 0 || at[0].Bounds.Empty() {
						t.Errorf("the focus is at %+v", at[0])
					}
				}
			})
		}
	}
}

// What stays in the window is the same thing to those who listen.
func TestNodesStayTheSame(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			d := s.desk(t)
			var r Reader
			d.heard(&r)
			before := d.heard(&r)
			d.Draw(d.app)
			if diff := cmp.Diff(before, d.heard(&r)); diff != "" {
				t.Errorf("it is told as another (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAPasswordIsNotTold(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	d.focus(d.signIn.password)
	for _, c := range "s3cr3t" {
		d.signIn.password.TypedRune(c)
	}
	var r Reader
	for _, shown := range []bool{false, true} {
		d.signIn.password.reads(shown)
		for _, n := range d.heard(&r) {
			if strings.Contains(n.Name+n.Description, "s3cr3t") || n.Field != nil && strings.Contains(n.Field.Text, "s3cr3t") {
				t.Errorf("shown %v: told is %+v", shown, n)
			}
		}
		if n := find(t, d.heard(&r), access.Password, "Password"); n.Field.Text != "••••••" || n.Field.Caret != 6 {
			t.Errorf("shown %v: the field is %+v", shown, n.Field)
		}
	}
}

func TestPeopleAreToldWithTheirPresence(t *testing.T) {
	d := newDesk(t, "light", people())
	var r Reader
	list := d.heard(&r)
	rows := find(t, list, access.List, "People").Children
	if len(rows) == 0 || len(rows) > len(d.side.found) {
		t.Fatalf("%d rows of %d people", len(rows), len(d.side.found))
	}
	for i, n := range rows {
		c := *d.side.found[i]
		want := []string{c.Title()}
		if c.SeenByUs {
			want = append(want, tr("presence."+string(cmpOr(c.Presence, "gone"))))
		}
		for _, w := range want {
			if !strings.Contains(n.Name, spoken(w)) {
				t.Errorf("%q does not say %q", n.Name, w)
			}
		}
		if n.Place != i+1 || n.Of != len(d.side.found) {
			t.Errorf("%q is %d of %d", n.Name, n.Place, n.Of)
		}
		if len(n.Children) != 1 || n.Children[0].Name != spoken(tr("call.tip", c.Title())) {
			t.Errorf("beside %q is %+v", n.Name, n.Children)
		}
	}
	// The keys go to a row, and not to the list.
	d.focus(d.side.list)
	d.press(fyne.KeyDown)
	rows = find(t, d.heard(&r), access.List, "People").Children
	for i, n := range rows {
		if on := n.State&access.Focused != 0; on != (i == 1) {
			t.Errorf("row %d has the focus: %v", i, on)
		}
	}
}

// A row is about somebody, wherever in the list that stands and whatever shows it.
func TestWhoIsCalledIsWhoWasMeant(t *testing.T) {
	d := newDesk(t, "light", people())
	var r Reader
	list := d.heard(&r)
	ben := find(t, list, access.ListItem, d.side.found[1].Title())
	want := d.side.found[1].Key
	d.Draw(d.app.Apply(state.Searched{Text: d.side.found[1].Title()}))
	list = d.heard(&r)
	if now := find(t, list, access.List, "People").Children; now[0].ID != ben.ID || now[0].Place != 1 {
		t.Errorf("the row is another: %+v", now[0])
	}
	d.wanted = nil
	r.Do(d.View, whole, access.Request{ID: ben.Children[0].ID, Do: access.Press})
	if len(d.wanted) != 1 || d.wanted[0] != state.Command(state.PlaceCall{Key: want}) {
		t.Errorf("pressing the button of %s: %v", want, d.wanted)
	}
	// Who is not in the list any more is called by nothing.
	d.Draw(d.app.Apply(state.Searched{Text: "nobody at all"}))
	d.heard(&r)
	d.wanted = nil
	r.Do(d.View, whole, access.Request{ID: ben.Children[0].ID, Do: access.Press})
	r.Do(d.View, whole, access.Request{ID: 12345, Do: access.Press})
	if len(d.wanted) != 0 {
		t.Errorf("what is not there was pressed: %v", d.wanted)
	}
}

func TestSigningInByThoseWhoListen(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	var r Reader
	do := func(role access.Role, name string, q access.Request) {
		t.Helper()
		q.ID = find(t, d.heard(&r), role, name).ID
		r.Do(d.View, whole, q)
	}
	do(access.Entry, "Address", access.Request{Do: access.Write, Text: "ben@example.org\n"})
	do(access.Password, "Password", access.Request{Do: access.Write, Text: "s3cr3t"})
	do(access.Button, "Server", access.Request{Do: access.Press})
	if n := find(t, d.heard(&r), access.Button, "Server"); n.State&access.Expanded == 0 {
		t.Errorf("the fold is %+v", n)
	}
	do(access.Entry, "host", access.Request{Do: access.Focus})
	if d.focusedOn() != fyne.Focusable(d.signIn.server) {
		t.Errorf("the focus is at a %T", d.focusedOn())
	}
	do(access.Button, "Sign in", access.Request{Do: access.Press})
	want := []state.Command{state.SignInTo{JID: "ben@example.org", Password: "s3cr3t"}}
	if diff := cmp.Diff(want, d.wanted); diff != "" {
		t.Errorf("wanted (-want +got):\n%s", diff)
	}
	// While that is done the button does nothing.
	d.Draw(d.app.Apply(state.SigningIn{}))
	d.wanted = nil
	if n := find(t, d.heard(&r), access.Button, "Sign in"); n.State&access.Enabled != 0 {
		t.Errorf("the button is %+v", n)
	}
	do(access.Button, "Sign in", access.Request{Do: access.Press})
	if len(d.wanted) != 0 {
		t.Errorf("it does %v", d.wanted)
	}
}

func TestBoxesAndChoicesAreTold(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Show{Page: state.PageSettings}))
	var r Reader
	n := find(t, d.heard(&r), access.CheckBox, tr("settings.ring"))
	if n.State&access.Checked == 0 || n.State&access.Checkable == 0 {
		t.Errorf("the box is %+v", n)
	}
	d.wanted = nil
	r.Do(d.View, whole, access.Request{ID: n.ID, Do: access.Press})
	if c, ok := d.wanted[0].(state.Change); !ok || !c.Settings.Quiet {
		t.Errorf("wanted %v", d.wanted)
	}
	c := find(t, d.heard(&r), access.ComboBox, tr("settings.language"))
	if c.Field == nil || c.Field.Text != tr("theme.system") {
		t.Errorf("the choice is %+v", c)
	}
	r.Do(d.View, whole, access.Request{ID: c.ID, Do: access.Press})
	d.press(fyne.KeyDown)
	var items, at []string
	for _, n := range d.heard(&r) {
		if n.Role == access.MenuItem {
			items = append(items, n.Name)
			if n.State&access.Focused != 0 {
				at = append(at, n.Name)
			}
		}
	}
	if diff := cmp.Diff(d.options.speech.Options, items); diff != "" {
		t.Errorf("the menu has (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(items[:1], at); diff != "" {
		t.Errorf("the keys are at (-want +got):\n%s", diff)
	}
	d.wanted = nil
	r.Do(d.View, whole, access.Request{ID: find(t, d.heard(&r), access.MenuItem, "Deutsch").ID, Do: access.Press})
	if len(d.wanted) != 1 || d.wanted[0].(state.Change).Settings.Language != "de" || d.Moves() {
		t.Errorf("wanted %v", d.wanted)
	}
}

func TestProgressIsTold(t *testing.T) {
	d := newDesk(t, "light", files(people()).Apply(state.Show{Page: state.PageTransfers}))
	var r Reader
	list := d.heard(&r)
	found := 0
	for _, x := range d.app.Transfers {
		g := find(t, list, access.Panel, spoken(fileNames(x)))
		if x.Phase != state.Moves {
			continue
		}
		found++
		bar := find(t, g.Children, access.Progress, g.Name)
		if bar.Value == nil || bar.Value.Now != x.Share() || bar.Value.Max != 1 {
			t.Errorf("%s is at %+v", g.Name, bar.Value)
		}
	}
	if found == 0 {
		t.Error("no transfer moves")
	}
}

// In the doctor and in what is past signs have no words of their own.
func TestSignsHaveWords(t *testing.T) {
	a := people().Apply(state.Show{Page: state.PageDoctor})
	for _, s := range []string{"ok", "warn", "fail", "skip"} {
		a = a.Apply(state.DoctorFound{Check: state.Check{Kind: "dns", Status: s, Which: "of " + s, Detail: said("found")}})
	}
	d := newDesk(t, "light", a)
	var r Reader
	list := d.heard(&r)
	for _, c := range d.app.Doctor.Checks {
		find(t, list, access.Panel, sayList(doctorName(c.Kind), tr("doctor."+c.Status)))
	}
	if n := len(d.app.Doctor.Checks); n != 4 {
		t.Errorf("%d were checked", n)
	}
	d = newDesk(t, "light", people().Apply(state.Select{Key: key("ben@example.org")}))
	if list = d.heard(&r); len(d.person.lines) == 0 {
		t.Error("nothing is past")
	}
	for _, l := range d.person.lines {
		find(t, list, access.Panel, d.pastText(l))
	}
}

// The clock of a call is not told each second of what has the focus.
func TestTheClockIsQuiet(t *testing.T) {
	d := newDesk(t, "light", running(people()).Apply(state.StageShown{}))
	var r Reader
	n := find(t, d.heard(&r), access.Button, "Ben")
	if strings.Contains(n.Name, ":") {
		t.Errorf("the way back to the call is called %q", n.Name)
	}
}

// Nothing is looked at as long as nobody listens.
func TestNobodyListens(t *testing.T) {
	d := newDesk(t, "light", people())
	touched := 0
	d.Draw(d.app)
	d.Touched = func() { touched++ }
	for what, do := range map[string]func(){
		"drawing":  func() { d.Draw(d.app) },
		"ticking":  func() { d.Tick() },
		"a key":    func() { d.press(fyne.KeyEscape) },
		"a letter": func() { d.side.search.TypedRune('x') },
		"the focus": func() {
			d.focus(d.side.list)
		},
	} {
		touched = 0
		if do(); touched == 0 {
			t.Errorf("%s was not told", what)
		}
	}
	n := d.Rebuild()
	if n.Touched == nil {
		t.Error("a view made anew tells nobody")
	}
}

// While somebody listens the buttons of a call stay.
func TestButtonsStayForThoseWhoListen(t *testing.T) {
	for _, listens := range []bool{false, true} {
		d := newDesk(t, "light", running(people()).Apply(state.CallShown{ID: "1", On: true}))
		at := now
		d.View.now = func() time.Time { return at }
		d.ShowPicture("1", filmed())
		if listens {
			d.Touched = func() {}
		}
		at = at.Add(2 * chromeTime)
		d.Tick()
		if d.stage.chrome.Visible() != listens {
			t.Errorf("somebody listens: %v, and the buttons are there: %v", listens, !listens)
		}
	}
}

func TestAlerts(t *testing.T) {
	ben := key("ben@example.org")
	d := newDesk(t, "light", people())
	var r Reader
	if got := r.Alerts(d.View); len(got) != 0 {
		t.Errorf("at first is said %v", got)
	}
	polite := func(text string) Alert { return Alert{Text: text} }
	step := func(what string, e state.Event, want ...Alert) {
		t.Helper()
		a := d.app.Apply(e)
		d.Draw(a)
		if diff := cmp.Diff(want, r.Alerts(d.View)); diff != "" {
			t.Errorf("%s: said is (-want +got):\n%s", what, diff)
		}
		d.Draw(a)
		if again := r.Alerts(d.View); len(again) != 0 {
			t.Errorf("%s: said again is %v", what, again)
		}
	}
	step("a call", state.CallBegan{Call: state.Call{ID: "7", Key: ben, Incoming: true, Video: true, Phase: state.Rings}},
		Alert{"Ben Okafor calls you with video", true})
	step("it is taken", state.CallChanged{ID: "7", Phase: state.Linking}, polite("Ben Okafor, connecting…"))
	step("it runs", state.CallChanged{ID: "7", Phase: state.Running, At: now}, polite("Ben Okafor, connected"))
	step("a figure", state.CallMeasured{ID: "7", Stats: state.Stats{LevelIn: -20}})
	step("we are muted", state.CallMuted{ID: "7", On: true}, polite("Your microphone is muted"))
	step("and not", state.CallMuted{ID: "7"}, polite("Your microphone is on"))
	step("they are muted", state.CallMuted{ID: "7", Remote: true, On: true}, polite("Ben Okafor is muted"))
	step("our camera", state.CallPictured{ID: "7", Picture: state.Camera}, polite("Your camera is on"))
	step("hold", state.CallHeld{ID: "7", On: true}, polite("Ben Okafor, on hold"))
	step("the path is lost", state.CallChanged{ID: "7", Phase: state.Reconnecting}, polite("Ben Okafor, looking for another path…"))
	step("the end", state.CallEnded{ID: "7", Outcome: state.Answered, Remote: true}, polite("Ben Okafor hung up after 0:00."))
	step("that is read", state.Dismissed{})
	step("a problem", state.WentWrong{Problem: state.Problem{Code: state.DroppedNowhere}}, polite(tr("problem.drop")))
	step("a page", state.Show{Page: state.PageCalls}, polite(tr("page.calls")))
	step("a person", state.Select{Key: ben}, polite("Ben Okafor"))
	step("a request", state.Requested{Request: state.Request{Key: key("eve@example.org")}}, polite("eve@example.org wants to see when you are online"))
	step("and more of them", state.Requested{Request: state.Request{Key: key("mallory@example.org")}})
	step("an offer", state.TransferBegan{Transfer: state.Transfer{ID: "t", Key: ben, Names: []string{"lake.jpg"}, Files: 1, Size: 3_400_000, Incoming: true, Phase: state.Offered}},
		polite("Ben Okafor wants to send you lake.jpg (3.4 MB)"))
	step("it is taken", state.TransferChanged{ID: "t", Phase: state.Moves})
	step("it moves", state.TransferMoved{ID: "t", Done: 1_000_000, At: now})
	step("it is there", state.TransferChanged{ID: "t", Phase: state.Arrived, Verified: true}, polite("lake.jpg, from Ben Okafor, 3.4 MB, arrived and verified"))
	step("the network is gone", state.AccountChanged{Account: state.Account{JID: own, Link: state.Offline}}, polite("anna@example.org, offline, trying again"))
	step("and tried", state.AccountChanged{Account: state.Account{JID: own}})
	step("in vain", state.AccountChanged{Account: state.Account{JID: own, Link: state.Offline}})
	step("and found", state.AccountChanged{Account: state.Account{JID: own, Link: state.Online}}, polite("anna@example.org, online"))

	// To sign in is said, too, also what is found before anybody is asked.
	d = newDesk(t, "light", state.App{})
	r.Forget()
	r.Alerts(d.View)
	d.focus(d.signIn.do)
	d.press(fyne.KeyReturn)
	if diff := cmp.Diff([]Alert{polite(tr("signin.empty"))}, r.Alerts(d.View)); diff != "" {
		t.Errorf("without an address is said (-want +got):\n%s", diff)
	}
	// A call is heard by who begins to listen while it rings.
	d = newDesk(t, "light", calling(people(), state.Call{ID: "7", Key: ben, Incoming: true, Phase: state.Rings}))
	r.Forget()
	if diff := cmp.Diff([]Alert{{"Ben Okafor calls you", true}}, r.Alerts(d.View)); diff != "" {
		t.Errorf("while it rings is said (-want +got):\n%s", diff)
	}
}

// Reading the window is what listening costs the thread that draws it.
func BenchmarkRead(b *testing.B) {
	for _, s := range scenes() {
		if s.name != "person" && s.name != "call" && s.name != "settings" {
			continue
		}
		b.Run(s.name, func(b *testing.B) {
			d := newDesk(b, "light", s.app)
			d.settled()
			var r Reader
			for b.Loop() {
				r.Read(d.View, whole)
				r.Alerts(d.View)
			}
		})
	}
}

// Whatever is written in the window is told, whichever widget shows it.
func TestWhatIsWrittenIsTold(t *testing.T) {
	bare := func(s string) string { return strings.Join(strings.Fields(spoken(s)), "") }
	all := 0
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			d := s.desk(t)
			var r Reader
			var told strings.Builder
			for _, n := range d.heard(&r) {
				told.WriteString(bare(n.Name + n.Description))
				if n.Field != nil {
					told.WriteString(bare(n.Field.Text + n.Field.Hint))
				}
				told.WriteByte('\n')
			}
			seen(d.top(), nil, func(o fyne.CanvasObject, holds []fyne.CanvasObject) {
				text := ""
				for _, h := range holds {
					switch h.(type) {
					case *line, *avatar:
						return
					}
				}
				if slices.Contains(holds, fyne.CanvasObject(d.tips.box)) {
					return
				}
				switch o := o.(type) {
				case *line:
					if text = o.full; o == d.bar.text {
						text = tr("bar.return") // and not its clock
					}
				case *canvas.Text:
					text = o.Text
				}
				if all++; !strings.Contains(told.String(), bare(text)) {
					t.Errorf("not told is %q, of a %T", text, holds[max(0, len(holds)-1)])
				}
			})
		})
	}
	if all < 1000 {
		t.Errorf("only %d things were looked at", all)
	}
}
