package ui

import (
	"fmt"
	"image"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/carillon-im/carillon/desktop/access"
	"github.com/carillon-im/carillon/desktop/state"
)

// What those hear who do not see the window. The toolkit has nothing for it on
// Linux: the objects of the window are read into a tree of package access, when
// somebody listens and something may have changed.

// A Reader reads views, one after the other. It knows what was in the window when
// it was read last, and is for Fyne's thread.
type Reader struct {
	ids  map[any]access.ID // by object, or by what a row of a list is about
	last access.ID
	can  map[access.ID]can
	said map[any]string // the alerts of that time; nil before the first
}

// can is what can be done with a node.
type can struct {
	press func()
	focus func()
	write func(string)
	caret func(int)
}

// Place is where a window is.
type Place struct {
	Scale  float32     // pixels of a unit
	Origin image.Point // on the screen, if that is known
	Active bool        // it has the keyboard
	Hidden bool        // it is not on the screen
}

// An Alert is what those must hear who do not see it, wherever the focus is.
type Alert struct {
	Text   string
	Urgent bool
}

// touch says that something may look different.
func (v *View) touch() {
	if v.Touched != nil {
		v.Touched()
	}
}

// Moves reports whether something of the toolkit is open, which does not say when
// it changes.
func (v *View) Moves() bool { return v.canvas != nil && v.foreign() }

// heed keeps the buttons of a call before somebody who listens: that the pointer
// rests means nothing.
func (v *View) heed() {
	if v.Touched != nil {
		v.stage.moved = v.now()
	}
}

// Read returns what is in the window.
func (r *Reader) Read(v *View, at Place) *access.Tree {
	if r.ids == nil {
		r.ids = make(map[any]access.ID)
	}
	x := &reading{Reader: r, v: v, scale: at.Scale, next: make(map[any]access.ID), groups: v.groups()}
	r.can = make(map[access.ID]can)
	var bounds fyne.Size
	if v.canvas != nil {
		bounds = v.canvas.Size()
		x.focus = v.canvas.Focused()
	}
	w := &access.Node{ID: x.id(windowKey{}), Role: access.Window, Name: "Carillon", State: access.Enabled | access.Showing}
	if at.Active {
		w.State |= access.Active
	}
	if at.Hidden {
		w.State &^= access.Showing
	}
	x.clip = area{w: bounds.Width, h: bounds.Height}
	w.Bounds = x.pixels(x.clip)
	top := v.top()
	switch {
	case v.Moves():
		o := v.canvas.Overlays().Top()
		d := &access.Node{ID: x.id(o), Role: access.Dialog, State: access.Enabled | access.Showing | access.Modal, Bounds: w.Bounds}
		d.Children = x.overlay(o)
		w.Children = []*access.Node{d}
	case v.sheet.shown():
		d := &access.Node{ID: x.id(v.sheet), Role: access.Dialog, State: access.Enabled | access.Showing | access.Modal, Bounds: w.Bounds}
		d.Children = x.walk(top, fyne.Position{})
		d.Name = title(d.Children)
		w.Children = []*access.Node{d}
	default:
		w.Children = x.walk(top, fyne.Position{})
	}
	r.ids = x.next // what is not there any more is forgotten
	return access.NewTree(w, at.Origin)
}

// Do does what somebody who listens wants done, if that is still there.
func (r *Reader) Do(v *View, at Place, q access.Request) {
	r.Read(v, at)
	c := r.can[q.ID]
	switch {
	case q.Do == access.Press && c.press != nil:
		c.press()
	case q.Do == access.Focus && c.focus != nil:
		c.focus()
	case q.Do == access.Write && c.write != nil:
		c.write(q.Text)
	case q.Do == access.MoveCaret && c.caret != nil:
		c.caret(q.Caret)
	}
	v.touch()
}

type windowKey struct{}

// A rowKey is what a row of a list is about: the row may show somebody else next.
type rowKey struct {
	of   *list
	what any
	part string
}

// An area is a part of the window, in units.
type area struct{ x, y, w, h float32 }

func (a area) cut(b area) area {
	x, y := max(a.x, b.x), max(a.y, b.y)
	return area{x, y, max(0, min(a.x+a.w, b.x+b.w)-x), max(0, min(a.y+a.h, b.y+b.h)-y)}
}

