// Package files shows transfers, to programs as JSON and to people as lines and
// a bar, and keeps what is needed to go on with those that were interrupted.
package files

import (
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"mellium.im/xmpp/jid"
)

// How often progress is shown.
const (
	barEvery  = 100 * time.Millisecond // of the live line
	jsonEvery = 200 * time.Millisecond
	lineEvery = 5 * time.Second // of plain lines, when there is no live line
)

// A View shows transfers. Its methods may be called from several goroutines.
type View struct {
	screen *screen.Screen
	json   *events.Writer // nil for people

	mu      sync.Mutex
	running map[string]*state // by session
	shown   time.Time         // when the live line was drawn
}

// A state is how far one transfer is.
type state struct {
	peer     string
	what     string
	incoming bool
	bytes    int64
	total    int64
	kept     int64
	file     string
	percent  int
	how      string
	told     time.Time
	speed    speed
	carrying bool
}

// A speed is a rate of bytes, smoothed over a few seconds.
type speed struct {
	at    time.Time
	bytes int64
	rate  float64
}

func (s *speed) add(now time.Time, bytes int64) {
	if s.at.IsZero() {
		s.at, s.bytes = now, bytes
		return
	}
	d := now.Sub(s.at).Seconds()
	if d < 0.2 {
		return
	}
	rate := float64(bytes-s.bytes) / d
	if s.rate == 0 {
		s.rate = rate
	} else {
		weight := min(1, d/2)
		s.rate += weight * (rate - s.rate)
	}
	s.at, s.bytes = now, bytes
}

// NewView returns a View. json is nil for people.
func NewView(s *screen.Screen, json *events.Writer) *View {
	return &View{screen: s, json: json, running: make(map[string]*state)}
}

func call(s courier.Session) events.Call {
	return events.Call{SID: s.SID, Peer: s.Peer.String()}
}

// Happened shows an event of a transfer.
func (v *View) Happened(e courier.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := e.(type) {
	case courier.Waiting:
		v.line(events.Waiting{Peer: e.To.String(), Why: e.Why}, "%s; waiting for them", screen.Escape(e.Why))
	case courier.Offered:
		v.offered(e)
	case courier.Broken:
		v.drop(e.SID)
		v.line(events.Retrying{Call: call(e.Session), Err: e.Err}, "interrupted (%s); trying again", screen.Escape(e.Err.Error()))
	case courier.Happened:
		v.happened(e)
	}
}

// line shows an event to programs, or a line to people.
func (v *View) line(e events.Event, format string, args ...any) {
	if v.json != nil {
		v.json.Event(e) // the outlet keeps what goes wrong, and ends the program
		return
	}
	v.screen.Printf(format, args...)
}

func (v *View) offered(e courier.Offered) {
	s := &state{peer: who(e.Peer), what: what(e.Offer), total: e.Offer.Size, incoming: e.Incoming}
	v.running[e.SID] = s
	o := events.Offered{
		Call: call(e.Session), Incoming: e.Incoming, Names: e.Offer.Names, Files: e.Offer.Files, Folders: e.Offer.Folders,
		Bytes: e.Offer.Size, Contact: e.Known || !e.Incoming, Resumed: e.Resumed,
	}
	switch {
	case e.Incoming && e.Resumed:
		v.line(o, "%s goes on sending %s", s.peer, describe(e.Offer))
	case e.Incoming && !e.Known:
		v.line(o, "%s (not a contact) offers %s", s.peer, describe(e.Offer))
	case e.Incoming:
		v.line(o, "%s offers %s", s.peer, describe(e.Offer))
	default:
		v.line(o, "offering %s to %s", describe(e.Offer), s.peer)
	}
	v.draw(true)
}

