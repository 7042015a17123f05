package bridge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/safefile"
)

// maxSettings bounds the file of settings.
const maxSettings = 64 << 10

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
		if info, err := os.Stat(filepath.Join(home(), name)); err == nil && info.IsDir() {
			return filepath.Join(home(), name, "Carillon")
		}
	}
	return home()
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

// home is that of the user, or a folder that is there.
func home() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return os.TempDir()
	}
	return home
}
