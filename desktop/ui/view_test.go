package ui

import (
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/desktop/state"
)

func TestCallButtonIsAlwaysThereAndSaysWhyNot(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Select{Key: key("erik@example.com")}))
	if !d.person.call.Visible() || d.person.call.disabled {
		t.Fatal("there is no call button")
	}
	d.person.call.MouseIn(&desktop.MouseEvent{})
	want := "erik@example.com is online with a program that takes no calls. They can call you, or open one that does."
	if d.person.call.tip != want || !d.tips.box.Visible() {
		t.Errorf("tip = %q, shown %v", d.person.call.tip, d.tips.box.Visible())
	}
	d.person.call.MouseOut()
	if d.tips.box.Visible() {
		t.Error("the tip stays")
	}
	test.Tap(d.person.call)
	d.expect(t, state.PlaceCall{Key: key("erik@example.com")})
}

func TestControlsOfACall(t *testing.T) {
	d := newDesk(t, "dark", running(people()))
	for _, tt := range []struct {
		name string
		do   func()
		want state.Command
	}{
		{"mute", func() { test.Tap(d.stage.mute) }, state.Mute{ID: "1", On: true}},
		{"hold", func() { test.Tap(d.stage.hold) }, state.Hold{ID: "1", On: true}},
		{"camera", func() { test.Tap(d.stage.camera) }, state.SendPicture{ID: "1", Picture: state.Camera}},
		{"keys", func() { d.TypedRune('5') }, state.TypeKey{ID: "1", Key: '5'}},
		{"verified", func() { d.stage.switchDetails(); test.Tap(d.stage.details.verified) }, state.Verified{ID: "1"}},
		{"hang up", func() { test.Tap(d.stage.hang) }, state.HangUp{ID: "1"}},
		{"back", func() { d.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape}) }, state.Look{Event: state.StageShown{}}},
	} {
		tt.do()
		d.expect(t, tt.want)
	}
	d.TypedRune('x')
	d.expect(t)
	// What is on is switched off.
	d.Draw(d.app.Apply(state.CallMuted{ID: "1", On: true}).Apply(state.CallPictured{ID: "1", Picture: state.Camera}))
	test.Tap(d.stage.mute)
	test.Tap(d.stage.camera)
	d.expect(t, state.Mute{ID: "1"}, state.SendPicture{ID: "1"})
}

func TestShortcutsDoWhatTheirNameSays(t *testing.T) {
	do := func(d *desk, label string) {
		t.Helper()
		for _, s := range d.Shortcuts() {
			if s.Label == label {
				s.Do()
				return
			}
		}
		t.Errorf("no shortcut %q", label)
	}
	d := newDesk(t, "light", running(people()))
	do(d, "shortcut.mute")
	do(d, "shortcut.hold")
	do(d, "shortcut.camera")
	do(d, "shortcut.hangup")
	d.expect(t, state.Mute{ID: "1", On: true}, state.Hold{ID: "1", On: true}, state.SendPicture{ID: "1", Picture: state.Camera}, state.HangUp{ID: "1"})
	d.Draw(calling(people(), state.Call{ID: "2", Key: key("ben@example.org"), Incoming: true, Phase: state.Rings}))
	do(d, "shortcut.answer")
	do(d, "shortcut.hangup")
	d.expect(t, state.AnswerCall{ID: "2"}, state.DeclineCall{ID: "2"})
	// With nobody on the phone they do nothing.
	d.Draw(people())
	for _, label := range []string{"shortcut.mute", "shortcut.hold", "shortcut.camera", "shortcut.hangup", "shortcut.answer"} {
		do(d, label)
	}
	d.expect(t)
	do(d, "page.transfers")
	d.expect(t, state.Look{Event: state.Show{Page: state.PageTransfers}})
}

func TestButtonsArePressedBySpace(t *testing.T) {
	d := newDesk(t, "light", running(people()))
	d.window.Canvas().Focus(d.stage.mute)
	d.stage.mute.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
	d.expect(t, state.Mute{ID: "1", On: true})
}

// Who does not show when they are online is asked with one button, and keeps
// their name.
func TestWhoIsNotSeenCanBeAsked(t *testing.T) {
	chiara := key("chiara@example.net")
	d := newDesk(t, "light", people().Apply(state.Select{Key: chiara}))
	if d.person.ask.Visible() {
		t.Error("who is seen is to be asked")
	}
	d.Draw(notSeen(people()).Apply(state.Select{Key: chiara}))
	if !d.person.ask.Visible() {
		t.Fatal("who is not seen cannot be asked")
	}
	d.person.ask.Tapped(nil)
	d.expect(t, state.AddContact{Key: chiara, Name: "Chiara Rossi"})
}

