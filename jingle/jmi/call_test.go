package jmi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle"
)

var (
	romeo  = jid.MustParse("romeo@montague.example/orchard")
	tablet = jid.MustParse("romeo@montague.example/tablet")
	phone  = jid.MustParse("juliet@capulet.example/phone")
	laptop = jid.MustParse("juliet@capulet.example/laptop")
	paris  = jid.MustParse("paris@verona.example/horse")
)

// show writes effects, one a line, so that a test reads like a conversation.
func show(effects []Effect) string {
	var lines []string
	reason := func(r *jingle.Reason) string {
		if r == nil {
			return ""
		}
		return " because " + string(r.Condition)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Send:
			m := e.Message
			s := fmt.Sprintf("-> %s %s to %s%s", m.Kind, m.SID, e.To, reason(m.Reason))
			if m.TieBreak {
				s += " tie-break"
			}
			if m.MigratedTo != "" {
				s += " migrated to " + m.MigratedTo
			}
			lines = append(lines, s)
		case StartTimer:
			lines = append(lines, fmt.Sprintf("timer %d %s", e.ID, e.After))
		case StopTimer:
			lines = append(lines, fmt.Sprintf("stop %d", e.ID))
		case Ringing:
			lines = append(lines, "ringing at "+e.From.Resourcepart())
		case Incoming:
			lines = append(lines, "incoming from "+e.From.String())
		case Proceeded:
			lines = append(lines, "proceeded at "+e.From.Resourcepart())
		case Tied:
			lines = append(lines, fmt.Sprintf("tied with %s, same %t", e.Message.SID, e.Same))
		case Ended:
			s := "ended: " + string(e.Outcome) + reason(e.Reason)
			if e.Remote {
				s += ", remote"
			}
			lines = append(lines, s)
		}
	}
	return strings.Join(lines, "\n")
}

// A step is something done to a call and what comes of it.
type step struct {
	what string
	do   func(*Call) []Effect
	want string
}

func hear(from jid.JID, m Message) func(*Call) []Effect {
	if m.SID == "" {
		m.SID = "m"
	}
	return func(c *Call) []Effect { return c.Receive(from, false, &m) }
}

func own(from jid.JID, k Kind) func(*Call) []Effect {
	return func(c *Call) []Effect { return c.Receive(from, true, &Message{Kind: k, SID: "m"}) }
}

func accept(c *Call) []Effect {
	effects, err := c.Accept()
	if err != nil {
		return []Effect{Ended{Outcome: Outcome(err.Error())}}
	}
	return effects
}

func timer(id TimerID) func(*Call) []Effect {
	return func(c *Call) []Effect { return c.TimerFired(id) }
}

var (
	cancel = jingle.Reason{Condition: jingle.Cancel}
	busy   = jingle.Reason{Condition: jingle.Busy}
	ok     = jingle.Reason{Condition: jingle.Success}
)

const proposed = "-> propose m to juliet@capulet.example\ntimer 1 1m0s"
const rang = "-> ringing m to romeo@montague.example/orchard\ntimer 1 45s\nincoming from romeo@montague.example/orchard"
const taken = "stop 1\n-> accept m to juliet@capulet.example\n-> proceed m to romeo@montague.example/orchard\ntimer 2 30s"

func propose(c *Call) []Effect { return c.Propose() }
func offer(c *Call) []Effect   { return c.Offer(0) }

