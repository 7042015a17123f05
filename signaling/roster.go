package signaling

import (
	"context"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// A SubscriptionState says who sees whose presence. RFC 6121 §2.1.2.5
type SubscriptionState string

// The states of a subscription.
const (
	SubscriptionNone   SubscriptionState = "none"
	SubscriptionTo     SubscriptionState = "to"   // we see theirs
	SubscriptionFrom   SubscriptionState = "from" // they see ours
	SubscriptionBoth   SubscriptionState = "both"
	SubscriptionRemove SubscriptionState = "remove" // only in RosterChanged
)

// A Contact is one item of the roster. RFC 6121 §2.1.2
type Contact struct {
	JID          jid.JID // bare
	Name         string  // given by the user; may be empty
	Groups       []string
	Subscription SubscriptionState
	Asked        bool // we asked to see their presence and they have not answered

	denied bool // by Client.Deny, and not approved since
}

// SeesUs reports whether the contact may see our presence.
func (c Contact) SeesUs() bool {
	return c.Subscription == SubscriptionFrom || c.Subscription == SubscriptionBoth
}

// SeenByUs reports whether we may see the presence of the contact.
func (c Contact) SeenByUs() bool {
	return c.Subscription == SubscriptionTo || c.Subscription == SubscriptionBoth
}

type rosterQuery struct {
	XMLName xml.Name     `xml:"jabber:iq:roster query"`
	Ver     *string      `xml:"ver,attr"`
	Items   []rosterItem `xml:"item"`
}

type rosterItem struct {
	JID          string   `xml:"jid,attr"`
	Name         string   `xml:"name,attr,omitempty"`
	Subscription string   `xml:"subscription,attr,omitempty"`
	Ask          string   `xml:"ask,attr,omitempty"`
	Groups       []string `xml:"group"`
}

func (i rosterItem) contact() (Contact, error) {
	j, err := jid.Parse(i.JID)
	if err != nil {
		return Contact{}, fmt.Errorf("roster item %q: %w", i.JID, err)
	}
	c := Contact{JID: j.Bare(), Name: i.Name, Groups: i.Groups, Asked: i.Ask == "subscribe"}
	switch s := SubscriptionState(i.Subscription); s {
	case SubscriptionTo, SubscriptionFrom, SubscriptionBoth, SubscriptionRemove:
		c.Subscription = s
	default:
		c.Subscription = SubscriptionNone
	}
	return c, nil
}

// roster is our copy of what the server keeps.
type roster struct {
	mu    sync.Mutex
	ver   string
	items map[string]Contact // by bare JID
}

func (r *roster) get(j jid.JID) (Contact, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.items[j.Bare().String()]
	return c, ok
}

// apply takes one item into the copy and reports whether it changed anything.
func (r *roster) apply(c Contact) bool {
	key := c.JID.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.items[key]
	if c.Subscription == SubscriptionRemove {
		delete(r.items, key)
		return known
	}
	if !known && len(r.items) >= maxRoster {
		return false
	}
	if r.items == nil {
		r.items = make(map[string]Contact)
	}
	c.denied = old.denied && !c.SeesUs()
	r.items[key] = c
	return !known || old.Name != c.Name || old.Subscription != c.Subscription ||
		old.Asked != c.Asked || !slices.Equal(old.Groups, c.Groups)
}

// deny remembers what the user decided about a contact who asks.
func (r *roster) deny(j jid.JID, denied bool) {
	key := j.Bare().String()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.items[key]; ok {
		c.denied = denied
		r.items[key] = c
	}
}

// replace takes a whole roster and returns what changed.
func (r *roster) replace(ver string, contacts []Contact) (changed []Contact) {
	seen := make(map[string]bool)
	for _, c := range contacts {
		seen[c.JID.String()] = true
		if r.apply(c) {
			changed = append(changed, c)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ver = ver
	for key, c := range r.items {
		if !seen[key] {
			delete(r.items, key)
			c.Subscription = SubscriptionRemove
			changed = append(changed, c)
		}
	}
	return changed
}

// fetchRoster gets the roster from the server. RFC 6121 §2.1.3
func (c *Client) fetchRoster(ctx context.Context) error {
	q := &rosterQuery{}
	// Versioning saves the transfer after a reconnection. RFC 6121 §2.6
	if c.s.Features().Child(nsRosterVer, "ver") != nil {
		c.roster.mu.Lock()
		ver := c.roster.ver
		c.roster.mu.Unlock()
		q.Ver = &ver
	}
	st, err := c.s.IQ(ctx, jid.JID{}, stanza.GetIQ, q)
	if err != nil {
		return fmt.Errorf("get the roster: %w", err)
	}
	e := st.Child(nsRoster, "query")
	if e == nil {
		return nil // unchanged since our version
	}
	var answer rosterQuery
	if err := e.Decode(&answer); err != nil {
		return fmt.Errorf("get the roster: %w", err)
	}
	var contacts []Contact
	for _, item := range answer.Items {
		contact, err := item.contact()
		if err != nil || contact.Subscription == SubscriptionRemove {
			c.log.Warn("roster item ignored", "jid", item.JID)
			continue
		}
		contacts = append(contacts, contact)
	}
	ver := ""
	if answer.Ver != nil {
		ver = *answer.Ver
	}
	for _, contact := range c.roster.replace(ver, contacts) {
		c.hub.emit(RosterChanged{contact})
	}
	return nil
}

// rosterPush applies a change that the server tells. Only our own account may
// tell it: everybody else could otherwise name himself a contact. RFC 6121 §2.1.6
func (c *Client) rosterPush(st *stream.Stanza, e *stream.Element) *jingle.Error {
	if !c.fromOwnAccount(st.From) {
		c.log.Warn("roster push of a stranger refused", "from", st.From.String())
		return errUnavailable()
	}
	var q rosterQuery
	if err := e.Decode(&q); err != nil || len(q.Items) != 1 {
		return errBadRequest()
	}
	contact, err := q.Items[0].contact()
	if err != nil {
		return errBadRequest()
	}
	if q.Ver != nil {
		c.roster.mu.Lock()
		c.roster.ver = *q.Ver
		c.roster.mu.Unlock()
	}
	if c.roster.apply(contact) {
		c.hub.emit(RosterChanged{contact})
	}
	return nil
}

// Roster returns the contacts, ordered by JID.
func (c *Client) Roster() []Contact {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	out := make([]Contact, 0, len(c.roster.items))
	for _, contact := range c.roster.items {
		out = append(out, contact)
	}
	slices.SortFunc(out, func(a, b Contact) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return out
}

// Contact returns the roster item of a JID, bare or full.
func (c *Client) Contact(j jid.JID) (Contact, bool) { return c.roster.get(j) }

// AddContact adds or changes a contact: its name and groups. RFC 6121 §2.3
// It does not ask to see their presence: see [Client.RequestSubscription].
func (c *Client) AddContact(ctx context.Context, j jid.JID, name string, groups ...string) error {
	item := rosterItem{JID: j.Bare().String(), Name: name, Groups: groups}
	if _, err := c.s.IQ(ctx, jid.JID{}, stanza.SetIQ, &rosterQuery{Items: []rosterItem{item}}); err != nil {
		return fmt.Errorf("add %s: %w", j.Bare(), err)
	}
	return nil
}

// Befriend adds a contact, asks to see their presence and lets them see ours. Who
// is one already keeps the groups, and with an empty name also the name.
func (c *Client) Befriend(ctx context.Context, j jid.JID, name string) error {
	known, _ := c.Contact(j)
	if name == "" {
		name = known.Name
	}
	if err := c.AddContact(ctx, j, name, known.Groups...); err != nil {
		return err
	}
	if err := c.RequestSubscription(ctx, j); err != nil {
		return err
	}
	return c.Approve(ctx, j)
}

// RemoveContact removes a contact and both subscriptions. RFC 6121 §2.5
func (c *Client) RemoveContact(ctx context.Context, j jid.JID) error {
	item := rosterItem{JID: j.Bare().String(), Subscription: string(SubscriptionRemove)}
	if _, err := c.s.IQ(ctx, jid.JID{}, stanza.SetIQ, &rosterQuery{Items: []rosterItem{item}}); err != nil {
		return fmt.Errorf("remove %s: %w", j.Bare(), err)
	}
	return nil
}

// RequestSubscription asks to see somebody's presence, and lets them see ours
// when they ask in turn. RFC 6121 §3.1
func (c *Client) RequestSubscription(ctx context.Context, j jid.JID) error {
	return c.sendSubscription(ctx, j, stanza.SubscribePresence)
}

// Approve lets somebody see our presence. RFC 6121 §3.1.5
func (c *Client) Approve(ctx context.Context, j jid.JID) error {
	c.roster.deny(j, false)
	return c.sendSubscription(ctx, j, stanza.SubscribedPresence)
}

// Deny refuses a request to see our presence, or takes the permission back.
// RFC 6121 §3.2 Those whose presence we see get ours when they ask, so a denied
// contact is remembered until the client is closed; [Client.Unsubscribe] or
// [Client.Block] them to make it last.
func (c *Client) Deny(ctx context.Context, j jid.JID) error {
	c.roster.deny(j, true)
	return c.sendSubscription(ctx, j, stanza.UnsubscribedPresence)
}

// Unsubscribe stops seeing somebody's presence. RFC 6121 §3.3
func (c *Client) Unsubscribe(ctx context.Context, j jid.JID) error {
	return c.sendSubscription(ctx, j, stanza.UnsubscribePresence)
}

func (c *Client) sendSubscription(ctx context.Context, j jid.JID, typ stanza.PresenceType) error {
	p := &presenceOut{To: j.Bare().String(), Type: string(typ)}
	if err := c.s.Send(ctx, p); err != nil {
		return fmt.Errorf("send %s to %s: %w", typ, j.Bare(), err)
	}
	return nil
}
