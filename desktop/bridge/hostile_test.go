package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/desktop/trust"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// owner runs f on the goroutine that owns the state, and fails when it does not.
func (u *user) owner(f func()) {
	u.t.Helper()
	done := make(chan struct{})
	u.post(func() { f(); close(done) })
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		u.t.Fatal("the owner of the state hangs")
	}
}

// account is the one that the user has.
func (u *user) account(name string) (a *account) {
	u.t.Helper()
	u.owner(func() { a = u.accounts[name+"@example.org"] })
	return a
}

func offeredBy(from, sid string) courier.Offered {
	return courier.Offered{
		Session: courier.Session{SID: sid, Peer: jid.MustParse(from)}, Known: true, Offer: ft.Offer{Names: []string{"f"}, Files: 1, Size: 1},
	}
}

// Two devices offer under one session ID, one of them takes it back: nothing
// waits for an answer that nobody reads, and each is a transfer of its own.
func TestTwoOffersWithOneSessionID(t *testing.T) {
	u := newUser(t, server(t), "ben")
	u.until("online", online)
	s := u.State().Settings
	s.TakeFiles = true
	u.Do(state.Change{Settings: s})
	a := u.account("ben")
	one, two := offeredBy("anna@example.org/one", "same"), offeredBy("anna@example.org/two", "same")
	a.receiving(one)
	a.receiving(two)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = a.decide(gone, one) // taken back at once; what comes of it matters to nobody
	if err := a.decide(t.Context(), two); err != nil {
		t.Errorf("the second is not taken: %v", err)
	}
	_ = a.decide(gone, one) // asked again about what is answered
	u.owner(func() {
		if len(u.offers) != 2 || len(u.app.Transfers) != 2 {
			t.Errorf("%d offers and %d transfers, want 2 of each", len(u.offers), len(u.app.Transfers))
		}
	})
}

// A send that begins after our addresses became secret keeps them, and what
// runs is not changed under its hands (the race detector looks).
func TestRelayOnlyWhileFilesAreSent(t *testing.T) {
	srv := server(t)
	anna, ben := newUser(t, srv, "anna"), newUser(t, srv, "ben")
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	a := anna.account("anna")
	var before *courier.Courier
	anna.owner(func() { before = a.courier })
	for i := range 6 { // fewer than one peer may have open
		anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{path}})
		ben.until("offered", func(x state.App) bool { return len(x.Transfers) == i+1 })
		s := anna.State().Settings
		s.RelayOnly = i%2 == 0
		anna.Do(state.Change{Settings: s})
		anna.until("changed", func(x state.App) bool { return x.Settings.RelayOnly == s.RelayOnly })
		anna.owner(func() {
			if a.courier.RelayOnly != s.RelayOnly {
				t.Errorf("the next send has RelayOnly = %v, want %v", a.courier.RelayOnly, s.RelayOnly)
			}
		})
	}
	if before.RelayOnly {
		t.Error("the setting was changed for what runs")
	}
}

// What was said outside the window about an offer goes away with it.
func TestNoticesOfOffersGo(t *testing.T) {
	u := newUser(t, server(t), "ben")
	u.until("online", online)
	a := u.account("ben")
	open := func(want int) {
		t.Helper()
		u.until("notices", func(state.App) bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.notices)-u.removed == want
		})
	}
	for _, sid := range []string{"answered", "over"} {
		o := offeredBy("anna@example.org/one", sid)
		a.receiving(o)
		done := make(chan struct{})
		go func() { defer close(done); _ = a.decide(t.Context(), o) }()
		open(1)
		u.mu.Lock()
		if n := u.notices[len(u.notices)-1]; !n.Offers || n.Size != o.Offer.Size || n.Body == "" {
			t.Errorf("the notice does not say what is offered: %+v", n)
		}
		u.mu.Unlock()
		if sid == "over" {
			a.received(&courier.Done{Session: o.Session, Offer: o.Offer}, ft.ErrDeclined, "")
		} else {
			u.Do(state.RefuseFiles{ID: a.transferID(o.Session)})
			<-done
		}
		open(0)
	}
}

// A roster is shown whole, and at once: nobody waits for the devices of others.
func TestAllOfALargeRosterAreShown(t *testing.T) {
	const n = 600
	accounts := map[string]string{"anna@example.org": "s"}
	for i := range n {
		accounts[fmt.Sprintf("c%d@example.org", i)] = "s"
	}
	s := xmpptest.Run(t, xmpptest.Config{Accounts: accounts})
	for i := range n {
		s.Befriend("anna@example.org", fmt.Sprintf("c%d@example.org", i))
	}
	u := newUser(t, s, "anna")
	u.until("all are shown", func(a state.App) bool { return len(a.Contacts) > 0 })
	if got := len(u.State().Contacts); got != n {
		t.Errorf("%d of %d contacts are shown", got, n)
	}
}

