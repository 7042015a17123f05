package bridge

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
)

// Another language is followed at once, and kept.
func TestLanguageIsFollowedAndKept(t *testing.T) {
	u := newUser(t, server(t), "anna")
	followed := make(chan string, 4)
	u.owner(func() { u.cfg.Desktop.Restyle = func(s state.Settings) { followed <- s.Language } })
	s := u.State().Settings
	s.Language = "de"
	u.Do(state.Change{Settings: s})
	select {
	case got := <-followed:
		if got != "de" {
			t.Errorf("followed %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is told of another language")
	}
	paths := u.cfg.Paths
	u.Close()
	if kept, err := loadSettings(paths); err != nil || kept.Language != "de" {
		t.Errorf("kept %q, %v", kept.Language, err)
	}
}
