package access

import (
	"fmt"
	"image"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// What AT-SPI asks, by interface and method, as its introspection files in
// at-spi2-core say.

// A call is one that is answered.
type call struct {
	l    *listener
	t    *Tree
	n    *flat // nil is the app
	gone bool  // n is not there any more
	args []any // pointers to what the method takes
}

func (c *call) num(i int) int     { return int(*c.args[i].(*int32)) }
func (c *call) kind(i int) uint32 { return *c.args[i].(*uint32) }
func (c *call) text(i int) string { return *c.args[i].(*string) }
func (c *call) do(r Request) []any {
	if c.n == nil || c.gone || c.n.State&Enabled == 0 && r.Do != Focus {
		return []any{false}
	}
	r.ID = c.n.ID
	c.l.s.cfg.Do(r)
	return []any{true}
}

// A method is how one is answered.
type method struct {
	in  []any
	out func(*call) ([]any, error)
}

// one is a method that needs nothing and answers one value.
func one(f func(*call) any) method {
	return method{nil, func(c *call) ([]any, error) { return []any{f(c)}, nil }}
}

// with is one that takes values of the kinds of in.
func with(f func(*call) []any, in ...any) method {
	return method{in, func(c *call) ([]any, error) { return f(c), nil }}
}

const i32, u32 = int32(0), uint32(0)

var methods = map[string]map[string]method{
	atspi + "Accessible": {
		"GetChildAtIndex": with(func(c *call) []any {
			if list := c.children(); c.num(0) >= 0 && c.num(0) < len(list) {
				return []any{c.l.ref(list[c.num(0)])}
			}
			return []any{ref{"", nullPath}}
		}, i32),
		"GetChildren": one(func(c *call) any {
			list := []ref{}
			for _, id := range c.children() {
				list = append(list, c.l.ref(id))
			}
			return list
		}),
		"GetIndexInParent":     one(func(c *call) any { return int32(c.index()) }),
		"GetRelationSet":       one(func(c *call) any { return []relation{} }),
		"GetRole":              one(func(c *call) any { return c.role() }),
		"GetRoleName":          one(func(c *call) any { return c.roleName() }),
		"GetLocalizedRoleName": one(func(c *call) any { return c.roleName() }),
		"GetState":             one(func(c *call) any { return c.states() }),
		"GetAttributes":        one(func(c *call) any { return c.attributes() }),
		"GetApplication":       one(func(c *call) any { return c.l.ref(0) }),
		"GetInterfaces":        one(func(c *call) any { return c.interfaces() }),
	},
	atspi + "Application": {
		"GetLocale":                with(func(c *call) []any { return []any{locale()} }, u32),
		"GetApplicationBusAddress": one(func(c *call) any { return "" }),
	},
	atspi + "Component": {
		"Contains": with(func(c *call) []any {
			return []any{image.Pt(c.num(0), c.num(1)).In(c.extents(c.kind(2)))}
		}, i32, i32, u32),
		"GetAccessibleAtPoint": with(func(c *call) []any {
			at := image.Pt(c.num(0), c.num(1)).Sub(c.extents(c.kind(2)).Min).Add(c.n.Bounds.Min) // in the window
			if id := c.at(c.n, at); id != 0 {
				return []any{c.l.ref(id)}
			}
			return []any{ref{"", nullPath}}
		}, i32, i32, u32),
		"GetExtents": with(func(c *call) []any {
			r := c.extents(c.kind(0))
			return []any{rect{int32(r.Min.X), int32(r.Min.Y), int32(r.Dx()), int32(r.Dy())}}
		}, u32),
		"GetPosition": with(func(c *call) []any {
			r := c.extents(c.kind(0))
			return []any{int32(r.Min.X), int32(r.Min.Y)}
		}, u32),
		"GetSize": {nil, func(c *call) ([]any, error) {
			return []any{int32(c.n.Bounds.Dx()), int32(c.n.Bounds.Dy())}, nil
		}},
		"GetLayer":      one(func(c *call) any { return layerWidget(c.n) }),
		"GetMDIZOrder":  one(func(c *call) any { return int16(0) }),
		"GrabFocus":     one(func(c *call) any { return c.n.State&Focusable != 0 && c.do(Request{Do: Focus})[0].(bool) }),
		"GetAlpha":      one(func(c *call) any { return 1.0 }),
		"SetExtents":    with(refuse, i32, i32, i32, i32, u32),
		"SetPosition":   with(refuse, i32, i32, u32),
		"SetSize":       with(refuse, i32, i32),
		"ScrollTo":      with(func(c *call) []any { return c.do(Request{Do: Focus}) }, u32),
		"ScrollToPoint": with(refuse, u32, i32, i32),
	},
	atspi + "Action": {
		"GetDescription":   with(func(c *call) []any { return []any{""} }, i32),
		"GetName":          with(func(c *call) []any { return []any{c.action(c.num(0))} }, i32),
		"GetLocalizedName": with(func(c *call) []any { return []any{c.action(c.num(0))} }, i32),
		"GetKeyBinding":    with(func(c *call) []any { return []any{""} }, i32),
		"GetActions": one(func(c *call) any {
			list := []action{}
			if c.n.Press != "" {
				list = append(list, action{c.n.Press, "", ""})
			}
			return list
		}),
		"DoAction": with(func(c *call) []any {
			if c.num(0) != 0 || c.n.Press == "" {
				return []any{false}
			}
			return c.do(Request{Do: Press})
		}, i32),
	},
	atspi + "Text": {
		"GetText": with(func(c *call) []any { return []any{cut(c.runes(), c.num(0), c.num(1))} }, i32, i32),
		"GetCharacterAtOffset": with(func(c *call) []any {
			if t := c.runes(); c.num(0) >= 0 && c.num(0) < len(t) {
				return []any{int32(t[c.num(0)])}
			}
			return []any{int32(0)}
		}, i32),
		"SetCaretOffset":       with(func(c *call) []any { return c.do(Request{Do: MoveCaret, Caret: c.num(0)}) }, i32),
		"GetStringAtOffset":    with(func(c *call) []any { return c.piece(c.num(0), c.kind(1)) }, i32, u32),
		"GetTextAtOffset":      with(func(c *call) []any { return c.piece(c.num(0), granularity(c.kind(1))) }, i32, u32),
		"GetTextBeforeOffset":  with(func(c *call) []any { return c.beside(c.num(0), granularity(c.kind(1)), false) }, i32, u32),
		"GetTextAfterOffset":   with(func(c *call) []any { return c.beside(c.num(0), granularity(c.kind(1)), true) }, i32, u32),
		"GetAttributeValue":    with(func(c *call) []any { return []any{""} }, i32, ""),
		"GetAttributes":        with(func(c *call) []any { return c.plainRun() }, i32),
		"GetAttributeRun":      with(func(c *call) []any { return c.plainRun() }, i32, false),
		"GetDefaultAttributes": one(func(c *call) any { return map[string]string{} }),
		"GetDefaultAttributeSet": one(func(c *call) any {
			return map[string]string{}
		}),
		"GetCharacterExtents": with(func(c *call) []any { return c.box(c.kind(1)) }, i32, u32),
		"GetRangeExtents":     with(func(c *call) []any { return c.box(c.kind(2)) }, i32, i32, u32),
		"GetOffsetAtPoint":    with(func(c *call) []any { return []any{int32(-1)} }, i32, i32, u32),
		"GetNSelections":      one(func(c *call) any { return i32 }),
		"GetSelection":        with(func(c *call) []any { return []any{i32, i32} }, i32),
		"AddSelection":        with(refuse, i32, i32),
		"RemoveSelection":     with(refuse, i32),
		"SetSelection":        with(refuse, i32, i32, i32),
		"ScrollSubstringTo":   with(refuse, i32, i32, u32),
	},
	atspi + "EditableText": {
		"SetTextContents": with(func(c *call) []any { return c.write(c.text(0)) }, ""),
		"InsertText": with(func(c *call) []any {
			if c.secret() {
				return []any{false} // what is there is not known here
			}
			t, at := c.runes(), 0
			if at = c.num(0); at < 0 || at > len(t) {
				at = len(t)
			}
			what := []rune(c.text(1))
			if n := c.num(2); n >= 0 && n < len(what) {
				what = what[:n]
			}
			return c.write(string(t[:at]) + string(what) + string(t[at:]))
		}, i32, "", i32),
		"DeleteText": with(func(c *call) []any {
			t := c.runes()
			start, end := min(max(0, c.num(0)), len(t)), c.num(1)
			if end < 0 || end > len(t) {
				end = len(t)
			}
			if c.secret() && end-start != len(t) || end < start {
				return []any{false}
			}
			return c.write(string(t[:start]) + string(t[end:]))
		}, i32, i32),
		"CopyText":  with(func(c *call) []any { return nil }, i32, i32),
		"CutText":   with(refuse, i32, i32),
		"PasteText": with(refuse, i32),
	},
	atspi + "Value": {},
	atspi + "Cache": {
		"GetItems": one(func(c *call) any { return c.items() }),
	},
	properties: {
		"Get": {[]any{"", ""}, func(c *call) ([]any, error) {
			if v, ok := c.properties(c.text(0))[c.text(1)]; ok {
				return []any{dbus.MakeVariant(v)}, nil
			}
			return nil, dbus.MakeUnknownMethodError(c.text(1))
		}},
		"GetAll": {[]any{""}, func(c *call) ([]any, error) {
			all := make(map[string]dbus.Variant)
			for name, v := range c.properties(c.text(0)) {
				all[name] = dbus.MakeVariant(v)
			}
			return []any{all}, nil
		}},
		"Set": {[]any{"", "", dbus.Variant{}}, func(c *call) ([]any, error) {
			v := c.args[2].(*dbus.Variant).Value()
			switch name := c.text(0) + "." + c.text(1); {
			case name == atspi+"Application.Id" && c.n == nil:
				if id, ok := v.(int32); ok {
					c.l.id.Store(id)
					return nil, nil
				}
			case name == atspi+"Value.CurrentValue" && c.n != nil && c.n.Value != nil && c.n.Value.Step > 0:
				if f, ok := v.(float64); ok && !math.IsNaN(f) {
					c.do(Request{Do: SetValue, Value: min(max(f, c.n.Value.Min), c.n.Value.Max)})
					return nil, nil
				}
			}
			return nil, dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", nil)
		}},
	},
	"org.freedesktop.DBus.Introspectable": {
		"Introspect": one(func(c *call) any { return c.introspect() }),
	},
}

type (
	relation struct {
		Kind uint32
		To   []ref
	}
	rect   struct{ X, Y, Width, Height int32 }
	action struct{ Name, Description, Key string }
	item   struct {
		Self, App, Parent ref
		Index, Children   int32
		Interfaces        []string
		Name              string
		Role              uint32
		Description       string
		States            []uint32
	}
)

func refuse(*call) []any { return []any{false} }

func layerWidget(n *flat) uint32 {
	if n.parent == nil {
		return 7 // of windows
	}
	return 3
}

// locale is that of what is said.
func locale() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if s := os.Getenv(name); s != "" {
			return plain(s, 64)
		}
	}
	return "C"
}

