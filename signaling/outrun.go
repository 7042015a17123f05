package signaling

import (
	"sync"

	"github.com/carillon-im/carillon/jingle/jmi"
	"mellium.im/xmpp/jid"
)

// maxOutrun bounds the calls of which our other devices are remembered to have
// spoken before the proposal came.
const maxOutrun = 64

// outrun remembers what other devices of ours said about calls: in a burst, as
// after a resumed stream, it may be handled before the proposal, which comes
// from somebody else. A call that one of them took must not ring here.
type outrun struct {
	mu    sync.Mutex
	said  map[string]saying // by sid, the last word of each
	order []string          // sids, oldest first
}

type saying struct {
	from jid.JID
	m    *jmi.Message
}

// note remembers a message of another device of ours.
func (o *outrun) note(from jid.JID, m *jmi.Message) {
	switch m.Kind {
	case jmi.KindAccept, jmi.KindProceed, jmi.KindReject, jmi.KindFinish:
	default:
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said == nil {
		o.said = make(map[string]saying)
	}
	if _, known := o.said[m.SID]; !known {
		if len(o.order) >= maxOutrun {
			delete(o.said, o.order[0])
			o.order = o.order[1:]
		}
		o.order = append(o.order, m.SID)
	}
	o.said[m.SID] = saying{from, m}
}

// about returns what was said about a call.
func (o *outrun) about(sid string) (saying, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.said[sid]
	return s, ok
}
