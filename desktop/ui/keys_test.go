package ui

import (
	"fmt"
	"image/color"
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/desktop/state"
)

// Whoever uses no pointer comes to everything by the Tab key, sees it, and can
// press it.
func TestEverythingIsReachedAndPressedByKeyboard(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			d := s.desk(t)
			root := d.settled()
			there := d.walk(t)
			// Backwards it is the same.
			var back []fyne.Focusable
			d.window.Canvas().Unfocus()
			for range there {
				d.window.Canvas().FocusPrevious()
				back = append(back, d.focusedOn())
			}
			for _, f := range there {
				if !slices.Contains(back, f) {
					t.Errorf("backwards Tab does not come to a %T", f)
				}
			}
			all := 0
			seen(root, nil, func(o fyne.CanvasObject, holds []fyne.CanvasObject) {
				if !tapped(o) {
					return
				}
				all++
				f, ok := o.(fyne.Focusable)
				b, _ := o.(*round)
				x, disables := o.(fyne.Disableable)
				switch {
				case !ok:
					t.Errorf("a %T can be tapped and not have the focus; it is in %T", o, holds[max(0, len(holds)-3):])
				case slices.Contains(there, f):
					switch o.(type) {
					case *button, *entry, *choice, *check, *round, *row: // ours
					default:
						t.Errorf("a %T keeps Escape and other keys from the window", o)
					}
				case b != nil && b.of != nil: // of a row of a list
					d.focus(b.of)
					b.of.goTo(b.at)
					d.press(fyne.KeyRight)
					if d.focusedOn() != f {
						t.Errorf("%q cannot be reached in its row", b.tip)
					}
					d.inSight(t, b)
				case disables && x.Disabled():
				default:
					t.Errorf("a %T cannot be reached", o)
				}
			})
			if all < 1 {
				t.Errorf("only %d things to press were found", all)
			}
			if s.name != "person" {
				there = slices.DeleteFunc(there, func(f fyne.Focusable) bool { // once is enough
					return way(d.side.root, f.(fyne.CanvasObject)) != nil
				})
			}
			places := make([]mark, len(there))
			for i, f := range there {
				places[i] = d.mark(root, f)
			}
			fresh := true
			for i := range there {
				what := there[i]
				if _, ok := what.(*list); ok {
					continue // see below
				}
				if _, ok := what.(*entry); ok {
					continue // it is written in
				}
				outcome := func(press func(f fyne.Focusable)) (sent []state.Command, read []string) {
					if !fresh {
						d = s.desk(t)
						root = d.settled()
					}
					f := places[i].find(root)
					if f == nil {
						t.Fatalf("%T is not there again", what)
					}
					before := d.words()
					d.wanted = nil
					press(f)
					sent, read = d.wanted, d.words()
					fresh = slices.Equal(before, read) && d.window.Canvas().Overlays().Top() == d.topLayer()
					if len(sent) == 0 && fresh {
						if b, ok := f.(*round); ok && b.disabled {
							return nil, nil
						}
						if b, ok := f.(*button); ok && b.OnTapped == nil {
							t.Errorf("%q does nothing", b.Text)
						}
						if _, ok := f.(*mover); !ok && d.app.Calls == nil {
							t.Errorf("%T %v does nothing", f, read)
						}
					}
					return sent, read
				}
				byKey, shown := outcome(func(f fyne.Focusable) { d.focus(f); d.press(fyne.KeySpace) })
				byTap, same := outcome(func(f fyne.Focusable) { test.Tap(f.(fyne.Tappable)) })
				byReturn, too := byKey, shown
				if _, ok := what.(*choice); !ok && s.name != "add" {
					byReturn, too = outcome(func(f fyne.Focusable) { d.focus(f); d.press(fyne.KeyReturn) })
				}
				if diff := cmp.Diff(byTap, byKey) + cmp.Diff(byTap, byReturn) + cmp.Diff(same, shown) + cmp.Diff(same, too); diff != "" {
					t.Errorf("%T: a tap and a key do not do the same:\n%s", what, diff)
				}
			}
		})
	}
}