func TestFilesDroppedOnAPersonGoToThem(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Select{Key: key("ben@example.org")}))
	settle(d.Root)
	list := fyne.CurrentApp().Driver().AbsolutePositionForObject(d.side.list)
	paths := []string{"/tmp/a", "/tmp/folder"}
	// The second row, whoever is selected.
	d.Dropped(list.AddXY(20, rowHeight+20), paths)
	d.expect(t, state.SendFiles{Key: key("chiara@example.net"), Paths: paths})
	// Anywhere else: the one whose page is shown.
	d.Dropped(fyne.NewPos(700, 400), paths)
	d.expect(t, state.SendFiles{Key: key("ben@example.org"), Paths: paths})
	// During a call: the one at the other end.
	d.Draw(calling(people(), state.Call{ID: "1", Key: key("daniel@example.org"), Phase: state.Running}))
	d.Dropped(fyne.NewPos(20, 150), paths)
	d.expect(t, state.SendFiles{Key: key("daniel@example.org"), Paths: paths})
	// While a parcel is packed: into it.
	d.Draw(people().Apply(state.Packed{Key: key("chiara@example.net"), Paths: []string{"/tmp/b"}}))
	d.Dropped(fyne.NewPos(700, 400), paths)
	d.expect(t, state.Look{Event: state.Packed{Key: key("chiara@example.net"), Paths: paths}})
}

// Files that are for nobody go to nobody, and it is said what to do with them.
func TestFilesDroppedWhereNobodyIs(t *testing.T) {
	paths := []string{"/tmp/a"}
	for _, tt := range []struct {
		name string
		a    state.App
		code string
	}{
		{"nobody is chosen", people(), "drop"},
		{"settings, with somebody chosen behind them", people().Apply(state.Select{Key: key("ben@example.org")}).Apply(state.Show{Page: state.PageSettings}), "drop"},
		{"transfers, behind which is a call", running(people()).Apply(state.Show{Page: state.PageTransfers}), "drop"},
		{"before the first account", state.App{}, "drop-signin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, "light", tt.a)
			settle(d.Root)
			d.Dropped(fyne.NewPos(700, 400), nil)
			d.expect(t)
			d.Dropped(fyne.NewPos(700, 400), paths)
			p := state.Problem{Code: tt.code}
			d.expect(t, state.Look{Event: state.WentWrong{Problem: p}})
			for _, lang := range []string{"en", "de", "es"} {
				if translated(t, lang)["problem."+tt.code] == nil {
					t.Errorf("%s: no words for %s", lang, tt.code)
				}
			}
		})
	}
}

// One can type at once where nothing else can be done.
func TestTheFirstFieldHasTheFocus(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	address := func(of *desk) fyne.Focusable { return of.signIn.address }
	if d.focusedOn() != address(d) {
		t.Fatalf("at the first start the focus is at %T", d.focusedOn())
	}
	// It stays where the user puts it.
	d.window.Canvas().Focus(d.signIn.password)
	d.Draw(d.app.Apply(state.SigningIn{}).Apply(state.SignedIn{Problem: &state.Problem{Code: "wrong-password"}}))
	if d.focusedOn() != fyne.Focusable(d.signIn.password) {
		t.Errorf("after a wrong password it is at %T", d.focusedOn())
	}
	// Nobody writes into a field that is not there any more.
	d.Draw(people())
	if d.focusedOn() != nil {
		t.Errorf("beside the contacts it is at %T", d.focusedOn())
	}
	// Another account, from the settings.
	d.Draw(d.app.Apply(state.Show{Page: state.PageSettings}))
	d.Draw(d.app.Apply(state.Show{Page: state.PageSignIn}))
	if d.focusedOn() != address(d) {
		t.Errorf("with another account it is at %T", d.focusedOn())
	}
}

// Who opens the field for a server wants to write into it.
func TestTheServerIsWrittenAtOnce(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	test.Tap(d.signIn.more.head)
	if d.focusedOn() != fyne.Focusable(d.signIn.server) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
}

func TestWhatIsTypedAtTheFirstStart(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	test.Tap(d.signIn.do)
	d.expect(t)
	if d.signIn.problem.Text == "" || !d.signIn.problem.Visible() {
		t.Error("nothing is said about the empty fields")
	}
	test.Type(d.signIn.address, "anna@example.org")
	test.Type(d.signIn.password, "secret")
	test.Tap(d.signIn.do)
	d.expect(t, state.SignInTo{JID: "anna@example.org", Password: "secret"})
	d.Draw(d.app.Apply(state.SigningIn{}))
	d.signIn.submit()
	d.expect(t) // once is enough
	d.Draw(d.app.Apply(state.SignedIn{}))
	if d.signIn.password.Text != "" || d.signIn.address.Text != "" {
		t.Error("what was typed stays in the fields, and the next account is written into it")
	}
	d.Draw(d.app.Apply(state.Creating{On: true}))
	test.Type(d.signIn.address, "anna@example.org")
	test.Type(d.signIn.password, "one")
	test.Type(d.signIn.again, "another")
	test.Tap(d.signIn.do)
	d.expect(t)
}

func TestSettingsSayWhatTheUserChangedAndNothingElse(t *testing.T) {
	a := people().Apply(state.DevicesFound{Devices: state.Devices{Mics: []state.Device{{ID: "usb", Name: "USB headset"}, {ID: "in", Name: "Built-in"}}}})
	d := newDesk(t, "light", a.Apply(state.Show{Page: state.PageSettings}))
	d.expect(t) // drawing is no change
	old := d.app.Settings
	test.Tap(d.options.relay)
	want := old
	want.RelayOnly = true
	d.expect(t, state.Change{Settings: want})
	d.options.mic.SetSelectedIndex(1)
	want = old
	want.Mic = "usb"
	d.expect(t, state.Change{Settings: want})
}

