package state

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	own = "me@example.org"
	bob = Key{own, "bob@example.org"}
	eve = Key{own, "eve@example.net"}
	t0  = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
)

func after(events ...Event) App {
	a := App{}
	for _, e := range events {
		a = a.Apply(e)
	}
	return a
}

func online() []Event {
	return []Event{
		AccountChanged{Account{JID: own, Link: Online}},
		ContactChanged{Contact{Key: bob, Name: "Bob", SeenByUs: true, SeesUs: true, Presence: Available}},
	}
}

func TestWhyACallCannotBe(t *testing.T) {
	seen := Contact{Key: bob, SeenByUs: true, Presence: Available}
	for _, tt := range []struct {
		name     string
		account  Account
		settings Settings
		contact  func(*Contact)
		want     Why
	}{
		{"nothing in the way", Account{Link: Online}, Settings{}, func(*Contact) {}, WhyNothing},
		{"we are offline", Account{Link: Offline}, Settings{}, func(*Contact) {}, WhyWeOffline},
		{"they do not show themselves", Account{Link: Online}, Settings{}, func(c *Contact) { c.SeenByUs = false }, WhyNotSeen},
		{"they have not answered", Account{Link: Online}, Settings{}, func(c *Contact) { c.SeenByUs, c.Asked = false, true }, WhyAsked},
		{"they are away from everything", Account{Link: Online}, Settings{}, func(c *Contact) { c.Presence = Gone }, WhyTheyOffline},
		{"no device takes calls", Account{Link: Online}, Settings{}, func(c *Contact) { c.NoDevice = true }, WhyNoDevice},
		{"no relay", Account{Link: Online, NoRelay: true}, Settings{}, func(*Contact) {}, WhyNoRelay},
		{"no relay although only that is wanted", Account{Link: Online, NoRelay: true}, Settings{RelayOnly: true}, func(*Contact) {}, WhyNoRelayAtAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.account.JID = own
			c := seen
			tt.contact(&c)
			// In any order.
			for _, order := range [][]Event{
				{SettingsChanged{tt.settings}, AccountChanged{tt.account}, ContactChanged{c}},
				{ContactChanged{c}, AccountChanged{tt.account}, SettingsChanged{tt.settings}},
			} {
				if got := after(order...).Contacts[0].Why; got != tt.want {
					t.Errorf("why = %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestOneCallFromBeginningToEnd(t *testing.T) {
	a := after(append(online(), CallBegan{Call{ID: "1", Key: bob, Phase: Dialing}}, CallBlocked{"1", WhyNoDevice})...)
	c, _ := a.Front()
	if c.Name != "Bob" || c.Why != WhyNoDevice || !a.Stage {
		t.Errorf("dialing: %+v, stage %v", c, a.Stage)
	}
	a = a.Apply(CallChanged{"1", RingsThere, t0})
	if c, _ := a.Front(); c.Why != WhyNothing {
		t.Error("it rings, and something is said to stand in the way")
	}
	a = a.Apply(CallChanged{"1", Running, t0}).Apply(CallChanged{"1", Reconnecting, t0}).Apply(CallChanged{"1", Running, t0.Add(time.Minute)})
	if c, _ := a.Front(); !c.Since.Equal(t0) {
		t.Errorf("since = %v: a new path is no new call", c.Since)
	}
	a = a.Apply(CallEnded{ID: "1", Outcome: Answered, Lasted: time.Minute, Remote: true})
	want := &Flash{Key: bob, Name: "Bob", Outcome: Answered, Lasted: time.Minute, Remote: true}
	if d := cmp.Diff(want, a.Flash); d != "" || len(a.Calls) > 0 || a.Stage {
		t.Errorf("calls %v, stage %v, flash (-want +got):\n%s", a.Calls, a.Stage, d)
	}
}

func TestCallWaitingAndSwap(t *testing.T) {
	a := after(append(online(), CallBegan{Call{ID: "1", Key: bob, Phase: Running}}, StageShown{}, CallBegan{Call{ID: "2", Key: eve, Incoming: true, Phase: Rings}})...)
	if !a.Stage {
		t.Error("who looks at something else does not see who calls")
	}
	if c, _ := a.Front(); c.ID != "1" {
		t.Errorf("in front is %q: a call that comes in interrupted the one that runs", c.ID)
	}
	if c, ok := a.Waiting(); !ok || c.ID != "2" {
		t.Errorf("waiting = %q", c.ID)
	}
	a = a.Apply(CallHeld{ID: "1", On: true}).Apply(CallChanged{"2", Running, t0}).Apply(CallInFront{"2"})
	if c, _ := a.Front(); c.ID != "2" {
		t.Errorf("in front is %q", c.ID)
	}
	if c, ok := a.Parked(); !ok || c.ID != "1" || !c.Held {
		t.Errorf("parked = %+v", c)
	}
	// The one behind ends: the talk goes on, and nothing covers it.
	a = a.Apply(CallEnded{ID: "1", Outcome: Answered})
	if c, _ := a.Front(); c.ID != "2" || a.Flash != nil || !a.Stage {
		t.Errorf("in front %q, flash %v, stage %v", c.ID, a.Flash, a.Stage)
	}
}

// Who calls is told what stands in the way as it is now.
func TestWhyACallDoesNotRing(t *testing.T) {
	is := func(a App, want Why) {
		t.Helper()
		if c, _ := a.Front(); c.Why != want {
			t.Errorf("it says %q, want %q", c.Why, want)
		}
	}
	a := after(append(online(), CallBegan{Call{ID: "1", Key: bob, Phase: Dialing}})...)
	is(a.Apply(CallBlocked{ID: "1", Why: WhyNoRelay}), WhyNothing)
	a = a.Apply(CallBlocked{ID: "1", Why: WhyTheyOffline})
	is(a, WhyTheyOffline)
	a = a.Apply(AccountChanged{Account{JID: own, Link: Offline}})
	is(a, WhyWeOffline)
	is(a.Apply(AccountChanged{Account{JID: own, Link: Online}}), WhyNothing)
	is(a.Apply(CallChanged{ID: "1", Phase: RingsThere}).Apply(AccountChanged{Account{JID: own, Link: Offline}}), WhyNothing)
	a = after(append(online(), AccountChanged{Account{JID: own, Link: Offline}}, CallBegan{Call{ID: "1", Key: bob, Phase: Dialing}})...)
	is(a, WhyWeOffline)
}

func TestWhoALinkNames(t *testing.T) {
	const work = "alice@work.example"
	a := after(append(online(), AccountChanged{Account{JID: work, Link: Online}})...)
	colleague := Key{Account: work, JID: "carol@work.example"}
	a = a.Apply(ContactChanged{Contact{Key: colleague}})
	for _, tt := range []struct {
		jid, account string
		want         Key
	}{
		{colleague.JID, "", colleague},
		{colleague.JID, own, Key{Account: own, JID: colleague.JID}},
		{colleague.JID, "nobody@example.org", colleague},
		{"x@example.org", "", Key{Account: own, JID: "x@example.org"}},
	} {
		if got := a.Whose(tt.jid, tt.account); got != tt.want {
			t.Errorf("%s of %q is %v, want %v", tt.jid, tt.account, got, tt.want)
		}
	}
	// A link that is opened before there is an account is not forgotten.
	a = App{}
	a = a.Apply(Select{Key: a.Whose(bob.JID, "")}).Apply(AccountChanged{Account{JID: own, Link: Online}})
	if a.Selected != bob {
		t.Errorf("after signing in it shows %v", a.Selected)
	}
}

func TestWhoSignsInNextBeginsAnew(t *testing.T) {
	a := after(append(online(), Searched{"bob"}, Show{PageSettings}, AccountRemoved{own})...)
	if a.Page != PageContacts || a.Search != "" {
		t.Errorf("page %q, search %q", a.Page, a.Search)
	}
}

func TestNothingIsSaidAboutOurOwnCancelling(t *testing.T) {
	a := after(CallBegan{Call{ID: "1", Key: bob, Phase: Dialing}}, CallEnded{ID: "1", Outcome: Retracted})
	if a.Flash != nil {
		t.Errorf("flash = %+v", a.Flash)
	}
}

func TestStateIsNotChangedInPlace(t *testing.T) {
	a := after(append(online(), CallBegan{Call{ID: "1", Key: bob, Phase: Running}},
		TransferBegan{Transfer{ID: "t", Key: bob}}, Recorded{Line: Line{ID: "h", Key: bob}})...)
	before := App{Calls: append([]Call(nil), a.Calls...), Contacts: append([]Contact(nil), a.Contacts...),
		Transfers: append([]Transfer(nil), a.Transfers...), History: append([]Line(nil), a.History...)}
	a.Apply(CallMuted{ID: "1", On: true})
	a.Apply(AccountChanged{Account{JID: own, Link: Offline}})
	a.Apply(TransferChanged{ID: "t", Phase: Broke})
	a.Apply(Show{PageCalls})
	now := App{Calls: a.Calls, Contacts: a.Contacts, Transfers: a.Transfers, History: a.History}
	if d := cmp.Diff(before, now, cmp.AllowUnexported(Call{}, Contact{}, Transfer{})); d != "" {
		t.Errorf("changed (-before +now):\n%s", d)
	}
}

func TestSearchFindsByNameAndAddressThoseWhoAreThereFirst(t *testing.T) {
	a := after(append(online(),
		ContactChanged{Contact{Key: Key{own, "anna@example.org"}, Name: "Anna Bobrow", SeenByUs: true}},
		ContactChanged{Contact{Key: eve, SeenByUs: true, Presence: Away}})...)
	names := func(search string) (list []string) {
		for _, c := range a.Apply(Searched{search}).Found() {
			list = append(list, c.Title())
		}
		return list
	}
	for search, want := range map[string][]string{
		"":         {"Bob", "eve@example.net", "Anna Bobrow"},
		"BOB":      {"Bob", "Anna Bobrow"},
		"bob anna": {"Anna Bobrow"},
		".net":     {"eve@example.net"},
		"nobody":   nil,
	} {
		if d := cmp.Diff(want, names(search)); d != "" {
			t.Errorf("search %q (-want +got):\n%s", search, d)
		}
	}
}

func TestMissedCallsAreNewUntilLookedAt(t *testing.T) {
	a := after(Recorded{Line: Line{ID: "1", Key: bob, Outcome: Missed, Start: t0}}, Recorded{Line: Line{ID: "2", Key: bob, Outcome: Answered, Start: t0.Add(time.Hour)}},
		Recorded{Line: Line{ID: "1", Key: bob, Outcome: Missed, Start: t0}})
	if a.MissedCalls() != 1 || len(a.History) != 2 || a.History[0].ID != "2" {
		t.Errorf("%d missed in %+v", a.MissedCalls(), a.History)
	}
	if n := a.Apply(Show{PageCalls}).MissedCalls(); n != 0 {
		t.Errorf("%d missed after looking", n)
	}
}

func TestSpeedAndTimeLeft(t *testing.T) {
	a := after(TransferBegan{Transfer{ID: "t", Key: bob, Size: 100e6}})
	// Half was there already: no speed.
	for i := range 20 {
		a = a.Apply(TransferMoved{ID: "t", Done: 50e6 + int64(i)*1e6, At: t0.Add(time.Duration(i) * time.Second)})
	}
	x := a.Transfers[0]
	if x.Speed < 0.9e6 || x.Speed > 1.1e6 {
		t.Errorf("speed = %.0f, want a million a second", x.Speed)
	}
	if left := x.Left(); left < 28*time.Second || left > 35*time.Second {
		t.Errorf("left = %v, want 31 s", left)
	}
	a = a.Apply(TransferChanged{ID: "t", Phase: Arrived, Verified: true}).Apply(TransferMoved{ID: "t", Done: 1, At: t0})
	if x := a.Transfers[0]; x.Phase != Arrived || x.Share() != 1 || x.Left() != 0 {
		t.Errorf("arrived: %+v", x)
	}
}

func TestQualityFollowsTheFiguresSlowly(t *testing.T) {
	a := after(CallBegan{Call{ID: "1", Key: bob, Phase: Running}})
	quality := func(s Stats, n int) Quality {
		for range n {
			a = a.Apply(CallMeasured{"1", s})
		}
		return a.Calls[0].Quality
	}
	if q := quality(Stats{RTT: 20 * time.Millisecond}, 1); q != Good {
		t.Errorf("quiet network: %s", q)
	}
	if q := quality(Stats{LossIn: 0.05}, 1); q != Good {
		t.Errorf("one bad second: %s", q)
	}
	if q := quality(Stats{LossIn: 0.05}, 10); q != Fair {
		t.Errorf("5 %% loss: %s", q)
	}
	if q := quality(Stats{LossIn: 0.2, RTT: time.Second}, 10); q != Poor {
		t.Errorf("20 %% loss: %s", q)
	}
	if q := quality(Stats{}, 15); q != Good {
		t.Errorf("well again: %s", q)
	}
}

func TestForgettingAnAccountForgetsItsPeople(t *testing.T) {
	a := after(append(online(), Select{bob}, Requested{Request{Key: eve}}, Recorded{Line: Line{ID: "1", Key: bob}}, AccountRemoved{own})...)
	if len(a.Accounts)+len(a.Contacts)+len(a.Requests)+len(a.History) > 0 || a.Selected != (Key{}) {
		t.Errorf("left behind: %+v", a)
	}
}

func TestListsAreBounded(t *testing.T) {
	a := App{}
	for i := range 2 * maxHistory {
		id := string(rune('a'+i%26)) + time.Duration(i).String()
		a = a.Apply(Recorded{Line: Line{ID: id, Start: t0.Add(time.Duration(i) * time.Second)}})
		if i < 2*maxTransfers {
			a = a.Apply(TransferBegan{Transfer{ID: id, Phase: Arrived}})
		}
		a = a.Apply(CallBegan{Call{ID: id}})
	}
	if len(a.History) != maxHistory || len(a.Transfers) != maxTransfers || len(a.Calls) != MaxCalls {
		t.Errorf("%d lines, %d transfers, %d calls", len(a.History), len(a.Transfers), len(a.Calls))
	}
}

func TestTheArchiveDoesNotChangeCallsThatWeHad(t *testing.T) {
	had := Line{ID: "1", Key: bob, Outcome: Answered, Duration: time.Minute}
	says := Line{ID: "1", Key: bob, Outcome: Elsewhere}
	a := App{}.Apply(Recorded{Line: had}).Apply(Recorded{Line: says, Archived: true})
	if got := a.History[0]; len(a.History) != 1 || got.Outcome != Answered || got.Duration != time.Minute {
		t.Errorf("history = %+v", a.History)
	}
	had.Outcome = Missed
	if a = (App{}).Apply(Recorded{Line: had}).Apply(Recorded{Line: says, Archived: true}); a.History[0].Outcome != Elsewhere {
		t.Errorf("history = %+v, though another device answered", a.History)
	}
}

// What is said of a lost device goes when it works again, or the call is over.
func TestAWordAboutADeviceGoes(t *testing.T) {
	a := App{}.Apply(CallBegan{Call: Call{ID: "1", Key: bob}}).Apply(WentWrong{Problem: Problem{Code: DeviceLost}})
	if got := a.Apply(DeviceMended{}); a.Problem == nil || got.Problem != nil {
		t.Errorf("problem %v, mended %v", a.Problem, got.Problem)
	}
	if got := a.Apply(CallEnded{ID: "1", Outcome: Answered}); got.Problem != nil {
		t.Errorf("after the call: %v", got.Problem)
	}
}

// The word about files that were dropped nowhere goes when it is followed.
func TestAWordAboutDroppedFilesGoes(t *testing.T) {
	a := App{}.Apply(WentWrong{Problem: Problem{Code: DroppedNowhere}}).Apply(Show{PageCalls})
	if got := a.Apply(Select{bob}); a.Problem == nil || got.Problem != nil {
		t.Errorf("problem %v, then %v", a.Problem, got.Problem)
	}
	a = a.Apply(WentWrong{Problem: Problem{Code: DeviceLost}})
	if got := a.Apply(Select{bob}); got.Problem == nil {
		t.Error("another problem went too")
	}
}

// An older problem does not lie over how a call went, nor over a call that the
// user began after it.
func TestAnOldProblemMakesRoom(t *testing.T) {
	bad := WentWrong{Problem: Problem{Code: "bad-address"}}
	a := App{}.Apply(bad).Apply(CallBegan{Call: Call{ID: "1", Key: bob}})
	if a.Problem != nil {
		t.Errorf("in the call: %v", a.Problem)
	}
	a = a.Apply(bad).Apply(CallEnded{ID: "1", Outcome: Declined, Remote: true})
	if a.Problem != nil || a.Flash == nil {
		t.Errorf("after it: %v, %+v", a.Problem, a.Flash)
	}
	// What nobody waited for takes nothing away.
	a = a.Apply(bad).Apply(CallBegan{Call: Call{ID: "2", Key: bob, Incoming: true, Phase: Rings}})
	if a = a.Apply(CallEnded{ID: "2", Outcome: Declined}); a.Problem == nil {
		t.Error("a call that we declined took away what was said before")
	}
}
