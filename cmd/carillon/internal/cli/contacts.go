package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/signaling"
)

const (
	// presenceWait is how long the presence of contacts may take to arrive
	// after login. Servers send it at once and do not say when that is all.
	presenceWait = time.Second
	// featuresWait is for contacts' devices to tell what they can do.
	featuresWait = 3 * time.Second
)

func (contactsListCmd) Run(ctx context.Context, a *app) (err error) {
	client, err := a.dial(ctx, func(cfg *signaling.Config) {
		cfg.NoCalls, cfg.CatchUp = true, -1
		cfg.Priority = -1 // messages are for the devices that show them
	})
	if err != nil {
		return err
	}
	defer closing(client, &err)
	contacts := client.Roster()
	if len(contacts) == 0 && a.json == nil {
		a.screen.Printf(`no contacts; try "carillon contacts add JID"`)
	}
	if err := gather(ctx, client, contacts); err != nil {
		return err
	}
	features, cancel := context.WithTimeout(ctx, featuresWait)
	defer cancel()
	for _, c := range contacts {
		ability, err := client.CanCall(features, c.JID)
		if err != nil {
			return err
		}
		if err := a.showContact(c, ability); err != nil {
			return err
		}
	}
	return nil
}

// gather waits until every contact whose presence we may see has shown it, or
// presenceWait is over.
func gather(ctx context.Context, client *signaling.Client, contacts []signaling.Contact) error {
	waiting := make(map[string]bool)
	for _, c := range contacts {
		if c.SeenByUs() {
			waiting[c.JID.Bare().String()] = true
		}
	}
	events := client.Subscribe(len(contacts) + 64)
	defer events.Close()
	for jid := range waiting {
		if online(client, contacts, jid) {
			delete(waiting, jid)
		}
	}
	timeout := time.After(presenceWait)
	for len(waiting) > 0 {
		select {
		case e := <-events.Events():
			if p, ok := e.(signaling.PresenceChanged); ok {
				delete(waiting, p.Device.JID.Bare().String())
			}
		case <-timeout:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func online(client *signaling.Client, contacts []signaling.Contact, jid string) bool {
	for _, c := range contacts {
		if c.JID.Bare().String() == jid {
			now, cancel := context.WithCancel(context.Background())
			cancel() // only what is known already
			devices, err := client.Devices(now, c.JID)
			return err == nil && len(devices) > 0
		}
	}
	return false
}

func (a *app) showContact(c signaling.Contact, ability signaling.Ability) error {
	online := len(ability.Devices) > 0
	if a.json != nil {
		return a.json.Object("contact", struct {
			JID          string `json:"jid"`
			Name         string `json:"name,omitempty"`
			Subscription string `json:"subscription"`
			Asked        bool   `json:"asked"`
			Online       bool   `json:"online"`
			Callable     bool   `json:"callable"`
			Why          string `json:"why,omitempty"`
		}{c.JID.String(), c.Name, string(c.Subscription), c.Asked, online, ability.Can, ability.Why})
	}
	line := screen.Escape(c.JID.String())
	if c.Name != "" {
		line = fmt.Sprintf("%s  %s", line, screen.Escape(c.Name))
	}
	switch {
	case ability.Can:
		line += "  online, takes calls"
	case online:
		line += "  online; " + ability.Why
	case c.Asked:
		line += "  has not answered your request yet"
	case !c.SeenByUs():
		line += "  does not show you when they are online"
	default:
		line += "  offline"
	}
	a.screen.Printf("%s", line)
	return nil
}

func (c contactsAddCmd) Run(ctx context.Context, a *app) (err error) {
	j, err := parseJID(c.JID)
	if err != nil {
		return err
	}
	client, err := a.dial(ctx, quietly)
	if err != nil {
		return err
	}
	defer closing(client, &err)
	who := j.Bare()
	if err := client.Befriend(ctx, who, c.Name); err != nil {
		return err
	}
	if a.json != nil {
		return a.json.Object("added", struct {
			JID string `json:"jid"`
		}{who.String()})
	}
	a.screen.Printf("added %s; you see when they are online once they agree", screen.Escape(who.String()))
	return nil
}

func (c contactsRemoveCmd) Run(ctx context.Context, a *app) (err error) {
	j, err := parseJID(c.JID)
	if err != nil {
		return err
	}
	client, err := a.dial(ctx, quietly)
	if err != nil {
		return err
	}
	defer closing(client, &err)
	who := j.Bare()
	if _, ok := client.Contact(who); !ok {
		return trouble.Usagef(`"carillon contacts" lists those who are`, "%s is not a contact", who)
	}
	if err := client.RemoveContact(ctx, who); err != nil {
		return fmt.Errorf("remove %s: %w", who, err)
	}
	if a.json != nil {
		return a.json.Object("removed", struct {
			JID string `json:"jid"`
		}{who.String()})
	}
	a.screen.Printf("removed %s", screen.Escape(who.String()))
	return nil
}