func TestPicturesOfACallThatIsNotInFrontAreNotShown(t *testing.T) {
	d := newDesk(t, "light", running(people()).Apply(state.CallShown{ID: "1", On: true}))
	d.ShowPicture("2", image.NewRGBA(image.Rect(0, 0, 4, 4)))
	if d.stage.theirs.Visible() {
		t.Error("a picture of another call is shown")
	}
	d.ShowPicture("1", filmed())
	if !d.stage.theirs.Visible() || d.stage.centre.Visible() {
		t.Error("the picture is not shown")
	}
	// On hold there is nothing to see.
	d.Draw(d.app.Apply(state.CallHeld{ID: "1", On: true, Remote: true}))
	if d.stage.theirs.Visible() {
		t.Error("an old picture stays while the other side holds the call")
	}
}

func TestDrawingTheSameAgainMakesNothingNew(t *testing.T) {
	d := newDesk(t, "light", files(people()).Apply(state.Show{Page: state.PageTransfers}))
	before := append([]fyne.CanvasObject(nil), d.files.box.Objects...)
	d.Draw(d.app.Apply(state.TransferMoved{ID: "c", Done: 700_000_000, At: now.Add(20e9)}))
	if !same(before, d.files.box.Objects) {
		t.Error("progress makes new rows")
	}
}

func TestButtonsGoAwayFromAPictureAndComeBack(t *testing.T) {
	d := newDesk(t, "dark", running(people()).Apply(state.CallShown{ID: "1", On: true}))
	at := now
	d.View.now = func() time.Time { return at }
	d.ShowPicture("1", filmed())
	at = at.Add(10 * time.Second)
	d.Tick()
	if d.stage.chrome.Visible() {
		t.Error("the buttons stay before the picture")
	}
	test.MoveMouse(d.window.Canvas(), fyne.NewPos(300, 300))
	if !d.stage.chrome.Visible() {
		t.Error("the buttons do not come back")
	}
	// Without a picture there is nothing to look at but them.
	d.ShowPicture("1", nil)
	at = at.Add(10 * time.Second)
	d.Tick()
	if !d.stage.chrome.Visible() {
		t.Error("the buttons go away without a picture")
	}
}

// Strangers can ask from as many addresses as they like. The people stay where
// they are all the same.
func TestRequestsLeaveRoomForThePeople(t *testing.T) {
	d := newDesk(t, "light", people())
	look := func(n int) {
		t.Helper()
		d.Draw(asked(people(), n))
		settle(d.Root)
		settle(d.Root)
		if h := d.side.list.Size().Height; h < 3*rowHeight {
			t.Errorf("%d requests: the list is %v high", n, h)
		}
		list := fyne.CurrentApp().Driver().AbsolutePositionForObject(d.side.list)
		if who, ok := d.side.at(list.AddXY(20, 20)); !ok || who != key("ben@example.org") {
			t.Errorf("%d requests: %v is the first of the list", n, who)
		}
	}
	for _, n := range []int{1, 2, 5, 200} {
		look(n)
		if got := len(d.side.requests.Objects); got != min(n, fewRequests) {
			t.Errorf("%d of %d requests are shown", got, n)
		}
	}
	if !d.side.rest.Visible() || d.side.rest.Text != "199 more requests" {
		t.Errorf("the others: %q, visible: %v", d.side.rest.Text, d.side.rest.Visible())
	}
	for range 3 {
		test.Tap(d.side.rest)
	}
	look(200)
	if bottom := d.side.rest.Position().Y + d.side.rest.Size().Height; bottom > d.side.asking.Size().Height {
		t.Error("the button for more of them is out of sight")
	}
	if got := len(d.side.requests.Objects); got != fewRequests+3*someRequests {
		t.Errorf("%d requests after asking for more three times", got)
	}
	// Another stranger changes nothing under the pointer.
	before := d.side.requests.Objects[0]
	look(201)
	if d.side.requests.Objects[0] != before {
		t.Error("the requests were made anew for one that is not shown")
	}
	// When they are answered all begins from the start.
	look(0)
	if d.side.asking.Visible() {
		t.Error("an empty list of requests stays")
	}
	look(12)
	if got := len(d.side.requests.Objects); got != fewRequests {
		t.Errorf("%d requests are shown at first", got)
	}
}

// Levels are asked for only while somebody looks at them.
func TestLevelsMoveWhileTheDevicesAreShown(t *testing.T) {
	d := newDesk(t, "dark", running(people()))
	test.Tap(d.stage.devices)
	d.expect(t, state.FindDevices{}, state.WatchLevels{ID: "1", On: true})
	live := d.options.live
	d.Draw(d.app.Apply(state.LevelsMoved{ID: "1", In: -7, Out: -33}))
	if live.ear.level != -7 || live.mic.level != -33 {
		t.Errorf("levels %v %v", live.ear.level, live.mic.level)
	}
	d.Draw(d.app.Apply(state.CallMuted{ID: "1", On: true}))
	if live.ear.level != -7 || live.mic.level != silent {
		t.Errorf("muted: levels %v %v", live.ear.level, live.mic.level)
	}
	d.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	d.expect(t, state.WatchLevels{ID: "1"})
	d.sheet.close()
	d.expect(t)
}

