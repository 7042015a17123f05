package courier

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/si"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// maxEvents bounds the news of a client that wait to be looked at.
const maxEvents = 256

// A Target is a device that takes files.
type Target struct {
	JID      jid.JID // full
	Ours     bool    // speaks ft.NS: folders, resuming, every block verified
	SI       bool    // knows no Jingle, only XEP-0096
	Carriers []ft.Carrier

	forgetful bool // may lose an offer, see ft.SendConfig
}

// A NobodyError reports that no device takes files now.
type NobodyError struct {
	To  jid.JID
	Why string // one lower-case line

	silent bool // a device has not told what it can do
	late   bool // a device has not answered in time, and may do so yet
}

func (e *NobodyError) Error() string { return e.Why }

// find returns the device of somebody that takes files best: one of ours before
// others, then by priority. A full JID names the device. It waits at most so
// long for a device to come online; negative means for ever. With sure it
// returns no device that does not answer: the server goes on for minutes to
// show one that crashed.
func (c *Courier) find(ctx context.Context, to jid.JID, patience time.Duration, sure bool) (Target, error) {
	news := c.Client.Subscribe(maxEvents) // before the first look, so that nothing is missed
	defer news.Close()
	var timeout <-chan time.Time
	if patience >= 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		timeout = timer.C
	}
	type result struct {
		t   Target
		err error
	}
	for {
		looking, stop := context.WithCancel(ctx)
		found := make(chan result, 1)
		go func() {
			t, err := c.look(looking, to, sure)
			found <- result{t, err}
		}()
		var retry <-chan time.Time
		var last error = &NobodyError{To: to, Why: fmt.Sprintf("%s does not answer", to)}
		hurry := time.NewTimer(quickTimeout)
		for again, changed, slow := false, false, false; !again; {
			select {
			case r := <-found:
				var nobody *NobodyError
				if r.err == nil || !errors.As(r.err, &nobody) {
					stop()
					return r.t, r.err
				}
				// What changed during a look may have come too late for it.
				found, last, again = nil, r.err, changed && patience != 0
				if nobody.silent || nobody.late {
					retry = time.After(lookAgain)
				}
			case <-retry: // on a busy machine an answer may have come too late
				again = true
			case e, ok := <-news.Events():
				if !ok {
					stop()
					return Target{}, fmt.Errorf("find %s: %w", to, c.Client.Err())
				}
				changed = concerns(e, to) || changed
				again = changed && (found == nil || sure || slow)
			case <-hurry.C: // the look waits for devices that may be dead
				slow, again = true, changed && patience != 0
			case <-timeout:
				if found != nil && !sure {
					timeout = nil // the look that is under way is the last
					patience = 0
					continue
				}
				stop()
				return Target{}, last
			case <-ctx.Done():
				stop()
				return Target{}, context.Cause(ctx)
			}
			if patience == 0 && found == nil {
				stop()
				return Target{}, last
			}
		}
		stop()
		hurry.Stop()
	}
}

// concerns reports whether news may change who can be reached.
func concerns(e signaling.Event, to jid.JID) bool {
	switch e := e.(type) {
	case signaling.PresenceChanged:
		return e.Device.Available && sameBare(e.Device.JID, to)
	case signaling.Online, signaling.Missed:
		return true
	case signaling.RosterChanged:
		return sameBare(e.Contact.JID, to)
	}
	return false
}

// Times for the question what a device can do.
const (
	quickTimeout = 500 * time.Millisecond // when others may do
	askTimeout   = 10 * time.Second
	lookAgain    = 5 * time.Second // when one that is there did not answer
)

func (c *Courier) look(ctx context.Context, to jid.JID, sure bool) (Target, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if to.Resourcepart() != "" {
		return c.lookAt(ctx, to)
	}
	// One device that does not answer, such as one that crashed, must not hold
	// up those that do.
	quick, stop := context.WithTimeout(ctx, quickTimeout)
	t, err := c.choose(quick, to, sure)
	stop()
	var nobody *NobodyError
	if errors.As(err, &nobody) && nobody.silent {
		t, err = c.choose(ctx, to, sure)
	}
	return t, err
}

