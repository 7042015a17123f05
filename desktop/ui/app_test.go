package ui

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
)

// filmed is a picture somebody sends.
func filmed() image.Image {
	i := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			i.SetRGBA(x, y, color.RGBA{uint8(40 + x/8), uint8(70 + y/8), uint8(110 + (x+y)/12), 255})
		}
	}
	return i
}

const own = "anna@example.org"

func key(jid string) state.Key { return state.Key{Account: own, JID: jid} }

// people is the state of somebody who uses the app every day.
func people() state.App {
	a := state.App{}
	for _, e := range []state.Event{
		state.AccountChanged{Account: state.Account{JID: own, Link: state.Online}},
		state.SettingsChanged{Settings: state.Settings{Folder: "/home/anna/Downloads", HideOnly: true}},
	} {
		a = a.Apply(e)
	}
	for _, c := range []state.Contact{
		{Key: key("ben@example.org"), Name: "Ben Okafor", Presence: state.Available, SeenByUs: true, SeesUs: true, Video: true, Files: true},
		{Key: key("chiara@example.net"), Name: "Chiara Rossi", Presence: state.Away, SeenByUs: true, SeesUs: true, Status: "lunch", Video: true},
		{Key: key("daniel@example.org"), Name: "Daniel", Presence: state.Busy, SeenByUs: true, SeesUs: true},
		{Key: key("erik@example.com"), Presence: state.Available, SeenByUs: true, SeesUs: true, NoDevice: true},
		{Key: key("fatima@example.org"), Name: "Fatima Zahra with a name that is much too long for the room there is", SeenByUs: true, SeesUs: true},
		{Key: key("greta@example.org"), Name: "Greta", Asked: true},
	} {
		a = a.Apply(state.ContactChanged{Contact: c})
	}
	for i, l := range []state.Line{
		{Key: key("ben@example.org"), Incoming: true, Outcome: state.Missed, Start: now.Add(-20 * time.Minute)},
		{Key: key("ben@example.org"), Outcome: state.Answered, Video: true, Duration: 754 * time.Second, Start: now.Add(-3 * time.Hour)},
		{Key: key("chiara@example.net"), Outcome: state.NoAnswer, Start: now.Add(-26 * time.Hour)},
		{Key: key("ben@example.org"), Incoming: true, Outcome: state.Answered, Duration: 65 * time.Second, Start: now.Add(-75 * time.Hour)},
		{Key: key("unknown@example.com"), Incoming: true, Outcome: state.Elsewhere, Start: now.Add(-99 * time.Hour)},
	} {
		l.ID = itoa(i)
		a = a.Apply(state.Recorded{Line: l})
	}
	return a
}

// asked is a with a number of strangers who want to be contacts.
func asked(a state.App, n int) state.App {
	for i := range n {
		a = a.Apply(state.Requested{Request: state.Request{Key: key(fmt.Sprintf("stranger%d@example.com", i+1)), Text: "we met at the lake"}})
	}
	return a
}

func files(a state.App) state.App {
	for _, x := range []state.Transfer{
		{ID: "a", Key: key("chiara@example.net"), Names: []string{"minutes.pdf"}, Files: 1, Size: 88_000, Phase: state.Arrived, Incoming: true, Place: "/home/anna/Downloads/minutes.pdf"},
		{ID: "b", Key: key("daniel@example.org"), Names: []string{"film.mkv"}, Files: 1, Size: 4_700_000_000, Phase: state.Broke, Problem: &state.Problem{Code: "stalled"}},
		{ID: "c", Key: key("ben@example.org"), Names: []string{"holiday photos", "notes.txt"}, Files: 214, Size: 1_260_000_000, Phase: state.Moves, Resumable: true, Path: state.PathDirect},
		{ID: "d", Key: key("ben@example.org"), Names: []string{"music"}, Files: 30, Size: 260_000_000, Done: 120_000_000, Phase: state.Paused, Resumable: true},
		{ID: "e", Key: key("ben@example.org"), Names: []string{"contract.pdf"}, Files: 1, Size: 1_240_000, Phase: state.Offered, Incoming: true},
		{ID: "f", Key: key("chiara@example.net"), Names: []string{"lake.jpg"}, Files: 1, Size: 3_400_000, Phase: state.Offered, Incoming: true, Thumbnail: lake()},
	} {
		a = a.Apply(state.TransferBegan{Transfer: x})
	}
	for i := range 8 {
		a = a.Apply(state.TransferMoved{ID: "c", Done: 400_000_000 + int64(i)*38_000_000, At: now.Add(time.Duration(i) * time.Second)})
	}
	return a
}

// said is what the doctor passes on from elsewhere.
func said(english string) state.Text {
	return state.Text{English: english, Format: "%s", Values: []string{english}}
}

// lake is a small image as it comes with an offer.
func lake() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, filmed().(*image.RGBA).SubImage(image.Rect(300, 200, 428, 296))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sharable is what can be shared.
var sharable = []state.Scene{
	{ID: "screen:1", Kind: state.WholeScreen, Number: 1, Width: 2560, Height: 1440, Primary: true},
	{ID: "screen:2", Kind: state.WholeScreen, Number: 2, Width: 1280, Height: 900},
	{ID: "window:0x1", Kind: state.OneWindow, Width: 640, Height: 480, Title: "Quarterly figures — Spreadsheet with a name that is longer than there is room for it in a sheet"},
	{ID: "window:0x2", Kind: state.OneWindow, Width: 90, Height: 300, Title: "Notes"},
}

func calling(a state.App, c state.Call) state.App {
	return a.Apply(state.CallBegan{Call: c})
}

func running(a state.App) state.App {
	a = calling(a, state.Call{ID: "1", Key: key("ben@example.org"), Phase: state.Running, Since: now.Add(-83 * time.Second), Verification: "4711 0815 2342", Trust: state.TrustFirst})
	for range 5 {
		a = a.Apply(state.CallMeasured{ID: "1", Stats: state.Stats{Path: state.PathNAT, Codec: "opus", VideoCodec: "VP8", Width: 640, Height: 480, FPS: 30,
			RTT: 38 * time.Millisecond, Delay: 60 * time.Millisecond, LossIn: 0.004, LossOut: 0.001, RateIn: 812_000, RateOut: 640_000, LevelIn: -22, LevelOut: -31}})
	}
	return a
}

// signedOut is a with an account whose password is not taken any more.
func signedOut(a state.App) state.App {
	p := state.Problem{Code: "logged-out", Who: own, Detail: "wrong password for anna@example.org"}
	return a.Apply(state.AccountChanged{Account: state.Account{JID: own, Link: state.LoggedOut, Problem: &p}}).Apply(state.WentWrong{Problem: p})
}

// notSeen is a with somebody who does not show when they are online.
func notSeen(a state.App) state.App {
	c, _ := a.Contact(key("chiara@example.net"))
	c.SeenByUs = false
	return a.Apply(state.ContactChanged{Contact: c})
}

// many is a roster of a few hundred people.
func many() state.App {
	a := people()
	var list []state.Contact
	for i := range 300 {
		list = append(list, state.Contact{Key: key(fmt.Sprintf("user%03d@example.org", i)), Name: fmt.Sprintf("User %03d", i), SeenByUs: true, SeesUs: true, Presence: state.Available})
	}
	return a.Apply(state.ContactsChanged{Contacts: list})
}
