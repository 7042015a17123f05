package exchange

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A folder that cannot be read costs itself, not the transfer.
func TestUnreadableFolderIsLeftOutAndNamed(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, "docs/a"), 100, 1)
	random(t, filepath.Join(from, "docs/secret/b"), 100, 2)
	random(t, filepath.Join(from, "docs/z"), 100, 3)
	// Tests may run as root, whom permissions do not stop.
	secret := filepath.Join(from, "docs/secret")
	readDir := func(dir string) ([]os.DirEntry, error) {
		if dir == secret {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrPermission}
		}
		return os.ReadDir(dir)
	}
	src, err := scanWith(t.Context(), readDir, []string{filepath.Join(from, "docs")})
	if err != nil {
		t.Fatal(err)
	}
	a, b := streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "m"})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatal(o.sendErr, o.getErr)
	}
	failed := o.sent.Failed()
	if len(failed) != 1 || failed[0].Path != "docs/secret" || failed[0].Err == nil {
		t.Errorf("not transferred: %+v", failed)
	}
	if o.sent.Bytes != 200 || o.got.Bytes != 200 {
		t.Errorf("%d bytes sent, %d received, want 200", o.sent.Bytes, o.got.Bytes)
	}
	if _, err := os.Lstat(filepath.Join(to, "docs/secret")); err == nil {
		t.Error("the folder is there, as if it were empty")
	}
	for _, name := range []string{"docs/a", "docs/z"} {
		same(t, filepath.Join(from, name), filepath.Join(to, name))
	}
	if _, err := scanWith(t.Context(), readDir, []string{secret}); err == nil {
		t.Error("one that was named is an error, got nil")
	}
}
