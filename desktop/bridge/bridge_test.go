package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/internal/thumb"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A user is somebody with the app, whose UI thread is a goroutine.
type user struct {
	t *testing.T
	*Bridge
	dir     string
	ui      chan func()
	mu      sync.Mutex
	drawn   int
	notices []Notice
	removed int // of those
	rang    []string
}

func (u *user) Draw(state.App) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drawn++
}
func (u *user) Tick()                              {}
func (u *user) ShowPicture(string, image.Image)    {}
func (u *user) ShowOwnPicture(string, image.Image) {}
func (u *user) ShowScreens(map[string]image.Image) {}

// newUser starts the app of somebody on a server.
func newUser(t *testing.T, server *xmpptest.Server, name string) *user {
	t.Helper()
	return newUserWith(t, server, name, func(string) {})
}

// newUserWith calls before with the folder of what is kept, before the app starts.
func newUserWith(t *testing.T, server *xmpptest.Server, name string, before func(state string)) *user {
	t.Helper()
	u := &user{t: t, dir: t.TempDir(), ui: make(chan func(), 1024)}
	before(filepath.Join(u.dir, "state"))
	store := accounts.Open(filepath.Join(u.dir, "data"), nil)
	if name != "" {
		if _, err := store.Save(accounts.Account{JID: name + "@example.org", Server: server.Addr()}, "s"); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range u.ui {
			f()
		}
	}()
	var err error
	u.Bridge, err = New(Config{
		Store: store, Paths: config.Paths{Data: filepath.Join(u.dir, "data"), State: filepath.Join(u.dir, "state")},
		File: config.File{Server: server.Addr()}, RootCAs: server.CertPool(), Mic: "speech", Speaker: "null", Camera: "pattern", Loopback: true,
		OnUI: func(f func()) {
			select {
			case u.ui <- f:
			default:
				t.Error("the UI thread has too much to do")
			}
		},
		Desktop: Desktop{
			Notify: func(n Notice) func() {
				u.mu.Lock()
				defer u.mu.Unlock()
				u.notices = append(u.notices, n)
				return sync.OnceFunc(func() {
					u.mu.Lock()
					defer u.mu.Unlock()
					u.removed++
				})
			},
			Ring: func(kind, _ string) {
				u.mu.Lock()
				defer u.mu.Unlock()
				u.rang = append(u.rang, kind)
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	u.ui <- func() { u.Show(u) }
	t.Cleanup(func() {
		u.Close()
		close(u.ui)
		<-done
	})
	s := u.State().Settings
	s.Folder = filepath.Join(u.dir, "received")
	u.Do(state.Change{Settings: s})
	return u
}

// until waits for the state to be as wanted.
func (u *user) until(what string, ok func(state.App) bool) state.App {
	u.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if a := u.State(); ok(a) {
			return a
		}
		time.Sleep(5 * time.Millisecond)
	}
	a := u.State()
	u.t.Fatalf("%s: it never came to that\naccounts %+v\ncalls %+v\nflash %+v\nproblem %+v\ntransfers %+v", what, a.Accounts, a.Calls, a.Flash, a.Problem, a.Transfers)
	return a
}

func online(a state.App) bool { return len(a.Accounts) > 0 && a.Accounts[0].Link == state.Online }

func server(t *testing.T) *xmpptest.Server {
	t.Helper()
	s := xmpptest.Run(t, xmpptest.Config{Registration: new(xmpptest.Registration), Accounts: map[string]string{
		"anna@example.org": "s", "ben@example.org": "s", "carol@example.org": "s",
	}})
	s.Befriend("anna@example.org", "ben@example.org")
	s.Befriend("anna@example.org", "carol@example.org")
	return s
}

func key(me, other string) state.Key {
	return state.Key{Account: me + "@example.org", JID: other + "@example.org"}
}

// sees waits until somebody can be called.
func (u *user) sees(k state.Key) {
	u.t.Helper()
	u.until("sees "+k.JID, func(a state.App) bool {
		c, ok := a.Contact(k)
		return ok && c.Presence == state.Available && !c.NoDevice && c.Files
	})
}

func phase(p state.Phase) func(state.App) bool {
	return func(a state.App) bool { c, ok := a.Front(); return ok && c.Phase == p }
}

func TestFirstStartToACallAndBack(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, ""), newUser(t, s, "ben")
	// A wrong password is said in words, and nothing is kept.
	anna.Do(state.SignInTo{JID: "anna@example.org", Password: "wrong"})
	a := anna.until("is refused", func(a state.App) bool { return a.SignIn.Problem != nil })
	if a.SignIn.Problem.Code != "wrong-password" || len(a.Accounts) > 0 {
		t.Errorf("problem = %+v, accounts = %v", a.SignIn.Problem, a.Accounts)
	}
	anna.Do(state.SignInTo{JID: "anna@example.org", Password: "s"})
	anna.until("online", online)
	anna.sees(key("anna", "ben"))

	anna.Do(state.PlaceCall{Key: key("anna", "ben")})
	anna.until("it rings there", phase(state.RingsThere))
	in := ben.until("it rings here", phase(state.Rings))
	ben.mu.Lock()
	if len(ben.notices) != 1 || ben.notices[0].Accept == nil || len(ben.rang) == 0 || ben.rang[0] != "in" {
		t.Errorf("notices %v, rang %v", ben.notices, ben.rang)
	}
	ben.mu.Unlock()
	ben.Do(state.AnswerCall{ID: in.Calls[0].ID})
	heard := func(a state.App) bool {
		c, ok := a.Front()
		return ok && c.Phase == state.Running && c.Verification != "" && c.Stats.LevelIn > -60 && c.Stats.Path == state.PathDirect
	}
	one, two := anna.until("anna hears", heard), ben.until("ben hears", heard)
	if one.Calls[0].Verification != two.Calls[0].Verification {
		t.Errorf("verification %q and %q", one.Calls[0].Verification, two.Calls[0].Verification)
	}
	id := one.Calls[0].ID
	// Calling them again leads back to the call that there is.
	anna.Do(state.Look{Event: state.Select{Key: key("anna", "ben")}})
	anna.until("looks at something else", func(a state.App) bool { return !a.Stage })
	anna.Do(state.PlaceCall{Key: key("anna", "ben")})
	if again := anna.until("is back", func(a state.App) bool { return a.Stage }); len(again.Calls) != 1 || again.Calls[0].ID != id || again.Calls[0].Held {
		t.Errorf("a second call: %+v", again.Calls)
	}
	// Levels move between two measurements, which have other rates, while somebody looks.
	anna.Do(state.WatchLevels{ID: id, On: true})
	last, moved := state.Stats{}, 0
	anna.until("levels move", func(a state.App) bool {
		now := a.Calls[0].Stats
		if now.RateIn == last.RateIn && now.LevelIn != last.LevelIn {
			moved++
		}
		last = now
		return moved >= 3
	})
	anna.Do(state.WatchLevels{ID: id})
	anna.until("sees a new key", func(a state.App) bool { return a.Calls[0].Trust == state.TrustFirst })
	anna.Do(state.Verified{ID: id})
	anna.until("has compared", func(a state.App) bool { return a.Calls[0].Trust == state.TrustVerified })
	anna.Do(state.Mute{ID: id, On: true})
	ben.until("sees that she is muted", func(a state.App) bool { c, ok := a.Front(); return ok && c.TheyMuted })
	anna.Do(state.Mute{ID: id})
	anna.Do(state.Hold{ID: id, On: true})
	ben.until("sees that she holds", func(a state.App) bool { c, ok := a.Front(); return ok && c.TheyHeld && !c.TheyMuted })
	anna.Do(state.Hold{ID: id})
	anna.until("goes on", func(a state.App) bool { c, ok := a.Front(); return ok && !c.Held })
	anna.Do(state.TypeKey{ID: id, Key: '5'})
	anna.until("typed", func(a state.App) bool { c, ok := a.Front(); return ok && c.Digits == "5" })
	anna.Do(state.HangUp{ID: id})
	over := func(a state.App) bool {
		return len(a.Calls) == 0 && a.Flash != nil && a.Flash.Outcome == state.Answered && a.Flash.Problem == nil
	}
	anna.until("over", over)
	b := ben.until("over", func(a state.App) bool { return over(a) && len(a.History) == 1 })
	if !b.Flash.Remote || b.History[0].Outcome != state.Answered || !b.History[0].Incoming {
		t.Errorf("flash %+v, history %+v", b.Flash, b.History)
	}
	// The next call is of the same key, and is known to be.
	ben.Do(state.PlaceCall{Key: key("ben", "anna")})
	in = anna.until("rings", phase(state.Rings))
	anna.Do(state.AnswerCall{ID: in.Calls[0].ID})
	anna.until("knows the key that was compared", func(a state.App) bool { c, ok := a.Front(); return ok && c.Trust == state.TrustVerified })
	ben.until("knows the key", func(a state.App) bool { c, ok := a.Front(); return ok && c.Trust == state.TrustSame })
}

func TestDeclinedMissedAndBusyWithSomebodyElse(t *testing.T) {
	s := server(t)
	anna, ben, carol := newUser(t, s, "anna"), newUser(t, s, "ben"), newUser(t, s, "carol")
	for _, u := range []*user{anna, ben, carol} {
		u.until("online", online)
	}
	ben.sees(key("ben", "anna"))
	carol.sees(key("carol", "anna"))
	ben.Do(state.PlaceCall{Key: key("ben", "anna")})
	in := anna.until("rings", phase(state.Rings))
	anna.Do(state.DeclineCall{ID: in.Calls[0].ID})
	ben.until("declined", func(a state.App) bool { return a.Flash != nil && a.Flash.Outcome == state.Declined })
	anna.until("nothing is left", func(a state.App) bool { return len(a.Calls) == 0 })

	out := ben.until("idle", func(a state.App) bool { return len(a.Calls) == 0 })
	_ = out
	ben.Do(state.PlaceCall{Key: key("ben", "anna")})
	anna.until("rings", phase(state.Rings))
	b := ben.until("rings there", phase(state.RingsThere))
	ben.Do(state.HangUp{ID: b.Calls[0].ID})
	a := anna.until("missed", func(a state.App) bool { return len(a.Calls) == 0 && a.MissedCalls() == 1 })
	if a.Flash == nil || a.Flash.Outcome != state.Missed {
		t.Errorf("flash = %+v", a.Flash)
	}

	// Call waiting: the second one waits, is taken, and the first is held.
	ben.Do(state.PlaceCall{Key: key("ben", "anna")})
	in = anna.until("rings", phase(state.Rings))
	first := in.Calls[0].ID
	anna.Do(state.AnswerCall{ID: first})
	anna.until("runs", phase(state.Running))
	carol.Do(state.PlaceCall{Key: key("carol", "anna")})
	in = anna.until("waits", func(a state.App) bool { _, ok := a.Waiting(); return ok })
	second, _ := in.Waiting()
	anna.Do(state.AnswerCall{ID: second.ID})
	anna.until("the second runs, the first is held", func(a state.App) bool {
		front, _ := a.Front()
		parked, ok := a.Parked()
		return ok && front.ID == second.ID && front.Phase == state.Running && parked.ID == first && parked.Held
	})
	ben.until("ben is held", func(a state.App) bool { c, ok := a.Front(); return ok && c.TheyHeld })
	anna.Do(state.Swap{ID: first})
	ben.until("ben is back", func(a state.App) bool { c, ok := a.Front(); return ok && !c.TheyHeld })
	carol.until("carol is held", func(a state.App) bool { c, ok := a.Front(); return ok && c.TheyHeld })
}

func TestFilesBetweenTwo(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	dir := filepath.Join(anna.dir, "holiday")
	want := bytes.Repeat([]byte("carillon "), 50_000)
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprint(i), "photo.jpg")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{dir}})
	offered := func(a state.App) bool {
		return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered && a.Transfers[0].Incoming
	}
	x := ben.until("offered", offered).Transfers[0]
	if x.Files != 3 || x.Size != int64(3*len(want)) || len(x.Names) != 1 || x.Names[0] != "holiday" || !x.Resumable {
		t.Errorf("offer = %+v", x)
	}
	// What was said of it outside the window goes when it is looked at.
	said := func() (said, removed int) {
		ben.mu.Lock()
		defer ben.mu.Unlock()
		return len(ben.notices), ben.removed
	}
	ben.until("said", func(state.App) bool { n, _ := said(); return n == 1 })
	ben.Do(state.Look{Event: state.Select{Key: key("ben", "carol")}})
	ben.until("somebody else", func(a state.App) bool { return a.Selected == key("ben", "carol") })
	if _, removed := said(); removed != 0 {
		t.Error("it went when somebody else was looked at")
	}
	ben.Do(state.Look{Event: state.Show{Page: state.PageTransfers}})
	ben.until("the page of files", func(a state.App) bool { return a.Page == state.PageTransfers })
	if _, removed := said(); removed != 1 {
		t.Error("it stays while the page of files is looked at")
	}
	ben.Do(state.TakeFiles{ID: x.ID})
	for _, u := range []*user{anna, ben} {
		x := u.until("arrived", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived && a.Transfers[0].Verified }).Transfers[0]
		if x.Share() != 1 || x.Problem != nil {
			t.Errorf("%+v", x)
		}
	}
	got, err := os.ReadFile(filepath.Join(ben.dir, "received", "holiday", "2", "photo.jpg"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Refused: nothing comes, and the sender is told.
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{filepath.Join(dir, "1", "photo.jpg")}})
	x = ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 2 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	ben.Do(state.RefuseFiles{ID: x.ID})
	a := anna.until("refused", func(a state.App) bool { return a.Transfers[0].Phase == state.Refused })
	if p := a.Problem; p == nil || p.Code != "declined" || p.Who != "ben@example.org" || p.Detail != "photo.jpg" {
		t.Errorf("who looks at nothing of it is told %+v", p)
	}
	if _, err := os.Stat(filepath.Join(ben.dir, "received", "photo.jpg")); err == nil {
		t.Error("a refused file is there")
	}
}

