package jingletest

import (
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// Registry returns a registry that knows what calls consist of.
func Registry() *jingle.Registry {
	reg := new(jingle.Registry)
	rtp.Register(reg)
	iceudp.Register(reg)
	return reg
}

// Contents returns an element with plausible RTP contents of these names. A name
// beginning with "video" is video, others are audio; senders may follow after a
// colon, as in "video:initiator".
func Contents(names ...string) *jingle.Jingle {
	j := new(jingle.Jingle)
	for _, name := range names {
		name, senders, _ := strings.Cut(name, ":")
		j.Contents = append(j.Contents, jingle.Content{
			Name:        name,
			Senders:     jingle.Senders(senders),
			Description: Description(name),
			Transport:   Transport(),
		})
	}
	return j
}

// Description returns an RTP description for a content of this name.
func Description(name string) *rtp.Description {
	if strings.HasPrefix(name, "video") {
		return &rtp.Description{
			Media:        rtp.Video,
			PayloadTypes: []rtp.PayloadType{{ID: 98, Name: "VP8", ClockRate: 90000}},
			RTCPMux:      new(rtp.Flag),
		}
	}
	return &rtp.Description{
		Media:        rtp.Audio,
		PayloadTypes: []rtp.PayloadType{{ID: 111, Name: "opus", ClockRate: 48000, Channels: 2}},
		RTCPMux:      new(rtp.Flag),
	}
}

// Transport returns an ICE transport with a fingerprint and one candidate.
func Transport() *iceudp.Transport {
	return &iceudp.Transport{
		Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg",
		Fingerprints: []iceudp.Fingerprint{{
			Hash: "sha-256", Setup: iceudp.ActPass, Value: strings.Repeat("AB:", 31) + "AB",
		}},
		Candidates: []iceudp.Candidate{Candidate()},
	}
}

// Candidate returns a host candidate of an address reserved for examples.
func Candidate() iceudp.Candidate {
	return iceudp.Candidate{
		Component: 1, Foundation: "1", ID: "el0747fg11", IP: "192.0.2.3", Port: 8998,
		Priority: 2130706431, Protocol: "udp", Type: iceudp.Host,
	}
}
