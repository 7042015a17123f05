package deptest

import (
	"slices"
	"strings"
	"testing"
)

func rooms(t *testing.T, b Build) *Graph {
	t.Helper()
	b.Dir = "testdata/rooms"
	return Load(t, b)
}

func lines(vs []Violation) []string {
	var out []string
	for _, v := range vs {
		out = append(out, v.String())
	}
	return out
}

func TestBrokenArrowsAreFoundWithTheirChain(t *testing.T) {
	g := rooms(t, Pure)
	why := map[string]string{"net": "rooms are offline"}
	for _, tt := range []struct {
		name string
		got  []Violation
		want []string
	}{
		{"through another room", g.deps("./kitchen", why),
			[]string{"example.test/rooms/kitchen -> example.test/rooms/cellar -> net: rooms are offline"}},
		{"direct", g.imports("./...", why), []string{"example.test/rooms/cellar -> net: rooms are offline"}},
		{"not direct", g.imports("./kitchen", why), nil},
		{"pattern as reason", g.deps("./kitchen", map[string]string{"./cellar/...": "it is dark"}),
			[]string{"example.test/rooms/kitchen -> example.test/rooms/cellar: it is dark"}},
		{"a longer name is another package", g.deps("./kitch/...", why), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lines(tt.got); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUsesAreFoundUnderAnyLocalName(t *testing.T) {
	vs, err := rooms(t, Pure).uses("./...", map[string]string{"time.Now": "time is told"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"example.test/rooms/kitchen/kitchen.go:11 -> time.Now: time is told"}
	if got := lines(vs); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCgoIsFoundOutsideItsRooms(t *testing.T) {
	g := rooms(t, Native)
	if got := lines(g.cgo("no C here", nil)); len(got) != 1 || !strings.HasPrefix(got[0], "example.test/rooms/roof/roof.go -> C") {
		t.Errorf("got %q, want one violation in roof", got)
	}
	if got := g.cgo("no C here", []string{"./roof"}); len(got) != 0 {
		t.Errorf("allowed room reported: %v", got)
	}
}

func TestLoadNeedsAModule(t *testing.T) {
	if _, err := load(Build{Dir: t.TempDir()}); err == nil {
		t.Error("a folder outside any module was loaded")
	}
}
