package accounts

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/google/go-cmp/cmp"
	"github.com/zalando/go-keyring"
)

// ring is a keyring in memory; broken makes it refuse.
type ring struct {
	secrets map[string]string
	broken  error
}

func (r *ring) Set(service, user, password string) error {
	if r.broken == nil {
		r.secrets[service+"/"+user] = password
	}
	return r.broken
}

func (r *ring) Get(service, user string) (string, error) {
	p, ok := r.secrets[service+"/"+user]
	if !ok && r.broken == nil {
		return "", keyring.ErrNotFound
	}
	return p, r.broken
}

func (r *ring) Delete(service, user string) error {
	if _, ok := r.secrets[service+"/"+user]; !ok && r.broken == nil {
		return keyring.ErrNotFound
	}
	delete(r.secrets, service+"/"+user)
	return r.broken
}

var alice = Account{JID: "alice@example.org", Server: "h:5222", Mechanism: "SCRAM-SHA-1"}

func TestPasswordGoesToTheKeyring(t *testing.T) {
	r := &ring{secrets: map[string]string{}}
	s := Open(t.TempDir(), r)
	kept, err := s.Save(alice, "secret")
	if err != nil || kept.Password != InKeyring {
		t.Fatalf("Save = %+v, %v, want the keyring", kept, err)
	}
	if _, err := os.Stat(s.PasswordsPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file of passwords, too: %v", err)
	}
	if p, err := s.Password(kept); err != nil || p != "secret" {
		t.Errorf("Password = %q, %v", string(p), err)
	}
	if known, err := s.Remove(alice.JID); !known || err != nil || len(r.secrets) != 0 {
		t.Errorf("Remove = %v, %v; the keyring still has %d", known, err, len(r.secrets))
	}
	if _, err := s.Password(kept); !errors.Is(err, ErrNoPassword) {
		t.Errorf("Password after Remove: error = %v, want ErrNoPassword", err)
	}
}

func TestPasswordGoesToAFileWithoutKeyring(t *testing.T) {
	for name, r := range map[string]Keyring{"none": nil, "one that refuses": &ring{broken: errors.New("locked")}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := Open(dir, r)
			kept, err := s.Save(alice, `sec"ret`)
			if err != nil || kept.Password != InFile {
				t.Fatalf("Save = %+v, %v, want the file", kept, err)
			}
			if p, err := Open(dir, r).Password(kept); err != nil || p != `sec"ret` {
				t.Errorf("Password = %q, %v", string(p), err)
			}
			info, err := os.Stat(s.PasswordsPath())
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != 0o600 {
				t.Errorf("mode = %o, want 600", got)
			}
			if known, err := s.Remove(alice.JID); !known || err != nil {
				t.Errorf("Remove = %v, %v", known, err)
			}
			if _, err := os.Stat(s.PasswordsPath()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the password is still there: %v", err)
			}
		})
	}
}

func TestKeyringTakesThePasswordOutOfTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, nil).Save(alice, "old"); err != nil {
		t.Fatal(err)
	}
	s := Open(dir, &ring{secrets: map[string]string{}})
	if _, err := s.Save(alice, "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.PasswordsPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old password is still in the file: %v", err)
	}
}

func TestExposedFileIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files of a user are private by their folder")
	}
	s := Open(t.TempDir(), nil)
	kept, err := s.Save(alice, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.PasswordsPath(), 0o640); err != nil {
		t.Fatal(err)
	}
	var exposed *safefile.ExposedError
	if _, err := s.Password(kept); !errors.As(err, &exposed) {
		t.Errorf("Password: error = %v, want an *ExposedError", err)
	}
	if _, err := s.Save(alice, "another"); !errors.As(err, &exposed) {
		t.Errorf("Save: error = %v, want an *ExposedError", err)
	}
}

func TestFind(t *testing.T) {
	s := Open(t.TempDir(), nil)
	if _, _, err := s.Find(""); !errors.Is(err, ErrNone) {
		t.Errorf("without accounts: error = %v, want ErrNone", err)
	}
	save := func(jid string) {
		t.Helper()
		if _, err := s.Save(Account{JID: jid}, "p"); err != nil {
			t.Fatal(err)
		}
	}
	save("alice@example.org")
	if a, known, err := s.Find(""); err != nil || !known || a.JID != "alice@example.org" {
		t.Errorf("the only account: got %+v, %v, %v", a, known, err)
	}
	save("bob@example.org")
	save("alice@example.org") // again: still one
	var several *SeveralError
	if _, _, err := s.Find(""); !errors.As(err, &several) || !cmp.Equal(several.JIDs, []string{"alice@example.org", "bob@example.org"}) {
		t.Errorf("two accounts: error = %v, want both named", err)
	}
	if a, known, err := s.Find("bob@example.org"); err != nil || !known || a.JID != "bob@example.org" {
		t.Errorf("by name: got %+v, %v, %v", a, known, err)
	}
	if a, known, err := s.Find("carol@example.org"); err != nil || known || a.JID != "carol@example.org" {
		t.Errorf("unknown: got %+v, %v, %v", a, known, err)
	}
}

func TestPins(t *testing.T) {
	s := Open(t.TempDir(), nil)
	if _, err := s.Save(alice, "p"); err != nil {
		t.Fatal(err)
	}
	p := s.Pins(false)
	if m, err := p.Load(alice.JID); err != nil || m != "SCRAM-SHA-1" {
		t.Errorf("Load = %q, %v, want what was saved", m, err)
	}
	if err := p.Store(alice.JID, "SCRAM-SHA-256"); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Pins(false).Load(alice.JID); err != nil || m != "SCRAM-SHA-256" {
		t.Errorf("Load = %q, %v, want what was stored", m, err)
	}
	if m, err := s.Pins(true).Load(alice.JID); err != nil || m != "" {
		t.Errorf("Load of fresh pins = %q, %v, want nothing", m, err)
	}
	// An account that is not kept is pinned in memory and leaves no trace.
	if err := p.Store("x@example.org", "SCRAM-SHA-256"); err != nil {
		t.Fatal(err)
	}
	if m, _ := p.Load("x@example.org"); m != "SCRAM-SHA-256" {
		t.Errorf("Load of an account not kept = %q", m)
	}
	if list, _ := s.List(); len(list) != 1 {
		t.Errorf("accounts = %v, want one", list)
	}
}

func TestReadPasswordFile(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"secret\nmore\n", "secret"}, {"secret", "secret"}, {"secret\r\n", "secret"}, {" sp ace \n", " sp ace "}, {"\nsecret", ""}, {"", ""},
	} {
		path := filepath.Join(t.TempDir(), "pw")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPasswordFile(path)
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("ReadPasswordFile(%q) = %q, %v, want %q", tt.text, string(got), err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestSystemKeyringNeedsASessionBus(t *testing.T) {
	none := func(string) string { return "" }
	if got := System(none); runtime.GOOS == "linux" && got != nil {
		t.Errorf("System without session bus = %v, want none", got)
	}
}

// A stuck keyring answers when it is let go.
type stuck struct {
	Keyring
	free chan struct{}
}

func (s stuck) Set(string, string, string) error { <-s.free; return nil }

func TestKeyringThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		s := Open(t.TempDir(), patient{stuck{free: free}})
		a, err := s.Save(Account{JID: "alice@example.org"}, "secret")
		if err != nil || a.Password != InFile {
			t.Errorf("kept in %q, %v, want the file", a.Password, err)
		}
		close(free)
	})
}