func (v *View) happened(e courier.Happened) {
	s := v.running[e.SID]
	if s == nil {
		return
	}
	id := call(e.Session)
	switch what := e.What.(type) {
	case ft.Accepted:
		v.line(events.Accepted{Call: id}, "accepted")
	case ft.Carrying:
		i := what.Stream
		s.carrying, s.how = true, how(i)
		v.line(events.Transport{Call: id, Kind: i.Kind, Local: i.Local, Remote: i.Remote, Relayed: i.Relayed},
			"%s %s", direction(s.incoming), s.how)
	case ft.Failing:
		v.line(events.Switching{Call: id, Kind: what.Kind, Err: what.Err}, "that way does not work (%s); trying another", screen.Escape(what.Err.Error()))
	case ft.Progressing:
		v.progress(id, s, what.Progress)
	}
}

func direction(incoming bool) string {
	if incoming {
		return "receiving"
	}
	return "sending"
}

// how says in words which way the bytes go.
func how(i ft.StreamInfo) string {
	switch {
	case i.Kind == "ibb":
		return "through the XMPP server (ibb)"
	case i.Kind == "s5b" && i.Relayed:
		return "through a proxy of the server, not encrypted (s5b)"
	case i.Kind == "s5b":
		return "directly, not encrypted (s5b)"
	case i.Relayed:
		return "through a relay (" + i.Kind + ")"
	}
	return "directly (" + i.Kind + ")"
}

func (v *View) progress(id events.Call, s *state, p exchange.Progress) {
	now := time.Now()
	s.bytes, s.total, s.kept = p.Bytes, p.Total, p.Kept
	s.file, s.percent = p.File, -1
	if p.FileSize > 0 {
		s.percent = int(100 * p.FileBytes / p.FileSize)
	}
	s.speed.add(now, p.Bytes)
	every := lineEvery
	if v.json != nil {
		every = jsonEvery
	}
	if v.json != nil || !v.screen.Live() {
		if s.told.IsZero() {
			s.told = now // the first line tells something only after a while
			if v.json == nil {
				return
			}
		} else if now.Sub(s.told) < every {
			return
		}
		s.told = now
		v.line(events.Progress{Call: id, Bytes: p.Bytes, Total: p.Total}, "%s", figures(s))
		return
	}
	v.draw(false)
}

// figures is how far a transfer is, in a line that stays.
func figures(s *state) string {
	if s.total <= 0 {
		return fmt.Sprintf("%s, %s/s", screen.Bytes(s.bytes), screen.Bytes(int64(s.speed.rate)))
	}
	line := fmt.Sprintf("%d%%, %s of %s, %s/s", 100*s.bytes/s.total, screen.Bytes(s.bytes), screen.Bytes(s.total), screen.Bytes(int64(s.speed.rate)))
	if s.speed.rate > 0 {
		line += ", " + screen.Clock(time.Duration(float64(s.total-s.bytes)/s.speed.rate*float64(time.Second))) + " left"
	}
	return line
}

// draw draws the live line of all that runs; at once, or when it is time.
func (v *View) draw(now bool) {
	if v.json != nil || !v.screen.Live() || !now && time.Since(v.shown) < barEvery {
		return
	}
	v.shown = time.Now()
	if len(v.running) == 0 {
		v.screen.Clear()
		return
	}
	var b screen.Bar
	carrying := 0
	for _, s := range v.running {
		b.What, b.How = s.what, s.how
		b.Bytes, b.Total, b.Speed = b.Bytes+s.bytes, b.Total+max(0, s.total), b.Speed+s.speed.rate
		if s.file != "" && s.file != s.what {
			b.File, b.FilePercent = path.Base(s.file), s.percent // the line is short
		}
		if s.carrying {
			carrying++
		}
	}
	if len(v.running) > 1 {
		b.What, b.How, b.File = fmt.Sprintf("%d transfers", len(v.running)), "", ""
	}
	if carrying == 0 {
		b.State = "offered"
	}
	v.screen.ShowBar(b)
}

func (v *View) drop(sid string) {
	delete(v.running, sid)
	v.draw(true)
}

