package jingle_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

var update = flag.Bool("update", false, "record golden files anew")

var (
	states = []jingle.State{jingle.StateCreated, jingle.StatePending, jingle.StateActive, jingle.StateEnded}
	roles  = []jingle.Role{jingle.Initiator, jingle.Responder}
)

// The table of what may happen is small enough to be read whole.
func TestTableOfActions(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "What an initiator (I) and a responder (R) may do in each state. Lower case: taken\nfrom a peer, but not sent by us.\n\n%-20s", "")
	for _, s := range states {
		fmt.Fprintf(&b, " %-8s", s)
	}
	b.WriteByte('\n')
	for _, a := range jingle.Actions {
		fmt.Fprintf(&b, "%-20s", a)
		for _, s := range states {
			cell := ""
			for _, r := range roles {
				letter := strings.ToUpper(r.String()[:1])
				switch sent, taken := jingle.Allowed(s, r, a); {
				case sent:
					cell += letter
				case taken:
					cell += strings.ToLower(letter)
				default:
					cell += "-"
				}
			}
			fmt.Fprintf(&b, " %-8s", cell)
		}
		b.WriteByte('\n')
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	jingletest.Golden(t, "testdata/allowed.txt", []byte(strings.Join(lines, "\n")), *update)
}

// in returns a session of this role in this state, with the contents audio and
// video. Both sides have an offer and a transport-replace open where that is
// possible, so that every answer finds its question.
func in(t *testing.T, state jingle.State, role jingle.Role) *jingle.Session {
	t.Helper()
	s := jingle.NewSession(jingle.Config{
		SID: "s", Role: role, Local: jingletest.InitiatorJID, Peer: jingletest.ResponderJID,
	})
	must := func(effects []jingle.Effect, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range effects {
			if e, ok := e.(jingle.Send); ok {
				s.Sent(e.ID, nil)
			}
		}
	}
	hear := func(a jingle.Action, names ...string) {
		t.Helper()
		j := jingletest.Contents(names...)
		j.Action, j.SID = a, "s"
		if reply, _ := s.Receive(j); reply.Err != nil {
			t.Fatalf("%s: %v", a, reply.Err)
		}
	}
	if state == jingle.StateCreated {
		return s
	}
	if role == jingle.Initiator {
		must(s.Initiate(jingletest.Contents("audio", "video")))
	} else {
		hear(jingle.ActionSessionInitiate, "audio", "video")
	}
	if state == jingle.StatePending {
		return s
	}
	if role == jingle.Initiator {
		hear(jingle.ActionSessionAccept, "audio", "video")
	} else {
		must(s.Accept(jingletest.Contents("audio", "video")))
	}
	must(s.AddContent(jingletest.Contents("mine")))
	hear(jingle.ActionContentAdd, "video-theirs")
	must(s.ReplaceTransport(jingletest.Contents("audio")))
	hear(jingle.ActionTransportReplace, "video")
	if state == jingle.StateEnded {
		must(s.Terminate(jingle.Reason{}), nil)
	}
	return s
}

// element returns a well-formed action of the peer for the session that in makes.
func element(state jingle.State, a jingle.Action) *jingle.Jingle {
	names := []string{"audio"}
	switch a {
	case jingle.ActionSessionInitiate, jingle.ActionSessionAccept:
		names = []string{"audio", "video"}
	case jingle.ActionContentAdd:
		names = []string{"video-new"}
	case jingle.ActionContentAccept, jingle.ActionContentReject:
		if state == jingle.StateActive {
			names = []string{"mine"}
		}
	}
	j := jingletest.Contents(names...)
	j.Action, j.SID = a, "s"
	return j
}

// Every state, action and role: what the table forbids is out of order and
// changes nothing; nothing else is refused for being out of order.
func TestReceiveFollowsTheTable(t *testing.T) {
	for _, state := range states {
		for _, role := range roles {
			for _, a := range jingle.Actions {
				t.Run(fmt.Sprintf("%s %s %s", state, role, a), func(t *testing.T) {
					s := in(t, state, role)
					_, taken := jingle.Allowed(state, role.Peer(), a)
					reply, effects := s.Receive(element(state, a))
					want := jingle.OutOfOrder
					if state == jingle.StateEnded {
						want = jingle.UnknownSession
					}
					if !taken {
						if reply.Err == nil || reply.Err.Condition != want {
							t.Errorf("reply = %v, want %s", reply.Err, want)
						}
						if len(effects) != 0 || s.State() != state {
							t.Errorf("refused, yet %d effects and now %s", len(effects), s.State())
						}
						return
					}
					// In a pending session nothing of ours waits for an answer,
					// except that the initiator's contents may be refused.
					question := state == jingle.StateActive ||
						a == jingle.ActionContentReject && role == jingle.Initiator
					switch a {
					case jingle.ActionContentAccept, jingle.ActionContentReject,
						jingle.ActionTransportAccept, jingle.ActionTransportReject:
						if !question {
							if reply.Err == nil || reply.Err.Condition != jingle.OutOfOrder {
								t.Errorf("answer without question: reply = %v, want %s", reply.Err, jingle.OutOfOrder)
							}
							return
						}
					case jingle.ActionSecurityInfo:
						if reply.Err == nil || reply.Err.Stanza.Condition != stanza.FeatureNotImplemented {
							t.Errorf("reply = %v, want feature-not-implemented", reply.Err)
						}
						return
					case jingle.ActionTransportReplace:
						if state == jingle.StateActive && role == jingle.Initiator {
							if reply.Err == nil || reply.Err.Condition != jingle.TieBreak {
								t.Errorf("reply = %v, want %s", reply.Err, jingle.TieBreak)
							}
							return
						}
					}
					if reply.Err != nil {
						t.Errorf("reply = %v, want none", reply.Err)
					}
				})
			}
		}
	}
}

