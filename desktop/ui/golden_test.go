package ui

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/carillon-im/carillon/desktop/state"
)

var update = flag.Bool("update", false, "record the golden images anew")

// now is when everything in the tests happens.
var now = time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)

func TestMain(m *testing.M) {
	os.Setenv("LANG", "en_US.UTF-8")
	os.Setenv("LANGUAGE", "en")
	os.Unsetenv("LC_ALL")
	time.Local = time.UTC
	if err := LoadTranslations(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A desk is a View in a window without a display, and what the user wanted.
type desk struct {
	*View
	window fyne.Window
	wanted []state.Command
}

func newDesk(t testing.TB, variant string, a state.App) *desk {
	t.Helper()
	app := test.NewTempApp(t)
	app.Settings().SetTheme(NewTheme(variant))
	d := &desk{}
	d.View = New(func(c state.Command) { d.wanted = append(d.wanted, c) }, func() time.Time { return now })
	d.window = test.NewTempWindow(t, d.Root)
	d.window.SetPadded(false)
	d.Bind(d.window.Canvas())
	d.window.Resize(fyne.NewSize(1000, 660))
	d.Draw(a)
	return d
}

// golden compares what the window shows with a picture in testdata. A few
// pixels may differ a little: rounding is not the same on all machines.
func golden(t *testing.T, d *desk, name string) {
	t.Helper()
	for range 2 { // paragraphs know their height once they know their width
		for _, o := range append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...) {
			settle(o)
		}
	}
	got := d.window.Canvas().Capture()
	path := filepath.Join("testdata", name+".png")
	if *update {
		save(t, path, got)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v (go test -update records it)", err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if n := differ(got, want); n > 200 {
		failed := filepath.Join(os.TempDir(), "carillon-"+filepath.Base(path))
		save(t, failed, got)
		t.Errorf("%d pixels of %s differ; %s is what is drawn now", n, path, failed)
	}
}

// settle lays everything out, as the window does before it draws.
func settle(o fyne.CanvasObject) {
	switch o := o.(type) {
	case *fyne.Container:
		if o.Layout != nil {
			o.Layout.Layout(o.Objects, o.Size())
		}
		for _, x := range o.Objects {
			settle(x)
		}
	case fyne.Widget:
		r := test.WidgetRenderer(o)
		r.Layout(o.Size())
		for _, x := range r.Objects() {
			settle(x)
		}
	}
}

func differ(a, b image.Image) (n int) {
	if a.Bounds() != b.Bounds() {
		return a.Bounds().Dx() * a.Bounds().Dy()
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			const tolerance = 24 << 8
			if far(r1, r2, tolerance) || far(g1, g2, tolerance) || far(b1, b2, tolerance) {
				n++
			}
		}
	}
	return n
}

func far(a, b, tolerance uint32) bool { return max(a, b)-min(a, b) > tolerance }

func save(t *testing.T, path string, i image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Few colours: a palette would be smaller still, and less true.
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, i); err != nil {
		t.Fatal(err)
	}
}

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

// Each screen, in light and in dark.
func TestScreens(t *testing.T) {
	for _, tt := range screens() {
		for _, variant := range []string{"light", "dark"} {
			t.Run(tt.name+"-"+variant, func(t *testing.T) {
				d := newDesk(t, variant, tt.state())
				if tt.then != nil {
					tt.then(d)
				}
				golden(t, d, tt.name+"-"+variant)
			})
		}
	}
}

// notSeen is a with somebody who does not show when they are online.
func notSeen(a state.App) state.App {
	c, _ := a.Contact(key("chiara@example.net"))
	c.SeenByUs = false
	return a.Apply(state.ContactChanged{Contact: c})
}
