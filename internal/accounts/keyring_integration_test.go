//go:build integration && linux

package accounts

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/carillon-im/carillon/internal/lab"
)

// The keyring of a real desktop: as long as none runs, and when it is locked, a
// password goes to the file, and afterwards to the keyring, from which another
// store reads it.
func TestIntegrationKeyring(t *testing.T) {
	lab.Need(t, "gnome-keyring-daemon")
	bus := lab.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	ring := System(os.Getenv)
	if ring == nil {
		t.Fatal("no keyring in spite of a session bus")
	}
	folder := t.TempDir()
	s := Open(folder, ring)
	kept, err := s.Save(alice, "first")
	if err != nil || kept.Password != InFile {
		t.Fatalf("without a keyring: %+v, %v, want the file", kept, err)
	}

	// The password of a person's login opens the keyring.
	home := t.TempDir()
	word := filepath.Join(home, "word")
	if err := os.WriteFile(word, []byte("login"), 0o600); err != nil {
		t.Fatal(err)
	}
	bus.Run("sh", []string{"HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_RUNTIME_DIR=" + home, "XDG_CONFIG_HOME=" + home},
		"-c", `exec gnome-keyring-daemon --unlock --components=secrets --foreground <"$0"`, word)
	waitForSecrets(t)

	if kept, err = s.Save(alice, "s<e>cret"); err != nil || kept.Password != InKeyring {
		t.Fatalf("with a keyring: %+v, %v, want the keyring", kept, err)
	}
	if _, err := os.Stat(s.PasswordsPath()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the password is still in the file: %v", err)
	}
	again := Open(folder, System(os.Getenv))
	if p, err := again.Password(kept); err != nil || p != "s<e>cret" {
		t.Errorf("Password = %q, %v", string(p), err)
	}
	bob := alice
	bob.JID = "bob@example.org"
	if _, err := again.Save(bob, "other"); err != nil {
		t.Fatal(err)
	}
	if known, err := again.Remove(alice.JID); !known || err != nil {
		t.Errorf("Remove = %v, %v", known, err)
	}
	if _, err := again.Password(kept); !errors.Is(err, ErrNoPassword) {
		t.Errorf("Password after Remove: %v, want %v", err, ErrNoPassword)
	}

	// Locked, the keyring would ask a person, and there is nobody. It must not
	// hold us up.
	lockKeyring(t)
	carol := alice
	carol.JID = "carol@example.org"
	done := make(chan Account, 1)
	go func() {
		kept, err := again.Save(carol, "third")
		if err != nil {
			t.Error(err)
		}
		done <- kept
	}()
	select {
	case kept := <-done:
		if kept.Password != InFile {
			t.Errorf("with a locked keyring the password is in the %s", kept.Password)
		}
	case <-time.After(20 * time.Second):
		t.Error("a locked keyring holds up Save")
	}
}

func session(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func waitForSecrets(t *testing.T) {
	t.Helper()
	conn := session(t)
	defer conn.Close()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var owned bool
		if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&owned); err == nil && owned {
			return
		}
	}
	t.Fatal("gnome-keyring does not come up")
}

func lockKeyring(t *testing.T) {
	t.Helper()
	conn := session(t)
	defer conn.Close()
	service := conn.Object("org.freedesktop.secrets", "/org/freedesktop/secrets")
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err := service.Call("org.freedesktop.Secret.Service.Lock", 0, []dbus.ObjectPath{"/org/freedesktop/secrets/collection/login"}).Store(&locked, &prompt)
	if err != nil || len(locked) != 1 {
		t.Fatalf("lock the keyring: %v, %v", locked, err)
	}
}