func TestCaller(t *testing.T) {
	propose := step{"propose", propose, proposed}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"several devices ring and one is answered", []step{
			propose,
			{"phone rings", hear(phone, Message{Kind: KindRinging}), "ringing at phone"},
			{"phone rings again", hear(phone, Message{Kind: KindRinging}), ""},
			{"laptop rings", hear(laptop, Message{Kind: KindRinging}), "ringing at laptop"},
			{"laptop proceeds", hear(laptop, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at laptop"},
			{"phone proceeds as well", hear(phone, Message{Kind: KindProceed}), ""},
			{"session begins", (*Call).Started, "stop 2"},
			{"late ringing", hear(phone, Message{Kind: KindRinging}), ""},
			{"we hang up", func(c *Call) []Effect { return c.Finish(ok) },
				"-> finish m to juliet@capulet.example/laptop because success\nended: finished because success"},
			{"their finish", hear(laptop, Message{Kind: KindFinish}), ""},
		}},
		{"declined without reason, as Dino does", []step{
			propose,
			{"reject", hear(phone, Message{Kind: KindReject}), "stop 1\nended: declined, remote"},
			{"proceed after that", hear(laptop, Message{Kind: KindProceed}), ""},
		}},
		{"busy", []step{
			propose,
			{"reject", hear(phone, Message{Kind: KindReject, Reason: &busy}), "stop 1\nended: busy because busy, remote"},
		}},
		{"nobody answers", []step{
			propose,
			{"a minute", timer(TimerRing), "-> retract m to juliet@capulet.example because cancel\nended: no answer"},
			{"again", timer(TimerRing), ""},
		}},
		{"we take it back", []step{
			propose,
			{"retract", func(c *Call) []Effect { return c.Retract(cancel) },
				"-> retract m to juliet@capulet.example because cancel\nstop 1\nended: retracted because cancel"},
			{"retract again", func(c *Call) []Effect { return c.Retract(cancel) }, ""},
		}},
		{"we take it back when it was just answered", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"retract", func(c *Call) []Effect { return c.Retract(cancel) },
				"-> retract m to juliet@capulet.example because cancel\nstop 2\nended: retracted because cancel"},
		}},
		{"answered, but no session", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"30 s", timer(TimerStart), "-> finish m to juliet@capulet.example/phone because connectivity-error\nended: failed because connectivity-error"},
		}},
		{"the device that answered changes its mind", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"reject of another", hear(laptop, Message{Kind: KindReject}), ""},
			{"reject", hear(phone, Message{Kind: KindReject}), "stop 2\nended: declined, remote"},
		}},
		{"the peer finishes, and we do", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"session", (*Call).Started, "stop 2"},
			{"finish of another device", hear(laptop, Message{Kind: KindFinish, Reason: &ok}), ""},
			{"finish", hear(phone, Message{Kind: KindFinish, Reason: &ok}),
				"-> finish m to juliet@capulet.example/phone because success\nended: finished because success, remote"},
		}},
		{"the peer moves to another session", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"session", (*Call).Started, "stop 2"},
			{"finish", hear(phone, Message{Kind: KindFinish, Reason: &jingle.Reason{Condition: jingle.Expired}, MigratedTo: "new"}),
				"-> finish m to juliet@capulet.example/phone because expired\nended: migrated because expired, remote"},
		}},
		{"undeliverable", []step{
			propose,
			{"bounce of something else", func(c *Call) []Effect { return c.Bounced(KindRetract, "") }, ""},
			{"bounce", func(c *Call) []Effect { return c.Bounced(KindPropose, "no such user") },
				"stop 1\nended: unreachable because gone, remote"},
		}},
		{"a bounce from one device while another rings", []step{
			propose,
			{"ringing", hear(phone, Message{Kind: KindRinging}), "ringing at phone"},
			{"bounce", func(c *Call) []Effect { return c.Bounced(KindPropose, "") }, ""},
		}},
		{"strangers and other sids", []step{
			propose,
			{"proceed of a stranger", hear(paris, Message{Kind: KindProceed}), ""},
			{"reject of a stranger", hear(paris, Message{Kind: KindReject}), ""},
			{"proceed without resource", hear(phone.Bare(), Message{Kind: KindProceed}), ""},
			{"other sid", hear(phone, Message{Kind: KindReject, SID: "x"}), ""},
			{"our tablet's proceed", own(tablet, KindProceed), ""},
			{"retract makes no sense", hear(phone, Message{Kind: KindRetract}), ""},
		}},
		{"both call at once and our sid is lower", []step{
			propose,
			{"their propose", hear(phone, Message{Kind: KindPropose, SID: "z", Descriptions: described("audio")}),
				"-> reject z to juliet@capulet.example/phone because expired tie-break"},
			{"their retract of theirs", hear(phone, Message{Kind: KindRetract, SID: "z", TieBreak: true}), ""},
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
		}},
		{"both call at once and our sid is higher", []step{
			propose,
			{"their propose", hear(phone, Message{Kind: KindPropose, SID: "a", Descriptions: described("audio")}),
				"-> retract m to juliet@capulet.example because expired tie-break\nstop 1\ntied with a, same true\nended: tie lost because expired, remote"},
			{"their reject of ours", hear(phone, Message{Kind: KindReject, TieBreak: true}), ""},
		}},
		{"both call at once and theirs has video as well", []step{
			propose,
			{"their propose", hear(phone, Message{Kind: KindPropose, SID: "a", Descriptions: described("audio", "video")}),
				"-> retract m to juliet@capulet.example because expired tie-break\nstop 1\ntied with a, same false\nended: tie lost because expired, remote"},
		}},
		{"we hear of the tie first by its reject", []step{
			propose,
			{"reject", hear(phone, Message{Kind: KindReject, TieBreak: true}), "stop 1\nended: tie lost, remote"},
		}},
		{"both chose one sid: the lower JID wins", []step{
			propose,
			{"their propose", hear(phone, Message{Kind: KindPropose}),
				"-> retract m to juliet@capulet.example because expired tie-break\nstop 1\ntied with m, same true\nended: tie lost because expired, remote"},
		}},
		{"migrate", []step{
			propose,
			{"proceed", hear(phone, Message{Kind: KindProceed}), "stop 1\ntimer 2 30s\nproceeded at phone"},
			{"migrate", func(c *Call) []Effect { return c.Migrate("new") },
				"-> finish m to juliet@capulet.example/phone because expired migrated to new\nstop 2\nended: migrated because expired"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, NewCaller(Config{SID: "m", Local: romeo, Peer: phone.Bare(), Descriptions: described("audio")}), c.steps)
		})
	}
}

