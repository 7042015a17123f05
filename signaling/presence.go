package signaling

import (
	"cmp"
	"context"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// presenceOut is a presence of ours.
type presenceOut struct {
	XMLName  xml.Name `xml:"jabber:client presence"`
	To       string   `xml:"to,attr,omitempty"`
	Type     string   `xml:"type,attr,omitempty"`
	Status   string   `xml:"status,omitempty"`
	Priority int8     `xml:"priority,omitempty"`
	Caps     *caps
}

// presences are the devices whose presence we see.
type presences struct {
	mu       sync.Mutex
	devices  map[string]map[string]Device // by bare JID, then by resource
	count    int
	unknowns int // of them, devices of people who are no contacts
}

// maxUnknownDevices bounds what people who are no contacts can fill the table
// with, by presence directed at us.
const maxUnknownDevices = 256

// put takes a device into the table; false means that there is no room.
func (p *presences) put(d Device, contact bool) bool {
	bare, res := d.JID.Bare().String(), d.JID.Resourcepart()
	p.mu.Lock()
	defer p.mu.Unlock()
	old, known := p.devices[bare][res]
	if !known {
		if p.count >= maxDevices || len(p.devices[bare]) >= maxDevicesOfOne || !contact && p.unknowns >= maxUnknownDevices {
			return false
		}
		if p.devices == nil {
			p.devices = make(map[string]map[string]Device)
		}
		if p.devices[bare] == nil {
			p.devices[bare] = make(map[string]Device)
		}
		p.count++
		if d.unknown = !contact; d.unknown {
			p.unknowns++
		}
	} else {
		d.unknown = old.unknown
		if old.capsHash == d.capsHash && old.CapsVer == d.CapsVer && old.CapsNode == d.CapsNode && d.CapsVer != "" {
			d.Info = old.Info
		}
	}
	p.devices[bare][res] = d
	return true
}

// drop takes a device out of the table, or all devices of a bare JID, and
// returns them as unavailable.
func (p *presences) drop(j jid.JID) (gone []Device) {
	bare := j.Bare().String()
	p.mu.Lock()
	defer p.mu.Unlock()
	for res, d := range p.devices[bare] {
		if j.Resourcepart() != "" && res != j.Resourcepart() {
			continue
		}
		delete(p.devices[bare], res)
		p.count--
		if d.unknown {
			p.unknowns--
		}
		gone = append(gone, Device{JID: d.JID})
	}
	if len(p.devices[bare]) == 0 {
		delete(p.devices, bare)
	}
	return gone
}

// clear forgets everybody, as after a new login.
func (p *presences) clear() (gone []Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, devices := range p.devices {
		for _, d := range devices {
			gone = append(gone, Device{JID: d.JID})
		}
	}
	p.devices, p.count, p.unknowns = nil, 0, 0
	return gone
}

// device returns one device.
func (p *presences) device(j jid.JID) (Device, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.devices[j.Bare().String()][j.Resourcepart()]
	return d, ok
}

// setInfo remembers what a device said, unless it has changed meanwhile.
func (p *presences) setInfo(d Device, info *Info) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bare, res := d.JID.Bare().String(), d.JID.Resourcepart()
	now, ok := p.devices[bare][res]
	if ok && now.CapsVer == d.CapsVer && now.capsHash == d.capsHash {
		now.Info = info
		p.devices[bare][res] = now
	}
}

// of returns the devices of a bare JID by falling priority.
func (p *presences) of(bare jid.JID) []Device {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Device
	for _, d := range p.devices[bare.Bare().String()] {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Device) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), strings.Compare(a.JID.String(), b.JID.String()))
	})
	return out
}

// onPresence runs on the stream's goroutine and does not wait.
func (c *Client) onPresence(st *stream.Stanza) {
	from := st.From
	if isZero(from) {
		from = c.own
	}
	switch st.Type() {
	case "":
		c.onAvailable(from, st)
	case "unavailable":
		for _, d := range c.presence.drop(from) {
			c.hub.emit(PresenceChanged{d})
		}
	case "error":
		// Our presence did not get there: what we knew of them is stale. RFC 6121 §4.5.2
		for _, d := range c.presence.drop(from) {
			c.hub.emit(PresenceChanged{d})
		}
	case "subscribe":
		c.onSubscribe(from.Bare(), st)
	}
	// The other types come with a roster push that says the same.
}

