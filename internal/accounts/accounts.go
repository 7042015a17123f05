// Package accounts remembers the XMPP accounts of this person, and keeps their
// passwords in the keyring of the system, or in a file that only the owner may
// read where there is none.
//
//	login  ->  Store.Save(account), Store.SavePassword   -> keyring | passwords.toml
//	call   ->  Store.Find(jid),     Store.Password
//	logout ->  Store.Remove
//
// Besides it pins, for each account, the strongest way to log in that its
// server was seen to support ([Store.Pins]).
package accounts

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/signaling"
	"github.com/pelletier/go-toml/v2"
)

// An Account is one that was logged in to and kept.
type Account struct {
	JID       string `toml:"jid"`                 // bare
	Server    string `toml:"server,omitempty"`    // as given with --server
	CAFile    string `toml:"ca-file,omitempty"`   // as given with --ca-file
	Mechanism string `toml:"mechanism,omitempty"` // the strongest seen; nothing weaker is used
	// AllowPlain lets the server see the password, where it offers no better way.
	AllowPlain bool   `toml:"allow-plain,omitempty"`
	Password   string `toml:"password"` // where it is: "keyring" or "file"
}

// Where a password is kept.
const (
	InKeyring = "keyring"
	InFile    = "file"
)

// maxFile bounds the files of this package.
const maxFile = 1 << 20

var (
	// ErrNone is returned by Find when no account is known and none was named.
	ErrNone = errors.New("no account is logged in")
	// ErrNoPassword is returned for an account whose password is not kept.
	ErrNoPassword = errors.New("no password is kept")
)

// A SeveralError reports that one of several accounts has to be named.
type SeveralError struct{ JIDs []string }

func (e *SeveralError) Error() string {
	return "several accounts are logged in: " + strings.Join(e.JIDs, ", ")
}

// Hint is what to do about it.
func (e *SeveralError) Hint() string {
	return "choose one with --account, or write account = \"" + e.JIDs[0] + "\" in the config file"
}

// A Store keeps accounts in a folder.
type Store struct {
	dir  string
	ring Keyring

	mu sync.Mutex // held from reading a file to replacing it
}

// Open returns the store in the given folder, which need not exist.
func Open(dir string, ring Keyring) *Store { return &Store{dir: dir, ring: ring} }

type accountsFile struct {
	Accounts []Account `toml:"account"`
}

func (s *Store) accountsPath() string { return filepath.Join(s.dir, "accounts.toml") }

// PasswordsPath is the file that keeps passwords where there is no keyring.
func (s *Store) PasswordsPath() string { return filepath.Join(s.dir, "passwords.toml") }

func (s *Store) read() (f accountsFile, err error) {
	return f, readTOML(s.accountsPath(), &f)
}

func readTOML(path string, v any) error {
	text, err := safefile.Read(path, maxFile)
	if err == nil {
		err = toml.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeTOML(path string, v any) error {
	text, err := toml.Marshal(v)
	if err == nil {
		err = safefile.Write(path, text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// List returns the accounts in the order they were added.
func (s *Store) List() ([]Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	return f.Accounts, err
}

// Find returns the account with the given bare JID, or with "" the only one.
// An account that is not kept is returned with its JID alone: known is false.
func (s *Store) Find(jid string) (a Account, known bool, err error) {
	list, err := s.List()
	if err != nil {
		return Account{}, false, err
	}
	if jid != "" {
		if i := index(list, jid); i >= 0 {
			return list[i], true, nil
		}
		return Account{JID: jid}, false, nil
	}
	switch len(list) {
	case 0:
		return Account{}, false, ErrNone
	case 1:
		return list[0], true, nil
	}
	e := &SeveralError{}
	for _, a := range list {
		e.JIDs = append(e.JIDs, a.JID)
	}
	return Account{}, false, e
}

func index(list []Account, jid string) int {
	return slices.IndexFunc(list, func(a Account) bool { return a.JID == jid })
}

// Save adds an account, or replaces the one with the same JID, and its
// password. It returns the account with the place of the password.
func (s *Store) Save(a Account, password signaling.Secret) (Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return a, err
	}
	if a.Password, err = s.savePassword(a.JID, password); err != nil {
		return a, err
	}
	if i := index(f.Accounts, a.JID); i >= 0 {
		f.Accounts[i] = a
	} else {
		f.Accounts = append(f.Accounts, a)
	}
	return a, writeTOML(s.accountsPath(), f)
}

// Remove forgets an account and its password. It reports whether it was known.
func (s *Store) Remove(jid string) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return false, err
	}
	i := index(f.Accounts, jid)
	if i < 0 {
		return false, nil
	}
	// The password first: an account without one is better than the reverse.
	if err := s.removePassword(f.Accounts[i]); err != nil {
		return true, err
	}
	f.Accounts = slices.Delete(f.Accounts, i, i+1)
	return true, writeTOML(s.accountsPath(), f)
}

// Pins remembers the mechanisms of kept accounts in the store, and those of
// others as long as it lives. With fresh set what was pinned before does not
// count: the person logs in anew.
func (s *Store) Pins(fresh bool) signaling.Pins {
	return &pins{store: s, fresh: fresh, memory: make(map[string]string)}
}

type pins struct {
	store *Store
	fresh bool

	mu     sync.Mutex
	memory map[string]string
}

func (p *pins) Load(account string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.memory[account]; m != "" || p.fresh {
		return m, nil
	}
	list, err := p.store.List()
	if err != nil {
		return "", err
	}
	if i := index(list, account); i >= 0 {
		return list[i].Mechanism, nil
	}
	return "", nil
}

func (p *pins) Store(account, mechanism string) error {
	p.mu.Lock()
	p.memory[account] = mechanism
	p.mu.Unlock()
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return err
	}
	i := index(f.Accounts, account)
	if i < 0 || f.Accounts[i].Mechanism == mechanism {
		return nil
	}
	f.Accounts[i].Mechanism = mechanism
	return writeTOML(s.accountsPath(), f)
}