func (c *call) children() []ID {
	switch w := c.t.window(); {
	case c.n != nil:
		return c.n.children
	case w != nil:
		return []ID{w.ID}
	}
	return nil
}

func (c *call) index() int {
	if c.n == nil {
		return -1 // the registry knows
	}
	return c.n.index
}

func (c *call) role() uint32 {
	if c.n == nil {
		return roleApplication
	}
	return uint32(roles[c.n.Role].number)
}

func (c *call) roleName() string {
	if c.n == nil {
		return "application"
	}
	return roles[c.n.Role].name
}

func (c *call) states() []uint32 {
	if c.n == nil {
		return []uint32{1 << stateVisible, 0}
	}
	if c.gone {
		return []uint32{1 << stateDefunct, 0}
	}
	return stateBits(c.n.Node)
}

func (c *call) attributes() map[string]string {
	m := map[string]string{"toolkit": "Carillon"}
	if c.n == nil {
		return m
	}
	if c.n.Place > 0 {
		m["posinset"], m["setsize"] = strconv.Itoa(c.n.Place), strconv.Itoa(c.n.Of)
	}
	if c.n.Level > 0 {
		m["level"] = strconv.Itoa(c.n.Level)
	}
	if c.n.Field != nil && c.n.Field.Hint != "" {
		m["placeholder-text"] = c.n.Field.Hint
	}
	return m
}

