package access

import "slices"

// An event is one that AT-SPI tells. The zero ID is that of the app.
type event struct {
	of     ID
	window bool   // it is about a window rather than an object
	what   string // StateChanged, ...
	detail string // which state, ...
	a, b   int32
	with   any // nil, a string, a float64, or the ID of a node
}

// changes are what to tell of a tree that follows another. Both may be nil.
func changes(old, now *Tree) (list []event) {
	tell := func(e event) { list = append(list, e) }
	state := func(id ID, s State, on bool) {
		for _, x := range stateNames {
			if x.state&s != 0 {
				for _, name := range x.names {
					tell(event{of: id, what: "StateChanged", detail: name, a: truth(on)})
				}
			}
		}
	}
	// What is in the app, and in each node that was there before.
	var before, after []ID
	if w := old.window(); w != nil {
		before = []ID{w.ID}
	}
	if w := now.window(); w != nil {
		after = []ID{w.ID}
	}
	list = rearrange(list, 0, before, after)
	if old.window() == nil && now.window() != nil {
		tell(event{of: after[0], window: true, what: "Create", with: now.window().Name})
	}
	if now == nil {
		return list
	}
	for _, n := range now.nodes {
		o := old.node(n.ID)
		if o == nil {
			if n.Role == Notice {
				state(n.ID, Showing, true)
			}
			continue
		}
		list = rearrange(list, n.ID, o.children, n.children)
		if n.Name != o.Name {
			tell(event{of: n.ID, what: "PropertyChange", detail: "accessible-name", with: n.Name})
		}
		if n.Description != o.Description {
			tell(event{of: n.ID, what: "PropertyChange", detail: "accessible-description", with: n.Description})
		}
		if n.Role != o.Role {
			tell(event{of: n.ID, what: "PropertyChange", detail: "accessible-role", with: uint32(roles[n.Role].number)})
		}
		if n.Value != nil && n.Role != Meter && (o.Value == nil || o.Value.Now != n.Value.Now) {
			tell(event{of: n.ID, what: "PropertyChange", detail: "accessible-value", with: n.Value.Now})
		}
		if n.Field != nil && o.Field != nil {
			list = rewritten(list, n.ID, o.Field, n.Field)
		}
		// The focus comes last.
		changed := (n.State ^ o.State) &^ (Focused | Active)
		state(n.ID, changed&n.State, true)
		state(n.ID, changed&^n.State, false)
	}
	if w, o := now.window(), old.window(); w != nil {
		was := o != nil && o.State&Active != 0
		if is := w.State&Active != 0; is != was {
			what := "Deactivate"
			if is {
				what = "Activate"
			}
			tell(event{of: w.ID, window: true, what: what, with: w.Name})
			state(w.ID, Active, is)
		}
	}
	before0 := ID(0)
	if old != nil {
		before0 = old.focus
	}
	if now.focus != before0 {
		if now.node(before0) != nil {
			state(before0, Focused, false)
		}
		if now.focus != 0 {
			state(now.focus, Focused, true)
		}
	}
	return list
}

func truth(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// rearrange tells how to come from some children to others, one after the other.
func rearrange(list []event, of ID, old, now []ID) []event {
	if slices.Equal(old, now) {
		return list
	}
	tell := func(detail string, i int, child ID) {
		list = append(list, event{of: of, what: "ChildrenChanged", detail: detail, a: int32(i), with: child})
	}
	stay := make(map[ID]bool, len(now))
	for _, id := range now {
		stay[id] = true
	}
	is := slices.Clone(old)
	for i := len(is) - 1; i >= 0; i-- {
		if !stay[is[i]] {
			tell("remove", i, is[i])
			is = slices.Delete(is, i, i+1)
		}
	}
	for i, id := range now {
		if i < len(is) && is[i] == id {
			continue
		}
		if was := slices.Index(is, id); was >= 0 {
			tell("remove", was, id)
			is = slices.Delete(is, was, was+1)
		}
		tell("add", i, id)
		is = slices.Insert(is, min(i, len(is)), id)
	}
	return list
}

// rewritten tells what was written in a field and where the cursor went.
func rewritten(list []event, of ID, old, now *Field) []event {
	if old.Text != now.Text {
		a, b := []rune(old.Text), []rune(now.Text)
		start := 0
		for start < min(len(a), len(b)) && a[start] == b[start] {
			start++
		}
		end := 0
		for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
			end++
		}
		if gone := a[start : len(a)-end]; len(gone) > 0 {
			list = append(list, event{of: of, what: "TextChanged", detail: "delete", a: int32(start), b: int32(len(gone)), with: string(gone)})
		}
		if came := b[start : len(b)-end]; len(came) > 0 {
			list = append(list, event{of: of, what: "TextChanged", detail: "insert", a: int32(start), b: int32(len(came)), with: string(came)})
		}
	}
	if old.Caret != now.Caret {
		list = append(list, event{of: of, what: "TextCaretMoved", a: int32(now.Caret)})
	}
	return list
}

// gone are the nodes of a tree that are not in the one that follows.
func gone(old, now *Tree) (list []ID) {
	if old == nil {
		return nil
	}
	for _, n := range old.nodes {
		if now.node(n.ID) == nil {
			list = append(list, n.ID)
		}
	}
	return list
}
