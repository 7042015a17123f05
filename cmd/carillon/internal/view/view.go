// Package view shows the events of calls: to programs as JSON, to people as
// lines that stay and one live line.
package view

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// A View shows events. Show may be called from several goroutines.
type View struct {
	screen *screen.Screen
	json   *events.Writer // nil for people
	stats  bool           // the user wants figures
	keys   bool           // the user can type
	video  bool           // calls may have pictures

	mu     sync.Mutex
	status screen.Status
	loss   float64 // smoothed, because a quarter of a second has few packets
	active bool    // a call is on the live line
	sid    string  // of that call
	second int     // of the call, for which figures were shown last
}

// A Config says how events are shown.
type Config struct {
	Screen *screen.Screen
	JSON   *events.Writer // nil for people
	Stats  bool           // show figures every second
	Keys   bool           // keys are read, so say which
	Video  bool           // calls may have pictures
}

// New returns a View.
func New(cfg Config) *View {
	return &View{screen: cfg.Screen, json: cfg.JSON, stats: cfg.Stats, keys: cfg.Keys, video: cfg.Video}
}

// Keys of a running call, and of one that rings, as the live line names them.
const (
	callKeys = "[m]ute [h]old [0-9*#] [q]uit"
	seeKeys  = "[m]ute [h]old [v]ideo [0-9*#] [q]uit"
	ringKeys = "[a]nswer [d]ecline"
)

// Show shows one event.
func (v *View) Show(e events.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json != nil {
		switch e.(type) {
		case events.Stats, events.Video:
			if !v.stats {
				return
			}
		}
		_ = v.json.Event(e) // what stdout is written through ends the program
		if _, ok := e.(events.Error); !ok {
			return
		}
	}
	v.people(e)
}

func (v *View) people(e events.Event) {
	p := v.screen.Printf
	switch e := e.(type) {
	case events.Online:
		if e.Resumed {
			p("online again")
		} else {
			p("online as %s", screen.Escape(e.JID))
		}
	case events.Offline:
		v.screen.Warn("connection to the server lost, reconnecting: %s", screen.Escape(fmt.Sprint(e.Err)))
	case events.Asked:
		p("%s asks to see when you are online; \"carillon contacts add %s\" agrees", who(e.Peer), who(e.Peer))
	case events.Calling:
		p("calling %s", who(e.Peer))
		v.begin(e.Call, "calling")
	case events.Incoming:
		v.screen.Bell()
		p("%s calls%s", who(e.Peer), stranger(e))
	case events.Next:
		state := "rings here"
		if e.More > 0 {
			state = fmt.Sprintf("rings here (%d more)", e.More)
		}
		v.begin(e.Call, state)
		v.status.Keys = v.help(ringKeys)
	case events.Ringing:
		p("ringing")
		v.status.State = "ringing"
	case events.Accepted:
		p("accepted")
		v.status.State, v.status.Keys = "connecting", v.help(v.callKeys())
	case events.Connected:
		p("connected %s in %d ms%s", path(e.Local, e.Remote), e.MSSinceAccept, check(e.Verification))
		v.status.State, v.status.Timed = "connected", true
	case events.FirstAudio:
		p("first sound after %d ms", e.MSSinceAccept)
	case events.Reconnecting:
		v.screen.Warn("%s; looking for another path", screen.Escape(e.Cause))
		v.status.State = "reconnecting"
	case events.Stats:
		v.figures(e)
	case events.FirstFrame:
		p("first picture, %dx%d, after %d ms", e.Width, e.Height, e.MSSinceAccept)
	case events.Shown:
		p("%s", whoDid(e.Remote, e.On, "showing video", "showing video no more"))
	case events.Video:
		if v.stats && !v.screen.Live() {
			p("video  %s %dx%d %.0f/s in  %s %dx%d %.0f/s out  %d freezes  %d/%d kbit/s of %d",
				e.CodecIn, e.Width, e.Height, e.FPS, e.CodecOut, e.WidthOut, e.HeightOut, e.FPSOut, e.Freezes,
				e.BitrateIn/1000, e.BitrateOut/1000, e.Target/1000)
		}
	case events.Muted:
		p("%s", whoDid(e.Remote, e.On, "muted", "not muted any more"))
		if e.Remote {
			v.status.TheyMut = e.On
		} else {
			v.status.Muted = e.On
		}
	case events.Held:
		p("%s", whoDid(e.Remote, e.On, "holding the call", "back"))
		if e.Remote {
			v.status.TheyHld = e.On
		} else {
			v.status.Held = e.On
		}
	case events.Digit:
		p("they pressed %c", e.Key)
	case events.Ended:
		if v.active && e.SID != v.sid { // one that rang besides
			p("%s: %s", who(e.Peer), ended(e))
			break
		}
		v.active = false
		v.screen.Clear()
		p("%s", ended(e))
		if e.Recording != "" {
			p("what they said is in %s", screen.Escape(e.Recording))
		}
		return
	case events.Error:
		v.screen.Error(e.Message, e.Hint)
	}
	v.draw()
}

