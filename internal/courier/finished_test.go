package courier

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLedgerForgetsOneAccount(t *testing.T) {
	l := OpenLedger(filepath.Join(t.TempDir(), "arrived"))
	var list []finished
	for _, account := range []string{"a@x", "b@x", ""} { // the last by a version that did not write it
		list = append(list, finished{Account: account, Peer: "p@x", At: time.Now()})
	}
	if err := l.write(list); err != nil {
		t.Fatal(err)
	}
	if err := l.Forget("a@x"); err != nil {
		t.Fatal(err)
	}
	if left := l.read(); len(left) != 1 || left[0].Account != "b@x" {
		t.Errorf("left %+v", left)
	}
	for range 2 { // the second time nothing is there
		if err := l.Forget("b@x"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(l.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file stays: %v", err)
	}
}
