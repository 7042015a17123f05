package cli

import (
	"context"
	"fmt"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/internal/doctor"
	"github.com/carillon-im/carillon/signaling"
)

func (c doctorCmd) Run(ctx context.Context, a *app) error {
	id, err := a.identity()
	if err != nil {
		return err
	}
	cfg := doctor.Config{
		Account: id.jid, Log: a.log,
		Mic: or(a.config.Mic, "device"), Speaker: or(a.config.Speaker, "device"),
		Describe: func(err error) (string, string) {
			t := trouble.Describe(err)
			return t.Message, t.Hint
		},
	}
	if c.JID != "" {
		if cfg.Contact, err = parseJID(c.JID); err != nil {
			return err
		}
	}
	if cfg.Relays, err = relays(a.config.Relays); err != nil {
		return err
	}
	if cfg.Signaling, err = a.clientConfig(id); err != nil {
		return err
	}
	cfg.Signaling.NoCalls, cfg.Signaling.CatchUp = true, -1
	cfg.Signaling.Priority = -1
	cfg.Signaling.Pins = readOnly{cfg.Signaling.Pins}
	failed, err := doctor.Run(ctx, cfg, func(check doctor.Check) {
		if err := a.showCheck(check); err != nil {
			a.screen.Warn("%v", err)
		}
	})
	if err != nil {
		return err
	}
	if failed > 0 {
		return &trouble.FailedChecksError{Count: failed}
	}
	return nil
}

// readOnly are pins that an examination does not change.
type readOnly struct{ signaling.Pins }

func (readOnly) Store(string, string) error { return nil }

func (a *app) showCheck(c doctor.Check) error {
	if a.json != nil {
		return a.json.Object("check", c)
	}
	mark := fmt.Sprintf("%-5s", c.Status)
	if a.screen.Color() {
		color := map[doctor.Status]string{doctor.OK: "32", doctor.Warn: "33", doctor.Fail: "31", doctor.Skip: "2"}[c.Status]
		mark = "\x1b[" + color + "m" + mark + "\x1b[0m"
	}
	a.screen.Printf("%s %s: %s", mark, screen.Escape(c.Name), screen.Escape(c.Detail))
	if c.Means != "" {
		a.screen.Printf("      %s", screen.Escape(c.Means))
	}
	return nil
}
