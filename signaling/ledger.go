package signaling

import (
	"slices"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// maxLedger bounds the calls that a ledger follows.
const maxLedger = 512

// A ledger derives call records from the messages of calls alone: those of the
// archive, and copies of what other devices of the account do.
type ledger struct {
	own   jid.JID // bare
	calls map[string]*entry
	order []string // of calls, oldest first
}

// entry is one call as far as the messages tell.
type entry struct {
	record   CallRecord
	device   jid.JID   // ours, that made or took the call; the zero JID when none did
	answered time.Time // the zero time when nobody did
	settled  bool      // how it went is known; only its end may follow

	env      *envelope // of the proposal
	proposal *jmi.Message
}

func newLedger(own jid.JID) *ledger {
	return &ledger{own: own, calls: make(map[string]*entry)}
}

// peerOf returns the other person of a message, bare; the zero JID when there
// is none, as in what our devices tell each other.
func (l *ledger) peerOf(env *envelope) jid.JID {
	if !env.from.Bare().Equal(l.own) {
		return env.from.Bare()
	}
	if isZero(env.to) || env.to.Bare().Equal(l.own) {
		return jid.JID{}
	}
	return env.to.Bare()
}

// apply takes a message into account and returns the call it is about when its
// record is complete, or more complete than before.
func (l *ledger) apply(env *envelope, m *jmi.Message, now time.Time) *entry {
	ours := env.from.Bare().Equal(l.own)
	peer, at := l.peerOf(env), env.at(now)
	if m.Kind == jmi.KindPropose {
		l.propose(env, m, peer, ours, at)
		return nil
	}
	e := l.find(peer, m.SID)
	if e == nil {
		return nil
	}
	r := &e.record
	switch m.Kind {
	case jmi.KindProceed, jmi.KindAccept:
		callee := ours == (r.Direction == In)
		if !callee || !e.answered.IsZero() || e.settled {
			return nil
		}
		e.answered = at
		r.Outcome = Answered
		if r.Direction == In {
			e.device = env.from
			r.Outcome = AnsweredElsewhere
		}
	case jmi.KindReject:
		if callee := ours == (r.Direction == In); !callee || e.settled || !e.answered.IsZero() {
			return nil
		}
		if m.TieBreak {
			l.drop(peer, m.SID)
			return nil
		}
		e.settled = true
		r.Outcome = Declined
		if m.Reason != nil {
			r.Reason = *m.Reason
		}
		if r.Reason.Condition == jingle.Busy {
			r.Outcome = Busy
			if r.Direction == In {
				r.Outcome = MissedCall // a device said so by itself
			}
		}
		return e
	case jmi.KindRetract:
		if caller := ours == (r.Direction == Out); !caller || e.settled || !e.answered.IsZero() {
			return nil
		}
		if m.TieBreak {
			l.drop(peer, m.SID)
			return nil
		}
		e.settled = true
		r.Outcome = Retracted
		if r.Direction == In {
			r.Outcome = MissedCall
		}
		return e
	case jmi.KindFinish:
		if e.settled {
			return nil
		}
		e.settled = true
		if m.Reason != nil {
			r.Reason = *m.Reason
		}
		if e.answered.IsZero() {
			r.Outcome = NoAnswer
			if r.Direction == In {
				r.Outcome = MissedCall
			}
		} else {
			r.Duration = max(at.Sub(e.answered), 0)
		}
		return e
	}
	return nil
}

func (l *ledger) propose(env *envelope, m *jmi.Message, peer jid.JID, ours bool, at time.Time) {
	media := proposedMedia(m.Descriptions)
	if isZero(peer) || media == nil || l.calls[sessionKey(peer, m.SID)] != nil {
		return
	}
	e := &entry{record: CallRecord{SID: m.SID, Peer: peer, Direction: In, Media: media, Start: at, Archived: env.archived}, env: env, proposal: m}
	if ours {
		e.record.Direction, e.device = Out, env.from
	}
	if len(l.order) >= maxLedger {
		delete(l.calls, l.order[0])
		l.order = l.order[1:]
	}
	key := sessionKey(peer, m.SID)
	l.calls[key] = e
	l.order = append(l.order, key)
}

// find returns the call with this sid; our devices do not tell each other with whom.
func (l *ledger) find(peer jid.JID, sid string) *entry {
	if !isZero(peer) {
		return l.calls[sessionKey(peer, sid)]
	}
	for _, e := range l.calls {
		if e.record.SID == sid {
			return e
		}
	}
	return nil
}

func (l *ledger) drop(peer jid.JID, sid string) {
	key := sessionKey(peer, sid)
	delete(l.calls, key)
	l.order = slices.DeleteFunc(l.order, func(k string) bool { return k == key })
}

// settle returns all calls, oldest first. Those that nobody answered within
// ring are missed; what is still ringing is returned apart.
func (l *ledger) settle(now time.Time, ring time.Duration) (done, open []*entry) {
	for _, key := range l.order {
		e := l.calls[key]
		switch {
		case e.settled || !e.answered.IsZero():
		case now.Sub(e.record.Start) < ring:
			open = append(open, e)
			continue
		case e.record.Direction == In:
			e.record.Outcome = MissedCall
		default:
			e.record.Outcome = NoAnswer
		}
		done = append(done, e)
	}
	return done, open
}

// proposedMedia returns the media of a proposal, nil when it is not a call: all
// that is proposed must be RTP of a kind we know.
func proposedMedia(ds []jmi.Description) []rtp.Media {
	var media []rtp.Media
	for _, d := range ds {
		m := rtp.Media(d.Media)
		if d.XMLName.Space != rtp.NS || m != rtp.Audio && m != rtp.Video {
			return nil
		}
		if !slices.Contains(media, m) {
			media = append(media, m)
		}
	}
	return media
}
