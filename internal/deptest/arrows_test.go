package deptest_test

import (
	"path"
	"testing"

	"github.com/carillon-im/carillon/internal/deptest"
)

// The arrows of ARCHITECTURE.md.
func TestArrows(t *testing.T) {
	for _, b := range []struct {
		name  string
		build deptest.Build
	}{{"pure", deptest.Pure}, {"native", deptest.Native}} {
		t.Run(b.name, func(t *testing.T) { arrows(t, deptest.Load(t, b.build)) })
	}
}

func arrows(t *testing.T, g *deptest.Graph) {
	// A rule about a room that does not exist would always hold.
	for _, room := range []string{"./jingle", "./signaling", "./media"} {
		if len(g.Match(room)) == 0 {
			t.Errorf("no package %s: do the arrows still describe the module?", room)
		}
	}

	const (
		noMedia     = "the protocol library works without a media stack"
		fed         = "engines are fed by their caller; they neither wait nor look at the clock"
		joined      = "signaling drives any jingle.Application; main joins the two, as with http.Handle"
		applied     = "media and ft implement jingle.Application and work with any signaling"
		standsAlone = "the relay knows neither XMPP nor calls"
		top         = "libraries do not depend on programs"
		testOnly    = "test helpers stay out of what is shipped"
	)

	g.ForbidDeps(t, "./jingle/...", map[string]string{
		"github.com/pion/...": noMedia,
		"./media/...":         noMedia,
		"./signaling/...":     "jingle is useful with other XMPP libraries",
		"./ft/...":            "file transfer is one application among others",
		"./turn/...":          "the relay is not part of the protocol library",
	})
	for _, p := range g.Match("./jingle/...") {
		if path.Base(p.ImportPath) == "jingletest" {
			continue // drives engines, so it has the clock and the goroutines
		}
		g.ForbidImports(t, p.ImportPath, map[string]string{
			"net":             fed,
			"os":              fed,
			"mellium.im/xmpp": "of mellium only jid and stanza, which do no I/O",
		})
		g.ForbidUses(t, p.ImportPath, map[string]string{
			"time.Now": fed, "time.Since": fed, "time.Until": fed, "time.Sleep": fed, "time.After": fed,
			"time.AfterFunc": fed, "time.NewTimer": fed, "time.NewTicker": fed, "time.Tick": fed,
		})
	}
	g.ForbidDeps(t, "./signaling/...", map[string]string{
		"github.com/pion/...": joined,
		"./media/...":         joined,
		"./ft/...":            joined,
		"./turn/...":          joined,
	})
	for _, app := range []string{"./media/...", "./ft/..."} {
		g.ForbidDeps(t, app, map[string]string{
			"./signaling/...":     applied,
			"mellium.im/sasl/...": applied,
			"mellium.im/xmpp":     applied,
			"./turn/...":          standsAlone,
		})
	}
	g.ForbidDeps(t, "./media/...", map[string]string{"./ft/...": "calls and files are two applications"})
	g.ForbidDeps(t, "./ft/...", map[string]string{"./media/...": "calls and files are two applications"})
	carriers := []string{"./ft/tcp/...", "./ft/quic/...", "./ft/datachannel/...", "./ft/s5b/...", "./ft/ibb/..."}
	for _, c := range carriers {
		others := map[string]string{"./ft/race/...": "each carrier works alone"}
		for _, other := range carriers {
			if other != c {
				others[other] = "each carrier works alone; race joins two"
			}
		}
		g.ForbidDeps(t, c, others)
	}
	for _, relay := range []string{"./turn/...", "./cmd/carillon-turn/..."} {
		g.ForbidDeps(t, relay, map[string]string{
			"mellium.im/...":                standsAlone,
			"github.com/pion/webrtc/v4/...": standsAlone,
			"./jingle/...":                  standsAlone,
			"./signaling/...":               standsAlone,
			"./media/...":                   standsAlone,
			"./ft/...":                      standsAlone,
		})
	}
	g.ForbidDeps(t, "./desktop/state/...", map[string]string{
		"fyne.io/fyne/v2/...": "the state is values; widgets draw it",
		"./signaling/...":     "the bridge turns what happens into events",
		"./media/...":         "the bridge turns what happens into events",
		"./ft/...":            "the bridge turns what happens into events",
	})
	g.ForbidDeps(t, "./desktop/ui/...", map[string]string{
		"fyne.io/fyne/v2/app": "its tests run without display, GL and C",
		"./signaling/...":     "a view draws the state and knows nothing else",
		"./media/...":         "a view draws the state and knows nothing else",
		"./ft/...":            "a view draws the state and knows nothing else",
	})
	g.ForbidDeps(t, "./desktop/access/...", map[string]string{
		"fyne.io/fyne/v2/...": "screen readers are told values; who draws the window makes them",
		"./desktop/ui/...":    "screen readers are told values; who draws the window makes them",
		"./desktop/state/...": "it says what is in a window, whatever that is about",
		"./signaling/...":     "it says what is in a window, whatever that is about",
		"./media/...":         "it says what is in a window, whatever that is about",
		"./ft/...":            "it says what is in a window, whatever that is about",
	})
	for _, lib := range []string{"./jingle/...", "./signaling/...", "./media/...", "./ft/...", "./turn/..."} {
		g.ForbidDeps(t, lib, map[string]string{"./cmd/...": top, "./desktop/...": top, "./examples/...": top})
	}
	for _, room := range []string{"./jingle/...", "./signaling/...", "./media/...", "./ft/...", "./turn/...", "./cmd/..."} {
		g.ForbidDeps(t, room, map[string]string{"./internal/lab/...": testOnly, "./internal/deptest/...": testOnly})
	}

	g.AllowCgo(t, "C lives in the rooms that touch devices and codecs, behind the tag native, and nowhere else",
		"./media/device/...", "./media/audio/...", "./media/video/...", "./desktop/...", "./cmd/carillon-desktop/...")
}

// Without tags the programs must build with a Go toolchain alone.
func TestProgramsArePureGoWithoutTags(t *testing.T) {
	g := deptest.Load(t, deptest.Build{Cgo: true})
	g.AllowCgo(t, "without -tags native no package contains C", "./desktop/...", "./cmd/carillon-desktop/...")
}
