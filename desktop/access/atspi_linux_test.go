package access

import (
	_ "embed"
	"image"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

//go:embed testdata/methods.txt
var methodList string

// sample is a window with a node of each kind that is asked differently.
func sample() *Tree {
	at := image.Rect(10, 20, 60, 40)
	return NewTree(window(
		&Node{ID: 2, Role: Button, Name: "Call", Description: "Ben", State: Enabled | Showing | Focusable | Focused, Bounds: at, Press: "press"},
		&Node{ID: 3, Role: Entry, Name: "Address", State: Enabled | Showing | Focusable | Editable, Bounds: at.Add(image.Pt(0, 30)), Field: &Field{Text: "ben at home", Caret: 3, Hint: "who"}},
		&Node{ID: 4, Role: Password, Name: "Password", State: Enabled | Editable, Field: &Field{Text: "•••"}},
		&Node{ID: 5, Role: Progress, Value: &Value{Now: 0.25, Max: 1}},
		&Node{ID: 6, Role: Slider, State: Enabled, Value: &Value{Max: 10, Step: 1}},
		&Node{ID: 7, Role: List, Children: []*Node{{ID: 8, Role: ListItem, Name: "Ben", Place: 1, Of: 9, State: Enabled, Press: "activate"}, {ID: 9, Role: Heading, Level: 2}}},
		&Node{ID: 10, Role: Button, Name: "busy", Press: "press"},
	), image.Pt(1000, 500))
}

// newListener is one without a connection, and what it wants done.
func newListener() (*listener, *[]Request) {
	var asked []Request
	s := &Server{busy: make(chan struct{}, maxAtOnce), cfg: Config{Name: "Carillon", Version: "1.0", Do: func(r Request) { asked = append(asked, r) }}}
	s.latest.Store(sample())
	l := &listener{s: s}
	l.me.Store(&place{":1.5", ref{":1.0", rootPath}})
	return l, &asked
}

// ask does what a connection does with a call.
func ask(l *listener, path dbus.ObjectPath, face, name string, args ...any) ([]any, error) {
	o, ok := l.LookupObject(path)
	if !ok {
		return nil, dbus.MakeNoObjectError(path)
	}
	i, ok := o.LookupInterface(face)
	if !ok {
		return nil, dbus.MakeUnknownInterfaceError(face)
	}
	m, ok := i.LookupMethod(name)
	if !ok {
		return nil, dbus.MakeUnknownMethodError(name)
	}
	var in []any
	for n := range m.NumArguments() {
		p := reflect.New(reflect.TypeOf(m.ArgumentValue(n)))
		p.Elem().Set(reflect.ValueOf(args[n]))
		in = append(in, p.Interface())
	}
	return m.Call(in...)
}

func TestMethodsAreThoseOfATSPI(t *testing.T) {
	want := make(map[string]string)
	for line := range strings.Lines(methodList) {
		if name, signature, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			want[name] = signature
		}
	}
	got := make(map[string]string)
	l, _ := newListener()
	for face, list := range methods {
		short, ours := strings.CutPrefix(face, atspi)
		if !ours {
			continue
		}
		path := map[string]dbus.ObjectPath{"Cache": cachePath, "Application": rootPath, "Action": l.path(2)}[short]
		if path == "" {
			path = l.path(3)
		}
		for name, m := range list {
			out, err := ask(l, path, face, name, m.in...)
			if err != nil {
				t.Errorf("%s.%s: %v", face, name, err)
				continue
			}
			in, o := "", ""
			if len(m.in) > 0 {
				in = dbus.SignatureOf(m.in...).String()
			}
			if len(out) > 0 {
				o = dbus.SignatureOf(out...).String()
			}
			got[short+"."+name] = strings.TrimSpace("(" + in + ") " + o)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
}

// Whatever is asked of whatever there is, it is answered or refused.
func TestAnythingMayBeAsked(t *testing.T) {
	l, _ := newListener()
	values := map[reflect.Type][]any{
		reflect.TypeFor[int32]():        {int32(0), int32(-1), int32(3), int32(math.MaxInt32), int32(math.MinInt32)},
		reflect.TypeFor[uint32]():       {uint32(0), uint32(1), uint32(2), uint32(math.MaxUint32)},
		reflect.TypeFor[string]():       {"", "x\x00\xff", strings.Repeat("ä", maxText), atspi + "Accessible", atspi + "Value", atspi + "Application", "CurrentValue", "Id"},
		reflect.TypeFor[bool]():         {false, true},
		reflect.TypeFor[dbus.Variant](): {dbus.MakeVariant("x"), dbus.MakeVariant(math.NaN()), dbus.MakeVariant(99.5), dbus.MakeVariant(int32(7))},
	}
	paths := []dbus.ObjectPath{"/", nullPath, rootPath, cachePath, nodePath, nodePath + "0", nodePath + "x", nodePath + "-1", nodePath + "99999999999999", nodePath + "77"}
	for id := range ID(11) {
		paths = append(paths, l.path(id))
	}
	trees := []*Tree{nil, sample(), {}}
	n := 0
	for _, tree := range trees {
		l.s.latest.Store(tree)
		for _, path := range paths {
			for face, list := range methods {
				for name, m := range list {
					var try func(args []any)
					try = func(args []any) {
						if len(args) < min(3, len(m.in)) {
							for _, v := range values[reflect.TypeOf(m.in[len(args)])] {
								try(append(args[:len(args):len(args)], v))
							}
							return
						}
						args = append(args, m.in[len(args):]...)
						ask(l, path, face, name, args...)
						n++
					}
					try(nil)
				}
			}
		}
	}
	if n < 10000 {
		t.Errorf("only %d calls", n)
	}
}

func TestAnswers(t *testing.T) {
	l, _ := newListener()
	get := func(id ID, face, name string) any {
		t.Helper()
		out, err := ask(l, l.path(id), properties, "Get", atspi+face, name)
		if err != nil {
			t.Fatalf("%d: %s.%s: %v", id, face, name, err)
		}
		return out[0].(dbus.Variant).Value()
	}
	call := func(id ID, face, name string, args ...any) []any {
		t.Helper()
		out, err := ask(l, l.path(id), atspi+face, name, args...)
		if err != nil {
			t.Fatalf("%d: %s.%s: %v", id, face, name, err)
		}
		return out
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the app", get(0, "Accessible", "Name"), "Carillon"},
		{"its parent", get(0, "Accessible", "Parent"), ref{":1.0", rootPath}},
		{"its child", call(0, "Accessible", "GetChildAtIndex", int32(0))[0], l.ref(1)},
		{"what it has not", call(0, "Accessible", "GetChildAtIndex", int32(1))[0], ref{"", nullPath}},
		{"the parent of the window", get(1, "Accessible", "Parent"), l.ref(0)},
		{"of a button", get(2, "Accessible", "Parent"), l.ref(1)},
		{"a name", get(2, "Accessible", "Name"), "Call"},
		{"a description", get(2, "Accessible", "Description"), "Ben"},
		{"a role", call(2, "Accessible", "GetRole")[0], uint32(43)},
		{"states", call(2, "Accessible", "GetState")[0], []uint32{1<<8 | 1<<11 | 1<<12 | 1<<24 | 1<<25 | 1<<30, 0}},
		{"states beyond 32", stateBits(&Node{State: Checkable}), []uint32{1 << 30, 1 << (41 - 32)}},
		{"a place in the list", call(8, "Accessible", "GetAttributes")[0], map[string]string{"toolkit": "Carillon", "posinset": "1", "setsize": "9"}},
		{"a level", call(9, "Accessible", "GetAttributes")[0], map[string]string{"toolkit": "Carillon", "level": "2"}},
		{"an index", call(3, "Accessible", "GetIndexInParent")[0], int32(1)},
		{"on the screen", call(2, "Component", "GetExtents", uint32(0))[0], rect{1010, 520, 50, 20}},
		{"in the window", call(2, "Component", "GetExtents", uint32(1))[0], rect{10, 20, 50, 20}},
		{"what is there", call(1, "Component", "GetAccessibleAtPoint", int32(1015), int32(525), uint32(0))[0], l.ref(2)},
		{"where nothing is", call(1, "Component", "GetAccessibleAtPoint", int32(5), int32(5), uint32(0))[0], ref{"", nullPath}},
		{"an action", call(2, "Action", "GetActions")[0], []action{{"press", "", ""}}},
		{"a text", call(3, "Text", "GetText", int32(0), int32(-1))[0], "ben at home"},
		{"a word", call(3, "Text", "GetStringAtOffset", int32(4), uint32(byWord))[0], "at "},
		{"the next", call(3, "Text", "GetTextAfterOffset", int32(4), uint32(boundaryWordStart))[0], "home"},
		{"the one before", call(3, "Text", "GetTextBeforeOffset", int32(4), uint32(boundaryWordStart))[0], "ben "},
		{"a cursor", get(3, "Text", "CaretOffset"), int32(3)},
		{"a share", get(5, "Value", "CurrentValue"), 0.25},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
	items := call0(t, l, cachePath, "Cache", "GetItems")[0].([]item)
	if len(items) != 1+len(sample().nodes) || items[0].Self != l.ref(0) || items[1].Parent != l.ref(0) || items[1].Index != 0 {
		t.Errorf("all is %+v", items)
	}
	if s := dbus.SignatureOf(items).String(); s != "a((so)(so)(so)iiassusau)" {
		t.Errorf("it is written as %s", s)
	}
}

func call0(t *testing.T, l *listener, path dbus.ObjectPath, face, name string) []any {
	t.Helper()
	out, err := ask(l, path, atspi+face, name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		of         ID
		face, name string
		args       []any
		want       *Request // nil is refused
	}{
		{2, "Action", "DoAction", []any{int32(0)}, &Request{ID: 2, Do: Press}},
		{2, "Action", "DoAction", []any{int32(1)}, nil},
		{10, "Action", "DoAction", []any{int32(0)}, nil}, // it is not enabled
		{2, "Component", "GrabFocus", nil, &Request{ID: 2, Do: Focus}},
		{8, "Component", "GrabFocus", nil, nil},
		{3, "Text", "SetCaretOffset", []any{int32(5)}, &Request{ID: 3, Do: MoveCaret, Caret: 5}},
		{3, "EditableText", "SetTextContents", []any{"carl"}, &Request{ID: 3, Do: Write, Text: "carl"}},
		{3, "EditableText", "SetTextContents", []any{strings.Repeat("x", maxText+1)}, nil},
		{3, "EditableText", "InsertText", []any{int32(4), "not ", int32(4)}, &Request{ID: 3, Do: Write, Text: "ben not at home"}},
		{3, "EditableText", "InsertText", []any{int32(-1), "!?", int32(1)}, &Request{ID: 3, Do: Write, Text: "ben at home!"}},
		{3, "EditableText", "DeleteText", []any{int32(3), int32(-1)}, &Request{ID: 3, Do: Write, Text: "ben"}},
		{3, "EditableText", "DeleteText", []any{int32(5), int32(2)}, nil},
		{4, "EditableText", "SetTextContents", []any{"s3cr3t"}, &Request{ID: 4, Do: Write, Text: "s3cr3t"}},
		{4, "EditableText", "InsertText", []any{int32(0), "x", int32(1)}, nil}, // it would write what stands for the password
		{4, "EditableText", "DeleteText", []any{int32(0), int32(1)}, nil},
		{4, "EditableText", "DeleteText", []any{int32(0), int32(-1)}, &Request{ID: 4, Do: Write}},
	} {
		l, asked := newListener()
		out, err := ask(l, l.path(c.of), atspi+c.face, c.name, c.args...)
		if err != nil || out[0] != (c.want != nil) {
			t.Errorf("%s of %d: %v, %v", c.name, c.of, out, err)
		}
		var want []Request
		if c.want != nil {
			want = append(want, *c.want)
		}
		if diff := cmp.Diff(want, *asked); diff != "" {
			t.Errorf("%s of %d (-want +got):\n%s", c.name, c.of, diff)
		}
	}
	l, asked := newListener()
	if _, err := ask(l, l.path(6), properties, "Set", atspi+"Value", "CurrentValue", dbus.MakeVariant(99.0)); err != nil {
		t.Error(err)
	}
	if _, err := ask(l, l.path(5), properties, "Set", atspi+"Value", "CurrentValue", dbus.MakeVariant(0.5)); err == nil {
		t.Error("how far something is was set")
	}
	if diff := cmp.Diff([]Request{{ID: 6, Do: SetValue, Value: 10}}, *asked); diff != "" {
		t.Errorf("a value (-want +got):\n%s", diff)
	}
	if _, err := ask(l, rootPath, properties, "Set", atspi+"Application", "Id", dbus.MakeVariant(int32(7))); err != nil || l.id.Load() != 7 {
		t.Errorf("the number of the app is %d, %v", l.id.Load(), err)
	}
}

func TestNotTooManyAreAnsweredAtOnce(t *testing.T) {
	l, _ := newListener()
	for range maxAtOnce {
		l.s.busy <- struct{}{}
	}
	if _, err := ask(l, rootPath, atspi+"Accessible", "GetRole"); err == nil {
		t.Error("one more was answered")
	}
	<-l.s.busy
	if _, err := ask(l, rootPath, atspi+"Accessible", "GetRole"); err != nil {
		t.Error(err)
	}
	if n := len(l.s.busy); n != maxAtOnce-1 {
		t.Errorf("%d are answered still", n)
	}
}

func TestSayingIsBounded(t *testing.T) {
	s := &Server{news: make(chan struct{}, 1)}
	for i := range 3 * maxSaid {
		s.Say(strings.Repeat("x", i+1), false)
	}
	s.Say("", true)
	if len(s.said) != maxSaid || len(s.said[maxSaid-1].text) != 3*maxSaid {
		t.Errorf("%d are to be said", len(s.said))
	}
}

// A bus that takes nothing any more does not keep the program from ending.
func TestABusMayHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}, cancel: func() {}, done: make(chan struct{})}
		begin := time.Now()
		s.Close()
		if took := time.Since(begin); took > closeTime {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhoHearsAnnouncements(t *testing.T) {
	for event, want := range map[string]bool{"Object:Announcement": true, "object:announcement:": true, "Object:Announcement:": true, "Object:StateChanged:Focused": false, "": false, "window:": false} {
		if got := isAnnouncement(event); got != want {
			t.Errorf("%q: %v", event, got)
		}
	}
}

// All roles and states are known, each by another number.
func TestNumbers(t *testing.T) {
	seen := make(map[int]Role)
	for r := Panel; r <= Notice; r++ {
		x, ok := roles[r]
		if !ok || x.name == "" {
			t.Errorf("role %d has no name", r)
		}
		if other, is := seen[x.number]; is {
			t.Errorf("roles %d and %d have one number", r, other)
		}
		seen[x.number] = r
	}
	if len(roles) != int(Notice)+1 {
		t.Errorf("%d roles", len(roles))
	}
	var all State
	for _, x := range stateNames {
		if all&x.state != 0 || len(x.names) != len(x.numbers) {
			t.Errorf("state %+v", x)
		}
		all |= x.state
	}
	if all != Editable<<1-1 {
		t.Errorf("the states are %b", all)
	}
}