// choose looks at the devices that tell what they can do before ctx ends.
func (c *Courier) choose(ctx context.Context, to jid.JID, sure bool) (Target, error) {
	devices, err := c.Client.Devices(ctx, to)
	if err != nil {
		return Target{}, fmt.Errorf("find %s: %w", to, err)
	}
	silent := false
	var ours, theirs, old []Target
	others := 0
	for _, d := range devices {
		if d.JID.Equal(c.Client.JID()) {
			continue
		}
		others++
		if d.Info == nil {
			silent = true
			continue
		}
		switch t := c.target(d.JID, *d.Info); {
		case len(t.Carriers) == 0:
		case t.Ours:
			ours = append(ours, t)
		case t.SI:
			old = append(old, t)
		default:
			theirs = append(theirs, t)
		}
	}
	c.log().Debug("devices that take files", "to", to.String(), "ours", len(ours), "others", len(theirs), "old", len(old), "silent", silent)
	for _, list := range [][]Target{ours, theirs, old} {
		if len(list) == 0 {
			continue
		}
		if t, ok := c.first(list, sure); ok {
			return t, nil
		}
		return Target{}, &NobodyError{To: to, Why: fmt.Sprintf("%s does not answer", to), late: true}
	}
	contact, known := c.Client.Contact(to)
	own := sameBare(to, c.Client.JID())
	why := fmt.Sprintf("%s is offline", to)
	switch {
	case others > 0:
		why = fmt.Sprintf("no device of %s takes files now", to)
	case own:
		why = "no other device of yours is online"
	case !known:
		why = fmt.Sprintf("%s is not in your contacts, so nobody can tell whether they are online", to)
	case !contact.SeenByUs():
		why = fmt.Sprintf("%s has not let you see when they are online", to)
	}
	return Target{}, &NobodyError{To: to, Why: why, silent: silent}
}

// target says how a device that tells this of itself takes files.
//
// interop Psi's iris of 2024 on: reads an error that is not there when it is asked
// about an offer that its person thinks about, so only those are asked of whom it
// is of use.
func (c *Courier) target(j jid.JID, info signaling.Info) Target {
	t := Target{JID: j, forgetful: slices.ContainsFunc(info.Identities, func(i signaling.Identity) bool { return i.Category == "client" && i.Name == "Gajim" })}
	if t.Carriers, t.Ours = ft.Choose(info.Features, c.carriers()...); len(t.Carriers) == 0 {
		t.Carriers = si.Choose(info.Features, c.carriers()...)
		t.SI = len(t.Carriers) > 0
	}
	return t
}

// lookAt asks a device that was named.
func (c *Courier) lookAt(ctx context.Context, to jid.JID) (Target, error) {
	info, err := c.Client.Disco(ctx, to)
	var answer *signaling.AnswerError
	switch {
	case errors.As(err, &answer), errors.Is(err, context.DeadlineExceeded):
		return Target{}, &NobodyError{To: to, Why: fmt.Sprintf("%s does not answer", to), late: true}
	case err != nil:
		return Target{}, fmt.Errorf("find %s: %w", to, err)
	}
	t := c.target(to, info)
	if len(t.Carriers) == 0 {
		return Target{}, &NobodyError{To: to, Why: fmt.Sprintf("%s takes no files", to)}
	}
	return t, nil
}

// pingTimeout is how long a device may take to show that it is there.
const pingTimeout = 2 * time.Second

// first returns the first device of a list that answers. One alone is believed
// to be there unless we want to be sure; when of several none answers in time,
// so is the first of the list.
func (c *Courier) first(list []Target, sure bool) (Target, bool) {
	if len(list) == 1 && !sure {
		return list[0], true
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout) // ends below
	answers := make(chan int, len(list))
	for i, t := range list {
		go func() {
			if c.alive(ctx, t.JID) {
				answers <- i
			} else {
				answers <- -1
			}
		}()
	}
	best := -1
	for range list {
		if i := <-answers; i >= 0 && best < 0 {
			best = i
			cancel() // the others need not answer any more
		}
	}
	cancel()
	c.log().Debug("devices were asked whether they are there", "devices", len(list), "answered", best >= 0)
	return list[max(0, best)], best >= 0 || !sure
}

// alive reports whether a device answers, be it with an error of its own.
// XEP-0199
func (c *Courier) alive(ctx context.Context, j jid.JID) bool {
	_, err := c.Client.IQ(ctx, j, stanza.GetIQ, struct {
		XMLName xml.Name `xml:"urn:xmpp:ping ping"`
	}{})
	var answer *signaling.AnswerError
	if !errors.As(err, &answer) {
		return err == nil
	}
	switch answer.Err.Condition { // what servers say in place of a device
	case stanza.ServiceUnavailable, stanza.RecipientUnavailable, stanza.ItemNotFound, stanza.Gone,
		stanza.RemoteServerNotFound, stanza.RemoteServerTimeout:
		return false
	}
	return true
}
