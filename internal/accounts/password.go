package accounts

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/carillon-im/carillon/signaling"
	"github.com/zalando/go-keyring"
)

// A Keyring keeps secrets. [System] is that of the system.
type Keyring interface {
	Set(service, user, password string) error
	Get(service, user string) (string, error)
	Delete(service, user string) error
}

// service is the name under which our secrets stand in the keyring.
const service = "carillon"

// System returns the keyring of the system, or nil when there is none.
func System(getenv func(string) string) Keyring {
	if runtime.GOOS != "windows" && runtime.GOOS != "darwin" && getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		// Without a session bus there is no Secret Service, and asking for one
		// would start a bus for nobody.
		return nil
	}
	return patient{system{}}
}

type system struct{}

func (system) Set(service, user, password string) error {
	return keyring.Set(service, user, password)
}
func (system) Get(service, user string) (string, error) { return keyring.Get(service, user) }
func (system) Delete(service, user string) error        { return keyring.Delete(service, user) }

// ringPatience is how long a keyring may take. It may ask a person to unlock it.
const ringPatience = 30 * time.Second

// errSilent is returned for a keyring that does not answer.
var errSilent = errors.New("the keyring of the system does not answer")

// A patient keyring is one that may never answer: then its calls return
// errSilent, and a goroutine stays behind until it does.
type patient struct{ Keyring }

func (p patient) Set(service, user, password string) error {
	_, err := waitFor(func() (string, error) { return "", p.Keyring.Set(service, user, password) })
	return err
}

func (p patient) Get(service, user string) (string, error) {
	return waitFor(func() (string, error) { return p.Keyring.Get(service, user) })
}

func (p patient) Delete(service, user string) error {
	_, err := waitFor(func() (string, error) { return "", p.Keyring.Delete(service, user) })
	return err
}

func waitFor(ask func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	c := make(chan answer, 1)
	go func() {
		text, err := ask()
		c <- answer{text, err}
	}()
	timeout := time.NewTimer(ringPatience)
	defer timeout.Stop()
	select {
	case a := <-c:
		return a.text, a.err
	case <-timeout.C:
		return "", errSilent
	}
}

// savePassword puts a password into the keyring, or into the file when the
// keyring does not take it, and returns where it is.
func (s *Store) savePassword(jid string, password signaling.Secret) (string, error) {
	if s.ring != nil {
		if err := s.ring.Set(service, jid, string(password)); err == nil {
			// A copy from a time without keyring must not stay behind.
			return InKeyring, s.changeFile(func(m map[string]string) bool {
				_, had := m[jid]
				delete(m, jid)
				return had
			})
		}
	}
	return InFile, s.changeFile(func(m map[string]string) bool {
		m[jid] = string(password)
		return true
	})
}

// changeFile changes the file of passwords if change says that it did.
func (s *Store) changeFile(change func(map[string]string) bool) error {
	m := make(map[string]string)
	if err := readTOML(s.PasswordsPath(), &m); err != nil {
		return err
	}
	if !change(m) {
		return nil
	}
	if len(m) == 0 {
		return os.Remove(s.PasswordsPath())
	}
	return writeTOML(s.PasswordsPath(), m)
}

// Password returns the password that is kept for an account, or
// [ErrNoPassword].
func (s *Store) Password(a Account) (signaling.Secret, error) {
	switch a.Password {
	case InKeyring:
		if s.ring == nil {
			return "", fmt.Errorf("password of %s is in the keyring of the system, which is not there now: %w", a.JID, ErrNoPassword)
		}
		p, err := s.ring.Get(service, a.JID)
		if errors.Is(err, keyring.ErrNotFound) {
			return "", fmt.Errorf("password of %s is not in the keyring any more: %w", a.JID, ErrNoPassword)
		}
		if err != nil {
			return "", fmt.Errorf("read the password of %s from the keyring: %w", a.JID, err)
		}
		return signaling.Secret(p), nil
	case InFile:
		s.mu.Lock()
		defer s.mu.Unlock()
		m := make(map[string]string)
		if err := readTOML(s.PasswordsPath(), &m); err != nil {
			return "", err
		}
		if p, ok := m[a.JID]; ok {
			return signaling.Secret(p), nil
		}
	}
	return "", fmt.Errorf("%w for %s", ErrNoPassword, a.JID)
}

func (s *Store) removePassword(a Account) error {
	if a.Password == InKeyring && s.ring != nil {
		if err := s.ring.Delete(service, a.JID); err != nil && !errors.Is(err, keyring.ErrNotFound) {
			return fmt.Errorf("remove the password of %s from the keyring: %w", a.JID, err)
		}
	}
	return s.changeFile(func(m map[string]string) bool {
		_, had := m[a.JID]
		delete(m, a.JID)
		return had
	})
}

// ReadPasswordFile returns the first line of a file.
func ReadPasswordFile(path string) (signaling.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("read the password: the first line of %s is empty", path)
	}
	return signaling.Secret(line), nil
}
