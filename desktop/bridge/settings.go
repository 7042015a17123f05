package bridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"
	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/doctor"
	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/device"
)

const (
	maxSettings = 64 << 10
	devicesTime = 5 * time.Second
	checkTime   = 30 * time.Second // a sound check ends by itself
	levelStep   = 5                // frames of 20 ms between levels that are shown
)

func settingsPath(p config.Paths) string { return filepath.Join(p.Data, "desktop.toml") }

// loadSettings reads the settings; without a file they are those of a new user.
func loadSettings(p config.Paths) (state.Settings, error) {
	s := state.Settings{HideOnly: true, Strangers: true, Folder: downloads()}
	text, err := safefile.Read(settingsPath(p), maxSettings)
	if err != nil {
		return s, fmt.Errorf("read the settings: %w", err)
	}
	if err := toml.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read the settings in %s: %w", settingsPath(p), err)
	}
	return s, nil
}

// downloads is the folder for received files.
func downloads() string {
	for _, name := range []string{"Downloads", "."} {
		if info, err := os.Stat(filepath.Join(folder(), name)); err == nil && info.IsDir() {
			return filepath.Join(folder(), name, "Carillon")
		}
	}
	return folder()
}

// change takes new settings. Owner only.
func (b *Bridge) change(s state.Settings) {
	old := b.app.Settings
	if s == old {
		return
	}
	b.apply(state.SettingsChanged{Settings: s})
	b.chosen.Store(&s)
	b.wg.Go(func() { b.wrong(b.saveSettings(), "") })
	if b.cfg.Desktop.Restyle != nil && (s.Language != old.Language || s.Theme != old.Theme || s.Scale != old.Scale || s.Autostart != old.Autostart) {
		b.cfg.OnUI(func() { b.cfg.Desktop.Restyle(s) })
	}
	if s.Mic != old.Mic || s.Speaker != old.Speaker {
		for _, c := range b.calls {
			c.setDevices(b.mic(), b.speaker())
		}
	}
	b.renew()
	if s.Folder != old.Folder || s.Quota != old.Quota || s.RelayOnly != old.RelayOnly {
		for _, a := range b.accounts {
			a.receiveAnew()
		}
	}
}

// saveSettings keeps what was chosen last. Two choices may be on their way at
// once, and the first must not be written over the second.
func (b *Bridge) saveSettings() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	text, err := toml.Marshal(*b.chosen.Load())
	if err == nil {
		err = safefile.Write(settingsPath(b.cfg.Paths), text)
	}
	return err
}

// renew logs in anew where who may call is not as the user wants it, for that is
// told at login. It waits for calls and transfers to end. Owner only.
func (b *Bridge) renew() {
	if len(b.calls) > 0 {
		return
	}
	for _, a := range b.accounts {
		if a.strangers != b.app.Settings.Strangers && !b.moves(a.kept.JID) {
			b.start(a.kept)
		}
	}
}

// moves reports whether files of an account are on their way. Owner only.
func (b *Bridge) moves(account string) bool {
	for _, s := range b.sends {
		if s.key.Account == account && s.stop != nil {
			return true
		}
	}
	return slices.ContainsFunc(b.app.Transfers, func(t state.Transfer) bool { return t.Account == account && t.Phase == state.Moves })
}

func spec(override, id string) string {
	switch {
	case override != "":
		return override
	case id != "":
		return "device:" + id
	}
	return "device"
}

func (b *Bridge) mic() string     { return spec(b.cfg.Mic, b.app.Settings.Mic) }
func (b *Bridge) speaker() string { return spec(b.cfg.Speaker, b.app.Settings.Speaker) }

// findDevices looks for devices. Owner only.
func (b *Bridge) findDevices() {
	b.wg.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, devicesTime)
		defer cancel()
		var d state.Devices
		list, err := device.List(ctx, device.Options{Logger: b.log})
		if err != nil {
			b.log.Info("no sound devices", "err", err)
		}
		for _, x := range list {
			switch {
			case x.Monitor:
			case x.Kind == device.Capture:
				d.Mics = append(d.Mics, state.Device{ID: x.ID, Name: x.Name})
			default:
				d.Speakers = append(d.Speakers, state.Device{ID: x.ID, Name: x.Name})
			}
		}
		if list, err := capture.Cameras(ctx); err == nil {
			for _, x := range list {
				d.Cameras = append(d.Cameras, state.Device{ID: x.ID, Name: x.Name})
			}
		}
		d.Screens = findScreens(ctx)
		b.tell(state.DevicesFound{Devices: d})
	})
}

