package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/talk"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/cmd/carillon/internal/view"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// liveStats is how often the live line is drawn.
const liveStats = 250 * time.Millisecond

// keyLife is how long a key waits for a call that may be busy for a moment.
const keyLife = 200 * time.Millisecond

// maxEvents bounds what happened and is not shown yet.
const maxEvents = 256

func (c callCmd) Run(ctx context.Context, a *app) error {
	to, err := parseJID(c.JID)
	if err != nil {
		return err
	}
	l, err := a.line(ctx, c.soundFlags, true, nil)
	if err != nil {
		return err
	}
	l.phone.RingTimeout = c.Timeout
	return errors.Join(l.phone.Call(ctx, to), l.close())
}

// A line is a client that is online for calls, and what shows them.
type line struct {
	client *signaling.Client
	view   *view.View
	phone  *talk.Phone
	events *signaling.Subscription
	keys   *screen.Keys // nil when none are read
	closed chan struct{}
	wg     sync.WaitGroup // what shows events and reads keys
}

// sees reports whether calls may have pictures.
func (s soundFlags) sees() bool {
	return s.Video || s.Camera != "" || s.Screen != "" || s.codec() != ""
}

// codec is the one that was asked for, "" for none.
func (s soundFlags) codec() string {
	if s.VideoCodec == "auto" {
		return ""
	}
	return s.VideoCodec
}

// sight is what calls show and where what they see goes.
func (s soundFlags) sight(a *app) talk.Sight {
	if !s.sees() {
		return talk.Sight{}
	}
	return talk.Sight{Camera: or(s.Camera, "camera"), Screen: or(s.Screen, "null"), Codec: s.codec(), Log: a.log}
}

// line goes online, for calls of those who are wanted; nil is everybody.
func (a *app) line(ctx context.Context, s soundFlags, keys bool, wanted func(jid.JID) bool) (*line, error) {
	relays, err := relays(a.config.Relays)
	if err != nil {
		return nil, err
	}
	sound := talk.Sound{
		Mic: or(s.Mic, a.config.Mic, "device"), Speaker: or(s.Speaker, a.config.Speaker, "device"),
		NoProcessing: s.NoProcessing, Log: a.log, Warn: a.screen.Warn,
	}
	if err := sound.Check(ctx); err != nil {
		return nil, err
	}
	l := &line{closed: make(chan struct{})}
	l.view = view.New(view.Config{Screen: a.screen, JSON: a.json, Stats: s.Stats, Keys: keys && a.screen.Interactive(), Video: s.sees()})
	var roots *x509.CertPool // of --ca-file, for relays over TLS as well
	if l.client, err = a.dial(ctx, func(cfg *signaling.Config) {
		cfg.Features = signaling.CallFeatures(s.sees())
		cfg.Wanted = wanted
		roots = cfg.RootCAs
	}); err != nil {
		return nil, err
	}
	l.phone = &talk.Phone{
		Client: l.client, Sound: sound, Sight: s.sight(a),
		Relays: relays, RelayOnly: s.RelayOnly || a.config.RelayOnly, Duration: s.Duration,
		Show: l.view.Show, Warn: a.screen.Warn, Log: a.log,
		Media: func(cfg *media.Config) { cfg.RootCAs = roots },
	}
	if a.screen.Live() {
		l.phone.StatsInterval = liveStats
	}
	l.events = l.client.Subscribe(maxEvents)
	l.view.Show(events.Online{JID: l.client.JID().String()})
	l.wg.Go(l.follow)
	if keys {
		if err := l.readKeys(ctx, a); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// follow shows what happens to the connection.
func (l *line) follow() {
	for e := range l.events.Events() {
		switch e := e.(type) {
		case signaling.Online:
			// The first login was shown by line, and may or may not come here.
			if e.Resumed {
				l.view.Show(events.Online{JID: e.JID.String(), Resumed: true})
			}
		case signaling.SubscriptionRequest:
			l.view.Show(events.Asked{Peer: e.From.String()})
		case signaling.Offline:
			l.view.Show(events.Offline{Err: e.Err})
		}
	}
}

// readKeys reads what the user types. Ctrl-C comes as a key in a terminal
// whose keys we read.
func (l *line) readKeys(ctx context.Context, a *app) error {
	var err error
	if l.keys, err = a.screen.Keys(ctx, a.env.Stdin); err != nil {
		return err
	}
	typed := make(chan rune)
	l.phone.Keys = typed
	l.wg.Go(func() {
		defer close(typed)
		for {
			select {
			case k, ok := <-l.keys.C():
				if !ok {
					return
				}
				if k == screen.Interrupt {
					a.stop.Now()
					continue
				}
				// What is typed between calls is not meant for the next one.
				// Lines of a script are: they wait.
				var stale <-chan time.Time
				if a.screen.Interactive() {
					stale = time.After(keyLife)
				}
				select {
				case typed <- k:
				case <-stale:
					if k == 'q' {
						a.stop.Now()
					}
				case <-l.closed:
					return
				case <-ctx.Done(): // only a second Ctrl-C counts now
				}
			case <-l.closed:
				return
			}
		}
	})
	return nil
}

// close goes offline and gives the terminal back.
func (l *line) close() error {
	err := l.client.Close()
	l.events.Close()
	close(l.closed) // only now: until here a second Ctrl-C quits
	l.wg.Wait()
	if l.keys != nil {
		l.keys.Close()
	}
	return err
}

// relays reads the passwords of the relays in the configuration.
func relays(list []config.Relay) ([]media.ICEServer, error) {
	var out []media.ICEServer
	for _, r := range list {
		s := media.ICEServer{URL: r.URL, Username: r.Username}
		if kind, _, ok := strings.Cut(r.URL, ":"); !ok || kind != "stun" && kind != "stuns" && kind != "turn" && kind != "turns" {
			return nil, trouble.Usagef("write it like turn:relay.example.org:3478", "relay %q in the config file is no URL of a STUN or TURN server", r.URL)
		}
		if r.PasswordFile != "" {
			password, err := accounts.ReadPasswordFile(r.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("relay %s: %w", r.URL, err)
			}
			s.Password = media.Secret(password)
		}
		out = append(out, s)
	}
	return out, nil
}
