package ui

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/state"
)

// leastWindow is the least window that everything must fit in.
var leastWindow = fyne.NewSize(600, 400)

// smallWindows are that and others with little room: a screen of 1280x800 where
// everything is drawn twice as large, and those that have just enough for more.
var smallWindows = []fyne.Size{leastWindow, fyne.NewSize(640, 364), fyne.NewSize(765, 500), fyne.NewSize(819, 600)}

// speak has what is made from now on speak a language.
func speak(t *testing.T, lang string) {
	t.Helper()
	set := func(posix, lang string) {
		os.Setenv("LANG", posix)
		os.Setenv("LANGUAGE", lang)
		if err := LoadTranslations(); err != nil {
			t.Fatal(err)
		}
	}
	set(map[string]string{"en": "en_US.UTF-8", "de": "de_DE.UTF-8", "es": "es_ES.UTF-8"}[lang], lang)
	t.Cleanup(func() { set("en_US.UTF-8", "en") })
}

// A place is where something is seen in the window.
type place struct {
	what fyne.CanvasObject
	in   []fyne.CanvasObject // what holds it
	at   fyne.Position
	size fyne.Size
}

func (p place) String() string {
	name := fmt.Sprintf("%T", p.what)
	switch o := p.what.(type) {
	case *canvas.Text:
		name = fmt.Sprintf("%q", o.Text)
	case *button:
		name = fmt.Sprintf("button %q", o.Text)
	case *round:
		name = fmt.Sprintf("round %q", o.tip)
	case *prose:
		name = fmt.Sprintf("prose %q", o.said.Text)
	case *widget.Label:
		name = fmt.Sprintf("label %q", o.Text)
	case *line:
		name = fmt.Sprintf("line %q", o.full)
	}
	return fmt.Sprintf("%s at %.0f,%.0f size %.0fx%.0f", name, p.at.X, p.at.Y, p.size.Width, p.size.Height)
}

// holds returns the nearest of what holds it that is of a kind.
func holds[T fyne.CanvasObject](p place) (T, bool) {
	for i := len(p.in) - 1; i >= 0; i-- {
		if x, ok := p.in[i].(T); ok {
			return x, true
		}
	}
	var none T
	return none, false
}

// unfit complains about what is cut off, out of sight or covered.
func (d *desk) unfit(t *testing.T) {
	t.Helper()
	room := d.window.Canvas().Size()
	own := make(map[string]bool) // our own words, which must be read to the end
	for _, said := range translated(t, os.Getenv("LANGUAGE")) {
		if s, ok := said.(string); ok {
			own[oneLine(s)] = true
		}
	}
	roots := append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...)
	root := roots[len(roots)-1] // what is below a sheet cannot be used anyhow
	driver := fyne.CurrentApp().Driver()
	var solid []place // what must not be covered
	seen(root, nil, func(o fyne.CanvasObject, in []fyne.CanvasObject) {
		p := place{o, in, driver.AbsolutePositionForObject(o), o.Size()}
		_, item := holds[*contactRow](p) // its page says it all
		if slices.Contains(in, fyne.CanvasObject(d.tips.box)) {
			return
		}
		if _, field := holds[*entry](p); field {
			return // it scrolls what is written in it
		}
		switch o := o.(type) {
		case *container.Scroll:
			if w := o.Content.MinSize().Width; w > o.Size().Width+0.5 {
				t.Errorf("what scrolls is %v wide, of which %v are seen", w, o.Size().Width)
			}
			return
		case *canvas.Text:
			// It may be longer than its object, where that is at the end of a line.
			p.size = o.MinSize()
			switch o.Alignment {
			case fyne.TextAlignCenter:
				p.at.X += (o.Size().Width - p.size.Width) / 2
			case fyne.TextAlignTrailing:
				p.at.X += o.Size().Width - p.size.Width
			}
			if strings.TrimSpace(o.Text) == "" {
				return
			}
		case *line:
			got := o.draw.Text
			for _, more := range o.more {
				got += " " + more.Text
			}
			if got != o.full && own[o.full] && !item {
				t.Errorf("%v ends as %q", p, got)
			}
			return
		case *button, *round, *check, *choice, *entry, *prose, *widget.Label:
			if m := o.MinSize(); m.Width > o.Size().Width+0.5 || m.Height > o.Size().Height+0.5 {
				t.Errorf("%v needs %v", p, m)
			}
		default:
			return
		}
		// All of it is in the window, or can be scrolled there.
		left, right, top, bottom := p.at.X, p.at.X+p.size.Width, p.at.Y, p.at.Y+p.size.Height
		if left < -0.5 || right > room.Width+0.5 {
			t.Errorf("%v is not in the window", p)
		}
		from, to := float32(0), room.Height // what is seen of it
		scrolls := false
		for _, x := range in {
			box, ok := x.(*container.Scroll)
			if !ok {
				continue
			}
			scrolls = true
			at, size := driver.AbsolutePositionForObject(box), box.Size()
			if left < at.X-0.5 || right > at.X+size.Width+0.5 {
				t.Errorf("%v is cut off at the side", p)
			}
			from, to = max(from, at.Y), min(to, at.Y+size.Height)
			if to-from < 30 {
				t.Errorf("%v is scrolled in %v", p, size)
			}
		}
		if !scrolls && (top < -0.5 || bottom > room.Height+0.5) {
			t.Errorf("%v is not in the window", p)
		}
		if scrolls {
			if bottom <= from || top >= to {
				return
			}
			p.at.Y = max(top, from)
			p.size.Height = min(bottom, to) - p.at.Y
		}
		for _, x := range in { // is part of something that counts as a whole
			switch x.(type) {
			case *button, *round, *check, *choice, *entry, *prose, *widget.Label, *avatar:
				return
			}
		}
		solid = append(solid, p)
	})
	for i, a := range solid {
		for _, b := range solid[:i] {
			w := min(a.at.X+a.size.Width, b.at.X+b.size.Width) - max(a.at.X, b.at.X)
			h := min(a.at.Y+a.size.Height, b.at.Y+b.size.Height) - max(a.at.Y, b.at.Y)
			if w > 1 && h > 1 && !d.notice(a) && !d.notice(b) {
				t.Errorf("%v and %v overlap by %vx%v", a, b, w, h)
			}
		}
	}
}

