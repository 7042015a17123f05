package bridge

import (
	"context"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/signaling"
)

const (
	maxLookups   = 4               // contacts whose devices are asked at once
	featuresWait = 5 * time.Second // for devices to say what they can do
)

// lookups are the contacts whose devices changed, and what was found. The
// roster bounds them: each is in it once.
type lookups struct {
	poke chan struct{} // there is somebody in todo

	mu     sync.Mutex
	todo   map[string]bool // bare JIDs
	busy   map[string]bool // likewise, that are asked now: what they said before must not come last
	listed map[string]state.Contact
	found  map[string]state.Contact
	told   bool // the owner will take what was found
}

// lookAt asks for what is known of a contact, soon and once.
func (a *account) lookAt(bare string) {
	a.look.mu.Lock()
	a.look.todo[bare] = true
	a.look.mu.Unlock()
	select {
	case a.look.poke <- struct{}{}:
	default: // all that look are told already
	}
}

// lookUp asks devices what they can do, one contact after the other.
func (a *account) lookUp(ctx context.Context, client *signaling.Client) {
	for {
		select {
		case <-a.look.poke:
			for j, ok := a.look.next(); ok && ctx.Err() == nil; j, ok = a.look.next() {
				if c, ok := a.contact(ctx, client, j); ok {
					a.show(client, func(l *lookups) { l.found[j] = c })
				}
				a.look.done(j)
			}
		case <-ctx.Done():
			return
		}
	}
}

// next returns somebody who is to be asked. Whoever asked them is done with
// them before it asks for the next.
func (l *lookups) next() (bare string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for j := range l.todo {
		if !l.busy[j] { // no more than maxLookups are
			delete(l.todo, j)
			l.busy[j] = true
			return j, true
		}
	}
	return "", false
}

func (l *lookups) done(bare string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, bare)
}

// show has the owner take what was found, and with it what is found until then:
// one change of the list of contacts costs as much as a thousand.
func (a *account) show(client *signaling.Client, put func(*lookups)) {
	l := &a.look
	l.mu.Lock()
	put(l)
	told := l.told
	l.told = true
	l.mu.Unlock()
	if told {
		return
	}
	a.b.await(func() {
		l.mu.Lock()
		listed, found := l.listed, l.found
		l.listed, l.found, l.told = make(map[string]state.Contact), make(map[string]state.Contact), false
		l.mu.Unlock()
		if a.ctx.Err() != nil {
			return // signed out meanwhile
		}
		a.b.apply(state.ContactsListed{Contacts: still(client, listed)}, state.ContactsChanged{Contacts: still(client, found)})
	})
}

// still leaves those who are contacts: some may have been removed meanwhile.
func still(client *signaling.Client, list map[string]state.Contact) (left []state.Contact) {
	for bare, c := range list {
		if j, err := jid.Parse(bare); err == nil {
			if _, ok := client.Contact(j); ok {
				left = append(left, c)
			}
		}
	}
	return left
}

// contact is what is known of somebody.
func (a *account) contact(ctx context.Context, client *signaling.Client, bare string) (state.Contact, bool) {
	j, err := jid.Parse(bare)
	if err != nil {
		return state.Contact{}, false
	}
	known, ok := client.Contact(j)
	if !ok {
		return state.Contact{}, false
	}
	c := a.known(known)
	ctx, cancel := context.WithTimeout(ctx, featuresWait)
	defer cancel()
	devices, err := client.Devices(ctx, j)
	if err != nil {
		a.b.log.Debug("devices are not known", "of", bare, "err", err)
	}
	best := map[state.Presence]int{state.Gone: 0, state.Busy: 1, state.Away: 2, state.Available: 3}
	c.NoDevice = len(devices) > 0
	for _, d := range devices {
		p := state.Available
		switch d.Show {
		case "away", "xa":
			p = state.Away
		case "dnd":
			p = state.Busy
		}
		if best[p] > best[c.Presence] {
			c.Presence, c.Status = p, d.Status
		}
		if d.Info == nil {
			c.NoDevice = false // not known is no reason
			continue
		}
		if d.CanCall() || d.CanJMI() {
			c.NoDevice = false
		}
		c.Video = c.Video || d.Info.Has("urn:xmpp:jingle:apps:rtp:video")
		usable, _ := ft.Choose(d.Info.Features, courier.Carriers()...)
		c.Files = c.Files || len(usable) > 0
	}
	return c, true
}