// A reading is one time that the window is read.
type reading struct {
	*Reader
	v      *View
	scale  float32
	next   map[any]access.ID
	groups map[fyne.CanvasObject]string // what containers are about
	focus  fyne.Focusable
	clip   area
	label  string // of the control that comes next
}

// id is that of what a key names.
func (x *reading) id(key any) access.ID {
	id := x.next[key]
	if id == 0 {
		if id = x.ids[key]; id == 0 {
			x.last++
			id = x.last
		}
		x.next[key] = id
	}
	return id
}

func (x *reading) pixels(a area) image.Rectangle {
	px := func(f float32) int { return int(math.Round(float64(f * x.scale))) }
	return image.Rect(px(a.x), px(a.y), px(a.x+a.w), px(a.y+a.h))
}

// node begins the one of an object.
func (x *reading) node(key any, o fyne.CanvasObject, at fyne.Position, role access.Role, name string) *access.Node {
	size := o.Size()
	a := area{at.X, at.Y, size.Width, size.Height}
	n := &access.Node{ID: x.id(key), Role: role, Name: spoken(name), Bounds: x.pixels(a), State: access.Enabled}
	if c := a.cut(x.clip); c.w > 0 && c.h > 0 {
		n.State |= access.Showing
	}
	if f, ok := o.(fyne.Focusable); ok {
		n.State |= access.Focusable
		if x.focus == f {
			n.State |= access.Focused
		}
	}
	return n
}

// allow says what can be done with a node.
func (x *reading) allow(n *access.Node, what string, c can) {
	if c.press != nil {
		n.Press = what
	}
	x.can[n.ID] = c
}

func (x *reading) named(name string) string {
	label := x.label
	x.label = ""
	if name == "" {
		return label
	}
	return name
}

// walk returns the nodes of an object. What only lays others out is none.
func (x *reading) walk(o fyne.CanvasObject, at fyne.Position) []*access.Node {
	if o == nil || !o.Visible() || o == fyne.CanvasObject(x.v.tips.box) { // a tip is a name already
		return nil
	}
	at = at.Add(o.Position())
	one := func(n *access.Node) []*access.Node { return []*access.Node{n} }
	text := func(s string, level int) []*access.Node {
		if strings.TrimSpace(s) == "" {
			return nil
		}
		n := x.node(o, o, at, access.Label, s)
		if level > 0 {
			n.Role, n.Level = access.Heading, level
		}
		return one(n)
	}
	switch o := o.(type) {
	case *fyne.Container:
		return x.container(o, at)
	case *container.Scroll:
		before := x.clip
		x.clip = x.clip.cut(area{at.X, at.Y, o.Size().Width, o.Size().Height})
		defer func() { x.clip = before }()
		return x.walk(o.Content, at)
	case *container.ThemeOverride:
		return x.walk(o.Content, at)
	case *line:
		level := 0
		if o.draw.TextStyle.Bold && o.size >= textHead {
			level = 2
			if o.size >= textTitle {
				level = 1
			}
		}
		return text(o.full, level)
	case *widget.Label:
		return text(o.Text, 0)
	case *prose:
		return text(o.said.Text, 0)
	case *canvas.Text:
		return text(o.Text, 0)
	case *button:
		return one(x.button(o, at))
	case *round:
		return one(x.round(o, o, at))
	case *entry:
		n := x.entry(o, at)
		if o.eye != nil {
			return []*access.Node{n, x.round(o.eye, o.eye, at.AddXY(o.Size().Width-o.eye.Size().Width, 0))}
		}
		return one(n)
	case *choice:
		n := x.node(o, o, at, access.ComboBox, x.named(""))
		n.Field = &access.Field{Text: oneLine(o.Selected)}
		x.allow(n, "open", can{focus: func() { x.v.focus(o) }, press: func() {
			x.v.focus(o)
			o.Select.TypedKey(&fyne.KeyEvent{Name: fyne.KeySpace})
		}})
		return one(n)
	case *check:
		n := x.node(o, o, at, access.CheckBox, o.text.Text)
		n.State |= access.Checkable
		if o.Checked {
			n.State |= access.Checked
		}
		x.allow(n, "toggle", can{focus: func() { x.v.focus(o) }, press: func() { o.SetChecked(!o.Checked) }})
		return one(n)
	case *row:
		n := x.node(o, o, at, access.Button, x.texts(o.content))
		x.allow(n, "press", can{focus: func() { x.v.focus(o) }, press: o.tapped})
		return one(n)
	case *list:
		return one(x.list(o, at))
	case *widget.ProgressBar:
		n := x.node(o, o, at, access.Progress, x.named(""))
		n.Value = &access.Value{Now: o.Value, Min: o.Min, Max: o.Max}
		return one(n)
	case *meter:
		n := x.node(o, o, at, access.Meter, x.named(""))
		n.Value = &access.Value{Now: math.Round(min(0, max(-60, o.level))), Min: -60, Max: 0}
		return one(n)
	}
	return x.foreign(o, at)
}