func (c *call) interfaces() []string {
	list := []string{atspi + "Accessible"}
	if c.n == nil {
		return append(list, atspi+"Application")
	}
	list = append(list, atspi+"Component")
	if c.n.Press != "" {
		list = append(list, atspi+"Action")
	}
	if c.n.Field != nil {
		list = append(list, atspi+"Text")
		if c.n.State&Editable != 0 {
			list = append(list, atspi+"EditableText")
		}
	}
	if c.n.Value != nil {
		list = append(list, atspi+"Value")
	}
	return list
}

// has reports whether what is asked has an interface.
func (c *call) has(name string) bool {
	if name == properties || name == "org.freedesktop.DBus.Introspectable" {
		return true
	}
	for _, x := range c.interfaces() {
		if x == name {
			return true
		}
	}
	return false
}

func (c *call) properties(of string) map[string]any {
	if !c.has(of) {
		return nil
	}
	switch strings.TrimPrefix(of, atspi) {
	case "Accessible":
		m := map[string]any{"version": uint32(1), "Locale": locale(), "AccessibleId": "", "HelpText": "", "ChildCount": int32(len(c.children()))}
		if c.n == nil {
			m["Name"], m["Description"], m["Parent"] = c.l.s.cfg.Name, "", c.l.me.Load().desktop
			return m
		}
		m["Name"], m["Description"], m["Parent"] = c.n.Name, c.n.Description, c.parent()
		return m
	case "Application":
		return map[string]any{"ToolkitName": "Carillon", "Version": c.l.s.cfg.Version, "ToolkitVersion": c.l.s.cfg.Version, "AtspiVersion": "2.1", "InterfaceVersion": uint32(1), "Id": c.l.id.Load()}
	case "Action":
		return map[string]any{"version": uint32(1), "NActions": int32(1)}
	case "Text":
		return map[string]any{"version": uint32(1), "CharacterCount": int32(len(c.runes())), "CaretOffset": int32(c.n.Field.Caret)}
	case "Value":
		v := c.n.Value
		return map[string]any{"version": uint32(1), "MinimumValue": v.Min, "MaximumValue": v.Max, "MinimumIncrement": v.Step, "CurrentValue": v.Now, "Text": ""}
	}
	return map[string]any{"version": uint32(1)}
}