func (c *Client) onAvailable(from jid.JID, st *stream.Stanza) {
	if isBare(from) {
		return // a server or a component
	}
	d := Device{JID: from, Available: true}
	ns := st.Start.Name.Space
	switch show := strings.TrimSpace(st.Child(ns, "show").Text()); show {
	case "away", "chat", "dnd", "xa":
		d.Show = show
	}
	d.Status = shorten(st.Child(ns, "status").Text(), maxStatus)
	if p, err := strconv.ParseInt(strings.TrimSpace(st.Child(ns, "priority").Text()), 10, 8); err == nil {
		d.Priority = int8(p)
	}
	if e := st.Child(nsCaps, "c"); e != nil {
		hash, node, ver := e.Attr("hash"), e.Attr("node"), e.Attr("ver")
		if len(hash) <= 32 && len(node) <= 512 && len(ver) <= 256 {
			d.capsHash, d.CapsNode, d.CapsVer = hash, node, ver
		}
	}
	contact, known := c.roster.get(from)
	if !c.presence.put(d, known && contact.SeenByUs() || c.isOwnAccount(from)) {
		c.log.Warn("presence ignored, too many devices", "from", from.String())
		return
	}
	d, _ = c.presence.device(from)
	d.Info = c.knownInfo(d)
	c.hub.emit(PresenceChanged{d})
	if d.Info == nil && c.isOwnAccount(from) && !from.Equal(c.JID()) {
		// Whether another device of ours takes calls decides what we say when busy.
		c.background(func(ctx context.Context) {
			if _, err := c.deviceInfo(ctx, d); err != nil {
				c.log.Debug("own device does not tell its features", "device", from.String(), "err", err)
			}
		})
	}
}

func (c *Client) onSubscribe(from jid.JID, st *stream.Stanza) {
	if contact, ok := c.roster.get(from); ok && (contact.SeesUs() || contact.SeenByUs() || contact.Asked) && !contact.denied {
		// We asked first, so the answer is clear, unless the user has taken the
		// permission back. RFC 6121 §3.1.3
		c.background(func(ctx context.Context) {
			if err := c.Approve(ctx, from); err != nil {
				c.log.Warn("subscription not approved", "from", from.String(), "err", err)
			}
		})
		return
	}
	c.hub.emit(SubscriptionRequest{From: from, Status: shorten(st.Child(st.Start.Name.Space, "status").Text(), maxStatus)})
}

// shorten cuts s to at most n bytes, between two characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// announce sends our presence to those who may see it.
func (c *Client) announce(ctx context.Context) error {
	if c.cfg.Invisible {
		return nil
	}
	return c.s.Send(ctx, &presenceOut{Status: c.cfg.Status, Priority: c.cfg.Priority, Caps: c.self.caps()})
}

// directed are the people who may not see our presence and were told that we
// are online, because of a call with them.
type directed struct {
	mu  sync.Mutex
	who map[string]int // by bare JID: calls that need it
}

// introduce tells a stranger that we are online and what we can do, so that
// they can call back or ask us. XEP-0353#intent Undo it with takeBack.
func (c *Client) introduce(ctx context.Context, who jid.JID) error {
	if c.seesUs(who) {
		return nil
	}
	key := who.Bare().String()
	c.directed.mu.Lock()
	n := c.directed.who[key]
	if n == 0 && len(c.directed.who) >= maxDirected {
		c.directed.mu.Unlock()
		return ErrTooMany
	}
	if c.directed.who == nil {
		c.directed.who = make(map[string]int)
	}
	c.directed.who[key] = n + 1
	c.directed.mu.Unlock()
	return c.s.Send(ctx, &presenceOut{To: who.String(), Caps: c.self.caps()})
}

// introduced reports whether who was told that we are online.
func (c *Client) introduced(who jid.JID) bool {
	c.directed.mu.Lock()
	defer c.directed.mu.Unlock()
	return c.directed.who[who.Bare().String()] > 0
}

// takeBack undoes one introduce.
func (c *Client) takeBack(who jid.JID) {
	key := who.Bare().String()
	c.directed.mu.Lock()
	n := c.directed.who[key]
	if n > 1 {
		c.directed.who[key] = n - 1
	} else {
		delete(c.directed.who, key)
	}
	c.directed.mu.Unlock()
	if n != 1 || c.seesUs(who) {
		return
	}
	if err := c.s.Send(c.ctx, &presenceOut{To: who.String(), Type: "unavailable"}); err != nil {
		c.log.Debug("directed presence not taken back", "to", who.String(), "err", err)
	}
}

// reintroduce tells them all again, after a new login.
func (c *Client) reintroduce(ctx context.Context) error {
	c.directed.mu.Lock()
	var who []string
	for j := range c.directed.who {
		who = append(who, j)
	}
	c.directed.mu.Unlock()
	for _, j := range who {
		if err := c.s.Send(ctx, &presenceOut{To: j, Caps: c.self.caps()}); err != nil {
			return err
		}
	}
	return nil
}
