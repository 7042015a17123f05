package signaling

import (
	"context"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle/jmi"
)

// liveLedger follows the calls of other devices of the account, from the
// copies of their messages.
type liveLedger struct {
	mu sync.Mutex
	l  *ledger
}

// follow takes a live message into account. Calls that this device makes,
// takes or rings for make their records themselves, with one exception: how
// long a call lasted that another device took.
func (c *Client) follow(env *envelope, m *jmi.Message) {
	if m.Kind == jmi.KindPropose && !env.own && !c.seesUs(env.from) {
		return // strangers do not fill the ledger
	}
	c.ledger.mu.Lock()
	e := c.ledger.l.apply(env, m, time.Now())
	var r CallRecord
	if e != nil {
		r = e.record
	}
	elsewhere := e != nil && !e.device.Equal(c.JID()) && !isZero(e.device)
	c.ledger.mu.Unlock()
	if !elsewhere {
		return
	}
	if r.Direction == Out || m.Kind == jmi.KindFinish && r.Outcome == AnsweredElsewhere {
		c.record(r)
	}
}

// recent remembers what this run recorded, so that the archive does not
// replace it by less.
type recent struct {
	mu   sync.Mutex
	sids map[string]struct{}
	list []string
}

const maxRecent = 1024

func (r *recent) add(sid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sids == nil {
		r.sids = make(map[string]struct{})
	}
	if _, ok := r.sids[sid]; ok {
		return
	}
	if len(r.list) >= maxRecent {
		delete(r.sids, r.list[0])
		r.list = r.list[1:]
	}
	r.sids[sid] = struct{}{}
	r.list = append(r.list, sid)
}

// recorded reports whether this run recorded a call, or is in it.
func (c *Client) recorded(sid string) bool {
	c.records.mu.Lock()
	_, ok := c.records.sids[sid]
	c.records.mu.Unlock()
	return ok || len(c.calls.find(sid)) > 0
}

// record delivers a call record.
func (c *Client) record(r CallRecord) {
	c.records.add(r.SID)
	c.hub.emit(CallRecorded{r})
	c.recorder.post(func(h History) {
		ctx, cancel := context.WithTimeout(context.Background(), iqTimeout)
		defer cancel()
		if err := h.Record(ctx, r); err != nil {
			c.log.Error("call not recorded", "sid", r.SID, "err", err)
		}
	})
}