// container returns what is in one. It is a node of its own when it is about
// something.
func (x *reading) container(o *fyne.Container, at fyne.Position) (list []*access.Node) {
	name, is := x.groups[o]
	if is {
		x.label = name // of a bar, which has none itself
	}
	_, halved := o.Layout.(halves)
	_, paired := o.Layout.(*pairLayout)
	for i, c := range o.Objects {
		nodes := x.walk(c, at)
		if (halved || paired) && i == 0 && len(nodes) == 1 {
			x.label = nodes[0].Name
		}
		list = append(list, nodes...)
	}
	if halved || paired || is {
		x.label = ""
	}
	if is && len(list) > 0 {
		n := x.node(o, o, at, access.Panel, name)
		n.Children = list
		return []*access.Node{n}
	}
	return list
}

func (x *reading) button(b *button, at fyne.Position) *access.Node {
	n := x.node(b, b, at, access.Button, x.named(b.Text))
	if b.Button.Disabled() {
		n.State &^= access.Enabled
	}
	if b.fold != nil {
		n.State |= access.Expandable
		if b.fold.isOpen() {
			n.State |= access.Expanded
		}
	}
	x.allow(n, "press", can{focus: func() { x.v.focus(b) }, press: func() {
		if !b.Button.Disabled() && b.OnTapped != nil {
			b.OnTapped()
		}
	}})
	return n
}

// round is a button that is an icon: its tip is its name.
func (x *reading) round(key any, b *round, at fyne.Position) *access.Node {
	n := x.node(key, b, at, access.Button, b.tip)
	if b.disabled {
		n.State &^= access.Enabled
	}
	n.Description = b.count.Text
	if does := x.v.does(b); does != "" && does != b.tip {
		n.Name, n.Description = oneLine(does), n.Name
	}
	for page, of := range x.v.side.nav {
		if of == b {
			n.Role = access.Tab
			n.State |= access.Selectable
			if page == x.v.app.Page {
				n.State |= access.Selected
			}
		}
	}
	x.allow(n, "press", can{focus: func() {
		if b.of != nil {
			b.invite()
		} else {
			x.v.focus(b)
		}
	}, press: func() { b.Tapped(nil) }})
	return n
}

// does is what a button does whose tip may say instead why it does not.
func (v *View) does(b *round) string {
	who := v.person.shown.Title()
	switch b {
	case v.person.call:
		return tr("call.tip", who)
	case v.person.video:
		return tr("video.tip", who)
	}
	if b.of == v.side.list {
		for _, o := range b.of.shows {
			if r, ok := o.(*contactRow); ok && r.call == b {
				return tr("call.tip", r.name.full)
			}
		}
	}
	return ""
}

func (x *reading) entry(e *entry, at fyne.Position) *access.Node {
	n := x.node(e, e, at, access.Entry, x.named(cmpOr(e.label, e.PlaceHolder)))
	n.State |= access.Editable
	n.Field = &access.Field{Text: e.Text, Caret: e.CursorColumn, Hint: e.PlaceHolder}
	if e.eye != nil { // a password, whether or not it is shown
		n.Role = access.Password
		n.Field.Text = strings.Repeat("•", len([]rune(e.Text)))
	}
	if e.Disabled() {
		n.State &^= access.Enabled
	}
	x.allow(n, "", can{focus: func() { x.v.focus(e) }, write: func(s string) {
		if !e.Disabled() {
			e.SetText(oneLine(s))
			e.CursorColumn = len([]rune(e.Text))
			e.Refresh()
		}
	}, caret: func(i int) {
		e.CursorColumn = min(max(0, i), len([]rune(e.Text)))
		e.Refresh()
	}})
	return n
}