// Every state, action and role: our methods obey the table.
func TestMethodsFollowTheTable(t *testing.T) {
	c := jingletest.Contents
	methods := map[jingle.Action]func(*jingle.Session) ([]jingle.Effect, error){
		jingle.ActionContentAccept:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.AcceptContent(c("video-theirs")) },
		jingle.ActionContentAdd:       func(s *jingle.Session) ([]jingle.Effect, error) { return s.AddContent(c("screen")) },
		jingle.ActionContentModify:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.ModifyContent("audio", "none") },
		jingle.ActionContentReject:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.RejectContent(nil, "video-theirs") },
		jingle.ActionContentRemove:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.RemoveContent(nil, "audio") },
		jingle.ActionDescriptionInfo:  func(s *jingle.Session) ([]jingle.Effect, error) { return s.DescriptionInfo(c("audio")) },
		jingle.ActionSessionAccept:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.Accept(c("audio", "video")) },
		jingle.ActionSessionInfo:      func(s *jingle.Session) ([]jingle.Effect, error) { return s.Info(rtp.NewInfo("hold")) },
		jingle.ActionSessionInitiate:  func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(c("audio")) },
		jingle.ActionTransportAccept:  func(s *jingle.Session) ([]jingle.Effect, error) { return s.AcceptTransport(c("video")) },
		jingle.ActionTransportInfo:    func(s *jingle.Session) ([]jingle.Effect, error) { return s.TransportInfo(c("audio")) },
		jingle.ActionTransportReject:  func(s *jingle.Session) ([]jingle.Effect, error) { return s.RejectTransport("video") },
		jingle.ActionTransportReplace: func(s *jingle.Session) ([]jingle.Effect, error) { return s.ReplaceTransport(c("mine")) },
	}
	for _, state := range states {
		for _, role := range roles {
			for a, do := range methods {
				t.Run(fmt.Sprintf("%s %s %s", state, role, a), func(t *testing.T) {
					s := in(t, state, role)
					sent, _ := jingle.Allowed(state, role, a)
					if s.May(a) != sent {
						t.Errorf("May = %v, table says %v", s.May(a), sent)
					}
					effects, err := do(s)
					if got := errors.Is(err, jingle.ErrState); got == sent {
						t.Errorf("error = %v, table says %v", err, sent)
					}
					if err != nil && len(effects) != 0 {
						t.Errorf("failed, yet %d effects", len(effects))
					}
					if state == jingle.StateActive && sent && err != nil {
						t.Errorf("error = %v in an active session", err)
					}
				})
			}
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := in(t, jingle.StateActive, jingle.Initiator)
	var err error
	n := 0
	for ; err == nil; n++ {
		if n > 2*jingle.MaxQueued {
			t.Fatal("no end of actions that wait")
		}
		_, err = s.Info(nil)
	}
	if !errors.Is(err, jingle.ErrQueue) || n < jingle.MaxQueued {
		t.Errorf("error = %v after %d actions, want ErrQueue after %d or more", err, n, jingle.MaxQueued)
	}
	effects := s.Terminate(jingle.Reason{})
	if send, ok := effects[len(effects)-2].(jingle.Send); !ok || send.Jingle.Action != jingle.ActionSessionTerminate {
		t.Errorf("a full queue holds the session-terminate back: %v", effects)
	}
}

// The elements given to the engine stay as they were.
func TestMethodsLeaveTheirArgumentAlone(t *testing.T) {
	s := jingle.NewSession(jingle.Config{SID: "s", Role: jingle.Initiator, Local: jingletest.InitiatorJID})
	j := jingletest.Contents("audio")
	effects, err := s.Initiate(j)
	if err != nil {
		t.Fatal(err)
	}
	if j.SID != "" || j.Action != "" || j.Contents[0].Creator != "" {
		t.Errorf("argument was changed: %+v", j)
	}
	sent := effects[0].(jingle.Send).Jingle
	if sent.SID != "s" || sent.Initiator != jingletest.InitiatorJID.String() || sent.Contents[0].Creator != "initiator" {
		t.Errorf("sent sid %q, initiator %q, creator %q", sent.SID, sent.Initiator, sent.Contents[0].Creator)
	}
}

func TestTooManyContents(t *testing.T) {
	names := make([]string, jingle.MaxContents+1)
	for i := range names {
		names[i] = fmt.Sprint("audio", i)
	}
	j := jingletest.Contents(names...)
	j.Action, j.SID = jingle.ActionSessionInitiate, "s"
	s := jingle.NewSession(jingle.Config{SID: "s", Role: jingle.Responder})
	if reply, _ := s.Receive(j); reply.Err == nil || reply.Err.Stanza.Condition != stanza.ResourceConstraint {
		t.Errorf("reply = %v, want resource-constraint", reply.Err)
	}
	s = jingle.NewSession(jingle.Config{SID: "s", Role: jingle.Initiator})
	if _, err := s.Initiate(j); !errors.Is(err, jingle.ErrContent) {
		t.Errorf("error = %v, want ErrContent", err)
	}
}
