package jingle_test

import (
	"bytes"
	"encoding/xml"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

func captureFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/captures/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	return files
}

func decode(t testing.TB, data []byte) *jingle.Jingle {
	t.Helper()
	j, err := jingletest.Registry().Decode(xml.NewDecoder(bytes.NewReader(data)))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return j
}

// written is how we write what a client sent that leaves out the network of its
// candidates, which is optional to read and always written.
func written(el []byte) []byte {
	return bytes.ReplaceAll(el, []byte(`port="9"`), []byte(`network="0" port="9"`))
}

// What real clients sent means the same after we read it and wrote it again.
func TestCapturesSurviveARoundTrip(t *testing.T) {
	for _, file := range captureFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, c := range jingletest.Captures(t, file) {
				el := c.Child(jingle.NS, "jingle")
				if el == nil {
					continue
				}
				j := decode(t, el)
				data, err := xml.Marshal(j)
				if err != nil {
					t.Fatal(err)
				}
				jingletest.EqualXML(t, data, written(el))
				if diff := cmp.Diff(j, decode(t, data)); diff != "" {
					t.Errorf("%s: value differs after a round trip (-want +got):\n%s", j.Action, diff)
				}
			}
		})
	}
}

// play feeds one side's stanzas of a capture to our engine and makes it do what
// the other side, which it stands for, did.
func play(t *testing.T, file string, role jingle.Role) (sent, heard int) {
	var s *jingle.Session
	var initiator string
	var pending []jingle.Send // ours, in order, not yet compared
	var inflight []jingle.ActionID
	take := func(effects []jingle.Effect, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range effects {
			if e, ok := e.(jingle.Send); ok {
				pending = append(pending, e)
			}
		}
	}
	for _, c := range jingletest.Captures(t, file) {
		el := c.Child(jingle.NS, "jingle")
		if el == nil || c.Kind != "iq" {
			continue
		}
		j := decode(t, el)
		if s == nil {
			if j.Action != jingle.ActionSessionInitiate {
				t.Fatalf("capture begins with %s", j.Action)
			}
			initiator = c.From
			s = jingle.NewSession(jingle.Config{SID: j.SID, Role: role})
		}
		if (c.From == initiator) != (role == jingle.Initiator) {
			// The peer's: ours in flight are acknowledged, it must be taken.
			for _, id := range inflight {
				take(s.Sent(id, nil), nil)
			}
			inflight = nil
			heard++
			reply, effects := s.Receive(j)
			if reply.Err != nil {
				t.Errorf("%s of the peer: %v", j.Action, reply.Err)
			}
			take(effects, nil)
			continue
		}
		sent++
		switch j.Action {
		case jingle.ActionSessionInitiate:
			take(s.Initiate(j))
			take(s.Sent(pending[0].ID, nil), nil)
		case jingle.ActionSessionAccept:
			take(s.Accept(j))
		case jingle.ActionSessionTerminate:
			take(s.Terminate(*j.Reason), nil)
		case jingle.ActionSessionInfo:
			take(s.Info(j.Payloads[0]))
		case jingle.ActionTransportInfo:
			take(s.TransportInfo(j))
		case jingle.ActionContentAdd:
			take(s.AddContent(j))
		case jingle.ActionContentAccept:
			take(s.AcceptContent(j))
		case jingle.ActionContentModify:
			take(s.ModifyContent(j.Contents[0].Name, j.Contents[0].Senders))
		default:
			t.Fatalf("no way to play %s", j.Action)
		}
		if len(pending) == 0 {
			t.Fatalf("engine sent nothing for %s", j.Action)
		}
		got := pending[0]
		pending, inflight = pending[1:], append(inflight, got.ID)
		if got.Jingle.Action != j.Action {
			t.Fatalf("engine sent %s, capture has %s", got.Jingle.Action, j.Action)
		}
		// Dino adds "initiator" and leaves out "responder"; both are optional.
		one := *got.Jingle
		one.Initiator, one.Responder = j.Initiator, j.Responder
		data, err := xml.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		jingletest.EqualXML(t, data, written(el))
	}
	if s.State() != jingle.StateEnded {
		t.Errorf("session is %s after the capture, want ended", s.State())
	}
	return sent, heard
}

// Our engine, in the place of either side of a real call, takes what the other
// side sent and sends what this side did.
func TestEngineStandsInForEitherSideOfACapture(t *testing.T) {
	for _, file := range []string{
		"dino-audio-callee-ends", "dino-audio-mute", "dino-audio-then-video", "dino-audio-turn",
		"dino-video-cameras", "dino-video-no-camera", "dino-audio-omemo-verified",
		"dino-slix-direct-offer-no-jmi",
	} {
		for _, role := range []jingle.Role{jingle.Initiator, jingle.Responder} {
			t.Run(file+" as "+role.String(), func(t *testing.T) {
				sent, heard := play(t, filepath.Join("testdata/captures", file+".xml"), role)
				if sent == 0 || heard == 0 {
					t.Errorf("%d sent and %d heard, want some of both", sent, heard)
				}
			})
		}
	}
}
