//go:build integration && linux

package capture

import (
	"image"
	"testing"

	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/xproto"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/media/video"
)

// shadeOf is how light a picture is in its middle.
func shadeOf(m *image.YCbCr) byte { return m.Y[m.YOffset(m.Rect.Dx()/2, m.Rect.Dy()/2)] }

// A gallery shows screens and windows as they are now, also what is covered,
// small and in their shape, and ends with nothing left.
func TestIntegrationGallery(t *testing.T) {
	p := newPainter(t, "1200x600x24")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dark := p.window("dark", image.Rect(100, 100, 500, 300), 0x000000)
	light := p.window("light", image.Rect(50, 50, 650, 550), 0xffffff) // over it
	ids := make(map[string]string)
	list, err := Windows(t.Context())
	p.check("list windows", err)
	for _, w := range list {
		ids[w.Title] = "window:" + w.ID
	}
	a, err := OpenGallery(nil)
	p.check("open", err)
	defer a.Close()
	look := func(spec string) *image.YCbCr {
		t.Helper()
		m, err := a.Picture(spec, 160, 90)
		if err != nil {
			t.Fatal(err)
		}
		if m.Rect.Dx() > 160 || m.Rect.Dy() > 90 || (video.Frame{Image: m}).Check() != nil {
			t.Errorf("%s is %v", spec, m.Rect)
		}
		return video.Copy(nil, m)
	}
	for range 2 {
		if m := look(ids["light"]); shadeOf(m) < 230 || m.Rect.Size() != image.Pt(108, 90) {
			t.Errorf("the light window is %d, %v", shadeOf(m), m.Rect)
		}
		if m := look("screen:1"); shadeOf(m) < 230 || m.Rect.Size() != image.Pt(160, 80) {
			t.Errorf("the screen is %d, %v", shadeOf(m), m.Rect)
		}
	}
	// It was covered before anybody looked, so it has to draw itself again.
	p.check("draw", xproto.ClearAreaChecked(p.conn, false, dark, 0, 0, 0, 0).Check())
	if m := look(ids["dark"]); shadeOf(m) > 30 || m.Rect.Size() != image.Pt(160, 80) {
		t.Errorf("the dark window is %d, %v", shadeOf(m), m.Rect)
	}
	p.check("close", xproto.DestroyWindowChecked(p.conn, light).Check())
	for _, spec := range []string{ids["light"], "window:0x1", "window:no", "screen:7", "screen:0", "screen", "camera"} {
		if m, err := a.Picture(spec, 160, 90); err == nil {
			t.Errorf("a picture of %s: %v", spec, m.Rect)
		}
	}
	look(ids["dark"]) // the others do not mind
	p.check("close", a.Close())
	if _, err := a.Picture("screen:1", 160, 90); err == nil {
		t.Error("a picture after Close")
	}
}

// Of several monitors the one that the person called the main one is known.
func TestIntegrationPrimaryScreen(t *testing.T) {
	p := newPainter(t, "1200x600x24")
	if list, err := Screens(t.Context()); err != nil || len(list) != 1 || list[0].Primary {
		t.Errorf("one monitor: %+v, %v", list, err)
	}
	p.check("randr", randr.Init(p.conn))
	_, err := randr.QueryVersion(p.conn, 1, 5).Reply()
	p.check("version", err)
	r, err := randr.GetScreenResources(p.conn, p.root).Reply()
	p.check("outputs", err)
	for i, name := range []string{"left", "right"} {
		atom, err := xproto.InternAtom(p.conn, false, uint16(len(name)), name).Reply()
		p.check("atom", err)
		m := randr.MonitorInfo{Name: atom.Atom, Primary: name == "right", X: int16(500 * i), Width: 500, Height: 600, WidthInMillimeters: 100, HeightInMillimeters: 100}
		if i == 0 { // it replaces that of the output
			m.Outputs, m.NOutput = r.Outputs[:1], 1
		}
		p.check("monitor", randr.SetMonitorChecked(p.conn, p.root, m).Check())
	}
	list, err := Screens(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("two monitors: %+v, %v", list, err)
	}
	for _, s := range list {
		if s.Primary != (s.Bounds.Min.X == 500) {
			t.Errorf("%+v", s)
		}
	}
}
