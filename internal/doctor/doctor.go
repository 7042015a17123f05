// Package doctor finds out what stands in the way of calls, and says so in
// plain words.
//
//	network -> DNS -> connection with TLS -> login -> what the server offers
//	        -> the contact -> STUN, kind of NAT -> TURN over UDP, TCP, TLS
//	        -> microphone and speaker
//
// Each step is a [Check]. A step whose condition failed is skipped, so the
// first failure is where to begin.
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// A Status says how a check came out.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // calls work, but not always or not well
	Fail Status = "fail" // calls do not work
	Skip Status = "skip" // could not be checked
)

// A Check is one result.
type Check struct {
	Name   string `json:"name"`   // short, for example "turn udp"
	Status Status `json:"status"` //
	Detail string `json:"detail"` // what was seen
	Means  string `json:"means"`  // what that means for calls, and what to do; may be empty

	// What these were put together of, for who says it in another language: the
	// name of all of a kind and which one it is, or nothing, and what was said.
	Kind, Which string `json:"-"`
	Said, Meant Text   `json:"-"`
}

// A Text is something said: a format of package fmt, and values for it in words.
type Text struct {
	Format string
	Values []string
}

func text(format string, args ...any) Text {
	t := Text{Format: format}
	for _, a := range args {
		t.Values = append(t.Values, fmt.Sprint(a))
	}
	return t
}

// A Config says what to check. JID, Signaling and Describe are needed.
type Config struct {
	Account jid.JID
	// Signaling is how to log in.
	Signaling signaling.Config
	// Contact is somebody to be called. The zero JID checks nobody.
	Contact jid.JID
	// Relays are used besides those that the server names.
	Relays []media.ICEServer
	// Mic and Speaker are as for a call.
	Mic, Speaker string
	// Describe says in words and with a hint what an error means.
	Describe func(error) (message, hint string)
	Log      *slog.Logger
}

// Times we wait for a single thing.
const (
	dnsTimeout     = 5 * time.Second
	connectTimeout = 7 * time.Second
	loginTimeout   = 20 * time.Second
	askTimeout     = 5 * time.Second
	stunTimeout    = 3 * time.Second
	turnTimeout    = 6 * time.Second
)

// An examination is a run of all checks.
type examination struct {
	Config
	report func(Check)
	sm     *smWatch
}

// Run makes the checks and reports each as soon as it is known. It returns how
// many failed, and an error only when ctx ends.
func Run(ctx context.Context, cfg Config, report func(Check)) (failed int, err error) {
	e := &examination{Config: cfg, sm: new(smWatch)}
	e.report = func(c Check) {
		if c.Status == Fail {
			failed++
		}
		report(c)
	}
	e.network()
	e.server(ctx)
	client := e.login(ctx)
	if client != nil {
		defer client.Close()
		e.features(ctx, client)
		if e.Contact.Localpart() != "" {
			e.contact(ctx, client)
		}
	}
	e.relays(ctx, client)
	e.sound(ctx)
	return failed, context.Cause(ctx)
}

func (e *examination) add(name string, s Status, means, format string, args ...any) {
	e.addOne(name, "", s, text(means), format, args...)
}

// addOne is add for one of several of a kind.
func (e *examination) addOne(kind, which string, s Status, means Text, format string, args ...any) {
	c := Check{
		Name: kind, Status: s, Detail: fmt.Sprintf(format, args...), Means: means.Format,
		Kind: kind, Which: which, Said: text(format, args...), Meant: means,
	}
	if which != "" {
		c.Name += " " + which
	}
	if len(means.Values) > 0 { // others are no formats, and may have any letter
		var values []any
		for _, v := range means.Values {
			values = append(values, v)
		}
		c.Means = fmt.Sprintf(means.Format, values...)
	}
	e.report(c)
}

// network looks whether this machine has an address at all.
func (e *examination) network() {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		e.add("network", Warn, "", "addresses of this machine are not known: %v", err)
		return
	}
	var v4, v6 int
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast():
		case n.IP.To4() != nil:
			v4++
		default:
			v6++
		}
	}
	switch {
	case v4+v6 == 0:
		e.add("network", Warn, "only calls within this machine can work; connect it to a network", "no network address but loopback")
	case v6 == 0:
		e.add("network", OK, "", "%d IPv4, no IPv6", v4)
	case v4 == 0:
		e.add("network", OK, "people with IPv4 alone are reached through a relay", "no IPv4, %d IPv6", v6)
	default:
		e.add("network", OK, "", "%d IPv4, %d IPv6", v4, v6)
	}
}

// sound looks whether there is something to talk with.
func (e *examination) sound(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	mic, err := device.OpenSource(ctx, e.Mic, device.Options{Logger: e.Log})
	if err != nil {
		e.trouble("microphone", Warn, err)
	} else {
		mic.Close()
		e.add("microphone", OK, "", "%s opens", e.Mic)
	}
	if strings.HasPrefix(e.Speaker, "file:") {
		e.add("speaker", Skip, "", "%s is not overwritten for a check", e.Speaker)
		return
	}
	speaker, err := device.OpenSink(ctx, e.Speaker, device.Options{Logger: e.Log})
	if err != nil {
		e.trouble("speaker", Warn, err)
		return
	}
	speaker.Close()
	e.add("speaker", OK, "", "%s opens", e.Speaker)
}

// trouble reports an error in words.
func (e *examination) trouble(name string, s Status, err error) {
	message, hint := e.Describe(err)
	e.add(name, s, hint, "%s", message)
}

// roots are the certificates that are trusted; nil means those of the system.
func (e *examination) roots() *x509.CertPool { return e.Signaling.RootCAs }