// checkSound plays a tone and shows how loud the microphone is. Owner only.
func (b *Bridge) checkSound(on bool) {
	if b.checking != nil {
		b.checking()
		b.checking = nil
	}
	if !on {
		b.apply(state.SoundChecked{MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, checkTime)
	b.checking = cancel
	mic, speaker := b.mic(), b.speaker()
	b.apply(state.SoundChecked{On: true, MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
	b.wg.Go(func() {
		defer cancel()
		err := b.soundCheck(ctx, mic, speaker)
		if ctx.Err() == nil {
			b.wrong(err, "")
		}
		b.await(func() {
			if ctx.Err() != context.Canceled || err != nil {
				b.apply(state.SoundChecked{MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
			}
		})
	})
}

func (b *Bridge) soundCheck(ctx context.Context, mic, speaker string) error {
	s, err := device.Open(ctx, device.Config{Microphone: mic, Speaker: speaker, NoProcessing: true, Options: device.Options{Logger: b.log}})
	if err != nil {
		return err
	}
	defer s.Close()
	// A bell now and then, so that silence of the speaker is noticed too.
	b.wg.Go(func() {
		tone := &audio.Tone{Hz: 660}
		silence := audio.Silence{}
		f := make(audio.Frame, audio.FrameSize)
		for i := 0; ctx.Err() == nil; i++ {
			if i%75 < 15 {
				tone.Fill(f)
			} else {
				silence.Fill(f)
			}
			if s.Sink().Write(f) != nil {
				return
			}
		}
	})
	loud := audio.MinLevel
	for i := 1; ; i++ {
		f, err := s.Source().Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		loud = max(loud, audio.Measure(f).RMS)
		if i%levelStep == 0 {
			level, ear := loud, audio.MinLevel
			if (i/levelStep)%15 < 3 {
				ear = -9
			}
			b.await(func() {
				if ctx.Err() == nil {
					b.apply(state.SoundChecked{On: true, MicLevel: level, SpeakerLevel: ear})
				}
			})
			loud = audio.MinLevel
		}
	}
}

// examine runs the doctor. Owner only.
func (b *Bridge) examine(k state.Key) {
	if b.examining != nil {
		b.examining()
	}
	var a *account
	for _, x := range b.accounts {
		if a == nil || x.kept.JID == k.Account {
			a = x
		}
	}
	if a == nil {
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	b.examining = cancel
	b.apply(state.DoctorBegan{})
	cfg := doctor.Config{
		Account: a.jid, Mic: b.mic(), Speaker: b.speaker(), Log: b.log,
		Describe: func(err error) (string, string) {
			t := trouble.Describe(err)
			return t.Message, t.Hint
		},
	}
	if k.JID != "" {
		cfg.Contact, _ = jid.Parse(k.JID) // the zero JID checks nobody
	}
	b.wg.Go(func() {
		defer cancel()
		var err error
		if cfg.Relays, _, err = b.relays(); err == nil {
			cfg.Signaling, err = b.signaling(a.kept, a.jid)
		}
		if err == nil {
			cfg.Signaling.NoCalls, cfg.Signaling.CatchUp, cfg.Signaling.Priority = true, -1, -1
			_, err = doctor.Run(ctx, cfg, func(c doctor.Check) {
				b.await(func() {
					if ctx.Err() == nil {
						b.apply(state.DoctorFound{Check: state.Check{
							Kind: c.Kind, Which: c.Which, Status: string(c.Status),
							Detail: state.Text{English: c.Detail, Format: c.Said.Format, Values: c.Said.Values},
							Means:  state.Text{English: c.Means, Format: c.Meant.Format, Values: c.Meant.Values},
						}})
					}
				})
			})
		}
		if ctx.Err() == nil {
			b.wrong(err, a.kept.JID)
			b.tell(state.DoctorDone{})
		}
	})
}