// fill gives the window a size and lays everything out.
func (d *desk) fill(size fyne.Size) {
	d.window.Resize(size)
	for range 3 { // what wraps knows its height once it knows its width
		d.settled()
	}
}

// notice reports whether something is part of a notice, which may lie over a
// page for a while.
func (d *desk) notice(p place) bool {
	return slices.Contains(p.in, fyne.CanvasObject(d.notices.root))
}

// allSmall are the scenes that a small window must have room for.
func allSmall() []scene {
	all := scenes()
	for _, s := range screens() {
		all = append(all, scene{s.name + " (screen)", s.state(), s.then})
	}
	// Names of any length, and what lies over something else for a while.
	fatima := key("fatima@example.org")
	long := people().Apply(state.Select{Key: fatima})
	changed := func(a state.App) state.App {
		a = calling(a, state.Call{ID: "1", Key: fatima, Phase: state.Running, Since: now.Add(-83 * time.Second), Verification: "4711 0815 2342", Trust: state.TrustChanged})
		return a.Apply(state.CallPictured{ID: "1", Picture: state.Camera})
	}
	film := func(d *desk) { d.ShowPicture("1", filmed()); d.ShowOwnPicture("1", filmed()) }
	shown := state.CallShown{ID: "1", On: true}
	other := func(a state.App) state.App {
		return calling(a, state.Call{ID: "2", Key: fatima, Incoming: true, Phase: state.Rings})
	}
	wrong := state.WentWrong{Problem: state.Problem{Code: "call-failed", Who: "Fatima Zahra", Detail: "read udp4 192.0.2.1:3478->198.51.100.7:41234: i/o timeout after 30 s"}}
	all = append(all, []scene{
		{"long name", long, nil},
		{"long name, more", long, func(d *desk) { d.person.more() }},
		{"long name, remove", long, func(d *desk) { d.person.remove(d.person.shown) }},
		{"changed key", changed(long), nil},
		{"changed key and details", changed(long), func(d *desk) { d.stage.switchDetails() }},
		{"changed key and picture", changed(long).Apply(shown), film},
		{"changed key, picture and details", changed(long).Apply(shown), func(d *desk) { film(d); d.stage.switchDetails() }},
		{"changed key, picture and keys", changed(long).Apply(shown), func(d *desk) { film(d); d.stage.pad.Show() }},
		{"waiting and details", other(running(long)), func(d *desk) { d.stage.switchDetails() }},
		{"waiting and a picture", other(running(long)).Apply(shown), film},
		{"shortcuts while it rings", other(people()), func(d *desk) { d.options.showKeys() }},
		{"notice", files(people()).Apply(state.Select{Key: fatima}).Apply(wrong), nil},
		{"notice over a call", running(people()).Apply(wrong), nil},
	}...)
	return all
}

