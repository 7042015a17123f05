package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/carillon-im/carillon/signaling"
)

// features checks what the server can do for calls.
func (e *examination) features(ctx context.Context, client *signaling.Client) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch {
	case e.sm.resumable.Load():
		e.add("stream management", OK, "", "sessions can be resumed")
	case e.sm.enabled.Load():
		e.add("stream management", Warn, "a call may break when the connection to the server does", "without resumption")
	default:
		e.add("stream management", Warn, "a call may break when the connection to the server does", "not offered (XEP-0198)")
	}
	own := client.JID().Bare()
	domain, err := client.Disco(ctx, own.Domain())
	if err != nil {
		e.add("server features", Skip, "", "the server does not tell: %v", err)
		return
	}
	account, err := client.Disco(ctx, own)
	if err != nil {
		account = signaling.Info{}
	}
	for _, f := range []struct{ name, feature, without string }{
		{"carbons", "urn:xmpp:carbons:2", "your other devices go on ringing when one has answered"},
		{"archive", "urn:xmpp:mam:2", "calls are not listed that were missed while offline"},
		{"external services", "urn:xmpp:extdisco:2", "the server names no relay; name one in the config file under [[relay]]"},
	} {
		if domain.Has(f.feature) || account.Has(f.feature) {
			e.add(f.name, OK, "", "offered (%s)", f.feature)
		} else {
			e.add(f.name, Warn, f.without, "not offered (%s)", f.feature)
		}
	}
}

// presenceWait is how long the presence of the contact may take to come.
const presenceWait = 2 * time.Second

// contact checks whether somebody can be called.
func (e *examination) contact(ctx context.Context, client *signaling.Client) {
	who := e.Contact.Bare()
	name := "contact"
	known, ok := client.Contact(who)
	switch {
	case !ok:
		e.add(name, Warn, "add them with \"carillon contacts add\"; a call is tried without knowing", "%s is not in your contacts", who)
	case !known.SeenByUs() && !known.SeesUs():
		e.add(name, Warn, "they may have to accept your request first", "%s is a contact, but neither sees the other online", who)
	case !known.SeesUs():
		e.add(name, Warn, "their program may not ring for you", "%s does not see when you are online", who)
	case !known.SeenByUs():
		e.add(name, Warn, "ask with \"carillon contacts add\"", "you do not see when %s is online", who)
	default:
		e.add(name, OK, "", "%s and you see each other online", who)
	}
	e.awaitPresence(ctx, client)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ability, err := client.CanCall(ctx, who)
	if err != nil {
		e.trouble("contact's devices", Skip, err)
		return
	}
	for _, d := range ability.Devices {
		does := "tells nothing about itself%s"
		status := Warn
		switch {
		case d.CanCall() && d.CanJMI():
			status, does = OK, "takes calls%s"
		case d.CanCall():
			status, does = OK, "takes calls, but rings alone%s"
		case d.Info != nil:
			does = "takes no calls%s"
		}
		software := ""
		if d.CapsNode != "" {
			software = " (" + d.CapsNode + ")"
		}
		e.addOne("device", d.JID.Resourcepart(), status, text(""), does, software)
	}
	switch {
	case ability.Can:
		e.add("contact's devices", OK, ability.Why, "%s can be called now", who)
	case len(ability.Devices) == 0:
		e.add("contact's devices", Warn, "a call may still reach a device that is woken by a push", "%s", ability.Why)
	default:
		e.add("contact's devices", Fail, "they need a program that makes calls, such as Carillon, Conversations, Dino or Monal", "%s", ability.Why)
	}
}

// awaitPresence waits until the contact shows a device, or long enough.
func (e *examination) awaitPresence(ctx context.Context, client *signaling.Client) {
	events := client.Subscribe(64)
	defer events.Close()
	now, cancel := context.WithCancel(ctx)
	cancel() // only what is known already
	if devices, err := client.Devices(now, e.Contact.Bare()); err == nil && len(devices) > 0 {
		return
	}
	timeout := time.After(presenceWait)
	for {
		select {
		case ev := <-events.Events():
			if p, ok := ev.(signaling.PresenceChanged); ok && strings.EqualFold(p.Device.JID.Bare().String(), e.Contact.Bare().String()) {
				return
			}
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}
