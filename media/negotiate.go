package media

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/internal/sdpmap"
)

// A refusal is why contents cannot be carried, as the peer is told.
type refusal struct {
	condition jingle.Condition
	err       error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(c jingle.Condition, format string, args ...any) error {
	return &refusal{c, fmt.Errorf(format, args...)}
}

// reasonFor says an error in the words of Jingle.
func reasonFor(err error) jingle.Reason {
	if r, ok := errors.AsType[*refusal](err); ok {
		return jingle.Reason{Condition: r.condition, Text: r.Error()}
	}
	return jingle.Reason{Condition: jingle.FailedApplication, Text: err.Error()}
}

// checkContents tells whether we can talk about contents of the peer at all:
// media over RTP, by way of ICE, secured by DTLS with a fingerprint in each.
// Nothing is opened for the peer before.
func checkContents(cs []jingle.Content) error {
	if len(cs) == 0 || len(cs) > maxContents {
		return refuse(jingle.IncompatibleParameters, "%d contents", len(cs))
	}
	names := make(map[string]bool)
	for _, c := range cs {
		if names[c.Name] {
			return refuse(jingle.IncompatibleParameters, "two contents have the name %q", c.Name)
		}
		names[c.Name] = true
		if d, ok := c.Description.(*rtp.Description); !ok || d == nil {
			return refuse(jingle.UnsupportedApplications, "content %q is not RTP", c.Name)
		}
		tr, ok := c.Transport.(*iceudp.Transport)
		if !ok || tr == nil {
			return refuse(jingle.UnsupportedTransports, "content %q does not use ICE", c.Name)
		}
		if _, err := sdpmap.PickFingerprint(tr); err != nil {
			return refuse(jingle.SecurityError, "content %q: %w", c.Name, err)
		}
	}
	return nil
}

func description(c jingle.Content) *rtp.Description   { return c.Description.(*rtp.Description) }
func iceTransport(c jingle.Content) *iceudp.Transport { return c.Transport.(*iceudp.Transport) }

// firstAudio finds the content that the call is about.
func firstAudio(cs []jingle.Content) int {
	return slices.IndexFunc(cs, func(c jingle.Content) bool { return description(c).Media == rtp.Audio })
}

// transports tells which contents share a transport: those of a BUNDLE group
// do, every other one has its own. Each list has the content that is described
// first, whose credentials count. XEP-0338, RFC 9143 §7
func transports(cs []jingle.Content, groups []group.Group) [][]int {
	index := make(map[string]int)
	for i, c := range cs {
		index[c.Name] = i
	}
	var out [][]int
	taken := make(map[int]bool)
	for _, g := range groups {
		if g.Semantics != group.Bundle {
			continue
		}
		var members []int
		for _, n := range g.Contents {
			if i, ok := index[n.Name]; ok && !taken[i] {
				taken[i] = true
				members = append(members, i)
			}
		}
		if len(members) > 0 {
			out = append(out, members)
		}
	}
	for i := range cs {
		if !taken[i] {
			out = append(out, []int{i})
		}
	}
	return out
}

// An agreement is what both sides said about sound.
type agreement struct {
	send     sendCodec
	decoders map[uint8]audio.Codec
	events   map[uint8]bool
}

// agree finds what to send and what to expect. Both sides use the first codec
// of the answer; what the peer says about it limits our encoder.
func agree(local, remote *rtp.Description, answer *rtp.Description, codecs []audio.Codec, o audio.EncoderOptions) (agreement, error) {
	a := agreement{decoders: make(map[uint8]audio.Codec), events: make(map[uint8]bool)}
	for _, p := range local.PayloadTypes {
		if strings.EqualFold(p.Name, audio.TelephoneEvent) {
			a.events[p.ID] = true
		} else if c, ok := findCodec(codecs, p); ok {
			a.decoders[p.ID] = c
		}
	}
	found := false
	for _, p := range answer.PayloadTypes {
		c, ok := findCodec(codecs, p)
		if !ok {
			continue
		}
		// The peer's own entry tells what its decoder likes.
		i := slices.IndexFunc(remote.PayloadTypes, func(r rtp.PayloadType) bool { return samePayload(r, p) })
		if i < 0 {
			continue
		}
		var params []audio.Parameter
		for _, q := range remote.PayloadTypes[i].Parameters {
			params = append(params, audio.Parameter{Name: q.Name, Value: q.Value})
		}
		a.send = sendCodec{codec: c, payloadType: remote.PayloadTypes[i].ID, options: o.With(params)}
		found = true
		break
	}
	if !found {
		return a, &refusal{jingle.IncompatibleParameters, ErrNoCodec}
	}
	for _, p := range remote.PayloadTypes {
		if !strings.EqualFold(p.Name, audio.TelephoneEvent) {
			continue
		}
		// RFC 7587 §7 wants the clock of the codec, which not everyone offers.
		if a.send.events == 0 || p.ClockRate == a.send.codec.ClockRate {
			a.send.events, a.send.eventsRate = p.ID, p.ClockRate
		}
	}
	return a, nil
}

func findCodec(codecs []audio.Codec, p rtp.PayloadType) (audio.Codec, bool) {
	name, rate := p.Name, p.ClockRate
	for _, c := range codecs {
		if name == "" && p.ID == c.PayloadType && p.ID < 96 { // static, RFC 3551 §6
			return c, true
		}
		if strings.EqualFold(c.Name, name) && c.ClockRate == rate && max(c.Channels, 1) == max(p.Channels, 1) {
			return c, true
		}
	}
	return audio.Codec{}, false
}

func samePayload(a, b rtp.PayloadType) bool {
	if a.Name == "" || b.Name == "" {
		return a.ID == b.ID
	}
	return strings.EqualFold(a.Name, b.Name) && a.ClockRate == b.ClockRate && max(a.Channels, 1) == max(b.Channels, 1)
}

// prefer puts payload types in our order of preference, with what is no codec
// last.
//
// interop Dino 0.4: it takes the first payload type of an answer as the codec,
// whatever that is.
func prefer(d *rtp.Description, codecs []audio.Codec) {
	rank := func(p rtp.PayloadType) int {
		i := slices.IndexFunc(codecs, func(c audio.Codec) bool {
			_, ok := findCodec([]audio.Codec{c}, p)
			return ok
		})
		if i < 0 {
			return len(codecs)
		}
		return i
	}
	slices.SortStableFunc(d.PayloadTypes, func(a, b rtp.PayloadType) int { return cmp.Compare(rank(a), rank(b)) })
}

// trimSources leaves of our sources what XEP-0339 readers use.
func trimSources(d *rtp.Description) {
	for i := range d.Sources {
		d.Sources[i].Parameters = slices.DeleteFunc(d.Sources[i].Parameters, func(p rtp.Parameter) bool {
			return p.Name != "cname" && p.Name != "msid"
		})
	}
}

// declined answers a content that we do not carry: kept, because peers take a
// missing one for an error, with nobody sending.
//
// interop Conversations 2.19: the media of answer and offer must be the same,
// else the call ends with security-error.
func declined(offer jingle.Content) jingle.Content {
	d := *description(offer)
	// One codec is enough, and all that Dino understands; VP8 everyone has.
	if i := slices.IndexFunc(d.PayloadTypes, func(p rtp.PayloadType) bool { return strings.EqualFold(p.Name, "VP8") }); i >= 0 {
		d.PayloadTypes = d.PayloadTypes[i : i+1]
	} else if len(d.PayloadTypes) > 1 {
		d.PayloadTypes = d.PayloadTypes[:1]
	}
	d.Sources, d.SSRCGroups, d.HdrExts, d.SSRC = nil, nil, nil, ""
	d.RTCPMux = &rtp.Flag{}
	return jingle.Content{
		Creator: "initiator", Name: offer.Name, Senders: jingle.SendersNone, Description: &d,
	}
}

// carrier is what pion is told of a transport whose contents we do not carry,
// so that it is set up all the same: a peer that offered it waits for it.
func carrier(offer jingle.Content, codec audio.Codec) jingle.Content {
	return jingle.Content{
		Name: offer.Name, Senders: jingle.SendersNone, Transport: offer.Transport,
		Description: &rtp.Description{Media: rtp.Audio, PayloadTypes: []rtp.PayloadType{{
			ID: codec.PayloadType, Name: codec.Name, ClockRate: codec.ClockRate, Channels: codec.Channels,
		}}},
	}
}

// endError says in words why a session ended, nil when somebody just hung up.
func endError(e jingle.Ended) error {
	who := "we"
	if e.Remote {
		who = "the other side"
	}
	var text string
	switch e.Reason.Condition {
	case jingle.Success, jingle.Cancel, jingle.Decline, jingle.Busy, jingle.Gone, jingle.Expired, "":
		return nil
	case jingle.ConnectivityError, jingle.FailedTransport, jingle.UnsupportedTransports:
		text = "no connection could be made or kept"
	case jingle.SecurityError:
		text = "the encryption could not be trusted"
	case jingle.FailedApplication, jingle.MediaError, jingle.IncompatibleParameters, jingle.UnsupportedApplications:
		text = "the media did not work"
	case jingle.Timeout:
		text = "no answer came"
	default:
		text = "something went wrong"
	}
	err := fmt.Errorf("%s ended the call with %s: %s", who, e.Reason.Condition, text)
	if e.Reason.Text != "" {
		err = fmt.Errorf("%w (%q)", err, e.Reason.Text)
	}
	return err
}
