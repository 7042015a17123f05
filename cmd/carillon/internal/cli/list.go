package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/internal/docs"
	"github.com/carillon-im/carillon/internal/history"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/signaling"
)

func (devicesCmd) Run(ctx context.Context, a *app) error {
	sounds, err := device.List(ctx, device.Options{Logger: a.log})
	for _, d := range sounds {
		kind := map[device.Kind]string{device.Capture: "microphone", device.Playback: "speaker"}[d.Kind]
		if err := a.showDevice(shownDevice{d.ID, d.Name, string(d.Kind), d.Default, d.Monitor, d.Backend}, kind, "device:"+d.ID); err != nil {
			return err
		}
	}
	// Where there is no camera or no desktop there is nothing to list.
	cameras, trouble := capture.Cameras(ctx)
	if trouble != nil {
		a.log.Info("cameras are not listed", "err", trouble)
	}
	for i, c := range cameras {
		if err := a.showDevice(shownDevice{c.ID, c.Name, "camera", i == 0, false, "v4l2"}, "camera", "camera:"+c.ID); err != nil {
			return err
		}
	}
	screens, trouble := capture.Screens(ctx)
	if trouble != nil {
		a.log.Info("screens are not listed", "err", trouble)
	}
	for _, s := range screens {
		name, by := fmt.Sprintf("%dx%d", s.Bounds.Dx(), s.Bounds.Dy()), "x11"
		if s.Dialog {
			name, by = "what is chosen in a dialog of the desktop", "portal"
		}
		if err := a.showDevice(shownDevice{strconv.Itoa(s.Number), name, "screen", false, false, by}, "screen", fmt.Sprintf("screen:%d", s.Number)); err != nil {
			return err
		}
	}
	windows, trouble := capture.Windows(ctx)
	if trouble != nil {
		a.log.Info("windows are not listed", "err", trouble)
	}
	for _, w := range windows {
		if err := a.showDevice(shownDevice{w.ID, w.Title, "window", false, false, "x11"}, "window", "window:"+w.ID); err != nil {
			return err
		}
	}
	return err
}

// A shownDevice is how programs see a device.
type shownDevice struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Default bool   `json:"default"`
	Monitor bool   `json:"monitor"`
	Backend string `json:"backend"`
}

func (a *app) showDevice(d shownDevice, kind, spec string) error {
	if a.json != nil {
		return a.json.Object("device", d)
	}
	mark := " "
	if d.Default {
		mark = "*"
	}
	a.screen.Printf("%s %-10s  %s  (%s)", mark, kind, screen.Escape(d.Name), screen.Escape(spec))
	return nil
}

// catchUpWait is how long the archive of the server may take.
const catchUpWait = 15 * time.Second

func (c historyCmd) Run(ctx context.Context, a *app) error {
	account, err := a.historyOf()
	if err != nil {
		return err
	}
	if !c.Offline {
		if err := a.catchUp(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			a.screen.Warn("calls that were missed are not listed: %s", screen.Escape(err.Error()))
		}
	}
	calls, err := history.Open(a.historyDir(), account).Calls(c.Limit)
	if err != nil {
		return err
	}
	if len(calls) == 0 && a.json == nil {
		a.screen.Printf("no calls yet")
	}
	for _, r := range calls {
		if err := a.showRecord(r); err != nil {
			return err
		}
	}
	return nil
}

// historyOf returns the account whose calls are meant; its password is not needed.
func (a *app) historyOf() (string, error) {
	named := or(a.flags.Account, a.config.Account)
	if named != "" {
		j, err := parseJID(named)
		if err != nil {
			return "", err
		}
		named = j.Bare().String()
	}
	account, _, err := a.store.Find(named)
	return account.JID, err
}

// catchUp lets the client write what the archive has into the history.
func (a *app) catchUp(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	client, err := a.dial(ctx, func(cfg *signaling.Config) {
		quietly(cfg)
		cfg.CatchUp = 0 // as far back as usual
	})
	if err != nil {
		return err
	}
	defer closing(client, &err)
	select {
	case <-client.CaughtUp():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *app) showRecord(r signaling.CallRecord) error {
	if a.json != nil {
		return a.json.Object("call", struct {
			SID       string  `json:"sid"`
			Peer      string  `json:"peer"`
			Direction string  `json:"direction"`
			Outcome   string  `json:"outcome"`
			Start     string  `json:"start"`
			Seconds   float64 `json:"seconds"`
		}{r.SID, r.Peer.String(), string(r.Direction), string(r.Outcome), r.Start.Format(time.RFC3339), r.Duration.Seconds()})
	}
	a.screen.Printf("%s  %s  %s", r.Start.Local().Format("2006-01-02 15:04"), outcome(r), screen.Escape(r.Peer.Bare().String()))
	return nil
}

// outcome says in a column how a call went.
func outcome(r signaling.CallRecord) string {
	way := "from"
	if r.Direction == signaling.Out {
		way = "to  "
	}
	how := string(r.Outcome)
	if r.Outcome == signaling.Answered && r.Duration > 0 {
		how = screen.Clock(r.Duration)
	}
	return fmt.Sprintf("%-18s  %s", how, way)
}

func (c completionCmd) Run(_ context.Context, a *app) error {
	return docs.Completion(a.env.Stdout, a.kong.Model, c.Shell)
}

func (c manCmd) Run(_ context.Context, a *app) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("write man pages: %w", err)
	}
	for _, page := range docs.ManPages(a.kong.Model, version()) {
		if err := os.WriteFile(filepath.Join(c.Dir, page.Name), page.Text, 0o644); err != nil {
			return fmt.Errorf("write man pages: %w", err)
		}
	}
	return nil
}

func (versionCmd) Run(_ context.Context, a *app) error {
	if a.json != nil {
		return a.json.Object("version", struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			System  string `json:"system"`
			Sound   string `json:"sound"`
		}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, build})
	}
	a.screen.Printf("carillon %s (%s, %s/%s, %s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, build)
	return nil
}

// version is what the module was built as: a release, a commit, or "devel".
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := strings.TrimPrefix(info.Main.Version, "v"); v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
