package ui

import (
	"fmt"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"github.com/carillon-im/carillon/desktop/state"
)

// The details are figures of a call and what is known of its keys.
type details struct {
	v        *View
	root     *fyne.Container
	values   map[string]*line
	words    *line
	trust    *prose
	verified *button
	mic, ear *meter
	id       string
	back     *canvas.Rectangle
	box      *fyne.Container // what is scrolled
	scroll   *container.Scroll
}

var detailNames = []string{"path", "codec", "video", "rtt", "delay", "loss", "rate"}

func newDetails(v *View) *details {
	d := &details{v: v, values: make(map[string]*line), mic: newMeter(), ear: newMeter()}
	box := rows(8, newLine(tr("details.title"), textHead, colorOnStage).bold())
	pair := func(name string, o fyne.CanvasObject) {
		box.Add(container.New(halves{}, newLine(tr("details."+name), textSmall, colorDimStage), o))
	}
	for _, n := range detailNames {
		d.values[n] = newLine("", textSmall, colorOnStage)
		pair(n, d.values[n])
	}
	pair("mic", d.mic)
	pair("ear", d.ear)
	d.words = newLine("", textHead, colorOnStage).bold()
	d.trust = newProse(fyne.TextAlignLeading, colorDimStage, theme.SizeNameCaptionText)
	d.verified = newButton(v, tr("trust.verify"), func() { v.send(state.Verified{ID: d.id}) })
	box.Add(padding(newLine(tr("details.keys"), textHead, colorOnStage).bold(), 12, 0, 0, 0))
	box.Add(d.words)
	box.Add(d.trust)
	box.Add(d.verified)
	d.back = canvas.NewRectangle(rgb(0x191b21))
	d.box, d.scroll = box, container.NewVScroll(box)
	d.root = container.NewStack(d.back, padded(d.scroll, 16))
	d.root.Hide()
	return d
}

// halves puts a name before a value.
type halves struct{}

// nameShare is how much of a row its name has.
const nameShare = 0.44

func (halves) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(200, max(o[0].MinSize().Height, o[1].MinSize().Height))
}
func (halves) Layout(o []fyne.CanvasObject, size fyne.Size) {
	w := size.Width * nameShare
	o[0].Resize(fyne.NewSize(w-6, size.Height))
	o[0].Move(fyne.NewPos(0, 0))
	o[1].Resize(fyne.NewSize(size.Width-w, size.Height))
	o[1].Move(fyne.NewPos(w, 0))
}

func (d *details) draw(c state.Call) {
	d.id = c.ID
	s := c.Stats
	set := func(name, text string) {
		d.values[name].set(cmpOr(text, "–"))
	}
	path := ""
	if s.Path != state.PathUnknown {
		path = tr("path." + string(s.Path))
	}
	set("path", path)
	set("codec", s.Codec)
	video := s.VideoCodec
	if s.Width > 0 {
		video += fmt.Sprintf(" %d×%d, %.0f/s", s.Width, s.Height, s.FPS)
	}
	set("video", video)
	ms := func(t time.Duration) string {
		if t <= 0 {
			return ""
		}
		return fmt.Sprintf("%d ms", t.Milliseconds())
	}
	set("rtt", ms(s.RTT))
	set("delay", ms(s.Delay))
	loss, rate := "", ""
	if s.Path != state.PathUnknown {
		loss = tr("details.both", fmt.Sprintf("%.1f %%", s.LossIn*100), fmt.Sprintf("%.1f %%", s.LossOut*100))
		rate = tr("details.both", fmt.Sprintf("%.0f", s.RateIn/1000), fmt.Sprintf("%.0f kbit/s", s.RateOut/1000))
	}
	set("loss", loss)
	set("rate", rate)
	mic, ear := levels(c)
	d.mic.set(mic)
	d.ear.set(ear)
	d.words.set(cmpOr(c.Verification, "–"))
	d.trust.say(tr("trust."+string(cmpOr(c.Trust, "unknown"))+".text", cmpOr(c.Name, c.JID)))
	show(d.verified, c.Verification != "" && c.Trust != state.TrustVerified)
}