func TestCallee(t *testing.T) {
	offered := step{"offer", offer, rang}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"we take it", []step{
			offered,
			{"accept", accept, taken},
			{"accept again", accept, "ended: call is no longer ringing"},
			{"our own words by carbon", own(phone, KindAccept), ""},
			{"laptop took it too", own(laptop, KindAccept), "stop 2\ntimer 2 8s"},
			{"laptop says so again", own(laptop, KindProceed), ""},
			{"session", (*Call).Started, "stop 2"},
			{"hang up", func(c *Call) []Effect { return c.Finish(ok) },
				"-> finish m to romeo@montague.example/orchard because success\nended: finished because success"},
		}},
		{"two of our devices take it, and the other is chosen", []step{
			offered,
			{"accept", accept, taken},
			{"laptop took it too", own(laptop, KindProceed), "stop 2\ntimer 2 8s"},
			{"8 s", timer(TimerStart), "ended: answered elsewhere, remote"},
		}},
		{"we decline it for all devices", []step{
			offered,
			{"reject", func(c *Call) []Effect { return c.Reject(jingle.Reason{Condition: jingle.Decline}) },
				"-> reject m to romeo@montague.example/orchard because decline\n-> reject m to juliet@capulet.example because decline\nstop 1\nended: declined because decline"},
		}},
		{"busy", []step{
			offered,
			{"reject", func(c *Call) []Effect { return c.Reject(busy) },
				"-> reject m to romeo@montague.example/orchard because busy\n-> reject m to juliet@capulet.example because busy\nstop 1\nended: busy because busy"},
		}},
		{"the caller takes it back", []step{
			offered,
			{"retract", hear(romeo, Message{Kind: KindRetract, Reason: &cancel}), "stop 1\nended: retracted because cancel, remote"},
			{"accept", accept, "ended: call is no longer ringing"},
		}},
		{"the caller takes it back after we answered", []step{
			offered,
			{"accept", accept, taken},
			{"retract", hear(romeo, Message{Kind: KindRetract}), "stop 2\nended: retracted, remote"},
		}},
		{"a stranger cannot take it back", []step{
			offered,
			{"retract", hear(paris, Message{Kind: KindRetract}), ""},
			{"own, but not from us", own(paris, KindProceed), ""},
			{"accept", accept, taken},
		}},
		{"answered on the laptop, seen by carbon", []step{
			offered, {"proceed", own(laptop, KindProceed), "stop 1\nended: answered elsewhere, remote"},
		}},
		{"answered on the laptop, seen by accept to self", []step{
			offered, {"accept", own(laptop, KindAccept), "stop 1\nended: answered elsewhere, remote"},
		}},
		{"declined on the laptop", []step{
			offered, {"reject", own(laptop, KindReject), "stop 1\nended: rejected elsewhere, remote"},
		}},
		{"laptop rings too", []step{
			offered, {"ringing", own(laptop, KindRinging), ""}, {"accept", accept, taken},
		}},
		{"nobody takes it", []step{
			offered, {"45 s", timer(TimerRing), "ended: no answer"},
		}},
		{"the session never comes", []step{
			offered, {"accept", accept, taken},
			{"30 s", timer(TimerStart), "-> finish m to romeo@montague.example/orchard because connectivity-error\nended: failed because connectivity-error"},
		}},
		{"the caller's own proposal gives way", []step{
			offered, {"retract", hear(romeo, Message{Kind: KindRetract, TieBreak: true}), "stop 1\nended: tie lost, remote"},
		}},
		{"the call was over when we heard of it", []step{
			offered, {"finish", hear(romeo, Message{Kind: KindFinish}), "stop 1\nended: retracted, remote"},
		}},
		{"waited in the archive for a while", []step{
			{"offer", func(c *Call) []Effect { return c.Offer(20 * time.Second) }, strings.Replace(rang, "45s", "25s", 1)},
		}},
		{"waited in the archive too long", []step{
			{"offer", func(c *Call) []Effect { return c.Offer(61 * time.Second) }, "ended: too old"},
			{"accept", accept, "ended: call is no longer ringing"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, NewCallee(Config{SID: "m", Local: phone, Peer: romeo, Descriptions: described("audio")}), c.steps)
		})
	}
}

