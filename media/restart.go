package media

import (
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// How ICE is restarted, as Conversations does it: a transport-info with new
// credentials and no candidate, for all contents, is the offer; one with new
// credentials and candidates is the answer. DTLS goes on.

// restartWait is how long the peer may take to answer a restart.
const restartWait = 10 * time.Second

// A restart is what goes on of one.
type restart struct {
	offered  bool // by us, not answered
	answered bool // by us; the peer's offer is being followed
	again    bool // the network changed once more meanwhile
	tried    bool // since media flowed last
	told     bool // Reconnecting was said
}

// canRestart reports whether the peer is of the kind that restarts: it bundles.
//
// interop Dino 0.4: it never groups contents, and takes new credentials without
// using them, so that a restart would end what may come back by itself.
func (c *Call) canRestart() bool {
	return c.agreed && !c.connectedAt.IsZero() && c.remoteBundles
}

func (c *Call) sayReconnecting(cause string) {
	if !c.restart.told {
		c.restart.told = true
		c.emit(Reconnecting{Cause: cause})
	}
}

// reconnect looks for a new path, with a peer that can. now means even though
// the old one still seems to work.
func (c *Call) reconnect(cause string, now bool) {
	if c.ending || c.connectedAt.IsZero() {
		return
	}
	if c.restart.offered || c.restart.answered || c.video.adding {
		// The old path may be found dead while a new one is being made.
		c.restart.again = c.restart.again || now
		return
	}
	if !now || c.canRestart() {
		c.sayReconnecting(cause)
	}
	if c.canRestart() {
		c.offerRestart()
	}
}

// lost ends the call when no path is left, after all was tried.
func (c *Call) lost() {
	if c.restart.offered || c.restart.answered {
		return // the timer decides
	}
	if c.canRestart() && !c.restart.tried {
		c.sayReconnecting("the connection was lost")
		c.offerRestart()
		return
	}
	if c.connectedAt.IsZero() {
		c.fail(refuse(jingle.ConnectivityError, "no path to the other side was found"))
	} else {
		c.fail(refuse(jingle.ConnectivityError, "the connection was lost"))
	}
}

func (c *Call) offerRestart() {
	c.restart.offered, c.restart.tried = true, true
	j := &jingle.Jingle{}
	for _, cl := range c.links {
		tr, err := cl.link.Restart()
		if err != nil {
			c.fail(err)
			return
		}
		cl.restarted()
		for _, name := range cl.names {
			j.Contents = append(j.Contents, jingle.Content{
				Creator: "initiator", Name: name, Transport: &iceudp.Transport{Ufrag: tr.Ufrag, Pwd: tr.Pwd},
			})
		}
	}
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.TransportInfo(j) })
	c.restartTimer.Reset(restartWait)
}

// restarted forgets what belongs to the generation before.
func (cl *callLink) restarted() {
	cl.generation++
	cl.backlog, cl.sent = nil, make(map[string]bool)
}

// restartDone is when media flows again.
func (c *Call) restartDone() {
	c.restartTimer.Stop()
	again := c.restart.again
	c.restart = restart{}
	if again {
		c.reconnect("the network changed", true)
	}
}

func (c *Call) restartOverdue() {
	if !c.connected {
		c.fail(refuse(jingle.ConnectivityError, "the connection was lost and could not be made again"))
	}
}

// restartRefused follows a refusal of our offer: in a tie the peer's own offer
// comes or came, and otherwise there is no way on.
func (c *Call) restartRefused(e jingle.ActionFailed) {
	if !c.restart.offered || e.Tie {
		return
	}
	c.fail(refuse(jingle.ConnectivityError, "the connection was lost, and the other side refused to make it again"))
}

// transportInfo takes candidates and restarts of the peer.
func (c *Call) transportInfo(j *jingle.Jingle) error {
	for _, k := range j.Contents {
		cl := c.linkOf(k.Name)
		tr, ok := k.Transport.(*iceudp.Transport)
		if cl == nil || !ok || tr == nil {
			continue
		}
		switch {
		case !c.agreed || cl.remote.Ufrag == "":
			for _, candidate := range tr.Candidates {
				if len(cl.early) < maxRemoteCandidates {
					cl.early = append(cl.early, early{candidate, tr.Ufrag})
				}
			}
		case tr.Ufrag == "" || tr.Ufrag == cl.remote.Ufrag:
			c.addCandidates(cl, tr)
		case len(tr.Candidates) == 0:
			if err := c.restartOffered(cl, tr); err != nil {
				return err
			}
		case c.restart.offered:
			if err := c.restartAnswered(cl, tr); err != nil {
				return err
			}
		default:
			c.log.Debug("candidate of another generation", "content", k.Name)
		}
	}
	return nil
}

// restartOffered answers the peer's restart with our new candidates.
func (c *Call) restartOffered(cl *callLink, tr *iceudp.Transport) error {
	if c.restart.offered {
		if c.role == jingle.Initiator {
			return nil // of two offers the initiator's counts
		}
		c.restart.offered = false
	}
	c.sayReconnecting("the other side changed its network")
	if _, err := cl.link.RestartOffered(*tr); err != nil {
		return refuse(jingle.ConnectivityError, "restart: %w", err)
	}
	cl.restarted()
	cl.begin(*cl.withFingerprints(tr))
	c.restart.tried, c.restart.answered = true, true
	c.restartTimer.Reset(restartWait)
	return nil
}

func (c *Call) restartAnswered(cl *callLink, tr *iceudp.Transport) error {
	if err := cl.link.RestartAnswered(*tr); err != nil {
		return refuse(jingle.ConnectivityError, "restart: %w", err)
	}
	cl.begin(*cl.withFingerprints(tr))
	c.addCandidates(cl, tr)
	c.restart.offered = false
	for _, cl := range c.links {
		c.flush(cl)
	}
	return nil
}

// withFingerprints keeps the peer's keys, which a restart does not change.
func (cl *callLink) withFingerprints(tr *iceudp.Transport) *iceudp.Transport {
	return &iceudp.Transport{Ufrag: tr.Ufrag, Pwd: tr.Pwd, Fingerprints: cl.remote.Fingerprints}
}