func TestASheetKeepsTheKeyboard(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Select{Key: key("ben@example.org")}))
	c := d.window.Canvas()
	d.settled()
	c.Focus(d.person.file)
	d.side.addContact()
	layer := d.settled()
	first, ok := d.focusedOn().(*entry)
	if !ok || first.PlaceHolder != "alice@example.org" {
		t.Fatalf("the focus is at %T, want the first field", d.focusedOn())
	}
	if d.person.file.focused {
		t.Error("what is behind looks as if it had the focus")
	}
	for range 20 {
		d.press(fyne.KeyTab)
		if f := d.focusedOn(); f == nil || !slices.Contains(stops(layer, nil), f) {
			t.Fatalf("Tab leads to a %T, out of the sheet", f)
		}
	}
	// Return does what the sheet is about, from anywhere in it but the other button.
	c.Focus(first)
	test.Type(first, "zoe@example.org")
	d.press(fyne.KeyReturn)
	d.expect(t, state.AddContact{Key: key("zoe@example.org")})
	if d.sheet.shown() || d.focusedOn() != fyne.Focusable(d.person.file) || c.Overlays().Top() != nil {
		t.Errorf("after it: shown %v, focus at %T", d.sheet.shown(), d.focusedOn())
	}
	// Escape closes it, from a field and from a button.
	for _, tabs := range []int{0, 2} {
		d.side.addContact()
		for range tabs {
			d.press(fyne.KeyTab)
		}
		d.press(fyne.KeyEscape)
		if d.sheet.shown() || d.focusedOn() != fyne.Focusable(d.person.file) {
			t.Errorf("after Escape: shown %v, focus at %T", d.sheet.shown(), d.focusedOn())
		}
	}
	d.expect(t)
	// From another field, too.
	d.Draw(running(d.app))
	d.focus(d.stage.devices)
	d.press(fyne.KeySpace)
	if _, ok := d.focusedOn().(*choice); !ok {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	d.press(fyne.KeyReturn)
	if d.sheet.shown() || d.focusedOn() != fyne.Focusable(d.stage.devices) {
		t.Errorf("after Return: shown %v, focus at %T", d.sheet.shown(), d.focusedOn())
	}
	d.Draw(d.app.Apply(state.CallEnded{ID: "1", Outcome: state.Retracted}))
	d.wanted = nil
	d.focus(d.person.file)
	// A sheet in the place of another: the focus returns to where it was before both.
	d.person.more()
	d.person.remove(d.person.shown)
	if b, ok := d.focusedOn().(*button); !ok || b.Text != tr("cancel") {
		t.Errorf("what does harm has the focus: %T", d.focusedOn())
	}
	c.Unfocus()
	d.press(fyne.KeyReturn) // nobody pressed the button
	d.expect(t)
	named(t, d, tr("cancel")).TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if d.sheet.shown() || d.focusedOn() != fyne.Focusable(d.person.file) {
		t.Errorf("after both: shown %v, focus at %T", d.sheet.shown(), d.focusedOn())
	}
	// What had the focus has gone meanwhile: it is somewhere all the same.
	d.person.more()
	d.Draw(d.app.Apply(state.Show{Page: state.PageDoctor}))
	d.press(fyne.KeyEscape)
	if d.focusedOn() != fyne.Focusable(d.doctor.run) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// Behind a sheet nothing is looked for, added or turned.
	d.options.showKeys()
	for _, s := range d.Shortcuts() {
		switch s.Label {
		case "shortcut.search", "shortcut.add", "page.calls":
			s.Do()
		}
	}
	d.expect(t)
	if d.focusedOn() == fyne.Focusable(d.side.search) {
		t.Error("the search behind the sheet has the focus")
	}
}