func play(t *testing.T, c *Call, steps []step) {
	t.Helper()
	for _, s := range steps {
		if diff := cmp.Diff(s.want, show(s.do(c))); diff != "" {
			t.Fatalf("%s: effects differ (-want +got):\n%s", s.what, diff)
		}
	}
}

func TestQuietDoesNotRevealThatWeAreHere(t *testing.T) {
	c := NewCallee(Config{SID: "m", Local: phone, Peer: romeo, Quiet: true})
	play(t, c, []step{{"offer", offer, strings.TrimPrefix(rang, "-> ringing m to romeo@montague.example/orchard\n")}})
}

func TestNegativeTimeoutsNeverEnd(t *testing.T) {
	c := NewCaller(Config{SID: "m", Local: romeo, Peer: phone.Bare(), RingTimeout: -1, StartTimeout: -1})
	play(t, c, []step{
		{"propose", propose, "-> propose m to juliet@capulet.example"},
		{"proceed", hear(phone, Message{Kind: KindProceed}), "proceeded at phone"},
	})
}

// We call another device of our own account.
func TestCallToOneself(t *testing.T) {
	a := NewCaller(Config{SID: "m", Local: romeo, Peer: romeo.Bare()})
	play(t, a, []step{
		{"propose", propose, "-> propose m to romeo@montague.example\ntimer 1 1m0s"},
		{"our propose comes back", own(romeo, KindPropose), ""},
		{"accept to self", own(tablet, KindAccept), ""},
		{"proceed", own(tablet, KindProceed), "stop 1\ntimer 2 30s\nproceeded at tablet"},
	})
	b := NewCallee(Config{SID: "m", Local: tablet, Peer: romeo})
	play(t, b, []step{
		{"offer", offer, rang},
		{"retract", own(romeo, KindRetract), "stop 1\nended: retracted, remote"},
	})
}

// Whatever happens in whatever order, a call ends once, is final, and leaves no
// timer behind.
func TestAnythingInAnyOrder(t *testing.T) {
	from := []jid.JID{romeo, tablet, phone, laptop, paris, phone.Bare()}
	kinds := []Kind{KindAccept, KindFinish, KindProceed, KindPropose, KindReject, KindRetract, KindRinging}
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := NewCaller(Config{SID: "m", Local: romeo, Peer: phone.Bare()})
		if seed%2 == 0 {
			c = NewCallee(Config{SID: "m", Local: phone, Peer: romeo})
		}
		timers := map[TimerID]bool{}
		ended := false
		for range 30 {
			var effects []Effect
			switch r.IntN(14) {
			case 0:
				effects = c.Propose()
			case 1:
				effects = c.Offer(time.Duration(r.IntN(70)) * time.Second)
			case 2:
				effects, _ = c.Accept()
			case 3:
				effects = c.Reject(busy)
			case 4:
				effects = c.Retract(cancel)
			case 5:
				effects = c.Started()
			case 6:
				effects = c.Finish(ok)
			case 7:
				id := TimerID(1 + r.IntN(2))
				if timers[id] {
					delete(timers, id)
					effects = c.TimerFired(id)
				}
			default:
				m := &Message{Kind: kinds[r.IntN(len(kinds))], SID: []string{"m", "a", "z"}[r.IntN(3)], TieBreak: r.IntN(4) == 0}
				effects = c.Receive(from[r.IntN(len(from))], r.IntN(2) == 0, m)
			}
			if ended && len(effects) > 0 {
				t.Fatalf("seed %d: effects after the end:\n%s", seed, show(effects))
			}
			for _, e := range effects {
				switch e := e.(type) {
				case StartTimer:
					if timers[e.ID] {
						t.Fatalf("seed %d: timer %d started twice", seed, e.ID)
					}
					timers[e.ID] = true
				case StopTimer:
					if !timers[e.ID] {
						t.Fatalf("seed %d: timer %d stopped and does not run", seed, e.ID)
					}
					delete(timers, e.ID)
				case Ended:
					ended = true
				}
			}
			if ended != (c.State() == StateEnded) {
				t.Fatalf("seed %d: state %s, ended %t", seed, c.State(), ended)
			}
			if ended && len(timers) > 0 {
				t.Fatalf("seed %d: ended with timers %v", seed, timers)
			}
		}
	}
}
