package trust

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const alice, bob = "alice@example.org", "bob@example.org"

var day = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func openTest(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrustOnFirstUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "keys.json")
	s := openTest(t, path)
	n := 0
	see := func(peer, fingerprint string, want Seen) {
		t.Helper()
		n++
		got, err := s.See(alice, peer, fingerprint, day.Add(time.Duration(n)*time.Hour))
		if err != nil || got != want {
			t.Errorf("%s with %q: %q, %v, want %q", peer, fingerprint, got, err, want)
		}
	}
	see(bob, "sha-256 A", First)
	see(bob, "sha-256 A", Same)
	see(bob, "sha-256 B", Changed) // a new phone, perhaps
	see(bob, "sha-256 B", Same)
	see(bob, "", Unknown)
	s = openTest(t, path)
	see(bob, "sha-256 A", Same)
	see(bob, "sha-256 C", Changed)
	if err := s.Verify(alice, bob, "sha-256 C", true); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path)
	see(bob, "sha-256 C", Verified)
	if err := s.Verify(alice, bob, "sha-256 C", false); err != nil {
		t.Fatal(err)
	}
	see(bob, "sha-256 C", Same)
	if got, err := s.See("other@example.org", bob, "sha-256 X", day); got != First || err != nil {
		t.Errorf("seen from another account: %q, %v", got, err)
	}

	// Somebody whose client makes a key for each call never changes.
	see("dino@example.org", "sha-256 1", First)
	for i := range 40 {
		see("dino@example.org", fmt.Sprint("sha-256 2", i), Unknown)
	}
	// Until the user compares one, or it comes again.
	see("dino@example.org", "sha-256 239", Same)
	see("dino@example.org", "sha-256 3", Changed)
	// What makes the person known is not pushed out.
	for i := range 40 {
		see("dino@example.org", fmt.Sprint("sha-256 4", i), Changed)
	}
	see("dino@example.org", "sha-256 239", Same)

	if err := s.Forget(alice, bob); err != nil {
		t.Fatal(err)
	}
	see(bob, "sha-256 D", First)
	if err := s.Forget(alice, ""); err != nil {
		t.Fatal(err)
	}
	see("dino@example.org", "sha-256 239", First)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if got, err := s.See(alice, bob, strings.Repeat("x", maxFingerprint+1), day); got != Unknown || err != nil {
		t.Errorf("a fingerprint that is too long: %q, %v", got, err)
	}
}

func TestBounded(t *testing.T) {
	s := &Store{path: filepath.Join(t.TempDir(), "keys.json")}
	for i := range maxPeople {
		s.people = append(s.people, &person{Account: alice, Peer: fmt.Sprint(i), Keys: []key{{Fingerprint: "x", Last: day.Add(time.Duration(i))}}})
	}
	if seen, err := s.See(alice, bob, "sha-256 A", day.Add(time.Hour)); seen != First || err != nil || len(s.people) != maxPeople || s.find(alice, "0") != nil || s.find(alice, bob) == nil {
		t.Errorf("%q, %v, %d people", seen, err, len(s.people))
	}
}

// A file that cannot be read is not taken for an empty one.
func TestBrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(`[{"account":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a broken file was opened")
	}
}