// However much happens, the user is heard, and the screen follows.
func TestAFloodDoesNotDrownTheUser(t *testing.T) {
	u := newUser(t, server(t), "")
	var over atomic.Bool
	defer over.Store(true)
	var again func()
	again = func() { // there is always more
		if !over.Load() {
			select {
			case u.do <- again:
			default:
			}
		}
	}
	for range maxAtOnce {
		u.await(again)
	}
	last := ""
	for i := range 3 * maxPosted {
		last = fmt.Sprint(i)
		u.Do(state.Look{Event: state.Searched{Text: last}})
	}
	u.until("the last wish counts", func(a state.App) bool { return a.Search == last })
}

// One more call than can be shown could not be hung up.
func TestThereAreNoCallsThatAreNotShown(t *testing.T) {
	u := newUser(t, server(t), "anna")
	u.until("online", online)
	for i := range state.MaxCalls + 1 {
		u.Do(state.PlaceCall{Key: key("anna", fmt.Sprint("ben", i))})
	}
	u.owner(func() {
		if len(u.calls) != state.MaxCalls || len(u.app.Calls) != state.MaxCalls {
			t.Errorf("%d calls, %d are shown", len(u.calls), len(u.app.Calls))
		}
		if p := u.app.Problem; p == nil || p.Code != "too-many-calls" {
			t.Errorf("problem = %+v", p)
		}
	})
}

// A screen that can be shared no more is not taken for a camera.
func TestWhatEndedIsTold(t *testing.T) {
	u := newUser(t, server(t), "anna")
	u.until("online", online)
	var k *call
	u.owner(func() {
		k = u.newCall(u.accounts["anna@example.org"], state.Call{Key: key("anna", "ben"), Phase: state.Running})
	})
	defer k.stop()
	for _, tt := range []struct {
		shown state.Picture
		err   error
		code  string
	}{
		{state.Screen, errors.New("screen 1 can be shown no more"), "screen"},
		{state.Camera, errors.New("the camera was unplugged"), "camera"},
		{state.Camera, media.ErrNoVideo, "video"},
		{state.Screen, nil, ""}, // a window was closed
	} {
		u.owner(func() { u.app.Problem = nil })
		k.tell(state.CallPictured{ID: k.id, Picture: tt.shown})
		k.happened(media.VideoSourceEnded{Err: tt.err})
		code, now := "", tt.shown
		done := make(chan struct{})
		u.await(func() {
			defer close(done)
			c, _ := u.app.Call(k.id)
			if now = c.Picture; u.app.Problem != nil {
				code = u.app.Problem.Code
			}
		})
		<-done
		if code != tt.code || now != state.NoPicture {
			t.Errorf("%s, %v: the problem is %q, want %q; shown is %q", tt.shown, tt.err, code, tt.code, now)
		}
	}
}

// A picture that cannot be sent in the place of another ends that one, too.
func TestAPictureThatIsNotTaken(t *testing.T) {
	u := newUser(t, server(t), "anna")
	u.until("online", online)
	var k *call
	u.owner(func() {
		k = u.newCall(u.accounts["anna@example.org"], state.Call{Key: key("anna", "ben"), Phase: state.Running})
	})
	defer k.stop()
	var err error
	if k.media, err = media.NewCall(media.Config{Video: media.Video{Codecs: []video.Codec{}}}); err != nil {
		t.Fatal(err)
	}
	defer k.media.Close()
	k.tell(state.CallPictured{ID: k.id, Picture: state.Camera})
	k.picture(state.Screen, "pattern:64x48")
	a := u.until("it is said", func(a state.App) bool { return a.Problem != nil && a.Problem.Code == "video" })
	if c, _ := a.Call(k.id); c.Picture != state.NoPicture {
		t.Errorf("the app shows that it sends %q", c.Picture)
	}
}