// The system goes dark while something is open: the levels of a call are not
// asked for by a view that is gone, and what was typed is there.
func TestAnotherThemeLosesNothing(t *testing.T) {
	rebuild := func(d *desk) {
		d.View = d.Rebuild()
		d.window.SetContent(d.Root)
		d.Bind(d.window.Canvas())
	}
	d := newDesk(t, "light", state.App{}.Apply(state.Creating{On: true}))
	for _, x := range []struct {
		e    *entry
		text string
	}{{d.signIn.address, "anna@example.org"}, {d.signIn.password, "secret"}, {d.signIn.again, "secret"}, {d.signIn.server, "localhost:5222"}} {
		test.Type(x.e, x.text)
	}
	d.signIn.more.open(true)
	rebuild(d)
	d.expect(t)
	if !d.signIn.more.isOpen() {
		t.Error("the field of the server is closed")
	}
	test.Tap(d.signIn.do)
	d.expect(t, state.SignInTo{JID: "anna@example.org", Password: "secret", Server: "localhost:5222", Create: true})

	d = newDesk(t, "light", running(people()))
	d.stage.switchDetails()
	test.Tap(d.stage.devices)
	d.wanted = nil
	rebuild(d)
	d.expect(t, state.WatchLevels{ID: "1"}, state.WatchLevels{ID: "1", On: true})
	if !d.sheet.root.Visible() || !d.stage.details.root.Visible() {
		t.Errorf("visible: sheet %v, details %v", d.sheet.root.Visible(), d.stage.details.root.Visible())
	}
	d.sheet.close()
	d.expect(t, state.WatchLevels{ID: "1"})

	d = newDesk(t, "light", people())
	d.side.addContactAs("zoe@example.org", "Zoe", own)
	rebuild(d)
	test.Tap(named(t, d, tr("add.do")))
	d.expect(t, state.AddContact{Key: key("zoe@example.org"), Name: "Zoe"})

	d.Draw(people().Apply(state.Select{Key: key("ben@example.org")}))
	d.person.moreAs(d.person.shown, "Benjamin")
	rebuild(d)
	test.Tap(named(t, d, tr("rename.do")))
	d.expect(t, state.RenameContact{Key: key("ben@example.org"), Name: "Benjamin"})

	// The files that were chosen are not sent, and not forgotten.
	d.Draw(people().Apply(state.Packed{Key: key("ben@example.org"), Paths: []string{"/a/one.txt"}}))
	rebuild(d)
	d.expect(t)
	if !d.sheet.root.Visible() || len(d.parcel.list.Objects) != 1 {
		t.Error("the parcel is closed")
	}
}

// Who is found is looked for when it may have changed.
func TestFoundFollowsContactsAndSearch(t *testing.T) {
	d := newDesk(t, "light", people())
	first := &d.side.found[0]
	d.Draw(d.app.Apply(state.LevelsMoved{ID: "1", In: -7}))
	if &d.side.found[0] != first {
		t.Error("nothing changed, and the search was made anew")
	}
	d.Draw(d.app.Apply(state.Searched{Text: "chiara"}))
	if n := len(d.side.found); n != 1 || d.side.found[0].Key != key("chiara@example.net") {
		t.Errorf("%d found", n)
	}
	d.Draw(d.app.Apply(state.ContactChanged{Contact: state.Contact{Key: key("zoe@example.org"), Name: "Chiara too"}}))
	if n := len(d.side.found); n != 2 {
		t.Errorf("%d found after another came", n)
	}
	d.Draw(d.app.Apply(state.ContactRemoved{Key: key("chiara@example.net")}))
	if n := len(d.side.found); n != 1 || d.side.found[0].Key != key("zoe@example.org") {
		t.Errorf("%d found after one went", n)
	}
}

// Files are chosen one after the other and sent at once.
func TestAParcelIsPutTogether(t *testing.T) {
	d := newDesk(t, "light", people())
	ben := key("ben@example.org")
	pack := func(paths ...string) { d.Draw(d.app.Apply(state.Packed{Key: ben, Paths: paths})) }
	pack("/a/one.txt")
	pack("/a/two.txt")
	pack("/a/two.txt", "/a/three.txt") // one of them is there already
	if n := len(d.parcel.list.Objects); !d.sheet.root.Visible() || n != 3 {
		t.Fatalf("%d rows, visible: %v", n, d.sheet.root.Visible())
	}
	d.Draw(d.app.Apply(state.Unpacked{Path: "/a/two.txt"}))
	if n := len(d.parcel.list.Objects); n != 2 {
		t.Errorf("%d rows after one was taken out", n)
	}
	test.Tap(named(t, d, tr("parcel.folder")))
	d.expect(t, state.ChooseFiles{Key: ben, Folder: true})
	test.Tap(named(t, d, tr("parcel.send")))
	d.expect(t, state.SendFiles{Key: ben, Paths: []string{"/a/one.txt", "/a/three.txt"}})
	d.Draw(d.app.Apply(state.ParcelGone{}))
	if d.sheet.root.Visible() {
		t.Error("the sheet stays")
	}
	d.expect(t)
	// Who closes it does not send.
	pack("/a/one.txt")
	d.sheet.close()
	d.expect(t, state.Look{Event: state.ParcelGone{}})
}

func BenchmarkDrawStatsOfACall(b *testing.B) {
	d := newDesk(b, "dark", running(people()))
	for i := range b.N {
		d.Draw(d.app.Apply(state.CallMeasured{ID: "1", Stats: state.Stats{Path: state.PathNAT, LevelIn: float64(-i % 60)}}))
	}
}