// Both are told that there is no room, and nobody is said to have declined.
func TestFilesForWhichThereIsNoRoom(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	set := ben.State().Settings
	set.Quota = 3
	ben.Do(state.Change{Settings: set})
	ben.until("set", func(a state.App) bool { return a.Settings.Quota == 3 })
	file := filepath.Join(anna.dir, "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	for u, want := range map[*user]string{anna: "quota-there", ben: "quota"} {
		x := u.until("over", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase.Over() }).Transfers[0]
		if x.Phase != state.Broke || x.Problem == nil || x.Problem.Code != want {
			t.Errorf("%+v, want %q", x, want)
		}
	}
	owner := make(chan struct{})
	ben.await(func() {
		defer close(owner)
		id := ben.app.Transfers[0].ID
		full := fmt.Errorf("%w: %w", ft.ErrDeclined, &ft.RefusedError{Text: exchange.ErrDiskFull.Error(), Err: exchange.ErrDiskFull})
		for err, want := range map[error]string{full: "no-room", &ft.DeclinedError{Text: exchange.ErrDiskFull.Error()}: "no-room-there", &exchange.PeerError{Text: exchange.ErrDiskFull.Error()}: "no-room-there"} {
			ben.transferOver(id, nil, err, nil, "anna@example.org")
			if p := ben.app.Transfers[0].Problem; p == nil || p.Code != want {
				t.Errorf("%v is shown as %+v, want %q", err, p, want)
			}
		}
	})
	<-owner
}