func (v *View) begin(call events.Call, state string) {
	v.active, v.sid = true, call.SID
	v.loss, v.second = 0, 0
	v.status = screen.Status{Peer: who(call.Peer), State: state, Keys: v.help(v.callKeys())}
}

func (v *View) callKeys() string {
	if v.video {
		return seeKeys
	}
	return callKeys
}

func (v *View) help(keys string) string {
	if v.keys {
		return keys
	}
	return ""
}

func (v *View) draw() {
	if v.active {
		v.screen.Show(v.status)
	}
}

// figures takes the state of a call to the live line, or to a line of its own
// when the user wants figures.
func (v *View) figures(s events.Stats) {
	v.loss += 0.2 * (s.LossIn - v.loss)
	delay := s.DelayMS + s.RTTms/2
	v.status.Time = time.Duration(s.Seconds * float64(time.Second))
	v.status.Levels, v.status.Mic, v.status.Ear = true, s.LevelOut, s.LevelIn
	v.status.Network, v.status.Loss = true, v.loss
	v.status.Delay = time.Duration(delay * float64(time.Millisecond))
	if v.stats && (!v.screen.Live() || int(s.Seconds) != v.second) {
		v.second = int(s.Seconds) // the live line is drawn more often
		v.screen.Printf("%s  %s %s  mic %.0f dB  ear %.0f dB  loss %.1f%% in %.1f%% out  delay %.0f ms  jitter %.1f ms  %d/%d kbit/s",
			screen.Clock(v.status.Time), s.Codec, path(s.Local, s.Remote), s.LevelOut, s.LevelIn,
			s.LossIn*100, s.LossOut*100, delay, s.JitterMS, s.BitrateIn/1000, s.BitrateOut/1000)
	}
}

// who leaves the name of a device out: people call people.
func who(peer string) string {
	if j, err := jid.Parse(peer); err == nil {
		return screen.Escape(j.Bare().String())
	}
	return screen.Escape(peer)
}

func stranger(e events.Incoming) string {
	if e.Contact {
		return ""
	}
	return " (not a contact)"
}

func whoDid(remote, on bool, doing, undone string) string {
	subject := "you are "
	if remote {
		subject = "they are "
	}
	if on {
		return subject + doing
	}
	return subject + undone
}

// path says in words which way the sound goes.
func path(local, remote string) string {
	switch {
	case local == "relay" || remote == "relay":
		return "through a relay"
	case local == "" || remote == "":
		return ""
	case local == "srflx" || remote == "srflx":
		return "directly, through NAT"
	}
	// A peer-reflexive candidate may be an address that was not told yet.
	return "directly"
}

func check(verification string) string {
	if verification == "" {
		return ""
	}
	return "; both of you see " + screen.Escape(verification)
}

func ended(e events.Ended) string {
	length := screen.Clock(time.Duration(e.Seconds * float64(time.Second)))
	end := "ended"
	if e.By == events.Peer {
		end = "ended by them"
	}
	why := ": " + words(e.Reason)
	if e.Reason == "success" || e.Reason == "cancel" { // somebody hung up
		why = ""
	}
	switch {
	case e.Seconds > 0:
		return fmt.Sprintf("%s after %s%s", end, length, why)
	case e.Outcome == "answered":
		return fmt.Sprintf("%s before sound could flow%s", end, why)
	}
	switch signaling.Outcome(e.Outcome) {
	case signaling.NoAnswer:
		return "nobody answered"
	case signaling.Retracted:
		return "taken back"
	case "":
		return "over"
	}
	return words(e.Outcome)
}

// words turns "connectivity-error" into what a person may read.
func words(reason string) string { return strings.ReplaceAll(screen.Escape(reason), "-", " ") }
