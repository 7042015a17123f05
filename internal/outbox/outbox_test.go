package outbox

import (
	"slices"
	"testing"
)

func TestRecordKeepsNamesAsTheyAre(t *testing.T) {
	b := Open(t.TempDir())
	paths := []Path{"/a/plan.pdf", "/a/latin\xe9.txt", "/a/\ufffd"}
	if _, err := b.Put(Outgoing{Account: "a@x", To: "b@x", Paths: paths}); err != nil {
		t.Fatal(err)
	}
	list, err := b.Outgoing()
	if err != nil || len(list) != 1 || !slices.Equal(list[0].Paths, paths) {
		t.Errorf("read %+v, %v; want %q", list, err, paths)
	}
}
