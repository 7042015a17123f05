package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Every event for programs, as it is promised to them.
func TestEventsAsJSON(t *testing.T) {
	call := Call{SID: "s1", Peer: "bob@example.org/x"}
	for _, tt := range []struct {
		event Event
		want  string
	}{
		{Online{JID: "a@b/c"}, `{"event":"online","time":"T","jid":"a@b/c"}`},
		{Incoming{Call: call, Media: []string{"audio"}, Contact: true}, `{"event":"incoming","time":"T","sid":"s1","peer":"bob@example.org/x","media":["audio"],"contact":true}`},
		{Ringing{call}, `{"event":"ringing","time":"T","sid":"s1","peer":"bob@example.org/x"}`},
		{Accepted{call}, `{"event":"accepted","time":"T","sid":"s1","peer":"bob@example.org/x"}`},
		{Connected{Call: call, Local: "host", Remote: "relay", MSSinceAccept: 41}, `{"event":"connected","time":"T","sid":"s1","peer":"bob@example.org/x","local":"host","remote":"relay","ms_since_accept":41}`},
		{FirstAudio{Call: call, MSSinceAccept: 60}, `{"event":"first-audio","time":"T","sid":"s1","peer":"bob@example.org/x","ms_since_accept":60}`},
		{Ended{Call: call, Reason: "success", Outcome: "answered", By: Us, Seconds: 1.5}, `{"event":"ended","time":"T","sid":"s1","peer":"bob@example.org/x","reason":"success","outcome":"answered","by":"us","seconds":1.5}`},
		{Error{Code: "wrong-password", Message: "m"}, `{"event":"error","time":"T","code":"wrong-password","message":"m"}`},
		{Offered{Call: call, Names: []string{"a.txt"}, Files: 1, Bytes: 7, Contact: true}, `{"event":"offered","time":"T","sid":"s1","peer":"bob@example.org/x","incoming":false,"names":["a.txt"],"files":1,"folders":0,"bytes":7,"contact":true}`},
		{Transport{Call: call, Kind: "tcp", Local: "host", Remote: "host"}, `{"event":"transport","time":"T","sid":"s1","peer":"bob@example.org/x","kind":"tcp","local":"host","remote":"host","relayed":false}`},
		{Progress{Call: call, Bytes: 3, Total: 7}, `{"event":"progress","time":"T","sid":"s1","peer":"bob@example.org/x","bytes":3,"total":7}`},
		{Sent{Call: call, Bytes: 7, Seconds: 0.5, Transport: "tcp", SHA256: "00ff", Verified: true, Resent: 2, Kept: 1, Wire: 6, Files: 1}, `{"event":"done","time":"T","sid":"s1","peer":"bob@example.org/x","incoming":false,"bytes":7,"seconds":0.5,"transport":"tcp","sha256":"00ff","verified":true,"resent":2,"kept":1,"wire":6,"files":1}`},
		{Failed{Call: call, Code: "disk-full", Message: "m"}, `{"event":"error","time":"T","sid":"s1","peer":"bob@example.org/x","code":"disk-full","message":"m"}`},
		{Waiting{}, ""}, {Switching{Call: call}, ""}, {Retrying{Call: call}, ""},
		{Calling{call}, ""}, {Offline{}, ""}, {Reconnecting{Call: call}, ""}, {Muted{Call: call}, ""}, {Held{Call: call}, ""}, {Digit{Call: call}, ""},
	} {
		var out bytes.Buffer
		at := time.Date(2026, 11, 21, 10, 0, 0, 5e6, time.UTC)
		if err := NewWriter(&out, func() time.Time { return at }).Event(tt.event); err != nil {
			t.Fatal(err)
		}
		want := strings.Replace(tt.want, `"T"`, `"2026-11-21T10:00:00.005Z"`, 1)
		if want != "" {
			want += "\n"
		}
		if got := out.String(); got != want {
			t.Errorf("%T:\n got %s\nwant %s", tt.event, got, want)
		}
	}
}

func TestStatsHaveEveryField(t *testing.T) {
	var out bytes.Buffer
	if err := NewWriter(&out, time.Now).Event(Stats{Call: Call{"s", "p"}, Codec: "opus", Local: "host", Remote: "host"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"event", "time", "sid", "peer", "seconds", "codec", "local", "remote", "rtt_ms", "jitter_ms", "delay_ms",
		"loss_in", "loss_out", "concealed", "bitrate_in", "bitrate_out", "level_in", "level_out", "packets_in", "packets_out", "packets_lost"} {
		if _, ok := got[key]; !ok {
			t.Errorf("stats have no %q", key)
		}
	}
}

func TestObjectWithoutFields(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("", 3600))
	if err := NewWriter(&out, func() time.Time { return at }).Object("nothing", struct{}{}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `{"event":"nothing","time":"2026-11-21T10:00:00.000+01:00"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