// While a sheet is open a call can be answered, and no key that was meant for
// the sheet does it.
func TestACallRingsWhileASheetIsOpen(t *testing.T) {
	d := newDesk(t, "light", people())
	d.side.addContact()
	field := d.focusedOn()
	d.Draw(calling(d.app, state.Call{ID: "7", Key: key("ben@example.org"), Incoming: true, Phase: state.Rings}))
	layer := d.settled()
	if d.focusedOn() != field || !d.stage.root.Visible() {
		t.Fatalf("the focus went to %T, stage shown: %v", d.focusedOn(), d.stage.root.Visible())
	}
	test.Type(field, "x")
	d.expect(t)
	pressed := 0
	for range stops(layer, nil) {
		d.press(fyne.KeyTab)
		if b, ok := d.focusedOn().(*round); ok && (b.tip == tr("call.answer") || b.tip == tr("call.decline")) {
			pressed++
			d.press(fyne.KeyReturn)
			if b.tip == tr("call.answer") {
				d.expect(t, state.AnswerCall{ID: "7"})
			} else {
				d.expect(t, state.DeclineCall{ID: "7"})
			}
		}
	}
	if pressed != 2 {
		t.Errorf("%d of the two buttons were reached", pressed)
	}
	golden(t, d, "sheet-ringing-light")
	// The call is taken: the sheet is still there, the pictures go on.
	d.Draw(d.app.Apply(state.CallChanged{ID: "7", Phase: state.Running}).Apply(state.CallShown{ID: "7", On: true}))
	d.ShowPicture("7", filmed())
	if d.sheet.ring.Visible() || !d.sheet.shown() || !d.stage.theirs.Visible() {
		t.Errorf("bar %v, sheet %v, picture %v", d.sheet.ring.Visible(), d.sheet.shown(), d.stage.theirs.Visible())
	}
	// A second one waits.
	d.Draw(calling(d.app, state.Call{ID: "8", Key: key("daniel@example.org"), Incoming: true, Phase: state.Rings}))
	if !d.sheet.ring.Visible() || d.sheet.call.ID != "8" {
		t.Error("the call that waits is not shown above the sheet")
	}
}

// A menu has the keyboard while it is open.
func TestMenusByKeyboard(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Show{Page: state.PageSettings}))
	c := d.window.Canvas()
	check := func(x *choice, want state.Settings) {
		t.Helper()
		c.Focus(x)
		d.press(fyne.KeySpace)
		if c.Overlays().Top() == d.topLayer() {
			t.Fatal("no menu")
		}
		d.Draw(d.app) // changes nothing
		d.press(fyne.KeyEscape)
		if c.Overlays().Top() != d.topLayer() || d.focusedOn() != fyne.Focusable(x) {
			t.Fatalf("after Escape the focus is at %T", d.focusedOn())
		}
		d.expect(t)
		d.press(fyne.KeySpace, fyne.KeyDown, fyne.KeyDown, fyne.KeyReturn)
		if d.focusedOn() != fyne.Focusable(x) {
			t.Errorf("after a choice the focus is at %T", d.focusedOn())
		}
		d.expect(t, state.Change{Settings: want})
	}
	want := d.app.Settings
	want.Theme = "light"
	check(d.options.look, want)
	// In a sheet, too.
	d.Draw(running(people()).Apply(state.DevicesFound{Devices: state.Devices{Mics: []state.Device{{ID: "usb", Name: "USB headset"}}}}))
	d.options.soundSheet()
	d.wanted = nil
	want = d.app.Settings
	want.Mic = "usb"
	x, ok := d.focusedOn().(*choice)
	if !ok {
		t.Fatalf("the focus is at %T", d.focusedOn())
	}
	check(x, want)
	d.press(fyne.KeyEscape)
	if d.sheet.shown() {
		t.Error("Escape does not close the sheet")
	}
}

func TestAnotherThemeKeepsTheKeyboard(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			d := s.desk(t)
			there := d.walk(t)
			for i := range there {
				if s.name != "person" && way(d.side.root, there[i].(fyne.CanvasObject)) != nil {
					continue // once is enough
				}
				old := d.View
				d.focus(there[i])
				d.rebuild()
				f := d.focusedOn()
				if f == there[i] || f == nil || fmt.Sprintf("%T", f) != fmt.Sprintf("%T", there[i]) {
					t.Fatalf("the focus was at a %T and is at a %T", there[i], f)
				}
				if a, b := old.mark(old.top(), there[i]), d.mark(d.top(), f); !slices.Equal(a, b) && !d.sheet.shown() {
					t.Errorf("the focus was at %v and is at %v", a, b)
				}
				d.inSight(t, f.(fyne.CanvasObject))
				if overlays := len(d.window.Canvas().Overlays().List()); (overlays > 0) != d.sheet.shown() || overlays > 1 {
					t.Errorf("%d overlays, the sheet is open: %v", overlays, d.sheet.shown())
				}
				again := d.walk(t)
				if len(again) != len(there) {
					t.Fatalf("Tab went to %d things and goes to %d", len(there), len(again))
				}
				there = again
			}
		})
	}
	// What a sheet covers has the focus again when it closes.
	d := newDesk(t, "light", people())
	d.focus(d.side.search)
	d.options.showKeys()
	d.rebuild()
	d.press(fyne.KeyEscape)
	if d.focusedOn() != fyne.Focusable(d.side.search) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// A dialog of the toolkit stays open.
	d.person.shown = state.Contact{Key: key("ben@example.org")}
	d.Draw(d.app.Apply(state.Packed{Key: key("ben@example.org"), Paths: []string{"/a"}}))
	other := widget.NewModalPopUp(widget.NewLabel("files"), d.window.Canvas())
	other.Show()
	d.rebuild()
	if d.window.Canvas().Overlays().Top() == d.topLayer() || !d.sheet.shown() {
		t.Error("the dialog is gone")
	}
	other.Hide()
	if d.window.Canvas().Overlays().Top() != d.topLayer() {
		t.Error("the sheet is gone with the dialog")
	}
}

