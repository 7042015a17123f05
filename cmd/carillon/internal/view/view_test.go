package view

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/google/go-cmp/cmp"
)

func newScreen(out *bytes.Buffer) *screen.Screen {
	return screen.New(screen.Config{Out: out, Err: out, In: strings.NewReader(""), Getenv: func(string) string { return "" }})
}

func TestLinesOfACall(t *testing.T) {
	var out bytes.Buffer
	v := New(Config{Screen: newScreen(&out), Stats: true})
	c := events.Call{SID: "s", Peer: "bob@example.org/phone"}
	for _, e := range []events.Event{
		events.Online{JID: "alice@example.org/x"},
		events.Calling{Call: c},
		events.Ringing{Call: c},
		events.Accepted{Call: c},
		events.Connected{Call: c, Local: "host", Remote: "relay", MSSinceAccept: 41, Verification: "1234 5678"},
		events.FirstAudio{Call: c, MSSinceAccept: 60},
		events.Stats{Call: c, Seconds: 61, Codec: "opus", Local: "host", Remote: "host", LevelIn: -20, LevelOut: -30.4, LossIn: 0.01, DelayMS: 40, RTTms: 20, BitrateIn: 32000, BitrateOut: 24000},
		events.Muted{Call: c, On: true},
		events.Muted{Call: c, On: true, Remote: true},
		events.Held{Call: c, On: true, Remote: true},
		events.Held{Call: c, Remote: true},
		events.Digit{Call: c, Key: '#'},
		events.Offline{Err: errors.New("cable\npulled")},
		events.Online{JID: "alice@example.org/x", Resumed: true},
		events.Reconnecting{Call: c, Cause: "the network changed"},
		events.Ended{Call: c, Reason: "success", Outcome: "answered", By: events.Peer, Seconds: 62.3},
	} {
		v.Show(e)
	}
	want := `online as alice@example.org/x
calling bob@example.org
ringing
accepted
connected through a relay in 41 ms; both of you see 1234 5678
first sound after 60 ms
1:01  opus directly  mic -30 dB  ear -20 dB  loss 1.0% in 0.0% out  delay 50 ms  jitter 0.0 ms  32/24 kbit/s
you are muted
they are muted
they are holding the call
they are back
they pressed #
carillon: warning: connection to the server lost, reconnecting: cable\npulled
online again
carillon: warning: the network changed; looking for another path
ended by them after 1:02
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("lines differ (-want +got):\n%s", d)
	}
}

func TestHowCallsEnd(t *testing.T) {
	for _, tt := range []struct {
		e    events.Ended
		want string
	}{
		{events.Ended{Reason: "connectivity-error", Outcome: "answered", Seconds: 5}, "ended after 0:05: connectivity error"},
		{events.Ended{Reason: "success", Outcome: "answered"}, "ended before sound could flow"},
		{events.Ended{Reason: "success", Outcome: "answered", By: "peer", Seconds: 0.001}, "ended by them after 0:00"},
		{events.Ended{Reason: "connectivity-error", Outcome: "answered"}, "ended before sound could flow: connectivity error"},
		{events.Ended{Reason: "decline", Outcome: "declined", By: events.Peer}, "declined"},
		{events.Ended{Reason: "timeout", Outcome: "no answer"}, "nobody answered"},
		{events.Ended{Reason: "cancel", Outcome: "retracted"}, "taken back"},
		{events.Ended{Outcome: "answered elsewhere"}, "answered elsewhere"},
		{events.Ended{}, "over"},
	} {
		if got := ended(tt.e); got != tt.want {
			t.Errorf("ended(%+v) = %q, want %q", tt.e, got, tt.want)
		}
	}
}

func TestNamesOfStrangersAreHarmless(t *testing.T) {
	var out bytes.Buffer
	v := New(Config{Screen: newScreen(&out)})
	v.Show(events.Incoming{Call: events.Call{Peer: "mallory\x1b[2J@example.org/x"}})
	if got, want := out.String(), `mallory\x1b[2J@example.org/x calls (not a contact)`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgramsGetStatsOnlyWhenAsked(t *testing.T) {
	for _, stats := range []bool{false, true} {
		var people, programs bytes.Buffer
		v := New(Config{Screen: newScreen(&people), JSON: events.NewWriter(&programs, time.Now), Stats: stats})
		v.Show(events.Stats{})
		v.Show(events.Calling{})
		v.Show(events.Ringing{})
		if people.Len() != 0 {
			t.Errorf("people were told %q", &people)
		}
		if got, want := strings.Count(programs.String(), "\n"), 1; stats && got != want+1 || !stats && got != want {
			t.Errorf("with stats %v: %d lines:\n%s", stats, got, &programs)
		}
	}
}

func TestWaysInWords(t *testing.T) {
	for _, tt := range []struct{ local, remote, want string }{
		{"host", "host", "directly"}, {"host", "prflx", "directly"}, {"prflx", "host", "directly"},
		{"srflx", "prflx", "directly, through NAT"}, {"relay", "srflx", "through a relay"}, {"", "host", ""},
	} {
		if got := path(tt.local, tt.remote); got != tt.want {
			t.Errorf("path(%s, %s) = %q, want %q", tt.local, tt.remote, got, tt.want)
		}
	}
}

// Of several calls that ring, one is on the live line, and the end of another
// leaves it there.
func TestAnotherCallEndsBesides(t *testing.T) {
	var out bytes.Buffer
	v := New(Config{Screen: newScreen(&out)})
	first, second := events.Call{SID: "1", Peer: "alice@example.org/x"}, events.Call{SID: "2", Peer: "carol@example.org/x"}
	v.Show(events.Incoming{Call: first, Contact: true})
	v.Show(events.Next{Call: first})
	v.Show(events.Incoming{Call: second})
	v.Show(events.Next{Call: first, More: 1})
	v.Show(events.Ended{Call: second, Outcome: "missed"})
	if !v.active || v.status.Peer != "alice@example.org" || v.status.State != "rings here (1 more)" {
		t.Errorf("on the live line: %v %+v", v.active, v.status)
	}
	if want := "alice@example.org calls\ncarol@example.org calls (not a contact)\ncarol@example.org: missed\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