// An image is offered with a small one, unless the user does not want that.
func TestImagesAreOfferedWithAThumbnail(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	picture := image.NewGray(image.Rect(0, 0, 900, 600))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(anna.dir, "photo.png")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	send := func() state.Transfer {
		n := len(ben.State().Transfers)
		anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{path}})
		return ben.until("offered", func(a state.App) bool { return len(a.Transfers) == n+1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	}
	x := send()
	small, err := thumb.Decode(x.Thumbnail)
	if err != nil || small.Bounds().Dx() != thumb.Side || small.Bounds().Dy() != thumb.Side*2/3 {
		t.Errorf("offered with %d bytes: %v", len(x.Thumbnail), err)
	}
	ben.Do(state.RefuseFiles{ID: x.ID})
	anna.until("refused", func(a state.App) bool {
		return a.Transfers[0].Phase == state.Refused && len(a.Transfers[0].Thumbnail) > 0
	})

	settings := anna.State().Settings
	settings.NoPreview = true
	anna.Do(state.Change{Settings: settings})
	anna.until("no previews", func(a state.App) bool { return a.Settings.NoPreview })
	if x = send(); len(x.Thumbnail) != 0 {
		t.Errorf("%d bytes of a thumbnail that was not wanted", len(x.Thumbnail))
	}
	ben.Do(state.TakeFiles{ID: x.ID})
	ben.until("shown once it is there", func(a state.App) bool {
		return a.Transfers[0].Phase == state.Arrived && len(a.Transfers[0].Thumbnail) > 0
	})
}

