package exchange

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// plain sends a file and receives it as told; extra bytes follow it.
func plain(t *testing.T, src *Source, offer PlainOffer, dir string, extra string) (*PlainFile, error) {
	t.Helper()
	a, b := streams(t)
	t.Cleanup(func() { a.Close(); b.Close() })
	p, err := ReceivePlain(offer, ReceiveOptions{Dir: dir, Peer: "p"})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		SendPlain(t.Context(), a, src, p.Offset(), SendOptions{})
		io.WriteString(a, extra)
		a.Close()
	}()
	return p, p.Receive(t.Context(), b)
}

func TestAdvertisedHashesAreKnown(t *testing.T) {
	for _, algo := range Algorithms() {
		if newHash(algo) == nil {
			t.Errorf("%s is advertised and not known", algo)
		}
	}
}

func TestPlainFile(t *testing.T) {
	from := t.TempDir()
	file := filepath.Join(from, "f")
	random(t, file, 3<<20+7, 1)
	src := scan(t, file)
	data, _ := os.ReadFile(file)
	s1, s256, s512 := sha1.Sum(data), sha256.Sum256(data), sha512.Sum512(data)
	size := int64(len(data))
	for _, tt := range []struct {
		name     string
		size     int64
		before   []Sum
		after    []Sum
		extra    string
		verified bool
		err      error
	}{
		{name: "no hash", size: size},
		{name: "checksum afterwards", size: size, after: []Sum{{"sha-1", s1[:]}, {"sha-256", s256[:]}}, verified: true},
		{name: "hash in the offer", size: size, before: []Sum{{"sha-512", s512[:]}}, verified: true},
		{name: "hash that we do not know", size: size, after: []Sum{{"gost", s1[:]}}},
		{name: "wrong hash", size: size, after: []Sum{{"sha-256", s512[:32]}}, err: ErrCorrupt},
		{name: "one of two is wrong", size: size, after: []Sum{{"sha-1", s1[:]}, {"sha-256", s512[:32]}}, err: ErrCorrupt},
		{name: "size not told", size: -1, after: []Sum{{"sha-256", s256[:]}}, verified: true},
		{name: "sender goes on after the announced size", size: size, extra: "and more", after: []Sum{{"sha-256", s256[:]}}, verified: true},
		{name: "sender stops before it", size: size + 1, err: io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p, err := plain(t, src, PlainOffer{Name: "../f", Size: tt.size, Sums: tt.before}, dir, tt.extra)
			var res *Result
			verified := false
			if err == nil {
				res, verified, err = p.Commit(tt.after)
			}
			p.Close()
			if !errors.Is(err, tt.err) || verified != tt.verified {
				t.Fatalf("verified = %v, %v; want %v, %v", verified, err, tt.verified, tt.err)
			}
			if tt.err != nil {
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if got, _ := os.ReadFile(res.Paths[0]); sha256.Sum256(got) != s256 || filepath.Base(res.Paths[0]) != "f" {
				t.Errorf("%s has %d bytes", res.Paths[0], len(got))
			}
		})
	}
}

func TestPlainResumeNeedsAHash(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	file := filepath.Join(from, "f")
	random(t, file, 3<<20+7, 1)
	src := scan(t, file)
	data, _ := os.ReadFile(file)
	sum := sha256.Sum256(data)
	offer := PlainOffer{Name: "f", Size: int64(len(data)), Sums: []Sum{{"sha-256", sum[:]}}}
	p, err := ReceivePlain(offer, ReceiveOptions{Dir: dir, Peer: "p"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := streams(t)
	go SendPlain(t.Context(), a, src, 0, SendOptions{})
	if err := p.Receive(t.Context(), &cut{b, 2 << 20}); err == nil {
		t.Fatal("the first attempt was not cut")
	}
	p.Close()
	a.Close()

	p, err = plain(t, src, offer, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	res, verified, err := p.Commit(nil)
	if err != nil || !verified || res.Kept < 1<<20 || res.Wire+res.Kept != offer.Size {
		t.Errorf("%+v, verified %v, %v", res, verified, err)
	}
	if got, _ := os.ReadFile(res.Paths[0]); sha256.Sum256(got) != sum {
		t.Error("the file is not the one that was sent")
	}
}
