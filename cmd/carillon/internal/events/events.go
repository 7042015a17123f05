// Package events is what happens in a call, as plain values: programs read
// them as JSON, one object a line, and people as text (package screen).
//
//	{"event":"online","time":"2026-11-21T10:00:00.000Z","jid":"alice@example.org/x"}
//	{"event":"ringing","time":"...","sid":"...","peer":"bob@example.org"}
//	{"event":"connected","time":"...","sid":"...","peer":"bob@example.org/y","local":"host","remote":"host","ms_since_accept":41}
//	{"event":"ended","time":"...","sid":"...","peer":"...","reason":"success","seconds":12.3}
package events

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// An Event is something that happened. Those that are not for programs have
// an empty name.
type Event interface{ name() string }

// A Call says which call an event belongs to.
type Call struct {
	SID  string `json:"sid"`
	Peer string `json:"peer"`
}

// Online says that the account is logged in.
type Online struct {
	JID     string `json:"jid"`
	Resumed bool   `json:"resumed,omitempty"` // after a lost connection, without having missed anything
}

// Offline says that the connection is lost and being made anew.
type Offline struct{ Err error }

// Incoming says that somebody calls.
type Incoming struct {
	Call
	Media   []string `json:"media"`
	Contact bool     `json:"contact"` // whether the caller may see our presence
}

// Calling says that a call was begun and nobody has noticed yet.
type Calling struct{ Call }

// Ringing says that a device of the peer rings.
type Ringing struct{ Call }

// Accepted says that one side took the call.
type Accepted struct{ Call }

// Connected says that encrypted media can flow.
type Connected struct {
	Call
	Local         string `json:"local"`  // type of our candidate: host, srflx, prflx or relay
	Remote        string `json:"remote"` // type of theirs
	MSSinceAccept int64  `json:"ms_since_accept"`
	// Verification is the same on both sides unless somebody replaced the keys.
	Verification string `json:"verification,omitempty"`
}

// FirstAudio says that the first sound of the peer was heard.
type FirstAudio struct {
	Call
	MSSinceAccept int64 `json:"ms_since_accept"`
}

// Stats tell how the call is doing.
type Stats struct {
	Call
	Seconds    float64 `json:"seconds"` // since media flows
	Codec      string  `json:"codec,omitempty"`
	Local      string  `json:"local,omitempty"`
	Remote     string  `json:"remote,omitempty"`
	RTTms      float64 `json:"rtt_ms"`
	JitterMS   float64 `json:"jitter_ms"`
	DelayMS    float64 `json:"delay_ms"` // of the jitter buffer
	LossIn     float64 `json:"loss_in"`  // share of packets, 0 to 1
	LossOut    float64 `json:"loss_out"`
	Concealed  float64 `json:"concealed"`
	BitrateIn  int64   `json:"bitrate_in"` // bit/s
	BitrateOut int64   `json:"bitrate_out"`
	LevelIn    float64 `json:"level_in"` // dBFS
	LevelOut   float64 `json:"level_out"`
	PacketsIn  uint64  `json:"packets_in"`
	PacketsOut uint64  `json:"packets_out"`
	Lost       uint64  `json:"packets_lost"`
}

// FirstFrame says that the first picture of the peer was shown, or the first
// after a while without.
type FirstFrame struct {
	Call
	MSSinceAccept int64 `json:"ms_since_accept"`
	Width         int   `json:"width"`
	Height        int   `json:"height"`
}

// Shown says that one side begins to show something, or stops.
type Shown struct {
	Call
	On     bool `json:"on"`
	Remote bool `json:"remote"`
}

