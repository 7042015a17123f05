package stream

import "slices"

// An outbox holds what was handed to Send until it is sent, and with stream
// management until it is acknowledged. It is the one place where sent stanzas
// are counted. XEP-0198
//
//	items: | sent, not acknowledged | not sent |
//	         acked+1 ... acked+sent
type outbox struct {
	items   []*item
	sent    int    // how many of items were sent in this session
	acked   uint32 // how many stanzas the server acknowledged in this session
	counts  bool   // stream management is on
	bytes   int
	replies int
	seq     uint64
}

type itemKind uint8

const (
	kindMessage  itemKind = iota
	kindPresence          // availability, which a new session makes stale
	kindSubscription
	kindRequest // iq of type get or set
	kindAnswer  // iq of type result or error
	kindNonza   // not a stanza: not counted, not repeated
)

type item struct {
	data []byte
	kind itemKind
	own  bool // an answer of the stream itself, of which there are at most maxReplies
	gone bool // no longer in the outbox: it will not be sent again
	seq  uint64
}

func (o *outbox) full() bool { return len(o.items) >= maxOutbox || o.bytes >= maxOutboxBytes }

// put appends it. The caller has made sure that there is room.
func (o *outbox) put(it *item) {
	o.seq++
	it.seq = o.seq
	o.items = append(o.items, it)
	o.bytes += len(it.data)
	if it.own {
		o.replies++
	}
}

// cancel takes back what was not sent yet, and reports whether it could.
func (o *outbox) cancel(it *item) bool {
	i := slices.Index(o.items[o.sent:], it)
	if i < 0 {
		return false
	}
	o.leave(o.sent+i, o.sent+i+1)
	return true
}

// leave removes items[from:to].
func (o *outbox) leave(from, to int) {
	for _, it := range o.items[from:to] {
		it.gone = true
		o.bytes -= len(it.data)
		if it.own {
			o.replies--
		}
	}
	o.items = slices.Delete(o.items, from, to)
}

// take returns what is to be sent now, about budget bytes of it, appended to batch.
func (o *outbox) take(batch [][]byte, budget int) [][]byte {
	i := o.sent
	for i < len(o.items) && budget > 0 {
		it := o.items[i]
		batch = append(batch, it.data)
		budget -= len(it.data)
		if it.kind == kindNonza {
			o.leave(i, i+1)
			continue
		}
		i++
	}
	if o.counts {
		o.sent = i
	} else {
		o.leave(o.sent, i)
	}
	return batch
}

// ack removes what the server has handled: h stanzas since the session began.
// It reports false, and removes nothing, if that cannot be.
func (o *outbox) ack(h uint32) bool {
	n := h - o.acked // counters wrap around
	if int64(n) > int64(o.sent) {
		return false
	}
	o.leave(0, int(n))
	o.sent -= int(n)
	o.acked = h
	return true
}

// resume prepares for sending again what the server has not handled.
func (o *outbox) resume(h uint32) bool {
	if !o.ack(h) {
		return false
	}
	o.sent = 0
	return true
}

// rebind prepares for a new session. h, when known, is how many stanzas the
// server handled in the former one; without it, nobody knows about those that
// were sent. What remains is sent in the new session:
//
//	                     sent, h unknown   not handled, or not sent
//	message, subscription       again              yes
//	availability                no                 no (the handler sends it anew)
//	request                     no                 yes, in the same name
//	answer                      again              yes, in the same name
//
// "Again" can mean twice; ids let the recipient notice, and an answer that
// comes twice is ignored.
func (o *outbox) rebind(h uint32, known, sameName, counts bool) {
	if known {
		known = o.ack(h)
	}
	sent := o.sent
	keep := o.items[:0]
	for i, it := range o.items {
		ok := true
		switch it.kind {
		case kindPresence, kindNonza:
			ok = false
		case kindRequest:
			ok = sameName && (known || i >= sent)
		case kindAnswer:
			ok = sameName
		}
		if ok {
			keep = append(keep, it)
			continue
		}
		it.gone = true
		o.bytes -= len(it.data)
		if it.own {
			o.replies--
		}
	}
	clear(o.items[len(keep):])
	o.items = keep
	o.sent, o.acked, o.counts = 0, 0, counts
}

// discardSent drops what was sent and not acknowledged: something in it made
// the server end the stream, and would do so again.
func (o *outbox) discardSent() int {
	n := o.sent
	o.leave(0, n)
	o.sent = 0
	o.acked += uint32(n)
	return n
}

// discardLarge drops what was sent, not acknowledged, and is larger than size.
// If there was any the session cannot be resumed: its counters are wrong then.
func (o *outbox) discardLarge(size int) (n int) {
	for i := o.sent - 1; i >= 0; i-- {
		if len(o.items[i].data) > size {
			o.leave(i, i+1)
			o.sent--
			n++
		}
	}
	return n
}

// emptyUpTo reports whether nothing up to seq is left.
func (o *outbox) emptyUpTo(seq uint64) bool { return len(o.items) == 0 || o.items[0].seq > seq }