// What a picture leaves empty is covered, and nothing else is drawn twice.
func TestCurtainsMeetThePicture(t *testing.T) {
	window := fyne.NewSize(1000, 600)
	for _, shape := range []image.Point{{640, 480}, {480, 640}, {1920, 1080}, {100, 10}, {1, 1000}} {
		picture := canvas.NewImageFromImage(image.NewRGBA(image.Rectangle{Max: shape}))
		one, two := canvas.NewRectangle(color.Black), canvas.NewRectangle(color.Black)
		beyond{picture}.Layout([]fyne.CanvasObject{one, two}, window)
		scale := min(window.Width/float32(shape.X), window.Height/float32(shape.Y))
		w, h := scale*float32(shape.X), scale*float32(shape.Y)
		wide := one.Size().Height == window.Height
		gap, reach := (window.Height-h)/2, one.Size().Height
		if wide {
			gap, reach = (window.Width-w)/2, one.Size().Width
		}
		if one.Size() != two.Size() || reach < gap || reach > gap+1.01 {
			t.Errorf("%v: %v wide or high, want %v", shape, reach, gap)
		}
		if end := two.Position().AddXY(two.Size().Width, two.Size().Height); one.Position() != (fyne.Position{}) || end != fyne.NewPos(window.Width, window.Height) {
			t.Errorf("%v: from %v to %v", shape, one.Position(), end)
		}
	}
}

// The word about a call that ended must not cover what ends the other one.
func TestANoticeLeavesTheButtonsOfACallFree(t *testing.T) {
	a := running(people())
	a.Flash = &state.Flash{Key: key("chiara@example.net"), Outcome: state.Missed}
	d := newDesk(t, "dark", a)
	d.settled()
	at := fyne.CurrentApp().Driver().AbsolutePositionForObject
	card, hang := at(d.notices.card).Y+d.notices.card.Size().Height, at(d.stage.hang).Y
	if !d.notices.root.Visible() || card > hang {
		t.Errorf("shown %v, it ends at %v, the button begins at %v", d.notices.root.Visible(), card, hang)
	}
}

// Who missed a call with a picture calls back with one.
func TestANoticeCallsBackAsItWas(t *testing.T) {
	a := people()
	a.Flash = &state.Flash{Key: key("chiara@example.net"), Outcome: state.Missed, Video: true}
	d := newDesk(t, "dark", a)
	if d.notices.again.Text != CallBack() {
		t.Errorf("the button says %q", d.notices.again.Text)
	}
	test.Tap(d.notices.again)
	d.expect(t, state.Look{Event: state.Dismissed{}}, state.PlaceCall{Key: key("chiara@example.net"), Video: true})
}

func TestDetailsGiveTheirRoomBack(t *testing.T) {
	d := newDesk(t, "dark", running(people()))
	d.stage.switchDetails()
	d.settled()
	if d.stage.chrome.Size().Width >= d.stage.root.Size().Width {
		t.Fatal("the details take no room")
	}
	d.stage.switchDetails()
	if got, want := d.stage.chrome.Size().Width, d.stage.root.Size().Width; got != want {
		t.Errorf("the buttons have a width of %v, the window %v", got, want)
	}
}

// Nothing is heard before a call runs, and nothing is said while it is muted.
func TestLevelsInTheDetails(t *testing.T) {
	d := newDesk(t, "dark", calling(people(), state.Call{ID: "1", Key: key("ben@example.org"), Phase: state.RingsThere}))
	d.stage.switchDetails()
	if d.stage.details.mic.level != silent || d.stage.details.ear.level != silent {
		t.Errorf("while it rings: %v said, %v heard", d.stage.details.mic.level, d.stage.details.ear.level)
	}
}

func TestATipGoesWithWhatItIsAbout(t *testing.T) {
	d := newDesk(t, "dark", people().Apply(state.Select{Key: key("ben@example.org")}))
	d.person.call.MouseIn(&desktop.MouseEvent{})
	if !d.tips.box.Visible() {
		t.Fatal("no tip")
	}
	d.Draw(running(people()))
	if d.tips.box.Visible() {
		t.Error("the tip lies over the call")
	}
}

