package outbox

import (
	"fmt"
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

func TestForgetTakesOneAccount(t *testing.T) {
	b := Open(t.TempDir())
	for _, o := range []Outgoing{
		{Account: "a@x", To: "b@x", Paths: []Path{"/f"}}, {Account: "a@x", To: "c@x", Paths: []Path{"/f"}, Limit: "5kB/s"}, {Account: "c@x", To: "b@x", Paths: []Path{"/f"}},
	} {
		if _, err := b.Put(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Forget("a@x"); err != nil {
		t.Fatal(err)
	}
	list, err := b.Outgoing()
	if err != nil || len(list) != 1 || list[0].Account != "c@x" {
		t.Errorf("left %+v, %v", list, err)
	}
	if err := Open(t.TempDir()).Forget("a@x"); err != nil {
		t.Errorf("a box that is not there: %v", err)
	}
}

// The keys of many transfers differ. With 24 bits some of these would be the same.
func TestKeysDoNotMeet(t *testing.T) {
	seen := make(map[string]int)
	for i := range 100_000 {
		k := key("a@example.org", "b@example.org", fmt.Sprint("/home/a/", i))
		if other, ok := seen[k]; ok {
			t.Fatalf("files %d and %d have the key %s", other, i, k)
		}
		seen[k] = i
	}
}
