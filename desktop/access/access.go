// Package access tells screen readers what a window shows.
//
//	nodes -> Tree -> Server -> AT-SPI2 over D-Bus -> Orca
//
// A [Tree] is a value: what is in the window, as names, roles and states. Who
// draws the window makes one whenever something changed, as long as somebody
// listens; the [Server] answers from the last one and tells what is different in
// it. What a screen reader wants done comes out as a [Request]. Nothing here knows
// a toolkit, and the thread that draws is never waited for.
//
// There is one for Linux and its like. Elsewhere nobody ever listens.
package access

import (
	"image"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// Limits of a tree. What is beyond them is left out.
const (
	maxNodes = 4000
	maxDepth = 60
	maxName  = 2000  // runes of a name or a description
	maxText  = 10000 // runes of what is written in a field
)

// An ID is that of a node, as long as it is about the same thing. It is not 0.
type ID uint32

// A Role says what something is.
type Role int

// The roles.
const (
	Panel Role = iota
	Window
	Dialog
	Button
	CheckBox
	ComboBox
	Entry
	Password
	Label
	Heading
	List
	ListItem
	Menu
	MenuItem
	Tab
	Progress
	Meter // a level that changes all the time, which nobody is told of
	Slider
	Image
	Notice
)

// A State is what is true of something, as a set.
type State uint32

// The states.
const (
	Focused State = 1 << iota
	Focusable
	Enabled
	Showing // neither scrolled away nor covered
	Checked
	Checkable
	Selected
	Selectable
	Expanded
	Expandable
	Modal
	Active // of a window: it has the keyboard
	Busy
	Editable
)

// A Node is one thing in a window, with what is in it. It is not changed once it
// is part of a Tree.
type Node struct {
	ID          ID
	Role        Role
	Name        string
	Description string
	State       State
	Bounds      image.Rectangle // in pixels of the window
	Press       string          // what pressing it is called; empty is nothing
	Field       *Field
	Value       *Value
	Level       int // of a heading; 0 is none
	Place, Of   int // which of how many, from 1; 0 is not known
	Children    []*Node
}

// A Field is what can be written in, or read letter by letter.
type Field struct {
	Text  string // of a password something else of the same length
	Caret int    // before which rune the cursor is
	Hint  string // what may be written there
}

// A Value is a number between two others.
type Value struct{ Now, Min, Max, Step float64 }

// A Tree is a window at one moment.
type Tree struct {
	origin image.Point // of the window on the screen
	nodes  []*flat     // each before its children
	by     map[ID]*flat
	focus  ID
}

// A flat is a node in a tree.
type flat struct {
	*Node
	parent   *flat // nil for the window
	index    int
	children []ID
}

// NewTree returns what is in a window. origin is where that is on the screen, if
// anybody knows. It may change what is in the nodes, to make it fit for the bus.
func NewTree(window *Node, origin image.Point) *Tree {
	t := &Tree{origin: origin, by: make(map[ID]*flat)}
	t.add(window, nil, 0)
	return t
}

func (t *Tree) add(n *Node, parent *flat, depth int) {
	if n == nil || n.ID == 0 || t.by[n.ID] != nil || len(t.nodes) >= maxNodes || depth > maxDepth {
		return
	}
	n.Name, n.Description = plain(n.Name, maxName), plain(n.Description, maxName)
	if n.Field != nil {
		n.Field.Text, n.Field.Hint = plain(n.Field.Text, maxText), plain(n.Field.Hint, maxName)
		n.Field.Caret = min(max(0, n.Field.Caret), utf8.RuneCountInString(n.Field.Text))
	}
	f := &flat{Node: n, parent: parent}
	if parent != nil {
		f.index = len(parent.children)
		parent.children = append(parent.children, n.ID)
	}
	t.nodes = append(t.nodes, f)
	t.by[n.ID] = f
	if n.State&Focused != 0 && t.focus == 0 {
		t.focus = n.ID
	}
	for _, c := range n.Children {
		t.add(c, f, depth+1)
	}
}

// plain makes text fit for D-Bus, which ends a connection for what is not UTF-8.
func plain(s string, most int) string {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
}

// Nodes returns all of them, each before what is in it.
func (t *Tree) Nodes() []*Node {
	var list []*Node
	for _, n := range t.nodes {
		list = append(list, n.Node)
	}
	return list
}

// window is that which a tree is of, or nil.
func (t *Tree) window() *flat {
	if t == nil || len(t.nodes) == 0 {
		return nil
	}
	return t.nodes[0]
}

// node returns one by its ID, or nil.
func (t *Tree) node(id ID) *flat {
	if t == nil {
		return nil
	}
	return t.by[id]
}

// A Request is what a screen reader wants done with a node.
type Request struct {
	ID    ID
	Do    Action
	Text  string  // for Write
	Caret int     // for MoveCaret
	Value float64 // for SetValue
}

// An Action is what can be done with a node.
type Action int

// The actions.
const (
	Press Action = iota
	Focus
	Write // all of the text is another
	MoveCaret
	SetValue
)

// A Config says whose window it is. Its functions are called by goroutines of the
// server and must not wait for it.
type Config struct {
	Name, Version string
	Listen        func(on bool) // somebody listens, or nobody does any more
	Do            func(Request)
	Log           *slog.Logger
	Session       string // address of the session bus; empty is that of the environment
}