// Somebody who chooses what to share sees what there is now, and how it looks;
// nothing goes on afterwards.
func TestWhatCanBeShared(t *testing.T) {
	d := newDesk(t, "light", running(people()))
	c, _ := d.app.Front()
	titles := func() (list []string) {
		for _, o := range d.picker.list.Objects {
			for id, r := range d.picker.rows {
				if r.row == o {
					list = append(list, id+": "+r.title.full+" / "+r.note.full)
				}
			}
		}
		return list
	}
	d.stage.toggle(c, state.Screen)
	d.expect(t, state.WatchScreens{On: true})
	if got := titles(); len(got) != 1 || got[0] != ": The whole screen / " {
		t.Errorf("before anything is known: %q", got)
	}
	d.Draw(d.app.Apply(state.ScreensFound{Screens: sharable[:2]}))
	first := d.picker.rows["screen:1"]
	d.window.Canvas().Focus(first.row)
	d.ShowScreens(map[string]image.Image{"screen:1": filmed()})
	if !first.look.Visible() || first.sign.Visible() || d.picker.rows["screen:2"].look.Visible() {
		t.Error("the first screen has a picture, and the second none")
	}
	dialog := state.Scene{ID: "screen:9", Kind: state.AskDesktop, Number: 1}
	d.Draw(d.app.Apply(state.ScreensFound{Screens: append(slices.Clone(sharable), dialog)}))
	want := []string{
		"screen:1: Screen 1 · 2560 × 1440 / Main screen", "screen:2: Screen 2 · 1280 × 900 / ",
		"window:0x1: " + sharable[2].Title + " / Window · 640 × 480", "window:0x2: Notes / Window · 90 × 300",
		"screen:9: Choose a screen or window … / The desktop asks which screen or window.",
	}
	if diff := cmp.Diff(want, titles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.picker.rows["screen:1"] != first || d.focusedOn() != fyne.Focusable(first.row) || !first.look.Visible() {
		t.Error("what was there already is made anew")
	}
	d.ShowScreens(nil)
	if first.look.Visible() || !first.sign.Visible() {
		t.Error("the picture of what is not to be seen stays")
	}
	// Another theme.
	d.View = d.Rebuild()
	d.window.SetContent(d.Root)
	d.Bind(d.window.Canvas())
	d.expect(t, state.WatchScreens{}, state.WatchScreens{On: true})
	first = d.picker.rows["screen:1"]
	test.Tap(first.row)
	d.expect(t, state.WatchScreens{}, state.SendPicture{ID: "1", Picture: state.Screen, Device: "screen:1"})
	if d.sheet.shown() {
		t.Error("it asks on")
	}
	d.ShowScreens(map[string]image.Image{"screen:1": filmed()}) // which was on its way
	// The window is hidden before the choice.
	d.stage.toggle(c, state.Screen)
	d.expect(t, state.WatchScreens{On: true})
	d.Hidden()
	d.expect(t, state.WatchScreens{})
	d.Hidden()
	d.expect(t)
	// The call ends before the choice.
	d.stage.toggle(c, state.Screen)
	d.expect(t, state.WatchScreens{On: true})
	d.Draw(d.app.Apply(state.CallEnded{ID: "1", Outcome: state.Answered}))
	d.expect(t, state.WatchScreens{})
	if d.sheet.shown() {
		t.Error("it asks what to share in a call that is over")
	}
}

// What is said on the dark stage has its colour from its own text: overrides of
// the theme are forgotten by the toolkit with what was not seen for a minute.
func TestTheStageIsReadInTheLightTheme(t *testing.T) {
	call := state.Call{ID: "1", Key: key("ben@example.org"), Phase: state.Running, Since: now, Verification: "4711 0815 2342", Trust: state.TrustChanged}
	d := newDesk(t, "light", calling(people(), call))
	d.stage.switchDetails()
	d.settled()
	read := 0
	seen(d.stage.root, nil, func(o fyne.CanvasObject, in []fyne.CanvasObject) {
		for _, x := range in {
			if _, ok := x.(*button); ok {
				return // it has a ground of its own
			}
			if _, ok := x.(*container.ThemeOverride); ok {
				t.Errorf("a %T is in an override of the theme", o)
			}
		}
		if text, ok := o.(*canvas.Text); ok && text.Text != "" && text.Color != paint(colorOnStage) && text.Color != paint(colorDimStage) {
			if c := (luminance(text.Color) + 0.05) / (luminance(paint(colorStage)) + 0.05); c < 4.5 {
				t.Errorf("%q is read with a contrast of %.1f", text.Text, c)
			}
		} else if ok && text.Text != "" {
			read++
		}
	})
	if read < 10 {
		t.Errorf("%d texts were found", read)
	}
}

// That a key has changed is said until somebody has read it, also over a picture
// and while nobody moves.
func TestAChangedKeyIsSaidOverAPicture(t *testing.T) {
	call := state.Call{ID: "1", Key: key("ben@example.org"), Phase: state.Running, Since: now, Verification: "4711 0815 2342", Trust: state.TrustChanged}
	d := newDesk(t, "light", calling(people(), call))
	if got := d.stage.note.said.Text; !d.stage.noteBox.Visible() || !strings.HasPrefix(got, call.Verification) {
		t.Errorf("without a picture it says %q", got)
	}
	at := now
	d.View.now = func() time.Time { return at }
	pane := &slate{}
	d.View.Pane = pane
	d.Draw(d.app.Apply(state.CallShown{ID: "1", On: true}))
	d.ShowPicture("1", filmed())
	rest := func() {
		at = at.Add(time.Hour)
		d.Tick()
		d.Draw(d.app)
	}
	rest()
	said := strings.Join(d.words(), "\n")
	if !strings.Contains(said, call.Verification) || !strings.Contains(said, tr("trust.changed.text", "Ben Okafor")) {
		t.Fatalf("over the picture one reads:\n%s", said)
	}
	if pane.call != "" {
		t.Error("the pane covers it")
	}
	d.settled()
	golden(t, d, "call-key-changed-light")
	d.window.Canvas().Unfocus()
	for range 20 {
		d.press(fyne.KeyTab)
		if b, ok := d.focusedOn().(*round); ok && b.tip == tr("dismiss") {
			break
		}
	}
	d.press(fyne.KeyReturn)
	d.window.Canvas().Unfocus()
	rest()
	if d.stage.changed.Visible() || pane.call != "1" {
		t.Errorf("after it was read it is shown: %v, the pane has call %q", d.stage.changed.Visible(), pane.call)
	}
	// In a narrow window the details say it in the place of the card.
	d.stage.told = ""
	d.Draw(d.app)
	d.window.Resize(leastWindow)
	d.stage.switchDetails()
	d.settled()
	if d.stage.changed.Visible() || d.stage.details.scroll.Offset.Y == 0 {
		t.Errorf("beside the details the card is there: %v; they are scrolled to %v", d.stage.changed.Visible(), d.stage.details.scroll.Offset.Y)
	}
	d.stage.switchDetails()
	if !d.stage.changed.Visible() {
		t.Error("without the details nothing is said")
	}
	// In the next call it is said anew.
	call.ID = "2"
	d.Draw(calling(people(), call).Apply(state.CallShown{ID: "2", On: true}))
	d.ShowPicture("2", filmed())
	if !d.stage.changed.Visible() {
		t.Error("in the next call nothing is said")
	}
}

// The details have room beside in a wide window, and lie over the picture in a
// narrow one, where the telephone keys take their place.
func TestDetailsAndKeysShareANarrowWindow(t *testing.T) {
	d := newDesk(t, "dark", running(people()).Apply(state.CallShown{ID: "1", On: true}))
	pane := &slate{}
	d.View.Pane = pane
	at := now
	d.View.now = func() time.Time { return at }
	d.ShowPicture("1", filmed())
	d.stage.switchDetails()
	at = at.Add(time.Hour)
	d.Tick()
	if w := d.stage.theirs.Size().Width; w != 1000-detailsWidth-5 || pane.call != "1" {
		t.Errorf("beside the details a picture is %v wide; the pane has call %q", w, pane.call)
	}
	d.window.Resize(leastWindow)
	if w := d.stage.theirs.Size().Width; w != leastWindow.Width || pane.call != "" {
		t.Errorf("below the details a picture is %v wide; the pane has call %q", w, pane.call)
	}
	shown := func(details, pad bool) {
		t.Helper()
		if a, b := d.stage.details.root.Visible(), d.stage.pad.Visible(); a != details || b != pad {
			t.Errorf("details %v, keys %v; want %v, %v", a, b, details, pad)
		}
	}
	shown(true, false)
	test.Tap(d.stage.keys)
	shown(false, true)
	test.Tap(d.stage.info)
	shown(true, false)
	test.Tap(d.stage.info)
	shown(false, false)
	d.window.Resize(fyne.NewSize(1000, 660))
	test.Tap(d.stage.keys)
	test.Tap(d.stage.info)
	shown(true, true)
}

// In mid-call another language or theme shows the picture at once, and what was
// read already is not said anew.
func TestAnotherThemeInACallWithAPicture(t *testing.T) {
	call := running(people()).Calls[0]
	call.Trust, call.TheirPicture, call.Picture = state.TrustChanged, true, state.Camera
	d := newDesk(t, "dark", calling(people(), call).Apply(state.CallShown{ID: "1", On: true}))
	theirs, ours := filmed(), filmed()
	d.ShowPicture("1", theirs)
	d.ShowOwnPicture("1", ours)
	d.ShowPicture("1", theirs)
	d.stage.told = "1"
	d.Draw(d.app)
	if !d.stage.theirs.Visible() || !d.stage.own.Visible() || d.stage.changed.Visible() {
		t.Fatalf("before: theirs %v, ours %v, the key %v", d.stage.theirs.Visible(), d.stage.own.Visible(), d.stage.changed.Visible())
	}
	d.rebuild()
	if d.stage.theirs.Image != theirs || d.stage.ours.Image != ours || !d.stage.theirs.Visible() || !d.stage.own.Visible() || d.stage.centre.Visible() {
		t.Errorf("theirs %v, ours %v, the face in their place %v", d.stage.theirs.Visible(), d.stage.own.Visible(), d.stage.centre.Visible())
	}
	d.Draw(d.app)
	if d.stage.changed.Visible() {
		t.Error("what was read is said anew")
	}
}

// Names come from others. None breaks a line where we do not, turns what follows
// or takes the room of the rest, wherever it is said.
func TestNamesStayWhereTheyAre(t *testing.T) {
	wild := func(r rune) bool { return r < ' ' || r == '\u2028' || unicode.Is(unicode.Bidi_Control, r) }
	const evil = "Eve\n\n\n\u202egpj.exe\u2028\x07"
	long := strings.Repeat("W", 10_000)
	for _, name := range []string{evil, long, strings.Repeat("\n", 2000) + "Eve"} {
		a := state.App{}.Apply(state.AccountChanged{Account: state.Account{JID: own, Link: state.Online}})
		a = a.Apply(state.ContactChanged{Contact: state.Contact{Key: key("eve@example.org"), Name: name}})
		a = a.Apply(state.Select{Key: key("eve@example.org")})
		call := state.Call{ID: "1", Key: key("eve@example.org"), Name: name, Phase: state.Running, Since: now, Trust: state.TrustChanged, Verification: "4711"}
		waiting := state.Call{ID: "2", Key: key("mallory@example.org"), Name: name, Phase: state.Rings, Stranger: true}
		d := newDesk(t, "light", a)
		for where, show := range map[string]func(){
			"person": func() {},
			"rename": func() { d.person.more() },
			"remove": func() { d.sheet.close(); d.person.remove(d.person.shown) },
			"notice": func() {
				d.sheet.close()
				d.Draw(a.Apply(state.WentWrong{Problem: state.Problem{Code: "offline", Who: name}}))
			},
			"search": func() { d.Draw(a.Apply(state.Searched{Text: name + "?"})) },
			"call":   func() { d.Draw(calling(a, call).Apply(state.CallShown{ID: "1", On: true})); d.stage.switchDetails() },
			"film": func() {
				c := call
				c.TheirPicture = true
				d.Draw(calling(a, c).Apply(state.CallShown{ID: "1", On: true}))
				d.ShowPicture("1", filmed())
			},
			"waiting": func() { d.Draw(calling(calling(a, call), waiting).Apply(state.CallShown{ID: "1", On: true})) },
			"screens": func() {
				d.Draw(calling(a, call).Apply(state.CallShown{ID: "1", On: true}).Apply(state.ScreensFound{Screens: []state.Scene{{ID: "window:1", Kind: state.OneWindow, Title: name}}}))
				d.picker.open("1")
			},
		} {
			d = newDesk(t, "light", a)
			show()
			d.settled()
			for _, root := range append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...) {
				seen(root, nil, func(o fyne.CanvasObject, in []fyne.CanvasObject) {
					if o == fyne.CanvasObject(d.side.search) || slices.Contains(in, fyne.CanvasObject(d.side.search)) {
						return // what our user typed
					}
					text := ""
					switch o := o.(type) {
					case *canvas.Text:
						text = o.Text
					case *prose:
						text = strings.ReplaceAll(o.said.Text, "4711\n", "4711 ") // that is ours
					case *widget.Label:
						text = o.Text
					case *button:
						text = o.Text
					case *entry:
						text = o.Text
					}
					if strings.Contains(text, "    ") || strings.ContainsFunc(text, wild) {
						t.Errorf("%s: %q", where, text)
					}
					if len(text) > 1000 {
						t.Errorf("%s: %T has %d letters", where, o, len(text))
					}
				})
			}
		}
	}
}

