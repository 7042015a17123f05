package ui

import (
	"slices"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// A line is one line of text that ends in "…" where there is no room. Texts of
// others, which may be of any length, are shown with it.
type line struct {
	widget.BaseWidget
	full string
	draw *canvas.Text
	name fyne.ThemeColorName

	size float32        // of the text where there is room
	less float32        // and where there is not; 0 is the same
	most int            // so many lines it may take
	more []*canvas.Text // those after the first
}

func newLine(text string, size float32, name fyne.ThemeColorName) *line {
	l := &line{full: oneLine(text), name: name, size: size, most: 1, draw: canvas.NewText(oneLine(text), paint(name))}
	l.draw.TextSize = size
	l.ExtendBaseWidget(l)
	return l
}

func (l *line) bold() *line {
	l.draw.TextStyle.Bold = true
	return l
}

func (l *line) centred() *line {
	l.draw.Alignment = fyne.TextAlignCenter
	return l
}

func (l *line) trailing() *line {
	l.draw.Alignment = fyne.TextAlignTrailing
	return l
}

// shrinks makes it smaller where there is no room.
func (l *line) shrinks(to float32) *line {
	l.less = to
	return l
}

// wraps lets it have several lines.
func (l *line) wraps(most int) *line {
	l.most = most
	return l
}

// width is what the text takes.
func (l *line) width() float32 { return fyne.MeasureText(l.full, l.size, l.draw.TextStyle).Width }

// set shows another text.
func (l *line) set(text string) {
	if text = oneLine(text); text == l.full {
		return
	}
	l.full = text
	l.Refresh()
}

func (l *line) paint(name fyne.ThemeColorName) {
	if l.name != name {
		l.name = name
		l.Refresh()
	}
}

// oneLine makes text harmless for one line: no breaks, no control characters,
// and no marks that turn the direction of what follows.
func oneLine(s string) string { return strings.TrimSpace(harmless(s)) }

// harmless is oneLine for text within another. Of many blanks two stay, or they
// would take the room of words.
func harmless(s string) string {
	const longest = 400
	var b strings.Builder
	blanks := 0
	for _, r := range s {
		if b.Len() > longest {
			return b.String() + "…"
		}
		switch {
		case r <= ' ', r >= 0x7f && r < 0xa0, unicode.Is(unicode.Bidi_Control, r), r == 0x2028, r == 0x2029:
			if blanks++; blanks <= 2 {
				b.WriteByte(' ')
			}
		default:
			b.WriteRune(r)
			blanks = 0
		}
	}
	return b.String()
}

func (l *line) CreateRenderer() fyne.WidgetRenderer { return &lineRenderer{l} }

type lineRenderer struct{ l *line }

func (r *lineRenderer) Destroy() {}
func (r *lineRenderer) Objects() []fyne.CanvasObject {
	o := []fyne.CanvasObject{r.l.draw}
	for _, t := range r.l.more {
		o = append(o, t)
	}
	return o
}

// MinSize is higher once there are several lines.
func (r *lineRenderer) MinSize() fyne.Size {
	height := fyne.MeasureText("Ay", r.l.size, r.l.draw.TextStyle).Height
	return fyne.NewSize(16, height*float32(1+len(r.l.more)))
}

func (r *lineRenderer) Refresh() {
	r.Layout(r.l.Size())
	for _, t := range append(slices.Clip(r.l.more), r.l.draw) {
		t.Color = paint(r.l.name)
		t.Refresh()
	}
}

func (r *lineRenderer) Layout(size fyne.Size) {
	l, d := r.l, r.l.draw
	fits := func(s string) bool {
		return size.Width <= 0 || fyne.MeasureText(s, d.TextSize, d.TextStyle).Width <= size.Width
	}
	if d.TextSize = l.size; l.less != 0 && !fits(l.full) {
		d.TextSize = l.less
	}
	parts := []string{l.full}
	if l.most > 1 && !fits(l.full) {
		parts = breakText(l.full, size.Width, d.TextSize, d.TextStyle)
		if last := l.most - 1; len(parts) > l.most {
			parts = append(parts[:last:last], strings.Join(parts[last:], " "))
		}
	}
	for len(l.more) < len(parts)-1 {
		t := canvas.NewText("", d.Color)
		t.TextStyle, t.Alignment, t.TextSize = d.TextStyle, d.Alignment, d.TextSize
		l.more = append(l.more, t)
	}
	l.more = l.more[:len(parts)-1]
	each := fyne.NewSize(size.Width, size.Height/float32(len(parts)))
	for i, part := range parts {
		t := d
		if i > 0 {
			t = l.more[i-1]
			put(t, 0, each.Height*float32(i), each)
		} else {
			t.Resize(each)
		}
		t.Text = part
		if fits(part) {
			continue
		}
		runes := []rune(part)
		low, high := 0, len(runes)
		for low < high {
			mid := (low + high + 1) / 2
			if fits(string(runes[:mid]) + "…") {
				low = mid
			} else {
				high = mid - 1
			}
		}
		t.Text = strings.TrimSpace(string(runes[:low])) + "…"
	}
}

// wrapped is a paragraph.
func wrapped(text string, align fyne.TextAlign) *widget.Label {
	l := widget.NewLabelWithStyle(text, align, fyne.TextStyle{})
	l.Wrapping = fyne.TextWrapWord
	return l
}

// say shows another text in a paragraph.
func say(l *widget.Label, text string) {
	if l.Text != text {
		l.SetText(text)
	}
}

// small is a paragraph that matters less.
func small(text string) *widget.Label {
	l := wrapped(text, fyne.TextAlignLeading)
	l.Importance = widget.LowImportance
	l.SizeName = theme.SizeNameCaptionText
	return l
}

// A prose is a paragraph in a colour of its own. An override of the theme does not
// hold for one: the toolkit forgets it with what it drew, a minute after that was
// seen last, and the next text has the colour of the theme, dark on the dark stage.
type prose struct {
	widget.BaseWidget
	said *widget.TextSegment
	text *widget.RichText
}

func newProse(align fyne.TextAlign, name fyne.ThemeColorName, size fyne.ThemeSizeName) *prose {
	p := &prose{said: &widget.TextSegment{Style: widget.RichTextStyle{Alignment: align, ColorName: name, SizeName: size}}}
	p.text = widget.NewRichText(p.said)
	p.text.Wrapping = fyne.TextWrapWord
	p.ExtendBaseWidget(p)
	return p
}

func (p *prose) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(p.text) }

// say shows another text.
func (p *prose) say(text string) {
	if p.said.Text != text {
		p.said.Text = text
		p.text.Refresh()
	}
}

// breakText breaks text into lines of at most a width.
func breakText(text string, width, size float32, style fyne.TextStyle) (lines []string) {
	current := ""
	for _, word := range strings.Fields(oneLine(text)) {
		next := strings.TrimSpace(current + " " + word)
		if current != "" && fyne.MeasureText(next, size, style).Width > width {
			lines = append(lines, current)
			next = word
		}
		current = next
	}
	return append(lines, current)
}
