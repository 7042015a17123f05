package signaling

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// A Device is one full JID whose presence we see.
type Device struct {
	JID       jid.JID // full
	Available bool
	Show      string // "", "away", "chat", "dnd" or "xa"
	Status    string // to be shown as plain text
	Priority  int8
	CapsNode  string // the software, as a URL; "" when not told. XEP-0115
	CapsVer   string // XEP-0115; "" when not told
	// Info is what the device can do, nil when not known yet; see [Client.Devices].
	Info *Info

	capsHash string
	unknown  bool // of somebody who is no contact
}

// Features of calls.
const (
	featureICE  = "urn:xmpp:jingle:transports:ice-udp:1"
	featureDTLS = "urn:xmpp:jingle:apps:dtls:0"
	featureJMI  = "urn:xmpp:jingle-message:0"
)

// needed are what Conversations, and therefore we, want of a device before
// calling it with audio.
var needed = [...]string{jingle.NS, featureICE, rtp.NS, featureDTLS, rtp.FeatureAudio}

// CallFeatures are the features that a device advertises to be called with
// audio, and with video: exactly those that the clients in use look for.
func CallFeatures(video bool) []string {
	f := append(slices.Clone(needed[:]), featureJMI)
	if video {
		f = append(f, rtp.FeatureVideo)
	}
	return f
}

// CanCall reports whether the device can take calls of audio by Jingle.
func (d Device) CanCall() bool { return d.Info != nil && d.Info.Has(needed[:]...) }

// CanJMI reports whether the device can be called by a message to the bare
// JID (XEP-0353).
func (d Device) CanJMI() bool { return d.Info != nil && d.Info.Has(featureJMI) }

// maxAsked bounds how many devices are asked at once.
const maxAsked = 8

// Devices returns the online devices of somebody, our own account included, by
// falling priority. It asks those whose features are not known yet, for as
// long as ctx allows; a device that does not answer has a nil Info.
func (c *Client) Devices(ctx context.Context, bare jid.JID) ([]Device, error) {
	if c.ctx.Err() != nil {
		return nil, c.closedErr()
	}
	return c.devicesUntil(ctx, bare, func(Device) bool { return false }), nil
}

// devicesUntil is like Devices, but returns as soon as enough is true for one of
// them: a device that sleeps does not answer for a long time. Enough is not
// called twice at once.
func (c *Client) devicesUntil(ctx context.Context, bare jid.JID, enough func(Device) bool) []Device {
	devices := c.presence.of(bare)
	for i := range devices {
		devices[i].Info = c.knownInfo(devices[i])
	}
	if slices.ContainsFunc(devices, func(d Device) bool { return d.Info != nil && enough(d) }) {
		return devices
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var one sync.Mutex
	slots := make(chan struct{}, maxAsked)
	for i := range devices {
		if devices[i].Info != nil {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			info, err := c.deviceInfo(ctx, devices[i])
			if err != nil {
				c.log.Debug("device does not tell its features", "device", devices[i].JID.String(), "err", err)
				return
			}
			devices[i].Info = &info
			one.Lock()
			defer one.Unlock()
			if enough(devices[i]) {
				cancel()
			}
		})
	}
	wg.Wait()
	return devices
}

// inWords says what features are, for people.
func inWords(features []string) []string {
	words := map[string]string{
		jingle.NS: "sessions (Jingle)", featureICE: "finding a path (ICE)", rtp.NS: "calls (Jingle RTP)",
		featureDTLS: "encrypted calls (DTLS)", rtp.FeatureAudio: "sound",
	}
	var out []string
	for _, f := range features {
		if w := words[f]; w != "" {
			f = w
		}
		out = append(out, f)
	}
	return out
}

// An Ability says whether somebody can be called, and why not.
type Ability struct {
	Can bool // at least one device takes calls
	JMI bool // it can be reached by a message to the bare JID
	// Why explains a Can of false, or what stands in the way of a good call,
	// in one lower-case line.
	Why     string
	Devices []Device
}

// CanCall says whether somebody can be called now. A Can of false does not
// forbid to try: without seeing their presence we cannot know.
func (c *Client) CanCall(ctx context.Context, bare jid.JID) (Ability, error) {
	devices, err := c.Devices(ctx, bare)
	if err != nil {
		return Ability{}, err
	}
	contact, known := c.roster.get(bare)
	a := Ability{Devices: devices}
	var almost []string // why the best device cannot
	silent := 0
	for _, d := range devices {
		switch {
		case d.CanCall():
			a.Can = true
			a.JMI = a.JMI || d.CanJMI()
		case d.Info == nil:
			silent++
		default:
			if m := d.Info.missing(needed[:]...); almost == nil || len(m) < len(almost) {
				almost = m
			}
		}
	}
	switch who := bare.Bare(); {
	case a.Can && !a.JMI:
		a.Why = fmt.Sprintf("only one device of %s can ring: none understands call messages", who)
	case a.Can:
	case len(devices) == 0 && !known && !c.isOwnAccount(bare):
		a.Why = fmt.Sprintf("%s is not in your contacts, so nobody can tell whether they are online", who)
	case len(devices) == 0 && contact.Asked:
		a.Why = fmt.Sprintf("%s has not answered your request to see when they are online", who)
	case len(devices) == 0 && !contact.SeenByUs() && !c.isOwnAccount(bare):
		a.Why = fmt.Sprintf("you are not subscribed to the presence of %s", who)
	case len(devices) == 0:
		a.Why = fmt.Sprintf("%s is offline", who)
	case almost == nil:
		a.Why = fmt.Sprintf("no device of %s tells what it can do", who)
	case len(almost) == len(needed):
		a.Why = fmt.Sprintf("no device of %s takes calls", who)
	default:
		a.Why = fmt.Sprintf("no device of %s takes calls; the best one lacks %s", who, strings.Join(inWords(almost), ", "))
	}
	if !a.Can && almost != nil && silent > 0 {
		a.Why += fmt.Sprintf(" (%d did not answer)", silent)
	}
	return a, nil
}