// Done shows the end of a transfer that went well, perhaps but for some files.
func (v *View) Done(d *courier.Done, incoming bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.running[d.SID]
	v.drop(d.SID)
	if s == nil {
		s = &state{peer: who(d.Peer), what: what(d.Offer)}
	}
	e := events.Sent{
		Call: call(d.Session), Incoming: incoming, Bytes: d.Bytes, Seconds: d.Seconds, Transport: d.Transport,
		Verified: d.Verified, Resent: d.Resent, Kept: d.Kept, Wire: d.Wire, Files: len(d.Files), Paths: d.Paths,
	}
	if len(d.Files) == 1 && d.Files[0].SHA256 != nil {
		e.SHA256 = hex.EncodeToString(d.Files[0].SHA256)
	}
	for _, f := range d.Failed() {
		e.Failed = append(e.Failed, f.Path)
	}
	nothing := len(e.Failed) > 0 && len(e.Failed) == len(d.Files) // came over, so nothing is verified either
	e.Verified = e.Verified && !nothing
	line := fmt.Sprintf("sent %s to %s", screen.Bytes(d.Bytes), s.peer)
	if incoming {
		line = fmt.Sprintf("received %s from %s", screen.Bytes(d.Bytes), s.peer)
	}
	if d.Wire > 0 && d.Seconds > 0 {
		line += fmt.Sprintf(" in %s (%s/s)", seconds(d.Seconds), screen.Bytes(int64(float64(d.Wire)/d.Seconds)))
	}
	if d.Kept > 0 {
		line += fmt.Sprintf(", %s of it before", screen.Bytes(d.Kept))
	}
	switch {
	case nothing:
	case d.Verified:
		line += ", verified"
	default:
		line += ", not verified by the sender"
	}
	if len(d.Paths) > 0 {
		line += ": " + screen.Escape(strings.Join(d.Paths, ", "))
	}
	v.line(e, "%s", line)
}

// Failed shows the end of a transfer to us that went wrong.
func (v *View) Failed(s courier.Session, err error) {
	t := v.ended(s, trouble.Describe(err).Incoming())
	v.screen.Error(fmt.Sprintf("%s: %s", who(s.Peer), t.Message), t.Hint)
}

// Ended takes a transfer that went wrong off the live line and tells it to
// programs; somebody else tells it to people.
func (v *View) Ended(s courier.Session, err error) { v.ended(s, trouble.Describe(err)) }

func (v *View) ended(s courier.Session, t trouble.Trouble) trouble.Trouble {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(s.SID)
	if v.json != nil {
		v.line(events.Failed{Call: call(s), Code: t.Code, Message: t.Message, Hint: t.Hint}, "")
	}
	return t
}

// Declined shows that an offer was not taken by us: to programs as the error
// that the sender gets, so that each offered has an end.
func (v *View) Declined(s courier.Session, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(s.SID)
	v.line(events.Failed{Call: call(s), Code: "declined", Message: why}, "%s", screen.Escape(why))
}

// Over takes a transfer off the live line.
func (v *View) Over(sid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(sid)
}

func seconds(s float64) string {
	if s < 60 {
		return fmt.Sprintf("%.1f s", s)
	}
	return screen.Clock(time.Duration(s * float64(time.Second)))
}

// who leaves the name of a device out: people send to people.
func who(j jid.JID) string { return screen.Escape(j.Bare().String()) }

// what names an offer in a few words.
func what(o ft.Offer) string {
	switch {
	case len(o.Names) == 1:
		return o.Names[0]
	case o.Folders > 0 && o.Files == 0:
		return fmt.Sprintf("%d folders", o.Folders)
	}
	return fmt.Sprintf("%d files", o.Files)
}

// describe says what an offer is: plan.pdf (1.2 MB), photos (1204 files, 5.4 GB).
func describe(o ft.Offer) string {
	size := "size unknown"
	if o.Size >= 0 {
		size = screen.Bytes(o.Size)
	}
	if o.Folders > 0 || o.Files != 1 {
		files := fmt.Sprintf("%d files", o.Files)
		if o.Files == 1 {
			files = "1 file"
		}
		size = files + ", " + size
	}
	names := o.Names
	rest := ""
	if len(names) > 3 {
		names, rest = names[:3], ", ..."
	}
	return fmt.Sprintf("%s%s (%s)", screen.Escape(strings.Join(names, ", ")), rest, size)
}