// What a page scrolls to stays in sight with another theme.
func TestAnotherThemeScrollsAsBefore(t *testing.T) {
	t.Run("as it is", func(t *testing.T) {
		scrollsAsBefore(t, newDesk(t, "light", people().Apply(state.Show{Page: state.PageSettings})))
	})
	t.Run("where text wraps", func(t *testing.T) {
		speak(t, "de")
		d := newDesk(t, "light", people().Apply(state.Show{Page: state.PageSettings}))
		d.window.Resize(leastWindow)
		scrollsAsBefore(t, d)
	})
}

func scrollsAsBefore(t *testing.T, d *desk) {
	t.Helper()
	d.settled()
	scroll := func() (s *container.Scroll) {
		seen(d.options.root, nil, func(o fyne.CanvasObject, _ []fyne.CanvasObject) {
			if x, ok := o.(*container.Scroll); ok {
				s = x
			}
		})
		return s
	}
	scroll().ScrollToBottom()
	was := scroll().Offset.Y
	d.rebuild()
	if now := scroll().Offset.Y; was == 0 || now != was {
		t.Errorf("scrolled to %v, was %v", now, was)
	}
}

func TestKeysInTheListOfPeople(t *testing.T) {
	d := newDesk(t, "light", many())
	d.settled()
	l := d.side.list
	who := func() state.Key { return d.side.found[l.at].Key }
	row := func() *contactRow {
		var found *contactRow
		seen(l, nil, func(o fyne.CanvasObject, _ []fyne.CanvasObject) {
			if r, ok := o.(*contactRow); ok && r.back.StrokeWidth > 0 {
				if found != nil {
					t.Error("two rows are marked")
				}
				found = r
			}
		})
		return found
	}
	at := func(want state.Key) {
		t.Helper()
		r := row()
		if r == nil || r.who != want || who() != want {
			t.Fatalf("the keys are at %v, marked is %+v, want %v", who(), r, want)
		}
		top, y := fyne.CurrentApp().Driver().AbsolutePositionForObject(l), fyne.CurrentApp().Driver().AbsolutePositionForObject(r)
		if y.Y < top.Y-1 || y.Y+r.Size().Height > top.Y+l.Size().Height+1 {
			t.Errorf("the row of %v is out of sight", want)
		}
	}
	// Down leads from the search to the list.
	d.focus(d.side.search)
	d.press(fyne.KeyDown)
	at(d.side.found[0].Key)
	d.press(fyne.KeyDown, fyne.KeyDown)
	at(d.side.found[2].Key)
	d.press(fyne.KeyUp, fyne.KeyUp, fyne.KeyUp)
	at(d.side.found[0].Key)
	d.press(fyne.KeyEnd)
	at(d.side.found[len(d.side.found)-1].Key)
	d.press(fyne.KeyPageUp, fyne.KeyPageUp)
	last := who()
	at(last)
	d.press(fyne.KeyHome)
	at(d.side.found[0].Key)
	for range 40 {
		d.press(fyne.KeyDown)
	}
	chosen := who()
	at(chosen)
	// Others come and go: the keys stay at the same person.
	d.Draw(d.app.Apply(state.ContactChanged{Contact: state.Contact{Key: key("aaa@example.org"), Name: "Aaa", Presence: state.Available, SeenByUs: true}}))
	at(chosen)
	// Space shows somebody, and the keys stay.
	d.press(fyne.KeySpace)
	d.expect(t, state.Look{Event: state.Select{Key: chosen}})
	if d.focusedOn() != fyne.Focusable(l) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// Right goes to the button of the row, Left and the arrows back.
	d.press(fyne.KeyRight)
	b, ok := d.focusedOn().(*round)
	if !ok || b.of != l {
		t.Fatalf("the focus is at %T", d.focusedOn())
	}
	d.press(fyne.KeyReturn)
	d.expect(t, state.PlaceCall{Key: chosen})
	d.press(fyne.KeyLeft)
	at(chosen)
	d.press(fyne.KeyRight, fyne.KeyDown)
	if next := who(); next == chosen || d.focusedOn() != fyne.Focusable(l) {
		t.Errorf("after Down the keys are at %v, focus at %T", next, d.focusedOn())
	}
	// A button that turns into that of somebody else has no focus: nobody is
	// called whom nobody meant.
	d.press(fyne.KeyRight)
	whose := who()
	d.Draw(d.app.Apply(state.ContactRemoved{Key: key("aaa@example.org")}).Apply(state.ContactRemoved{Key: d.side.found[5].Key}))
	d.settled()
	if d.focusedOn() != fyne.Focusable(l) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	at(whose)
	// While a row's button has the focus, Tab goes on behind the list.
	d.press(fyne.KeyRight, fyne.KeyTab)
	if d.focusedOn() != fyne.Focusable(d.side.nav[state.PageContacts]) {
		t.Errorf("Tab leads to a %T", d.focusedOn())
	}
	// Return opens somebody and goes to their page, where it calls nobody when it
	// is pressed once more.
	d.focus(l)
	d.press(fyne.KeyReturn)
	d.expect(t, state.Look{Event: state.Select{Key: who()}})
	d.Draw(d.app) // something else happened
	d.Draw(d.app.Apply(state.Select{Key: who()}))
	if d.focusedOn() != stops(d.person.page, nil)[0] {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	d.press(fyne.KeyReturn)
	d.expect(t)
	d.press(fyne.KeyEscape, fyne.KeyTab)
	if d.focusedOn() != fyne.Focusable(d.person.call) {
		t.Errorf("then Tab leads to a %T", d.focusedOn())
	}
	// A tap does not move what is under the pointer.
	d.window.Canvas().Unfocus()
	l.ScrollToOffset(3000)
	d.settled()
	was := l.GetScrollOffset()
	list := fyne.CurrentApp().Driver().AbsolutePositionForObject(l)
	p := list.AddXY(60, 2.5*rowHeight)
	under, _ := d.side.at(p)
	test.TapCanvas(d.window.Canvas(), p)
	if l.GetScrollOffset() != was {
		t.Errorf("a tap scrolled from %v to %v", was, l.GetScrollOffset())
	}
	d.expect(t, state.Look{Event: state.Select{Key: under}})
	// And Tab comes to what is in sight.
	d.window.Canvas().Unfocus()
	l.ScrollToOffset(9000)
	d.settled()
	d.focus(l)
	if l.GetScrollOffset() != 9000 {
		t.Errorf("the focus scrolled to %v", l.GetScrollOffset())
	}
	at(who())
}

func TestKeysInTheHistory(t *testing.T) {
	d := newDesk(t, "light", people().Apply(state.Show{Page: state.PageCalls}))
	d.settled()
	d.focus(d.calls.list)
	d.press(fyne.KeyDown, fyne.KeyRight)
	b, ok := d.focusedOn().(*round)
	if !ok {
		t.Fatalf("the focus is at %T", d.focusedOn())
	}
	d.press(fyne.KeySpace)
	d.expect(t, state.PlaceCall{Key: d.calls.lines[1].Key, Video: true})
	// A call is written down above: the button is about another one.
	d.Draw(d.app.Apply(state.Recorded{Line: state.Line{ID: "new", Key: key("greta@example.org"), Outcome: state.NoAnswer, Start: now}}))
	d.settled()
	if d.focusedOn() == fyne.Focusable(b) {
		t.Error("the button of another call has the focus")
	}
	d.press(fyne.KeyHome, fyne.KeyReturn)
	d.expect(t, state.Look{Event: state.Select{Key: key("greta@example.org")}})
}

// What has the focus goes, and the keyboard is at what is next to it.
func TestTheFocusStaysAtWhatIsThere(t *testing.T) {
	d := newDesk(t, "light", asked(files(people()), 3).Apply(state.Show{Page: state.PageTransfers}))
	d.settled()
	c := d.window.Canvas()
	// A line goes off the page.
	gone := d.files.rows["d"]
	d.focus(gone.cancel)
	d.Draw(d.app.Apply(state.TransferGone{ID: "d"}))
	f, ok := d.focusedOn().(*round)
	if !ok || f == gone.cancel || !slices.Contains(stops(d.files.root, nil), fyne.Focusable(f)) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// A button is hidden in its place.
	d.focus(d.files.rows["c"].pause)
	d.Draw(d.app.Apply(state.TransferChanged{ID: "c", Phase: state.Arrived}))
	if f := d.focusedOn(); f == nil || !slices.Contains(stops(d.Root, nil), f) {
		t.Errorf("the focus is at %T", f)
	}
	// A request is answered: its place is taken by the next.
	var yes *button
	find := func() *button {
		seen(d.side.requests, nil, func(o fyne.CanvasObject, _ []fyne.CanvasObject) {
			if b, ok := o.(*button); ok && b.Text == tr("request.yes") {
				yes = b
			}
		})
		return yes
	}
	d.focus(find())
	d.wanted = nil
	d.press(fyne.KeySpace)
	d.Draw(d.app.Apply(state.RequestAnswered{Key: d.app.Requests[0].Key}))
	if f := d.focusedOn(); f == nil || !slices.Contains(stops(d.side.root, nil), f) {
		t.Errorf("the focus is at %T", f)
	}
	// A page is turned by a shortcut: the keys are in the new one.
	d.focus(d.files.tidy)
	d.Draw(d.app.Apply(state.Show{Page: state.PageDoctor}))
	if d.focusedOn() != fyne.Focusable(d.doctor.run) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// It is turned by its button: that keeps the focus.
	d.focus(d.side.nav[state.PageSettings])
	d.Draw(d.app.Apply(state.Show{Page: state.PageSettings}))
	if d.focusedOn() != fyne.Focusable(d.side.nav[state.PageSettings]) {
		t.Errorf("the focus is at %T", d.focusedOn())
	}
	// A call covers what is written: nothing goes to the field behind, and it has
	// the focus again when the call has gone.
	d.focus(d.side.search)
	test.Type(d.side.search, "be")
	d.wanted = nil
	d.Draw(running(d.app))
	if d.focusedOn() != nil {
		t.Errorf("behind the call a %T has the focus", d.focusedOn())
	}
	c.OnTypedRune()('5')
	d.expect(t, state.TypeKey{ID: "1", Key: '5'})
	d.focus(d.stage.hang)
	c.Focused().TypedRune('6') // also while a button has it
	d.expect(t, state.TypeKey{ID: "1", Key: '6'})
	d.Draw(d.app.Apply(state.CallEnded{ID: "1", Outcome: state.Answered}).Apply(state.Searched{Text: "be"}))
	if d.focusedOn() != fyne.Focusable(d.side.search) {
		t.Errorf("after the call the focus is at %T", d.focusedOn())
	}
}

// The shortcuts work while something is written, and Escape takes back a search.
func TestKeysInAField(t *testing.T) {
	d := newDesk(t, "light", running(people()).Apply(state.StageShown{}))
	d.focus(d.side.search)
	s := d.side.search
	s.TypedShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyM, Modifier: fyne.KeyModifierControl})
	d.expect(t, state.Mute{ID: "1", On: true})
	s.SetText("two words")
	s.TypedShortcut(&fyne.ShortcutSelectAll{})
	if s.SelectedText() != "two words" {
		t.Errorf("selected %q", s.SelectedText())
	}
	d.wanted = nil
	d.press(fyne.KeyEscape)
	d.expect(t, state.Look{Event: state.Searched{}})
	d.press(fyne.KeyEscape)
	d.expect(t, state.Look{Event: state.Dismissed{}})
	if !d.Writes() {
		t.Error("the cursor of the field is not known to blink")
	}
	d.focus(d.side.nav[state.PageCalls])
	if d.Writes() {
		t.Error("a button is taken for a field")
	}
	full := 0
	d.FullScreen = func(bool) { full++ }
	d.press(fyne.KeyF11)
	d.focus(d.side.search)
	d.press(fyne.KeyF11)
	if full != 2 {
		t.Errorf("F11 worked %d times of 2", full)
	}
	// The page of another account is left by Escape.
	d.Draw(people().Apply(state.Show{Page: state.PageSignIn}))
	d.focus(d.signIn.address)
	d.wanted = nil
	d.press(fyne.KeyEscape)
	d.expect(t, state.Look{Event: state.Show{Page: state.PageSettings}})
}