// list returns one with the rows that are in sight.
func (x *reading) list(l *list, at fyne.Position) *access.Node {
	n := x.node(l, l, at, access.List, x.named(x.v.listName(l)))
	before := x.clip
	x.clip = x.clip.cut(area{at.X, at.Y, l.Size().Width, l.Size().Height})
	defer func() { x.clip = before }()
	length := l.Length()
	first := max(0, int(l.GetScrollOffset()/l.step))
	last := min(length-1, int((l.GetScrollOffset()+l.Size().Height)/l.step))
	on := n.State&access.Focused != 0
	for i := first; i <= last; i++ {
		o := l.shows[i]
		if o == nil {
			continue
		}
		r, ok := o.(speaker)
		if !ok {
			continue
		}
		about, name, beside := r.speak()
		key := rowKey{l, about, ""}
		if x.next[key] != 0 {
			key.part = fmt.Sprint("again ", i) // which must not be taken for the other
		}
		y := at.Y + float32(i)*l.step - l.GetScrollOffset()
		c := x.node(key, o, fyne.NewPos(at.X, y), access.ListItem, name)
		c.State |= access.Focusable | access.Selectable
		c.Place, c.Of = i+1, length
		if on && i == l.at {
			c.State |= access.Focused
			n.State &^= access.Focused
		}
		x.allow(c, "activate", can{focus: func() {
			x.v.focus(l)
			l.goTo(i)
		}, press: func() { l.chosen(i) }})
		if beside != nil {
			key.part += "button"
			c.Children = []*access.Node{x.round(key, beside, fyne.NewPos(at.X+l.Size().Width-beside.Size().Width, y))}
		}
		n.Children = append(n.Children, c)
	}
	return n
}

// speaker is a row of a list: whom it is about, what is said of them, and the
// button in it.
type speaker interface {
	speak() (about any, name string, beside *round)
}

func (r *contactRow) speak() (any, string, *round) {
	c, ok := r.v.app.Contact(r.who)
	if !ok {
		return r.who, r.name.full, r.call
	}
	parts := []string{c.Title()}
	if c.SeenByUs { // the colour of the dot
		parts = append(parts, tr("presence."+string(cmpOr(c.Presence, "gone"))))
	}
	if s := presenceText(c); !slices.Contains(parts, s) {
		parts = append(parts, s)
	}
	return r.who, sayList(parts...), r.call
}

func (p *pastItem) speak() (any, string, *round) {
	return p.line.ID, p.v.pastText(p.line), p.again
}

// pastText is what is said of a call that is over. The arrow has no words.
func (v *View) pastText(l state.Line) string {
	way := "files.to"
	if l.Incoming {
		way = "files.from"
	}
	return sayList(tr(way, cmpOr(l.Name, l.JID)), outcome(l), day(l.Start, v.now()))
}

// listName is what a list is of.
func (v *View) listName(l *list) string {
	switch l {
	case v.side.list:
		return tr("page.contacts")
	case v.calls.list:
		return tr("page.calls")
	}
	return ""
}

// groups are the containers that are about something, and what.
func (v *View) groups() map[fyne.CanvasObject]string {
	m := make(map[fyne.CanvasObject]string)
	for _, rows := range []map[string]*transferRow{v.files.rows, v.person.transfer} {
		for _, r := range rows {
			m[r.root] = r.name.full
		}
	}
	for i, o := range v.person.past.Objects {
		if i < len(v.person.lines) {
			m[o] = v.pastText(v.person.lines[i])
		}
	}
	for i, o := range v.doctor.box.Objects {
		if i < len(v.doctor.shown) { // whose sign has no words
			c := v.doctor.shown[i]
			m[o] = sayList(doctorName(c.Kind), tr("doctor."+cmpOr(c.Status, "skip")))
		}
	}
	return m
}

// sayList is what is said one after the other.
func sayList(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p = spoken(p); p != "" {
			list = append(list, p)
		}
	}
	return strings.Join(list, ", ")
}

// title is the first heading.
func title(list []*access.Node) string {
	for _, n := range list {
		if n.Role == access.Heading {
			return n.Name
		}
	}
	return ""
}