// The notices of calls that were missed are few, and go when they were looked at.
func TestNoticesOfMissedCallsGo(t *testing.T) {
	u := newUser(t, server(t), "anna")
	u.until("online", online)
	a := u.account("anna")
	open := func(want int) {
		t.Helper()
		u.owner(func() {})
		u.mu.Lock()
		defer u.mu.Unlock()
		if got := len(u.notices) - u.removed; got != want {
			t.Errorf("%d notices, want %d", got, want)
		}
	}
	miss := func(who string) {
		var k *call
		u.owner(func() {
			k = u.newCall(a, state.Call{Key: key("anna", who), Incoming: true, Phase: state.Rings})
			k.remove = u.notify(Notice{})
		})
		k.ended(state.CallEnded{ID: k.id, Outcome: state.Missed})
		u.until("over", func(a state.App) bool { return len(a.Calls) == 0 })
	}
	for range 2 * maxMissed {
		miss("ben")
	}
	open(maxMissed)
	u.mu.Lock()
	n := u.notices[len(u.notices)-1]
	u.mu.Unlock()
	if n.Title != "ben@example.org" || time.Since(n.Missed) > time.Minute || n.Video {
		t.Errorf("the notice of a missed call is %+v", n)
	}
	n.CallBack()
	// What is shown may be a moment behind: the last that was missed is not meant.
	c := u.until("called back", func(a state.App) bool { return len(a.Calls) == 1 && !a.Calls[0].Incoming }).Calls[0]
	if c.Key != key("anna", "ben") || c.Video {
		t.Errorf("called back: %+v", c)
	}
	u.Do(state.HangUp{ID: c.ID})
	u.until("hung up", func(a state.App) bool { return len(a.Calls) == 0 })
	miss("carol")
	u.Do(state.Look{Event: state.Select{Key: key("anna", "ben")}})
	open(1)
	u.Do(state.Look{Event: state.Show{Page: state.PageCalls}})
	open(0)
}

// Whoever signs out leaves nothing of the account behind, and what was on its
// way brings nothing back.
func TestSigningOutForgets(t *testing.T) {
	s := server(t)
	var box outbox.Box
	ben := newUser(t, s, "ben")
	anna := newUserWith(t, s, "anna", func(dir string) {
		box = outbox.Open(dir)
		for _, who := range []string{"anna@example.org", "else@example.org"} {
			if _, err := box.Put(outbox.Outgoing{Account: who, To: "ben@example.org", Paths: []outbox.Path{"/f"}, Began: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
	})
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	anna.until("what the command line left", func(a state.App) bool { return len(a.Transfers) == 1 })
	gift := filepath.Join(t.TempDir(), "gift")
	if err := os.WriteFile(gift, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	ben.sees(key("ben", "anna"))
	ben.Do(state.SendFiles{Key: key("ben", "anna"), Paths: []string{gift}})
	offered := anna.until("is offered a file", func(a state.App) bool { return len(a.Transfers) == 2 }).Transfers[0]
	anna.Do(state.TakeFiles{ID: offered.ID})
	anna.until("it arrives", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived })
	ledger := filepath.Join(anna.dir, "state", "transfers", "arrived")
	if b, err := os.ReadFile(ledger); err != nil || !bytes.Contains(b, []byte("anna@example.org")) {
		t.Fatalf("what arrived is not remembered: %s, %v", b, err)
	}
	anna.Do(state.PlaceCall{Key: key("anna", "ben")})
	in := ben.until("rings", phase(state.Rings))
	ben.Do(state.AnswerCall{ID: in.Calls[0].ID})
	anna.until("the key is known", func(a state.App) bool { c, ok := a.Front(); return ok && c.Trust == state.TrustFirst })
	path := identityPath(anna.cfg.Paths, "anna@example.org")
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	a := anna.account("anna")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 2 })

	anna.Do(state.SignOut{JID: "anna@example.org"}) // in the call
	var gone chan struct{}
	var client *signaling.Client
	anna.owner(func() { gone, client = anna.leaving["anna@example.org"], a.client })
	if client != nil { // what was being asked comes late
		a.show(client, func(l *lookups) { l.found["ben@example.org"] = state.Contact{Key: key("anna", "ben")} })
	}
	a.apply(state.Requested{Request: state.Request{Key: key("anna", "carol")}})
	<-gone
	anna.until("nothing is shown", func(a state.App) bool {
		return len(a.Accounts)+len(a.Contacts)+len(a.Requests)+len(a.History)+len(a.Transfers)+len(a.Calls) == 0
	})
	if _, err := os.Stat(path); err == nil {
		t.Error("the key for calls is still there")
	}
	calls, err := anna.db.Calls(t.Context(), history.Query{})
	if err != nil || len(calls) > 0 {
		t.Errorf("%d calls are remembered, err = %v", len(calls), err)
	}
	files, err := anna.db.Transfers(t.Context(), history.Query{})
	if err != nil || len(files) > 0 {
		t.Errorf("%d transfers are remembered, err = %v", len(files), err)
	}
	left, err := box.Outgoing()
	if err != nil || len(left) != 1 || left[0].Account != "else@example.org" {
		t.Errorf("the command line is still to send %+v, err = %v", left, err)
	}
	if b, err := os.ReadFile(ledger); err == nil {
		t.Errorf("what arrived is remembered: %s", b)
	}
	if received, err := os.ReadFile(filepath.Join(anna.dir, "received", "gift")); err != nil || string(received) != "hello" {
		t.Errorf("the file that arrived is %q, err = %v", received, err)
	}
	seen, err := anna.keys.See("anna@example.org", "ben@example.org", "new", time.Now())
	if err != nil || seen != trust.First {
		t.Errorf("a key of ben is %q, err = %v: his old one is remembered", seen, err)
	}
	// And it can be signed in to anew.
	anna.Do(state.SignInTo{JID: "anna@example.org", Password: "s"})
	anna.sees(key("anna", "ben"))
}

// What comes in is paused when the program ends, not cut off, without waiting
// for an owner who has gone.
func TestReceiversAreClosedAtTheEnd(t *testing.T) {
	u := newUser(t, server(t), "anna")
	u.until("online", online)
	a := u.account("anna")
	u.until("receives", func(state.App) bool {
		var there bool
		u.owner(func() { there = a.receiver != nil })
		return there
	})
	u.Close()
	if a.receiver != nil {
		t.Error("the receiver was left open")
	}
}

// A view parks our own picture until it draws again: the one that it shows is
// not written meanwhile.
func TestOwnPictureIsNotWrittenWhileShown(t *testing.T) {
	var todo []func()
	b := &Bridge{cfg: Config{OnUI: func(f func()) { todo = append(todo, f) }}}
	var shown image.Image
	p := newPicture(b, func(_ View, i image.Image) {
		if shown == nil {
			shown = i
		}
	}, nil)
	_ = newPreview(nil, p, false)
	var v View = &user{}
	b.view.Store(&v)
	for y := range uint8(20) {
		f := image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420)
		for i := range f.Y {
			f.Y[i] = 10 * y
		}
		for i := range f.Cb {
			f.Cb[i], f.Cr[i] = 128, 128
		}
		if err := p.Write(video.Frame{Image: f}); err != nil {
			t.Fatal(err)
		}
		for _, f := range todo {
			f()
		}
		todo = nil
	}
	if now := shown.(*image.RGBA).Pix[0]; now != 0 {
		t.Errorf("what the screen shows was written: 0 became %d", now)
	}
}