// A dialog of the toolkit is given up by Escape, and when somebody calls: it lies
// over what answers them.
func TestADialogMakesRoomForACall(t *testing.T) {
	d := newDesk(t, "light", people())
	over := canvas.NewRectangle(color.White)
	closed := 0
	d.CloseDialog = func() {
		closed++
		d.window.Canvas().Overlays().Remove(over)
	}
	want := func(n int) {
		t.Helper()
		if closed != n || len(d.window.Canvas().Overlays().List()) != 0 {
			t.Errorf("closed %d times, want %d", closed, n)
		}
	}
	open := func() { d.window.Canvas().Overlays().Add(over) }
	open()
	d.press(fyne.KeyEscape)
	want(1)
	d.expect(t)
	open()
	d.Draw(calling(d.app, state.Call{ID: "1", Key: key("ben@example.org"), Incoming: true, Phase: state.Rings}))
	want(2)
	d.Draw(d.app.Apply(state.CallChanged{ID: "1", Phase: state.Running, At: now}))
	open()
	d.Draw(d.app.Apply(state.CallMuted{ID: "1", On: true}))
	if closed != 2 {
		t.Error("a call that was answered closes what is opened in it")
	}
	d.Draw(calling(d.app, state.Call{ID: "2", Key: key("daniel@example.org"), Incoming: true, Phase: state.Rings}))
	want(3)
}