// Whatever the window shows fits in a small one: nothing is cut off, covered or
// out of reach, in any language.
func TestEverythingFitsInASmallWindow(t *testing.T) {
	all := allSmall()
	for _, lang := range []string{"en", "de", "es"} {
		t.Run(lang, func(t *testing.T) {
			speak(t, lang)
			for _, s := range all {
				t.Run(s.name, func(t *testing.T) {
					d := newDesk(t, "light", s.app)
					if s.then != nil {
						s.then(d)
					}
					d.Draw(d.app)
					d.fill(leastWindow)
					m := d.Root.MinSize()
					for _, o := range d.window.Canvas().Overlays().List() {
						m = m.Max(o.MinSize())
					}
					if m.Width > leastWindow.Width || m.Height > leastWindow.Height {
						t.Errorf("it needs %v", m)
					}
					d.unfit(t)
					if lang != "de" {
						return // German is the longest
					}
					d.walk(t)
					for _, size := range smallWindows[1:] {
						d.window.Canvas().Unfocus()
						d.fill(size)
						t.Log("in a window of", size)
						d.unfit(t)
					}
				})
			}
		})
	}
}

// What a small window looks like.
func TestSmallScreens(t *testing.T) {
	for _, tt := range []struct{ lang, name, screen string }{
		{"en", "sign-in", "sign-in"},
		{"de", "person", "person"},
		{"de", "settings", "settings"},
		{"en", "call", "call"},
		{"en", "call-video", "call-video"},
		{"de", "incoming", "incoming-stranger"},
		{"de", "call-history", "call-history"},
		{"de", "doctor", "doctor"},
		{"es", "transfers", "transfers"},
		{"es", "call-waiting", "call-waiting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			speak(t, tt.lang)
			for _, s := range screens() {
				if s.name != tt.screen {
					continue
				}
				d := newDesk(t, "light", s.state())
				d.window.Resize(leastWindow)
				if s.then != nil {
					s.then(d)
				}
				d.settled()
				golden(t, d, "small-"+tt.name)
				return
			}
			t.Fatal("there is no such screen")
		})
	}
}

// What is written over a picture is read whatever that shows.
func TestTextOverABrightPicture(t *testing.T) {
	for _, size := range []fyne.Size{leastWindow, fyne.NewSize(1000, 660)} {
		d := newDesk(t, "light", running(people()).Apply(state.CallShown{ID: "1", On: true}).Apply(state.CallMuted{ID: "1", On: true, Remote: true}))
		d.window.Resize(size)
		white := image.NewRGBA(image.Rect(0, 0, 640, 360))
		draw.Draw(white, white.Bounds(), image.White, image.Point{}, draw.Src)
		d.ShowPicture("1", white)
		d.settled()
		shot := d.window.Canvas().Capture()
		for _, l := range []*line{d.stage.topName, d.stage.topStatus, d.stage.remarks} {
			at := fyne.CurrentApp().Driver().AbsolutePositionForObject(l.draw)
			size := l.draw.MinSize()
			if l.draw.Alignment == fyne.TextAlignCenter {
				at.X += (l.draw.Size().Width - size.Width) / 2
			}
			// The brightest that is beside the text, from its top to its bottom.
			ground := 0.0
			for y := at.Y; y < at.Y+size.Height; y++ {
				ground = max(ground, luminance(shot.At(int(at.X)-3, int(y))))
			}
			if c := (luminance(l.draw.Color) + 0.05) / (ground + 0.05); c < 4.5 {
				t.Errorf("at %v %q is read with a contrast of %.1f", d.window.Canvas().Size(), l.full, c)
			}
		}
	}
}

// luminance is that of WCAG 2.
func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	linear := func(v uint32) float64 {
		x := float64(v) / 0xffff
		if x <= 0.03928 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