func (c *call) parent() ref {
	if c.n == nil {
		return c.l.me.Load().desktop
	}
	if c.n.parent == nil {
		return c.l.ref(0)
	}
	return c.l.ref(c.n.parent.ID)
}

// extents is where a node is: on the screen, in the window or in its parent.
func (c *call) extents(of uint32) image.Rectangle {
	switch of {
	case 0:
		return c.n.Bounds.Add(c.t.origin)
	case 2:
		if c.n.parent != nil {
			return c.n.Bounds.Sub(c.n.parent.Bounds.Min)
		}
	}
	return c.n.Bounds
}

// at returns the innermost node at a place of the window.
func (c *call) at(n *flat, p image.Point) ID {
	if !p.In(n.Bounds) || n.State&Showing == 0 {
		return 0
	}
	for i := len(n.children) - 1; i >= 0; i-- {
		if id := c.at(c.t.node(n.children[i]), p); id != 0 {
			return id
		}
	}
	return n.ID
}

func (c *call) action(i int) string {
	if i != 0 {
		return ""
	}
	return c.n.Press
}

func (c *call) runes() []rune { return []rune(c.n.Field.Text) }
func (c *call) secret() bool  { return c.n.Role == Password }

func (c *call) write(text string) []any {
	if len(text) > maxText {
		return []any{false}
	}
	return c.do(Request{Do: Write, Text: text})
}

func (c *call) piece(at int, by uint32) []any {
	t := c.runes()
	start, end := piece(t, at, by)
	return []any{string(t[start:end]), int32(start), int32(end)}
}