// Video tells how the picture is doing, with Stats.
type Video struct {
	Call
	CodecIn    string  `json:"codec_in,omitempty"`
	CodecOut   string  `json:"codec_out,omitempty"`
	Width      int     `json:"width"` // of what we see
	Height     int     `json:"height"`
	FPS        float64 `json:"fps"`
	WidthOut   int     `json:"width_out"`
	HeightOut  int     `json:"height_out"`
	FPSOut     float64 `json:"fps_out"`
	Frames     uint64  `json:"frames"`
	FramesOut  uint64  `json:"frames_out"`
	Freezes    uint64  `json:"freezes"`
	FrozenMS   int64   `json:"frozen_ms"`
	BitrateIn  int64   `json:"bitrate_in"` // bit/s
	BitrateOut int64   `json:"bitrate_out"`
	Target     int64   `json:"target"`  // what the path takes
	LossIn     float64 `json:"loss_in"` // share of packets, 0 to 1
	LossOut    float64 `json:"loss_out"`
	Resent     uint64  `json:"resent"`
	Recovered  uint64  `json:"recovered"`
}

// Ended says that the call is over.
type Ended struct {
	Call
	Reason  string  `json:"reason"`  // a Jingle reason, or how the call went when there was no session
	Outcome string  `json:"outcome"` // "answered", "declined", "busy", "no answer", "missed", ...
	By      string  `json:"by"`      // who ended it: "us" or "peer"
	Seconds float64 `json:"seconds"` // media could flow for so long
	Text    string  `json:"text,omitempty"`
	// Recording is the file that what they said was kept in.
	Recording string `json:"recording,omitempty"`
}

// The sides that may end a call.
const (
	Us   = "us"
	Peer = "peer"
)

// Error says why the program fails, or what failed in a call.
type Error struct {
	*Call          // nil when it is not about a call
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// These are for people only.
type (
	// Reconnecting says that the path of the media is lost.
	Reconnecting struct {
		Call
		Cause string
	}
	// Muted and Held say what either side did.
	Muted struct {
		Call
		On     bool
		Remote bool
	}
	Held struct {
		Call
		On     bool
		Remote bool
	}
	// Next says which of the calls that ring is answered next.
	Next struct {
		Call
		More int // how many others ring
	}
	// Asked says that somebody wants to see when we are online.
	Asked struct{ Peer string }
	// Digit is a key the peer pressed.
	Digit struct {
		Call
		Key rune
	}
)

func (Online) name() string       { return "online" }
func (Incoming) name() string     { return "incoming" }
func (Ringing) name() string      { return "ringing" }
func (Accepted) name() string     { return "accepted" }
func (Connected) name() string    { return "connected" }
func (FirstAudio) name() string   { return "first-audio" }
func (Stats) name() string        { return "stats" }
func (FirstFrame) name() string   { return "first-frame" }
func (Shown) name() string        { return "video-shown" }
func (Video) name() string        { return "video" }
func (Ended) name() string        { return "ended" }
func (Error) name() string        { return "error" }
func (Offline) name() string      { return "" }
func (Calling) name() string      { return "" }
func (Reconnecting) name() string { return "" }
func (Muted) name() string        { return "" }
func (Held) name() string         { return "" }
func (Digit) name() string        { return "" }
func (Asked) name() string        { return "" }
func (Next) name() string         { return "" }

// A Writer writes events for programs.
type Writer struct {
	now func() time.Time

	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w. now is [time.Now] outside of tests.
func NewWriter(w io.Writer, now func() time.Time) *Writer { return &Writer{now: now, w: w} }

// Event writes e unless it is for people only.
func (w *Writer) Event(e Event) error {
	if e.name() == "" {
		return nil
	}
	return w.Object(e.name(), e)
}

// Object writes any struct as an event of the given name, for commands that
// list things.
func (w *Writer) Object(name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write event %s: %w", name, err)
	}
	head, err := json.Marshal(struct {
		Event string `json:"event"`
		Time  string `json:"time"`
	}{name, w.now().Format("2006-01-02T15:04:05.000Z07:00")})
	if err != nil {
		return fmt.Errorf("write event %s: %w", name, err)
	}
	line := head
	if len(body) > 2 { // more than {}
		line = append(append(head[:len(head)-1], ','), body[1:]...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.w.Write(append(line, '\n'))
	return err
}