// Escape leaves the full screen before it leaves a call, and with the call for
// which the screen was filled the window is as before: behind it there is no
// button for that.
func TestFullScreenIsLeft(t *testing.T) {
	d := newDesk(t, "light", running(people()))
	full := false
	d.FullScreen = func(on bool) { full = on }
	tap := func() { d.stage.full.Tapped(nil) }
	tap()
	if !full || d.stage.full.tip != tr("call.unfull") {
		t.Errorf("the button fills the screen: %v, and is %q then", full, d.stage.full.tip)
	}
	d.rebuild()
	if d.stage.full.tip != tr("call.unfull") {
		t.Errorf("with another theme the button is %q", d.stage.full.tip)
	}
	d.press(fyne.KeyEscape)
	if full || d.stage.full.tip != tr("shortcut.full") {
		t.Errorf("after Escape the screen is full: %v, and the button %q", full, d.stage.full.tip)
	}
	d.expect(t)
	d.press(fyne.KeyEscape)
	d.expect(t, state.Look{Event: state.StageShown{}})

	tap()
	d.Draw(d.app.Apply(state.StageShown{}))
	if full {
		t.Error("the list of people fills the screen when the call is left")
	}
	d.Draw(d.app.Apply(state.StageShown{On: true}))
	tap()
	d.Draw(d.app.Apply(state.CallEnded{ID: "1", Outcome: state.Answered}))
	if full {
		t.Error("the screen is full after the call")
	}
	// What was full before the call stays so.
	d.press(fyne.KeyF11)
	d.Draw(running(d.app))
	d.Draw(d.app.Apply(state.CallEnded{ID: "1", Outcome: state.Answered}))
	if !full {
		t.Error("the call took the full screen away")
	}
}

