package ui

import (
	"image"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
)

// A scene is something that the window may show.
type scene struct {
	name string
	app  state.App
	then func(*desk)
}

func scenes() []scene {
	ben := key("ben@example.org")
	rings := func(a state.App) state.App {
		return calling(a, state.Call{ID: "9", Key: key("eve@example.org"), Incoming: true, Phase: state.Rings})
	}
	return []scene{
		{"sign in", state.App{}, nil},
		{"create account", state.App{}.Apply(state.Creating{On: true}), func(d *desk) { d.signIn.more.open(true) }},
		{"another account", people().Apply(state.Show{Page: state.PageSignIn}), nil},
		{"nobody yet", state.App{}.Apply(state.AccountChanged{Account: state.Account{JID: own}}), nil},
		{"person", files(people()).Apply(state.Select{Key: ben}), nil},
		{"person without calls", people().Apply(state.Select{Key: key("erik@example.com")}), nil},
		{"requests", asked(people(), 5), nil},
		{"calls", people().Apply(state.Show{Page: state.PageCalls}), nil},
		{"transfers", files(people()).Apply(state.Show{Page: state.PageTransfers}), nil},
		{"settings", people().Apply(state.Show{Page: state.PageSettings}), nil},
		{"signed out", signedOut(people()).Apply(state.Show{Page: state.PageSettings}), nil},
		{"signing in again", signedOut(people()).Apply(state.SigningInAgain{JID: own}), nil},
		{"doctor", people().Apply(state.Show{Page: state.PageDoctor}), nil},
		{"incoming", calling(people(), state.Call{ID: "1", Key: ben, Incoming: true, Video: true, Phase: state.Rings}), nil},
		{"call", running(people()), func(d *desk) { d.stage.switchDetails(); d.stage.pad.Show() }},
		{"picture", running(people()).Apply(state.CallShown{ID: "1", On: true}), func(d *desk) { d.ShowPicture("1", filmed()) }},
		{"waiting", rings(running(people())), nil},
		{"parked", calling(running(people()), state.Call{ID: "2", Key: key("chiara@example.net"), Phase: state.Running}).Apply(state.CallHeld{ID: "1", On: true}).Apply(state.StageShown{On: true}), nil},
		{"behind", running(people()).Apply(state.Select{Key: ben}), nil},
		{"rings behind", rings(people()).Apply(state.Select{Key: ben}), nil},
		{"ended", calling(people(), state.Call{ID: "1", Key: ben, Phase: state.RingsThere}).Apply(state.CallEnded{ID: "1", Outcome: state.NoAnswer}), nil},
		{"screens", running(people()), func(d *desk) { c, _ := d.app.Front(); d.stage.toggle(c, state.Screen) }},
		{"devices", running(people()), func(d *desk) { d.options.soundSheet() }},
		{"parcel", people().Apply(state.Packed{Key: ben, Paths: []string{"/a/one.txt"}}), nil},
		{"add", people(), func(d *desk) { d.side.addContactAs("zoe@example.org", "", own) }},
		{"more", people().Apply(state.Select{Key: ben}), func(d *desk) { d.person.more() }},
		{"remove", people().Apply(state.Select{Key: ben}), func(d *desk) { d.person.remove(d.person.shown) }},
		{"sign out", people().Apply(state.Show{Page: state.PageSettings}), func(d *desk) { d.options.signOut(own) }},
		{"shortcuts", people(), func(d *desk) { d.options.showKeys() }},
		{"a sheet while it rings", rings(people()), func(d *desk) { d.side.addContact() }},
	}
}

func (s scene) desk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, "light", s.app)
	if s.then != nil {
		s.then(d)
	}
	d.Draw(d.app)
	d.settled()
	d.wanted = nil
	return d
}

// A screen is what a golden image shows.
type screen struct {
	name  string
	state func() state.App
	then  func(*desk)
}