// beside is the piece before or after the one at a place.
func (c *call) beside(at int, by uint32, after bool) []any {
	t := c.runes()
	start, end := piece(t, at, by)
	switch {
	case after && end < len(t):
		return c.piece(end, by)
	case after:
		return []any{"", int32(len(t)), int32(len(t))}
	case start > 0:
		return c.piece(start-1, by)
	}
	return []any{"", i32, i32}
}

// plainRun says that nothing about a text is special.
func (c *call) plainRun() []any {
	return []any{map[string]string{}, i32, int32(len(c.runes()))}
}

// box is where a text is: as exactly as is known here, where its field is.
func (c *call) box(of uint32) []any {
	r := c.extents(of)
	return []any{int32(r.Min.X), int32(r.Min.Y), int32(r.Dx()), int32(r.Dy())}
}

// items is all that there is.
func (c *call) items() []item {
	list := []item{(&call{l: c.l, t: c.t}).item()}
	if c.t != nil {
		for _, n := range c.t.nodes {
			list = append(list, (&call{l: c.l, t: c.t, n: n}).item())
		}
	}
	return list
}

func (c *call) item() item {
	i := item{Self: c.l.ref(0), App: c.l.ref(0), Parent: c.parent(), Index: int32(c.index()), Children: int32(len(c.children())),
		Interfaces: c.interfaces(), Name: c.l.s.cfg.Name, Role: c.role(), States: c.states()}
	if c.n != nil {
		i.Self, i.Name, i.Description = c.l.ref(c.n.ID), c.n.Name, c.n.Description
	}
	return i
}

// introspect names what a node has. What takes what is known to everybody.
func (c *call) introspect() string {
	var b strings.Builder
	b.WriteString("<node>")
	for _, name := range c.interfaces() {
		fmt.Fprintf(&b, `<interface name="%s"/>`, name)
	}
	b.WriteString("</node>")
	return b.String()
}

// LookupObject implements [dbus.Handler].
func (l *listener) LookupObject(path dbus.ObjectPath) (dbus.ServerObject, bool) {
	if l.me.Load() == nil {
		return nil, false
	}
	o := &object{l: l, t: l.s.latest.Load()}
	switch path {
	case cachePath:
		o.cache = true
		return o, true
	case rootPath:
		return o, true
	}
	text, ok := strings.CutPrefix(string(path), nodePath)
	id, err := strconv.ParseUint(text, 10, 32)
	if !ok || err != nil {
		return nil, false
	}
	if o.n = o.t.node(ID(id)); o.n == nil {
		if o.n = l.noted(ID(id)); o.n == nil {
			o.n, o.t = l.leftNode(ID(id))
			o.gone = true
		}
	}
	return o, o.n != nil
}

// An object is what a call is to.
type object struct {
	l     *listener
	t     *Tree
	n     *flat
	gone  bool // n is
	cache bool
}

// LookupInterface implements [dbus.ServerObject].
func (o *object) LookupInterface(name string) (dbus.Interface, bool) {
	is := (&call{l: o.l, t: o.t, n: o.n}).has(name)
	if o.cache {
		is = name == atspi+"Cache" || name == "org.freedesktop.DBus.Introspectable"
	}
	return &face{o, methods[name]}, is
}

// A face is an interface of an object.
type face struct {
	o       *object
	methods map[string]method
}

// LookupMethod implements [dbus.Interface].
func (f *face) LookupMethod(name string) (dbus.Method, bool) {
	m, ok := f.methods[name]
	return &bound{f.o, m}, ok
}

// bound is a method of an object.
type bound struct {
	o *object
	m method
}

func (b *bound) NumArguments() int       { return len(b.m.in) }
func (b *bound) ArgumentValue(i int) any { return b.m.in[i] }
func (b *bound) NumReturns() int         { return 0 } // nobody asks
func (b *bound) ReturnValue(int) any     { return nil }

// Call implements [dbus.Method].
func (b *bound) Call(args ...any) ([]any, error) {
	busy := b.o.l.s.busy
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	default:
		return nil, dbus.NewError("org.freedesktop.DBus.Error.LimitsExceeded", nil)
	}
	return b.m.out(&call{l: b.o.l, t: b.o.t, n: b.o.n, gone: b.o.gone, args: args})
}