// The microphone is opened when the user answers. One that cannot be shows
// when that is.
func TestTheMicrophoneIsClosedWhileItRings(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	ben.owner(func() { ben.cfg.Mic = "file:" + filepath.Join(ben.dir, "none.wav") })
	anna.Do(state.PlaceCall{Key: key("anna", "ben")})
	in := ben.until("rings", phase(state.Rings))
	anna.until("rings there", phase(state.RingsThere))
	ben.Do(state.AnswerCall{ID: in.Calls[0].ID})
	a := ben.until("talks", phase(state.Running))
	if a.Problem == nil {
		t.Error("nothing is said of a microphone that could not be opened")
	}
	ben.owner(func() { ben.cfg.Mic = "speech" })
	settings := ben.State().Settings
	settings.Mic = "another"
	ben.Do(state.Change{Settings: settings})
	anna.until("hears ben", func(a state.App) bool { return len(a.Calls) == 1 && a.Calls[0].Stats.LevelIn > -60 })
}

// Who may call is told at login: the next one waits for what is on its way, and
// shows nothing twice.
func TestStrangersChangeWhenNothingRuns(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	in := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 }).Transfers[0]
	before := anna.account("anna")
	settings := anna.State().Settings
	settings.Strangers = !settings.Strangers
	anna.Do(state.Change{Settings: settings})
	if anna.account("anna") != before {
		t.Error("the account began anew under a transfer")
	}
	ben.Do(state.TakeFiles{ID: in.ID})
	anna.until("arrived", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived })
	anna.until("began anew", func(a state.App) bool { return anna.account("anna") != before && online(a) })
	anna.sees(key("anna", "ben"))
	if a := anna.State(); len(a.Transfers) != 1 {
		t.Errorf("transfers = %+v", a.Transfers)
	}
}