// A button that has the focus and can do nothing for a while is left by Tab as
// any other, and not pressed.
func TestTabLeavesAButtonThatIsBusy(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	d.settled()
	test.Type(d.signIn.address, "anna@example.org")
	test.Type(d.signIn.password, "secret")
	d.focus(d.signIn.do)
	d.press(fyne.KeyReturn)
	d.expect(t, state.SignInTo{JID: "anna@example.org", Password: "secret"})
	d.Draw(d.app.Apply(state.SigningIn{}))
	d.press(fyne.KeyReturn)
	d.expect(t)
	d.press(fyne.KeyTab)
	if d.focusedOn() != fyne.Focusable(d.signIn.other) {
		t.Errorf("Tab leads to a %T", d.focusedOn())
	}
	d.window.Canvas().FocusPrevious()
	if d.focusedOn() == fyne.Focusable(d.signIn.do) {
		t.Error("a button that does nothing gets the focus")
	}
}

// A password is hidden unless somebody wants to see it.
func TestThePasswordIsShownOnDemand(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	if !d.signIn.password.Password || !d.signIn.again.Password {
		t.Fatal("the password can be read")
	}
	d.focus(d.signIn.password)
	d.press(fyne.KeyTab, fyne.KeySpace)
	if d.signIn.password.Password || d.signIn.again.Password == false {
		t.Error("the eye does not show it, or shows the other one")
	}
	d.press(fyne.KeyReturn)
	if !d.signIn.password.Password {
		t.Error("the eye does not hide it again")
	}
}