// What the command line left unfinished is shown, goes on, and is forgotten
// once it is over.
func TestTransfersOfTheCommandLineGoOn(t *testing.T) {
	s := server(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	ben := newUser(t, s, "ben")
	ben.until("online", online)
	anna := newUserWith(t, s, "anna", func(state string) {
		box := outbox.Open(state)
		for _, o := range []outbox.Outgoing{
			{Account: "anna@example.org", To: "ben@example.org", Paths: []outbox.Path{outbox.Path(path)}, Bytes: 5, Began: time.Now()},
			{Account: "anna@example.org", To: "ben@example.org", Paths: []outbox.Path{outbox.Path(path), outbox.Path(path)}, Bytes: 10, Limit: "5kB/s"},
			{Account: "else@example.org", To: "ben@example.org", Paths: []outbox.Path{outbox.Path(path)}, Bytes: 5},
		} {
			if _, err := box.Put(o); err != nil {
				t.Fatal(err)
			}
		}
	})
	anna.sees(key("anna", "ben"))
	x := anna.until("shown", func(a state.App) bool { return len(a.Transfers) > 0 }).Transfers
	if len(x) != 1 || x[0].Phase != state.Paused || x[0].Names[0] != "a.txt" || x[0].Size != 5 {
		t.Fatalf("transfers = %+v", x)
	}
	anna.Do(state.ResumeFiles{ID: x[0].ID})
	in := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	ben.Do(state.TakeFiles{ID: in.ID})
	anna.until("arrived", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived })
	deadline := time.Now().Add(30 * time.Second)
	for {
		left, err := outbox.Open(filepath.Join(anna.dir, "state")).Outgoing()
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the command line still has %+v", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAccountIsCreatedWhereTheServerAllowsIt(t *testing.T) {
	s := server(t)
	u := newUser(t, s, "")
	for _, tt := range []struct{ name, code string }{{"anna", "register-taken"}, {"dora", ""}} {
		u.Do(state.SignInTo{JID: tt.name + "@example.org", Password: "s", Create: true})
		if tt.code != "" {
			a := u.until("refused", func(a state.App) bool { return a.SignIn.Problem != nil })
			if a.SignIn.Problem.Code != tt.code {
				t.Errorf("%s: problem = %+v", tt.name, a.SignIn.Problem)
			}
		} else {
			u.until("online", online)
		}
	}
}

func TestHistoryOfFilesAndCallsStays(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	anna.Do(state.PlaceCall{Key: key("anna", "ben")})
	in := ben.until("rings", phase(state.Rings))
	ben.Do(state.DeclineCall{ID: in.Calls[0].ID})
	file := filepath.Join(anna.dir, "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	x := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	ben.Do(state.TakeFiles{ID: x.ID})
	ben.until("all is kept", func(a state.App) bool {
		return a.Transfers[0].Phase == state.Arrived && a.Transfers[0].Place != "" && len(a.History) == 1
	})
	ben.Close()
	again, err := New(ben.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	old := ben.Bridge
	ben.Bridge = again
	defer func() { ben.Bridge = old }()
	a := ben.until("knows what was", func(a state.App) bool { return len(a.History) == 1 && len(a.Transfers) == 1 })
	if tr := a.Transfers[0]; tr.Phase != state.Arrived || !tr.Verified || tr.Names[0] != "a.txt" || a.History[0].Outcome != state.Declined {
		t.Errorf("transfer %+v, call %+v", tr, a.History[0])
	}
}

// again quits the app and starts it anew.
func (u *user) again() {
	u.t.Helper()
	u.Close()
	b, err := New(u.cfg)
	if err != nil {
		u.t.Fatal(err)
	}
	u.Bridge = b // which the cleanup closes
}

// nothingLeft waits until nothing is kept of what was to be sent.
func (u *user) nothingLeft() {
	u.t.Helper()
	u.until("nothing is kept", func(state.App) bool {
		left, err := outbox.Open(u.cfg.Paths.State).Outgoing()
		return err == nil && len(left) == 0
	})
}

// What is sent to somebody who is away waits for them.
func TestFilesWaitForWhoIsAway(t *testing.T) {
	s := server(t)
	anna := newUser(t, s, "anna")
	anna.until("knows that he is away", func(a state.App) bool {
		c, ok := a.Contact(key("anna", "ben"))
		return ok && online(a) && c.SeenByUs && c.Presence == state.Gone
	})
	file := filepath.Join(anna.dir, "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	waits := func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.WaitsFor }
	anna.until("waits", waits)
	ben := newUser(t, s, "ben")
	x := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	anna.until("waits for an answer", func(a state.App) bool { return a.Transfers[0].Phase == state.Offered })
	ben.Do(state.TakeFiles{ID: x.ID})
	anna.until("arrived", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived })
}

// An offer that nobody answered before its sender quit is one line when it comes again.
func TestAnOfferThatComesAgainIsOneLine(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	file := filepath.Join(anna.dir, "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	first := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	anna.Close()
	ben.until("told that it is interrupted", func(a state.App) bool { return a.Transfers[0].Phase == state.Paused })
	anna.again()
	a := ben.until("offered again", func(a state.App) bool { return a.Transfers[0].Phase == state.Offered })
	if len(a.Transfers) != 1 || a.Transfers[0].ID == first.ID {
		t.Errorf("transfers = %+v", a.Transfers)
	}
}

// What nobody has answered when the app is quit is offered again when both are
// there, and is shown once.
func TestAnOfferOutlivesTheApp(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	anna.Do(state.RenameContact{Key: key("anna", "ben"), Name: "Ben"})
	ben.until("online", online)
	file := filepath.Join(anna.dir, "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered })
	ben.Close() // so that nothing is answered meanwhile
	anna.again()
	x := anna.until("waits for them", func(a state.App) bool {
		return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.WaitsFor && a.Transfers[0].Name == "Ben"
	}).Transfers[0]
	if x.Incoming || len(x.Names) != 1 || x.Names[0] != "a.txt" || x.Size != 5 {
		t.Errorf("transfer = %+v", x)
	}
	ben.again()
	offered := func(a state.App) bool { return len(a.Transfers) > 0 && a.Transfers[0].Phase == state.Offered }
	ben.Do(state.TakeFiles{ID: ben.until("offered again", offered).Transfers[0].ID})
	anna.until("arrived", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Arrived })
	anna.nothingLeft()

	// What our user paused stays as it is until they want it.
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	ben.until("offered", offered)
	anna.Do(state.PauseFiles{ID: anna.State().Transfers[0].ID})
	anna.until("paused", func(a state.App) bool { return a.Transfers[0].Phase == state.Paused })
	anna.again()
	a := anna.until("there again", func(a state.App) bool { return online(a) && len(a.Transfers) == 2 && a.Transfers[1].Name == "Ben" })
	if a.Transfers[0].Phase != state.Paused || a.Transfers[1].Phase != state.Arrived {
		t.Errorf("transfers = %+v", a.Transfers)
	}
	anna.Do(state.CancelFiles{ID: a.Transfers[0].ID})
	anna.nothingLeft()
}

// What fails for a reason that lasts is tried again some times, then it is said
// that it is not, and that is what stays of it.
func TestWhatCannotBeSentIsNotTriedForEver(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	file := filepath.Join(anna.dir, "gone.txt")
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	broke := func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Broke }
	anna.until("it is not there", broke)
	kept := func() []outbox.Outgoing {
		left, err := outbox.Open(anna.cfg.Paths.State).Outgoing()
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	for try := 1; try <= maxTries; try++ {
		if len(kept()) != 1 {
			t.Fatalf("before start %d it is given up: %+v", try, kept())
		}
		anna.again()
		x := anna.until("it is tried", broke).Transfers[0]
		if x.GivenUp != (try == maxTries) || x.Problem == nil || x.Problem.Code != "file" {
			t.Errorf("start %d: %+v, %+v", try, x, x.Problem)
		}
		if try == 1 {
			for range maxTries { // a bad network, on which we log in again and again
				anna.owner(func() { anna.accounts[x.Account].goOn() })
				anna.until("it is tried", func(a state.App) bool {
					runs := false
					anna.owner(func() { runs = anna.sends[x.ID].stop != nil })
					return !runs && broke(a)
				})
			}
			if len(kept()) != 1 || anna.State().Transfers[0].GivenUp {
				t.Error("it is given up in one run")
			}
		}
	}
	anna.nothingLeft()
	anna.again()
	x := anna.until("what was is there", func(a state.App) bool { return online(a) && len(a.Transfers) == 1 }).Transfers[0]
	if x.Phase != state.Broke || x.Names[0] != "gone.txt" {
		t.Errorf("what stays is %+v", x)
	}

	// One that our user tries again may come to something.
	back := filepath.Join(anna.dir, "back.txt")
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{back}})
	newest := func(f func(state.Transfer) bool) func(state.App) bool {
		return func(a state.App) bool {
			for _, x := range a.Transfers {
				if x.Names[0] == "back.txt" {
					return f(x)
				}
			}
			return false
		}
	}
	anna.until("it is not there", newest(func(x state.Transfer) bool { return x.Phase == state.Broke }))
	for try := 1; try <= maxTries; try++ {
		anna.again()
		anna.until("it is tried", newest(func(x state.Transfer) bool { return x.Phase == state.Broke && x.GivenUp == (try == maxTries) }))
	}
	if err := os.WriteFile(back, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.sees(key("anna", "ben"))
	for _, x := range anna.State().Transfers {
		if x.Names[0] == "back.txt" {
			anna.Do(state.ResumeFiles{ID: x.ID})
		}
	}
	offered := func(a state.App) bool { return len(a.Transfers) > 0 && a.Transfers[0].Phase == state.Offered }
	ben.Do(state.RefuseFiles{ID: ben.until("offered", offered).Transfers[0].ID})
	anna.until("declined", newest(func(x state.Transfer) bool { return x.Phase == state.Refused && !x.GivenUp }))
	anna.nothingLeft() // nobody is asked twice
}

// A transfer that runs when the app is quit goes on when it starts again.
func TestATransferOutlivesTheApp(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	anna.sees(key("anna", "ben"))
	ben.until("online", online)
	file := filepath.Join(anna.dir, "large")
	f, err := os.Create(file)
	if err == nil {
		err = errors.Join(f.Truncate(256<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{file}})
	x := ben.until("offered", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Offered }).Transfers[0]
	ben.Do(state.TakeFiles{ID: x.ID})
	ben.until("moves", func(a state.App) bool { return a.Transfers[0].Done > 0 })
	anna.again()
	if t := anna.until("there again", func(a state.App) bool { return len(a.Transfers) > 0 }).Transfers[0]; t.Phase.Over() {
		anna.t.Fatalf("it was over before the app was quit, or is not unfinished: %+v", t)
	}
	anna.until("arrived", func(a state.App) bool { return len(a.Transfers) == 1 && a.Transfers[0].Phase == state.Arrived })
	ben.until("arrived", func(a state.App) bool { return a.Transfers[0].Phase == state.Arrived }) // without being asked again
	anna.nothingLeft()
}

func TestSettingsStay(t *testing.T) {
	s := server(t)
	u := newUser(t, s, "")
	want := u.until("settings", func(a state.App) bool { return a.Settings.Folder == filepath.Join(u.dir, "received") }).Settings
	want.RelayOnly, want.Theme, want.Quota = true, "dark", 1e9
	u.Do(state.Change{Settings: want})
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, err := loadSettings(u.cfg.Paths)
		if err == nil && got == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("kept %+v, %v; want %+v", got, err, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStateIsDrawnLessOftenThanItChanges(t *testing.T) {
	s := server(t)
	u := newUser(t, s, "")
	hold := make(chan struct{})
	u.ui <- func() { <-hold } // the UI thread is busy
	for i := range 500 {
		u.Do(state.Look{Event: state.Searched{Text: fmt.Sprint(i)}})
	}
	u.until("all happened", func(a state.App) bool { return a.Search == "499" })
	close(hold)
	u.mu.Lock()
	before := u.drawn
	u.mu.Unlock()
	done := make(chan struct{})
	u.ui <- func() { close(done) }
	<-done
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.drawn-before > 2 {
		t.Errorf("drawn %d times", u.drawn-before)
	}
}

func TestPicturesAreDroppedWhileTheScreenIsBusy(t *testing.T) {
	var waiting []func()
	b := &Bridge{cfg: Config{OnUI: func(f func()) { waiting = append(waiting, f) }}}
	p := newPicture(b, nil, nil)
	f := video.Frame{Image: video.NewImage(64, 48)}
	for range 5 {
		if err := p.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if len(waiting) != 1 {
		t.Errorf("%d pictures wait for the screen", len(waiting))
	}
	waiting[0]()
	p.Write(f)
	if len(waiting) != 2 {
		t.Error("nothing is shown after the screen was ready again")
	}
}

// The word about a call that was had goes by itself, that of a missed one stays.
func TestTheWordAboutACallGoes(t *testing.T) {
	u := newUser(t, server(t), "")
	at := time.Now()
	u.owner(func() {
		for _, tt := range []struct {
			flash state.Flash
			after time.Duration
			stays bool
		}{
			{state.Flash{Outcome: state.Answered}, 7 * time.Second, true},
			{state.Flash{Outcome: state.Answered}, 9 * time.Second, false},
			{state.Flash{Outcome: state.Missed}, time.Hour, true},
			{state.Flash{Outcome: state.Failed, Problem: &state.Problem{}}, time.Hour, true},
		} {
			u.app.Flash = &tt.flash
			u.fade(at)
			u.fade(at.Add(tt.after))
			if got := u.app.Flash != nil; got != tt.stays {
				t.Errorf("%s after %v: shown %v, want %v", tt.flash.Outcome, tt.after, got, tt.stays)
			}
		}
		u.app.Flash = nil
	})
}

// Somebody who is sent a file sees one line of it, however often it is paused
// and goes on, and gives it up while it is paused.
func TestAPausedTransferIsOneLine(t *testing.T) {
	s := server(t)
	ben := newUser(t, s, "ben")
	ben.until("online", online)
	owner := func(f func()) {
		done := make(chan struct{})
		ben.await(func() { f(); close(done) })
		<-done
	}
	var a *account
	owner(func() { a = ben.accounts["ben@example.org"] })
	offered := func(sid string, resumed bool) {
		a.receiving(courier.Offered{
			Session: courier.Session{SID: sid, Peer: jid.MustParse("anna@example.org/x")}, Incoming: true, Known: true, Resumed: resumed,
			Offer: ft.Offer{Names: []string{"film.mkv"}, Files: 1, Size: 5 << 30, Resumable: true},
		})
		owner(func() {}) // it is shown
	}
	pause := func() {
		owner(func() {
			id := ben.app.Transfers[0].ID
			delete(ben.offers, id)
			ben.transferOver(id, nil, exchange.ErrPaused, nil, "anna@example.org")
		})
		ben.until("paused", func(a state.App) bool { return a.Transfers[0].Phase == state.Paused })
	}
	offered("one", false)
	pause()
	for _, sid := range []string{"two", "three"} {
		offered(sid, true)
		if x := ben.State().Transfers; len(x) != 1 || x[0].Phase != state.Moves {
			t.Fatalf("what goes on is shown as %+v", x)
		}
		pause()
	}
	// The same once more is not what goes on.
	offered("four", false)
	if x := ben.State().Transfers; len(x) != 2 || x[1].Phase != state.Paused {
		t.Errorf("what is offered anew is shown as %+v", x)
	}
	ben.Do(state.CancelFiles{ID: ben.State().Transfers[1].ID})
	ben.until("given up", func(a state.App) bool { return a.Transfers[1].Phase == state.Cancelled })
}

// What is paused when the app ends is paused at the next start: the sender may
// go on with it.
func TestWhatComesInIsPausedAtTheNextStart(t *testing.T) {
	kept := history.Transfer{ID: "r-1", Account: "ben@example.org", Peer: "anna@example.org", Incoming: true, Names: []string{"film.mkv"}, State: string(state.Paused)}
	x := pastTransfer(kept)
	if x.Phase != state.Paused || keptAs(x) != kept.ID {
		t.Errorf("it is shown as %+v, kept as %q", x, keptAs(x))
	}
	if kept.Incoming = false; pastTransfer(kept).Phase != state.Broke {
		t.Error("what we sent is said to go on")
	}
}

// Who wants to be a contact is said outside the window, once for all that wait.
func TestARequestIsSaidOutsideTheWindow(t *testing.T) {
	s := server(t)
	ben := newUser(t, s, "ben")
	ben.until("online", online)
	found := make(chan *account, 1)
	ben.await(func() { found <- ben.accounts["ben@example.org"] })
	a := <-found
	said := func() (asked, removed int) {
		ben.mu.Lock()
		defer ben.mu.Unlock()
		for _, n := range ben.notices {
			if n.Asks && n.Open != nil {
				asked++
			}
		}
		return asked, ben.removed
	}
	for i, from := range []string{"anna", "carol"} {
		a.happened(nil, signaling.SubscriptionRequest{From: jid.MustParse(from + "@example.com")})
		ben.until("asked", func(a state.App) bool { return len(a.Requests) == i+1 })
	}
	if asked, removed := said(); asked != 1 || removed != 0 {
		t.Errorf("%d requests were said, %d taken away", asked, removed)
	}
	ben.Do(state.AnswerRequest{Key: state.Key{Account: "ben@example.org", JID: "anna@example.com"}, Yes: true})
	ben.until("answered", func(a state.App) bool { return len(a.Requests) == 1 })
	ben.Do(state.AnswerRequest{Key: state.Key{Account: "ben@example.org", JID: "carol@example.com"}})
	ben.until("answered", func(a state.App) bool { return len(a.Requests) == 0 })
	if asked, removed := said(); asked != 1 || removed != 1 {
		t.Errorf("%d requests were said, %d taken away", asked, removed)
	}
}