func screens() []screen {
	return []screen{
		{"sign-in", func() state.App {
			return state.App{}.Apply(state.SignedIn{Problem: &state.Problem{Code: "wrong-password"}})
		}, nil},
		{"create-account", func() state.App { return state.App{}.Apply(state.Creating{On: true}) }, nil},
		{"nobody-yet", func() state.App {
			return state.App{}.Apply(state.AccountChanged{Account: state.Account{JID: own}})
		}, nil},
		{"person", func() state.App {
			return files(people()).Apply(state.Select{Key: key("ben@example.org")})
		}, nil},
		{"person-without-calls", func() state.App {
			a := people().Apply(state.Requested{Request: state.Request{Key: key("henry@example.org"), Text: ""}})
			return a.Apply(state.Select{Key: key("erik@example.com")})
		}, nil},
		{"person-not-seen", func() state.App { return notSeen(people()).Apply(state.Select{Key: key("chiara@example.net")}) }, nil},
		{"many-requests", func() state.App { return asked(people(), 5).Apply(state.Select{Key: key("ben@example.org")}) }, nil},
		{"call-history", func() state.App { return people().Apply(state.Show{Page: state.PageCalls}) }, nil},
		{"transfers", func() state.App { return files(people()).Apply(state.Show{Page: state.PageTransfers}) }, nil},
		{"settings", func() state.App {
			a := people().Apply(state.DevicesFound{Devices: state.Devices{Mics: []state.Device{{ID: "usb", Name: "USB headset"}}}})
			return a.Apply(state.SoundChecked{On: true, MicLevel: -20, SpeakerLevel: -12}).Apply(state.Show{Page: state.PageSettings})
		}, nil},
		{"doctor", func() state.App {
			a := people().Apply(state.DoctorBegan{})
			for _, c := range []state.Check{
				{Kind: "network", Status: "ok", Detail: said("IPv4 and IPv6")},
				{Kind: "login", Status: "ok", Detail: said("as anna@example.org, with SCRAM-SHA-256")},
				{Kind: "relay", Status: "warn", Detail: said("the server names none"), Means: said("calls work in most networks; ask the operator of the server for a relay")},
				{Kind: "microphone", Status: "fail", Detail: said("no such sound device"), Means: said("plug one in; you can be called and hear all the same")},
				{Kind: "turn tls", Status: "skip", Detail: said("no relay")},
			} {
				a = a.Apply(state.DoctorFound{Check: c})
			}
			return a.Apply(state.DoctorDone{}).Apply(state.Show{Page: state.PageDoctor})
		}, nil},
		{"incoming", func() state.App {
			return calling(people(), state.Call{ID: "1", Key: key("chiara@example.net"), Incoming: true, Video: true, Phase: state.Rings})
		}, nil},
		{"incoming-stranger", func() state.App {
			return calling(people(), state.Call{ID: "1", Key: key("unknown@example.com"), Incoming: true, Stranger: true, Phase: state.Rings})
		}, nil},
		{"dialing", func() state.App {
			a := calling(people(), state.Call{ID: "1", Key: key("erik@example.com"), Phase: state.Dialing})
			return a.Apply(state.CallBlocked{ID: "1", Why: state.WhyNoDevice})
		}, nil},
		{"dialing-video", func() state.App {
			a := calling(people(), state.Call{ID: "1", Key: key("ben@example.org"), Video: true, Phase: state.RingsThere})
			return a.Apply(state.CallPictured{ID: "1", Picture: state.Camera})
		}, func(d *desk) { d.ShowOwnPicture("1", filmed()) }},
		{"call", func() state.App { return running(people()) }, func(d *desk) { d.stage.switchDetails() }},
		{"call-video", func() state.App {
			a := running(people()).Apply(state.CallShown{ID: "1", On: true})
			return a.Apply(state.CallPictured{ID: "1", Picture: state.Camera}).Apply(state.CallMuted{ID: "1", On: true}).Apply(state.CallMuted{ID: "1", On: true, Remote: true})
		}, func(d *desk) {
			d.ShowPicture("1", filmed())
			d.ShowOwnPicture("1", filmed())
		}},
		{"call-waiting", func() state.App {
			a := running(people()).Apply(state.CallMuted{ID: "1", On: true})
			return calling(a, state.Call{ID: "2", Key: key("chiara@example.net"), Incoming: true, Phase: state.Rings})
		}, func(d *desk) { d.stage.pad.Show() }},
		{"call-parked", func() state.App {
			a := calling(running(people()), state.Call{ID: "2", Key: key("chiara@example.net"), Phase: state.Running, Since: now.Add(-time.Minute)})
			return a.Apply(state.CallHeld{ID: "1", On: true}).Apply(state.StageShown{On: true})
		}, nil},
		{"call-behind", func() state.App { return running(people()).Apply(state.Select{Key: key("daniel@example.org")}) }, nil},
		{"call-ended", func() state.App {
			a := calling(people(), state.Call{ID: "1", Key: key("ben@example.org"), Phase: state.RingsThere})
			return a.Apply(state.CallEnded{ID: "1", Outcome: state.NoAnswer})
		}, nil},
		{"screen-picker", func() state.App { return running(people()).Apply(state.ScreensFound{Screens: sharable}) },
			func(d *desk) {
				c, _ := d.app.Front()
				d.stage.toggle(c, state.Screen)
				d.ShowScreens(map[string]image.Image{"screen:1": filmed(), "window:0x2": filmed().(*image.RGBA).SubImage(image.Rect(0, 0, 90, 300))})
			}},
		{"call-devices", func() state.App { return running(people()) }, func(d *desk) { d.options.soundSheet() }},
		{"parcel", func() state.App { return people() }, func(d *desk) {
			d.Draw(d.app.Apply(state.Packed{Key: key("ben@example.org"), Paths: []string{"/home/anna/plan.pdf", "/home/anna/holiday/lake.jpg"}}))
		}},
		{"add-contact", func() state.App { return people() }, func(d *desk) { d.side.addContact() }},
		{"shortcuts", func() state.App { return people() }, func(d *desk) { d.options.showKeys() }},
	}
}