// An account is made by what one types, Tab and Return alone: from one password
// to the next, without the eye between them.
func TestAnAccountByKeyboard(t *testing.T) {
	d := newDesk(t, "light", state.App{})
	d.focus(d.signIn.other)
	d.Draw(d.app.Apply(state.Creating{On: true}))
	d.settled()
	for i, text := range []string{"anna@example.org", "secret", "secret"} {
		if i > 0 {
			d.press(fyne.KeyTab)
		}
		for _, r := range text {
			d.focusedOn().TypedRune(r)
		}
	}
	if !d.signIn.password.Password || !d.signIn.again.Password {
		t.Error("the passwords can be read")
	}
	d.press(fyne.KeyReturn)
	d.expect(t, state.SignInTo{JID: "anna@example.org", Password: "secret", Create: true})
	d.press(fyne.KeyTab, fyne.KeySpace)
	if d.signIn.password.Password || d.signIn.again.Password {
		t.Error("the eye does not show both")
	}
	d.Draw(d.app.Apply(state.Creating{}))
	if !d.signIn.password.Password || !d.signIn.password.eye.Visible() {
		t.Error("who signs in sees the password, or cannot")
	}
}

// The buttons before a picture go, and what had the focus is not pressed by
// somebody who does not see it.
func TestButtonsBeforeAPictureByKeyboard(t *testing.T) {
	d := newDesk(t, "dark", running(people()).Apply(state.CallShown{ID: "1", On: true}))
	at := now
	d.View.now = func() time.Time { return at }
	rest := func() {
		t.Helper()
		at = at.Add(10 * time.Second)
		d.Tick()
		if d.stage.chrome.Visible() {
			t.Fatal("the buttons stay")
		}
	}
	d.ShowPicture("1", filmed())
	d.settled()
	// Nothing has the focus: Tab brings them back, and is at the first.
	rest()
	d.press(fyne.KeyTab)
	first := d.focusedOn()
	if !d.stage.chrome.Visible() || first == nil || !slices.Contains(stops(d.stage.chrome, nil), first) {
		t.Fatalf("buttons %v, the focus is at %T", d.stage.chrome.Visible(), first)
	}
	d.focus(d.stage.hang)
	rest()
	for _, k := range []fyne.KeyName{fyne.KeySpace, fyne.KeyTab, fyne.KeyReturn} {
		d.press(k)
		d.expect(t)
		if !d.stage.chrome.Visible() || d.focusedOn() != fyne.Focusable(d.stage.hang) {
			t.Errorf("%s: buttons %v, the focus is at %T", k, d.stage.chrome.Visible(), d.focusedOn())
		}
		rest()
	}
	test.MoveMouse(d.window.Canvas(), fyne.NewPos(300, 300))
	if d.focusedOn() != fyne.Focusable(d.stage.hang) {
		t.Errorf("the pointer moved, and the focus is at %T", d.focusedOn())
	}
	// Moving with Tab is moving.
	at = at.Add(2 * time.Second)
	d.press(fyne.KeyTab)
	at = at.Add(2 * time.Second)
	d.Tick()
	if !d.stage.chrome.Visible() {
		t.Error("the buttons went while somebody went through them")
	}
	// A sheet that was opened from a button gives the focus back to it.
	d.focus(d.stage.devices)
	d.press(fyne.KeySpace)
	rest()
	d.press(fyne.KeyEscape)
	if d.sheet.shown() || d.focusedOn() != fyne.Focusable(d.stage.devices) {
		t.Errorf("sheet %v, the focus is at %T", d.sheet.shown(), d.focusedOn())
	}
}
