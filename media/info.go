package media

import (
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// told is how the peer knows a switch.
type told struct {
	on   bool
	lost bool // or perhaps not: a message was not sent
}

func (t told) differs(on bool) bool { return t.lost || t.on != on }

// switched has the peer told what was switched.
func (c *Call) switched() error {
	if !c.box.post(c.tellSwitches) {
		return c.errOver()
	}
	return nil
}

// inform sends an informational message about the call. XEP-0167#info
//
// When it cannot be sent, because too much waits for the peer, tellSwitches
// tries again.
//
// content is what it is about, "" the whole call.
func (c *Call) inform(message, content string, t *told) {
	info := rtp.NewInfo(message)
	if content != "" {
		info.Name, info.Creator = content, "initiator"
	}
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) {
		effects, err := s.Info(info)
		if err != nil {
			c.box.post(func() { t.lost = true })
		}
		return effects, err
	})
}

// tellSwitches tells the peer what is not as it was told last, once there is a
// call. It is called when something was switched, and now and then in case that
// could not be told.
func (c *Call) tellSwitches() {
	if c.connectedAt.IsZero() || c.ending {
		return
	}
	if on := c.muted.Load(); c.toldMuted.differs(on) {
		c.toldMuted = told{on: on}
		c.inform(map[bool]string{true: "mute", false: "unmute"}[on], c.soundName(), &c.toldMuted)
	}
	if on := c.held.Load(); c.toldHeld.differs(on) {
		c.toldHeld = told{on: on}
		c.inform(map[bool]string{true: "hold", false: "unhold"}[on], "", &c.toldHeld)
	}
	c.tellVideo()
}

// info takes an informational message of the peer.
func (c *Call) info(p jingle.Payload) {
	i, ok := p.(*rtp.Info)
	if !ok {
		return
	}
	if i.Name != "" && i.Name == c.video.name {
		c.videoInfo(i.XMLName.Local)
		return
	}
	if i.Name != "" && i.Name != c.soundName() {
		return // about a content that is not carried
	}
	switch i.XMLName.Local {
	case "ringing":
		c.emit(RemoteRinging{})
	case "mute":
		c.emit(RemoteMuted{true})
	case "unmute":
		c.emit(RemoteMuted{false})
	case "hold":
		c.remoteHold(true)
	case "unhold":
		c.remoteHold(false)
	case "active":
		// "again actively participating after having been on mute or having put
		// the other party on hold"
		c.remoteHold(false)
		c.emit(RemoteMuted{false})
	}
}

func (c *Call) remoteHold(on bool) {
	if c.remoteHeld.Swap(on) == on {
		return
	}
	c.emit(RemoteHeld{on})
	c.sayRemoteVideo()
}
