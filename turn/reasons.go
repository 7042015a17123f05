package turn

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Why something is refused, as the log and [Status] say it.
const (
	reasonUnknownUser     = "unknown user"
	reasonUnknownRealm    = "unknown realm"
	reasonExpired         = "credentials expired"
	reasonWrongPassword   = "wrong password"
	reasonLogins          = "too many failed logins"
	reasonReplies         = "too many answers to an address without credentials"
	reasonDraining        = "draining"
	reasonAllocations     = "too many allocations in total"
	reasonUserAllocations = "too many allocations of this user"
	reasonAddrAllocations = "too many allocations of this address"
	reasonPermissions     = "too many peers in total"
	reasonUserPermissions = "too many peers of this user"
	reasonAddrPermissions = "too many peers of this address"
	reasonOwnPermissions  = "too many peers of this allocation"
	reasonChannels        = "too many channels in total"
	reasonUserChannels    = "too many channels of this user"
	reasonAddrChannels    = "too many channels of this address"
	reasonOwnChannels     = "too many channels of this allocation"
	reasonSpent           = "bytes of the day used up in total"
	reasonUserSpent       = "bytes of the day used up by this user"
	reasonAddrSpent       = "bytes of the day used up by this address"
	reasonOwnSpent        = "bytes of the day used up by this allocation"
	reasonBitrate         = "faster than the bitrate limit"
	reasonLedger          = "too many allocations at all relays"
	reasonPolicy          = "peer refused by policy"
	reasonNoPort          = "no free port"
	reasonNoFamily        = "no relay address of this family"
	reasonSystem          = "the system gives no socket"
	reasonReservation     = "unknown reservation"
	reasonReservations    = "too many reserved ports"
	reasonConnections     = "too many connections"
	reasonAddrConnections = "too many connections of this address"
	reasonHandshakes      = "too many handshakes at once"
	reasonHandshake       = "handshake failed"
	reasonFrame           = "neither STUN nor ChannelData, or too long"
	reasonSilent          = "connection without an allocation, or half a frame"
	reasonPeerConnections = "too many connections to peers of this allocation"
	reasonPending         = "too many requests wait for the ledger"
	reasonNoPermission    = "no permission for the peer"
	reasonUnreachable     = "the peer takes no connection"
)

// linesPerSecond bounds the log lines of one reason, so that a flood does not
// fill a disk. What is left out is counted, and said with the next line.
const linesPerSecond = 20

// reasons counts refusals.
type reasons struct {
	mu  sync.Mutex
	all map[string]*reasonCount // by a fixed set of names
}

type reasonCount struct {
	total   uint64
	second  int64
	lines   int
	skipped uint64
}

// count counts one refusal and says whether it shall be logged, and how many
// before it were not.
func (r *reasons) count(reason string, n uint64, now time.Time) (say bool, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]*reasonCount{}
	}
	c := r.all[reason]
	if c == nil {
		c = &reasonCount{}
		r.all[reason] = c
	}
	c.total += n
	if second := now.Unix(); second != c.second {
		c.second, c.lines = second, 0
	}
	if c.lines++; c.lines > linesPerSecond {
		c.skipped += n
		return false, 0
	}
	skipped, c.skipped = c.skipped, 0
	return true, skipped
}

func (r *reasons) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]uint64, len(r.all))
	for reason, c := range r.all {
		out[reason] = c.total
	}
	return out
}

// refuse counts and logs that something was refused: what is for example
// "allocation refused".
func (s *Server) refuse(what, reason string, attrs ...any) {
	s.refuseFor(what, reason, reason, attrs...)
}

// refusePeer is refuse of a peer, with what the policy says of it.
func (s *Server) refusePeer(why string, attrs ...any) {
	s.refuseFor("peer refused", reasonPolicy, why, attrs...)
}

// refuseFor counts for a reason and logs why.
func (s *Server) refuseFor(what, reason, why string, attrs ...any) {
	s.refused.Add(1)
	if say, skipped := s.reasons.count(reason, 1, time.Now()); say {
		attrs = append(attrs, "reason", why)
		if skipped > 0 {
			attrs = append(attrs, "not-logged", skipped)
		}
		s.log().Info(what, attrs...)
	}
}

// complainEvery is how often one complaint is logged at most: what it is about
// goes on until somebody does something.
const complainEvery = 10 * time.Second

// complaints is when each was logged last, and how many were not since.
type complaints struct {
	mu  sync.Mutex
	all map[string]*complaint // by a fixed set of texts
}

type complaint struct {
	next    int64
	skipped uint64
}

// complain warns of something outside that does not work, not too often.
func (s *Server) complain(what string, attrs ...any) {
	now := s.now()
	s.complaints.mu.Lock()
	c := s.complaints.all[what]
	if c == nil {
		c = &complaint{next: now}
		if s.complaints.all == nil {
			s.complaints.all = map[string]*complaint{}
		}
		s.complaints.all[what] = c
	}
	say := now >= c.next
	skipped := c.skipped
	if say {
		c.next, c.skipped = now+int64(complainEvery), 0
	} else {
		c.skipped++
	}
	s.complaints.mu.Unlock()
	if !say {
		return
	}
	if skipped > 0 {
		attrs = append(attrs, "not-logged", skipped)
	}
	s.log().Warn(what, attrs...)
}

// failure is a log attribute of an error. Those of the network name addresses,
// which are left out when they are to be hidden.
func (s *Server) failure(err error) slog.Attr {
	var op *net.OpError
	if s.config.Load().HideAddresses && errors.As(err, &op) {
		err = op.Err
	}
	return slog.Any("error", err)
}

// addr is a log attribute that holds no address when they are to be hidden.
func (s *Server) addr(key string, a any) slog.Attr {
	if s.config.Load().HideAddresses {
		return slog.Attr{}
	}
	return slog.Any(key, a)
}