// A connection that broke is told in words, and not by what the system calls it.
func TestALostConnectionIsToldInWords(t *testing.T) {
	a := people()
	a.Accounts[0].Link, a.Accounts[0].Problem = state.Offline, &state.Problem{Code: "failed", Detail: "read from 192.0.2.1:5222: EOF"}
	d := newDesk(t, "dark", a)
	if got := d.side.link.full; got != tr("link.offline") {
		t.Errorf("it says %q", got)
	}
	a.Accounts = []state.Account{{JID: a.Accounts[0].JID, Link: state.Offline, Problem: &state.Problem{Code: "unreachable"}}}
	d.Draw(a)
	if got := d.side.link.full; got != tr("problem.unreachable") {
		t.Errorf("it says %q", got)
	}
}

// A call that comes in during another one is answered and declined above the
// page, and what declines it does not end the other one.
func TestTheBarIsAboutTheCallThatWaits(t *testing.T) {
	waits := state.Call{ID: "2", Key: key("chiara@example.net"), Incoming: true, Phase: state.Rings}
	d := newDesk(t, "light", calling(running(people()), waits).Apply(state.StageShown{}))
	if text := d.bar.text.full; !strings.Contains(text, "Chiara Rossi") || !d.bar.answer.Visible() || d.bar.hang.tip != tr("call.decline") {
		t.Errorf("the bar says %q, %q", text, d.bar.hang.tip)
	}
	d.bar.answer.OnTapped()
	d.bar.hang.Tapped(nil)
	d.expect(t, state.AnswerCall{ID: "2"}, state.DeclineCall{ID: "2"})
	d.Draw(d.app.Apply(state.CallEnded{ID: "2", Outcome: state.Declined}))
	d.bar.hang.Tapped(nil)
	d.expect(t, state.HangUp{ID: "1"})
}