// texts is what is written in an object.
func (x *reading) texts(o fyne.CanvasObject) string {
	if o == nil || !o.Visible() {
		return ""
	}
	switch o := o.(type) {
	case *line:
		if b := x.v.bar; o == b.text { // without the clock, or it would be another each second
			return sayList(cmpOr(b.call.Name, b.call.JID), tr("bar.return"))
		}
		return o.full
	case *widget.Label:
		return o.Text
	case *prose:
		return o.said.Text
	case *canvas.Text:
		return o.Text
	}
	var parts []string
	for _, c := range inside(o) {
		parts = append(parts, x.texts(c))
	}
	return sayList(parts...)
}

// spoken is text as one line, without what only those see who look at it.
func spoken(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029
	}), " ")
}

// foreign returns what of the toolkit itself is understood.
func (x *reading) foreign(o fyne.CanvasObject, at fyne.Position) []*access.Node {
	var n *access.Node
	switch o := o.(type) {
	case *widget.Button:
		n = x.node(o, o, at, access.Button, o.Text)
		if o.Disabled() {
			n.State &^= access.Enabled
		}
		x.allow(n, "press", can{focus: func() { x.v.focus(o) }, press: func() {
			if !o.Disabled() && o.OnTapped != nil {
				o.OnTapped()
			}
		}})
	case *widget.Entry:
		n = x.node(o, o, at, access.Entry, o.PlaceHolder)
		n.Field = &access.Field{Text: o.Text, Caret: o.CursorColumn}
		x.allow(n, "", can{focus: func() { x.v.focus(o) }})
	case *widget.Select:
		n = x.node(o, o, at, access.ComboBox, "")
		n.Field = &access.Field{Text: o.Selected}
	case *widget.List:
		n = x.node(o, o, at, access.List, "")
	case *widget.GridWrap:
		n = x.node(o, o, at, access.List, "")
	case *widget.PopUp:
		return x.walk(o.Content, at)
	case *widget.PopUpMenu:
		return []*access.Node{x.menu(o, at)}
	case *container.Split:
		return append(x.walk(o.Leading, at), x.walk(o.Trailing, at)...)
	default:
		return nil
	}
	return []*access.Node{n}
}

// overlay returns what the toolkit shows above the window. It hands out neither
// the layer nor which item of a menu the keys are at, so they are looked for
// where they are known to be; where they are not, nothing is said of them.
func (x *reading) overlay(o fyne.CanvasObject) []*access.Node {
	if c, ok := field(o, "Content").(fyne.CanvasObject); ok {
		return x.walk(c, o.Position())
	}
	return x.walk(o, fyne.Position{})
}

func (x *reading) menu(m *widget.PopUpMenu, at fyne.Position) *access.Node {
	n := x.node(m, m, at, access.Menu, "")
	var active uintptr
	if f := reflect.ValueOf(m.Menu).Elem().FieldByName("activeItem"); f.IsValid() && f.Kind() == reflect.Pointer {
		active = f.Pointer()
	}
	for i, o := range m.Items {
		item, ok := field(o, "Item").(*fyne.MenuItem)
		if !ok || item.IsSeparator {
			continue
		}
		c := x.node(o, o, at.Add(o.Position()), access.MenuItem, item.Label)
		c.State |= access.Focusable
		c.Place, c.Of = i+1, len(m.Items)
		if n.State&access.Focused != 0 && reflect.ValueOf(o).Pointer() == active {
			c.State |= access.Focused
			n.State &^= access.Focused
		}
		x.allow(c, "press", can{press: func() {
			m.Dismiss()
			if item.Action != nil {
				item.Action()
			}
		}})
		n.Children = append(n.Children, c)
	}
	return n
}

// field is what an object of the toolkit has under a name that it hands out, or
// nil.
func field(o fyne.CanvasObject, name string) any {
	v := reflect.ValueOf(o)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() || !f.CanInterface() {
		return nil
	}
	return f.Interface()
}

// nowShows remembers what shows a row.
func (l *list) nowShows(i int, o fyne.CanvasObject) {
	if l.shows == nil {
		l.shows = make(map[int]fyne.CanvasObject)
	}
	for at, other := range l.shows {
		if other == o && at != i {
			delete(l.shows, at)
		}
	}
	l.shows[i] = o
}

// TypedRune is that of the toolkit, and what is written may be listened to.
func (e *entry) TypedRune(r rune) {
	e.Entry.TypedRune(r)
	e.v.touch()
}
