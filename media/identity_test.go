package media_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/mediatest"
)

// Who has an identity is recognised in the next call, also after it was kept
// and read again; who has none is somebody else each time.
func TestIdentity(t *testing.T) {
	id, err := media.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := id.MarshalPEM()
	if err != nil || strings.Contains(fmt.Sprint(kept), "PRIVATE") {
		t.Fatalf("kept as %v, %v", kept, err)
	}
	again, err := media.ParseIdentity([]byte(string(kept)))
	if err != nil {
		t.Fatal(err)
	}
	call := func(alice, bob *media.Identity) (ofAlice, ofBob, words string) {
		t.Helper()
		with := func(i *media.Identity) func(*media.Config) { return func(cfg *media.Config) { cfg.Identity = i } }
		a, b := mediatest.NewPhone(t, mediatest.AliceTone, with(alice)), mediatest.NewPhone(t, mediatest.BobTone, with(bob))
		mediatest.Dial(t, a, b)
		seenByAlice, seenByBob := mediatest.Wait[media.Connected](t, a), mediatest.Wait[media.Connected](t, b)
		if seenByAlice.Verification != seenByBob.Verification {
			t.Errorf("verification %q and %q", seenByAlice.Verification, seenByBob.Verification)
		}
		return seenByBob.Fingerprint, seenByAlice.Fingerprint, seenByAlice.Verification
	}
	alice1, bob1, _ := call(id, nil)
	alice2, bob2, words2 := call(again, nil)
	if alice1 != alice2 || !strings.HasPrefix(alice1, "sha-256 ") {
		t.Errorf("an identity has the fingerprints %q and %q", alice1, alice2)
	}
	if bob1 == bob2 || bob1 == alice1 || bob1 == "" {
		t.Errorf("without an identity the fingerprints are %q and %q", bob1, bob2)
	}
	other, err := media.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	_, _, words3 := call(id, other)
	_, _, words4 := call(again, other)
	if words3 != words4 || words3 == words2 {
		t.Errorf("the words of two identities are %q and %q", words3, words4)
	}
	for _, bad := range []string{"", "nonsense", string(kept)[:100]} {
		if _, err := media.ParseIdentity([]byte(bad)); err == nil {
			t.Errorf("%.20q is read as an identity", bad)
		}
	}
}
