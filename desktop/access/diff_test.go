package access

import (
	"image"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func window(children ...*Node) *Node {
	return &Node{ID: 1, Role: Window, Name: "Carillon", State: Enabled | Showing | Active, Bounds: image.Rect(0, 0, 100, 100), Children: children}
}

func TestChanges(t *testing.T) {
	button := func(id ID, name string, s State) *Node { return &Node{ID: id, Role: Button, Name: name, State: s} }
	tree := func(children ...*Node) *Tree { return NewTree(window(children...), image.Point{}) }
	state := func(id ID, name string, on int32) event {
		return event{of: id, what: "StateChanged", detail: name, a: on}
	}
	field := func(text string, caret int) *Tree {
		return tree(&Node{ID: 2, Role: Entry, Field: &Field{Text: text, Caret: caret}})
	}
	for _, c := range []struct {
		name     string
		old, now *Tree
		want     []event
	}{
		{"nothing", nil, nil, nil},
		{"the same", tree(button(2, "a", 0)), tree(button(2, "a", 0)), nil},
		{"the first", nil, tree(button(2, "a", Focused)), []event{
			{what: "ChildrenChanged", detail: "add", with: ID(1)},
			{of: 1, window: true, what: "Create", with: "Carillon"},
			{of: 1, window: true, what: "Activate", with: "Carillon"}, state(1, "active", 1), state(2, "focused", 1),
		}},
		{"the focus moves", tree(button(2, "a", Focused), button(3, "b", 0)), tree(button(2, "a", 0), button(3, "b", Focused)), []event{state(2, "focused", 0), state(3, "focused", 1)}},
		{"and goes with what had it", tree(button(2, "a", Focused), button(3, "b", 0)), tree(button(3, "b", Focused)), []event{
			{of: 1, what: "ChildrenChanged", detail: "remove", with: ID(2)}, state(3, "focused", 1),
		}},
		{"another name", tree(button(2, "a", 0)), tree(button(2, "b", 0)), []event{{of: 2, what: "PropertyChange", detail: "accessible-name", with: "b"}}},
		{"another description", tree(button(2, "a", 0)), tree(&Node{ID: 2, Role: Button, Name: "a", Description: "c"}), []event{{of: 2, what: "PropertyChange", detail: "accessible-description", with: "c"}}},
		{"another role", tree(button(2, "a", 0)), tree(&Node{ID: 2, Role: Tab, Name: "a"}), []event{{of: 2, what: "PropertyChange", detail: "accessible-role", with: uint32(37)}}},
		{"states", tree(button(2, "a", Checked)), tree(button(2, "a", Enabled)), []event{state(2, "enabled", 1), state(2, "sensitive", 1), state(2, "checked", 0)}},
		{"a value", tree(&Node{ID: 2, Role: Progress, Value: &Value{Now: 0.5, Max: 1}}), tree(&Node{ID: 2, Role: Progress, Value: &Value{Now: 0.6, Max: 1}}), []event{{of: 2, what: "PropertyChange", detail: "accessible-value", with: 0.6}}},
		{"a level", tree(&Node{ID: 2, Role: Meter, Value: &Value{Now: -5}}), tree(&Node{ID: 2, Role: Meter, Value: &Value{Now: -6}}), nil},
		{"a letter", field("abd", 2), field("abcd", 3), []event{{of: 2, what: "TextChanged", detail: "insert", a: 2, b: 1, with: "c"}, {of: 2, what: "TextCaretMoved", a: 3}}},
		{"another text", field("äbc", 3), field("äxyc", 3), []event{{of: 2, what: "TextChanged", detail: "delete", a: 1, b: 1, with: "b"}, {of: 2, what: "TextChanged", detail: "insert", a: 1, b: 2, with: "xy"}}},
		{"the same letter twice", field("aa", 2), field("aaa", 3), []event{{of: 2, what: "TextChanged", detail: "insert", a: 2, b: 1, with: "a"}, {of: 2, what: "TextCaretMoved", a: 3}}},
		{"another order", tree(button(2, "", 0), button(3, "", 0), button(4, "", 0)), tree(button(4, "", 0), button(2, "", 0), button(3, "", 0)), []event{
			{of: 1, what: "ChildrenChanged", detail: "remove", a: 2, with: ID(4)}, {of: 1, what: "ChildrenChanged", detail: "add", a: 0, with: ID(4)},
		}},
		{"the window is left", tree(), NewTree(&Node{ID: 1, Role: Window, Name: "Carillon", State: Enabled | Showing}, image.Point{}), []event{
			{of: 1, window: true, what: "Deactivate", with: "Carillon"}, state(1, "active", 0),
		}},
	} {
		if diff := cmp.Diff(c.want, changes(c.old, c.now), cmp.AllowUnexported(event{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Whoever follows what is told has the children that there are.
func TestWhoFollowsHasTheSameChildren(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := func() *Tree {
		w := window()
		var all []*Node
		for _, id := range r.Perm(12)[:r.IntN(12)] {
			n := &Node{ID: ID(id + 2)}
			to := w
			if len(all) > 0 && r.IntN(2) == 0 {
				to = all[r.IntN(len(all))]
			}
			to.Children = append(to.Children, n)
			all = append(all, n)
		}
		return NewTree(w, image.Point{})
	}
	children := func(t *Tree) map[ID][]ID {
		m := map[ID][]ID{0: {1}}
		for _, n := range t.nodes {
			m[n.ID] = slices.Clone(n.children)
		}
		return m
	}
	for range 300 {
		old, now := some(), some()
		is := children(old)
		for _, e := range changes(old, now) {
			if e.what != "ChildrenChanged" {
				continue
			}
			i, child := int(e.a), e.with.(ID)
			if e.detail == "add" {
				is[e.of] = slices.Insert(is[e.of], i, child)
			} else if is[e.of][i] != child {
				t.Fatalf("%d goes, and %d was there", child, is[e.of][i])
			} else {
				is[e.of] = slices.Delete(is[e.of], i, i+1)
			}
		}
		want := children(now)
		for id := range want {
			if old.node(id) != nil && !slices.Equal(is[id], want[id]) {
				t.Fatalf("in %d are %v, and told were %v", id, want[id], is[id])
			}
		}
		for _, id := range gone(old, now) {
			if old.node(id) == nil || now.node(id) != nil {
				t.Fatalf("%d is gone", id)
			}
		}
	}
}

// What others wrote does not end the connection, and a tree has an end.
func TestWhatIsInATreeIsBounded(t *testing.T) {
	deep := &Node{ID: 2}
	for i, n := 0, deep; i < 3*maxDepth; i++ {
		next := &Node{ID: ID(3 + i)}
		n.Children = []*Node{next}
		n = next
	}
	tree := NewTree(window(deep, &Node{ID: 2, Name: "again"}, &Node{}, nil), image.Point{})
	if n := len(tree.nodes); n > maxDepth+2 {
		t.Errorf("%d nodes, one in the other", n)
	}
	w := window()
	for i := range 2 * maxNodes {
		w.Children = append(w.Children, &Node{ID: ID(i + 2), Name: strings.Repeat("ä", 2*maxName) + "\xff\x00", Field: &Field{Text: "a\x00b\xffc", Caret: 99}})
	}
	tree = NewTree(w, image.Point{})
	if n := len(tree.nodes); n != maxNodes {
		t.Errorf("%d nodes", n)
	}
	for _, n := range tree.nodes[1:] {
		if utf8.RuneCountInString(n.Name) != maxName || n.Field.Text != "a\ufffdb\ufffdc" || n.Field.Caret != 5 {
			t.Fatalf("a node is %.20q, %+v", n.Name, n.Field)
		}
	}
	if len(tree.Nodes()) != maxNodes {
		t.Error("some are left out")
	}
}