// An account whose password was changed is signed in to again, where signing out
// would forget what is kept of it.
func TestAPasswordThatIsNotTakenAnyMore(t *testing.T) {
	d := newDesk(t, "light", signedOut(people()).Apply(state.Show{Page: state.PageSettings}))
	if !strings.Contains(strings.Join(d.words(), "\n"), tr("problem.logged-out")) || d.notices.again.Text != tr("settings.again") || !d.notices.again.Visible() {
		t.Errorf("it says %q", d.words())
	}
	d.notices.again.OnTapped()
	d.expect(t, state.Look{Event: state.Dismissed{}}, state.Look{Event: state.SigningInAgain{JID: own}})
	d.Draw(d.app.Apply(state.Dismissed{}).Apply(state.SigningInAgain{JID: own}))
	d.settled()
	if d.signIn.address.Text != own || d.focusedOn() != fyne.Focusable(d.signIn.password) {
		t.Errorf("it asks for %q, and the keyboard is at a %T", d.signIn.address.Text, d.focusedOn())
	}
	if c, _ := d.app.Contact(key("ben@example.org")); c.Presence != state.Gone {
		t.Errorf("somebody is shown as %q by a server that tells nothing", c.Presence)
	}
	// Another account begins with an empty page.
	d.Draw(d.app.Apply(state.Show{Page: state.PageSignIn}))
	if d.app.SignIn.JID != "" {
		t.Error("another account is taken for that one")
	}
}
