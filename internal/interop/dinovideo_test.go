//go:build interop

package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/video"
)

// In these calls Dino's camera shows red, and ours two colours in turn, which
// are looked for on Dino's screen.

const (
	sightTimeout = 20 * time.Second
	colourShare  = 0.05 // of Dino's screen that must have our colour
	colourEvery  = 20   // pictures, at cameraFPS
	cameraFPS    = 10
)

// A colour is one that no window has by itself.
type colour struct {
	name   string
	y      byte
	cb, cr byte
}

var (
	magenta  = colour{"magenta", 105, 212, 234}
	green    = colour{"green", 145, 54, 34}
	dinosRed = colour{"red", 81, 90, 240}
)

// is reports whether a pixel is about that colour, as coding and scaling leave it.
func (c colour) is(cb, cr byte) bool {
	near := func(a, b byte) bool { return max(a, b)-min(a, b) < 40 }
	return near(cb, c.cb) && near(cr, c.cr)
}

func (c colour) share(m *image.YCbCr) float64 {
	n := 0
	for i := range m.Cb {
		if c.is(m.Cb[i], m.Cr[i]) {
			n++
		}
	}
	return float64(n) / float64(len(m.Cb))
}

var videoScenarios = []scenario{
	{"we call with video, both see and hear, we hang up", func(c *table) error {
		c.callWithVideo()
		c.dino.Wait("call-incoming", nil)
		c.dino.Accept()
		c.acceptedByDino = c.dino.Wait("pressed-accept-call", nil).At
		return inOrder(c.connected, c.bothSee, c.bothHear, c.weHangUp, c.over("ENDED", "answered", 0), c.sawRed)
	}},
	{"Dino calls with video, both see and hear, Dino hangs up", func(c *table) error {
		c.answerWithVideo()
		c.dino.CallVideo(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.ours.Key("a")
		return inOrder(c.connected, c.bothSee, c.bothHear, c.dinoHangsUp, c.over("ENDED", "answered", 0), c.sawRed)
	}},
	{"Dino calls without, adds video, we follow with ours, each turns it off", func(c *table) error {
		c.answerWithVideo()
		c.dino.Call(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.ours.Key("a")
		return inOrder(c.connected, c.dinoShows, c.weShow, c.dinoHides, c.weHide, c.bothHear,
			c.weHangUp, c.over("ENDED", "answered", 0), c.sawRed)
	}},
	{"Dino calls without, we add video and turn it off", func(c *table) error {
		c.answerWithVideo()
		c.dino.Call(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.ours.Key("a")
		return inOrder(c.connected, c.weShow, c.weHide, c.bothHear, c.weHangUp, c.over("ENDED", "answered", 0))
	}},
	{"Dino calls with video, we answer with sound only", func(c *table) error {
		c.answer()
		c.dino.CallVideo(c.server.JID("alice"))
		c.ours.Wait("incoming")
		c.ours.Key("a")
		return inOrder(c.connected, c.bothHear, c.weHangUp, c.over("ENDED", "answered", 0))
	}},
}

func TestInteropDinoVideo(t *testing.T) { runScenarios(t, videoScenarios, "red") }

func (c *table) videoFlags() []string {
	c.camera, c.seen = filepath.Join(c.t.TempDir(), "shown.y4m"), filepath.Join(c.t.TempDir(), "seen.y4m")
	writeColours(c.t, c.camera)
	return []string{"--mic", "device", "--speaker", "device", "--camera", "file:" + c.camera, "--screen", "file:" + c.seen, "--stats"}
}

func (c *table) callWithVideo() {
	c.start(append([]string{"call", c.server.JID("bob")}, c.videoFlags()...)...)
}

func (c *table) answerWithVideo() {
	c.start(append([]string{"answer", "--once"}, c.videoFlags()...)...)
	c.ours.Wait("online")
}

// writeColours makes a file that shows one colour and then the other for a minute.
func writeColours(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const w, h = 320, 240
	b := bufio.NewWriter(f)
	fmt.Fprintf(b, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420mpeg2\n", w, h, cameraFPS)
	fill := func(v byte, n int) {
		for range n {
			b.WriteByte(v)
		}
	}
	for n := range 60 * cameraFPS {
		c := magenta
		if n/colourEvery%2 == 1 {
			c = green
		}
		b.WriteString("FRAME\n")
		fill(c.y, w*h)
		fill(c.cb, w*h/4)
		fill(c.cr, w*h/4)
	}
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func (c *table) bothSee() error { return errors.Join(c.weSee(), c.dinoSees()) }

// weSee waits for pictures of Dino that move on.
func (c *table) weSee() error {
	first := uint64(0)
	for range 20 {
		e, err := c.ours.Await(sightTimeout, "video")
		if err != nil {
			return err
		}
		if first == 0 {
			first = max(e.Frames, 1)
		} else if e.Frames > first+5 {
			return nil
		}
	}
	return errors.New("Dino's picture does not move on")
}

// dinoSees looks at Dino's screen until both our colours were there.
func (c *table) dinoSees() error {
	c.t.Setenv("DISPLAY", c.dino.Display())
	ctx, cancel := context.WithTimeout(context.Background(), sightTimeout)
	defer cancel()
	screen, err := capture.OpenSource(ctx, "screen", capture.Options{})
	if err != nil {
		return err
	}
	defer screen.Close()
	saw := make(map[string]bool)
	most := make(map[string]float64)
	for {
		f, err := screen.Read(ctx)
		if err != nil {
			c.keepScreen()
			return fmt.Errorf("our picture is not on Dino's screen (saw %v of it at most): %w", most, err)
		}
		for _, k := range []colour{magenta, green} {
			s := k.share(f.Image)
			most[k.name] = max(most[k.name], s)
			saw[k.name] = saw[k.name] || s > colourShare
		}
		if saw[magenta.name] && saw[green.name] {
			return nil
		}
	}
}

// keepScreen keeps what Dino's screen shows, for people to look at in
// $CARILLON_PICTURES.
func (c *table) keepScreen() {
	dir := os.Getenv("CARILLON_PICTURES")
	if dir == "" {
		return
	}
	f, err := os.CreateTemp(dir, "dino-*.png")
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, c.dino.Picture()); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("what Dino's screen shows: %s", f.Name())
}

// shown waits until one side is said to show something, or to have stopped.
func (c *table) shown(on, remote bool) error {
	for {
		e, err := c.ours.Await(sightTimeout, "video-shown")
		if err != nil {
			return err
		}
		if r, _ := e.Remote.(bool); r == remote && e.On == on {
			return nil
		}
	}
}

func (c *table) dinoShows() error {
	c.dino.Video(true)
	return inOrder(func() error { return c.shown(true, true) }, c.weSee)
}

func (c *table) dinoHides() error {
	c.dino.Video(false)
	return c.shown(false, true)
}

func (c *table) weShow() error {
	c.ours.Key("v")
	return inOrder(func() error { return c.shown(true, false) }, c.dinoSees)
}

func (c *table) weHide() error {
	c.ours.Key("v")
	return c.shown(false, false)
}

// sawRed looks into the file that took Dino's picture.
func (c *table) sawRed() error {
	s, err := video.OpenSource("file:" + c.seen)
	if err != nil {
		return err
	}
	defer s.Close()
	var last video.Frame
	for range 20 {
		f, err := s.Read(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		last = f
	}
	if last.Image == nil {
		return errors.New("the file has no picture")
	}
	if s := dinosRed.share(last.Image); s < 0.9 {
		return fmt.Errorf("what we saw of Dino is red to %.0f %%", 100*s)
	}
	return nil
}
