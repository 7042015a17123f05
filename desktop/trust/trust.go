// Package trust remembers by which keys people called, and tells when they
// change: trust on first use.
//
//	store, err := trust.Open(path)
//	seen, err := store.See(account, peer, connected.Fingerprint, time.Now())
//	if seen == trust.Changed { warn, and offer to compare the words }
//
// A key that changes means a new device or app, or somebody in between who
// controls a server. Some clients make a new key for each call; of people who
// use only such, nobody expects the same one, and nothing is said. So [Changed]
// is said only of people who were seen twice with the same key, or whose words
// were compared.
package trust

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/internal/safefile"
)

// A Seen says what is known of a key.
type Seen string

// What is known of a key, in the words of package state.
const (
	Unknown  Seen = ""         // the call had none, or nobody expects the same one
	First    Seen = "first"    // this person has not called before
	Same     Seen = "same"     // a key this person has used
	Changed  Seen = "changed"  // another one than those this person uses
	Verified Seen = "verified" // a key whose words our user has compared
)

// Limits on what is kept.
const (
	maxPeople      = 5000
	maxKeys        = 16 // of one person; those not seen for longest go first
	maxFingerprint = 300
	maxFile        = 8 << 20
)

// key is one that a person used.
type key struct {
	Fingerprint string    `json:"fingerprint"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Calls       int       `json:"calls"`
	Verified    bool      `json:"verified,omitempty"`
}

// person is somebody as seen from one of our accounts.
type person struct {
	Account string `json:"account"`
	Peer    string `json:"peer"`
	Keys    []key  `json:"keys"`
}

// stable reports whether the same key is to be expected.
func (p *person) stable() bool {
	return slices.ContainsFunc(p.Keys, func(k key) bool { return k.Calls > 1 || k.Verified })
}

func (p *person) last() (t time.Time) {
	for _, k := range p.Keys {
		if k.Last.After(t) {
			t = k.Last
		}
	}
	return t
}

// A Store keeps keys in a file. Its methods may be called by any goroutine.
type Store struct {
	path string

	mu     sync.Mutex // guards what follows
	people []*person
}

// Open reads the file, which need not be there.
func Open(path string) (*Store, error) {
	b, err := safefile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read known keys: %w", err)
	}
	s := &Store{path: path}
	if len(b) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(b, &s.people); err != nil {
		// To forget all keys in silence would be what an attacker wants.
		return nil, fmt.Errorf("read known keys in %s: %w", path, err)
	}
	s.people = slices.DeleteFunc(s.people, func(p *person) bool { return p == nil })
	return s, nil
}

// See tells what is known of the key of a call, and remembers it. account and
// peer are bare JIDs. Call it once for each call. The answer counts also when
// there is an error, which is that the key could not be kept.
func (s *Store) See(account, peer, fingerprint string, now time.Time) (Seen, error) {
	if fingerprint == "" || len(fingerprint) > maxFingerprint {
		return Unknown, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(account, peer)
	if p == nil {
		p = &person{Account: account, Peer: peer}
		s.people = append(s.people, p)
	}
	seen, stable := First, p.stable()
	switch i := slices.IndexFunc(p.Keys, func(k key) bool { return k.Fingerprint == fingerprint }); {
	case i >= 0:
		k := &p.Keys[i]
		k.Last = now
		k.Calls++
		seen = Same
		if k.Verified {
			seen = Verified
		}
	default:
		switch {
		case stable:
			seen = Changed
		case len(p.Keys) > 0:
			seen = Unknown
		}
		p.Keys = append(p.Keys, key{Fingerprint: fingerprint, First: now, Last: now, Calls: 1})
		p.forgetOld()
	}
	s.forgetOld()
	return seen, s.save()
}

// Verify says that our user has compared the words of a call with this key, or
// takes that back.
func (s *Store) Verify(account, peer, fingerprint string, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(account, peer)
	if p == nil {
		return nil
	}
	for i := range p.Keys {
		if p.Keys[i].Fingerprint == fingerprint {
			p.Keys[i].Verified = on
		}
	}
	return s.save()
}

// Forget removes what is known of the keys of a person, or with an empty peer
// of all whom the account knows.
func (s *Store) Forget(account, peer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people = slices.DeleteFunc(s.people, func(p *person) bool { return p.Account == account && (peer == "" || p.Peer == peer) })
	return s.save()
}

func (s *Store) find(account, peer string) *person {
	for _, p := range s.people {
		if p.Account == account && p.Peer == peer {
			return p
		}
	}
	return nil
}

// forgetOld makes room. Keys that make a person stable stay before others.
func (p *person) forgetOld() {
	for len(p.Keys) > maxKeys {
		oldest := 0
		weight := func(k key) int {
			switch {
			case k.Verified:
				return 2
			case k.Calls > 1:
				return 1
			}
			return 0
		}
		newest := len(p.Keys) - 1 // just seen
		for i, k := range p.Keys[:newest] {
			o := p.Keys[oldest]
			if weight(k) < weight(o) || weight(k) == weight(o) && k.Last.Before(o.Last) {
				oldest = i
			}
		}
		p.Keys = slices.Delete(p.Keys, oldest, oldest+1)
	}
}

func (s *Store) forgetOld() {
	for len(s.people) > maxPeople {
		oldest := 0
		for i, p := range s.people {
			if p.last().Before(s.people[oldest].last()) {
				oldest = i
			}
		}
		s.people = slices.Delete(s.people, oldest, oldest+1)
	}
}

func (s *Store) save() error {
	b, err := json.Marshal(s.people)
	if err == nil {
		err = safefile.Write(s.path, b)
	}
	if err != nil {
		return fmt.Errorf("keep known keys: %w", err)
	}
	return nil
}
