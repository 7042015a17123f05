// Package sdpmap translates between the contents of a Jingle session and SDP
// (RFC 8866) in a dialect that only this program and pion speak.
//
//	jingle.Content  --ToSDP-->    SDP  -->  PeerConnection.SetRemoteDescription
//	jingle.Content  <--FromSDP--  SDP  <--  PeerConnection.CreateOffer, CreateAnswer
//	iceudp.Candidate <-- FromICE, ToICE --> pion's candidates
//
// Jingle was made to be translatable to SDP, and XEP-0167, XEP-0176, XEP-0293,
// XEP-0294, XEP-0320, XEP-0338 and XEP-0339 each say how their part is. The
// dialect differs from what a browser would write:
//
//   - one description is one transport: all its sections are in one BUNDLE
//     group, whether Jingle has a group or not, because pion rejects a section
//     that is in none;
//   - content names are the mids;
//   - candidates never appear: they travel beside the description;
//   - what pion has no use for is left out (origin, names, ptime, encryption).
//
// Everything that comes from a peer is checked against the grammar of the place
// where it is put, so that no value can become another line.
package sdpmap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/carillon-im/carillon/jingle"
)

// ErrMalformed is wrapped by errors about contents that cannot be said in SDP.
var ErrMalformed = errors.New("malformed content")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// Limits on what is translated. They are above what any client sends.
const (
	maxSections     = 16
	maxPayloadTypes = 64
	maxParameters   = 32
	maxFeedback     = 32
	maxHdrExts      = 32
	maxSources      = 16
	maxText         = 512 // of one parameter, name or identifier
	maxName         = 64  // of a content
)

// isToken reports whether s can be a mid, a codec name, and such.
// RFC 8866 §9, token.
func isToken(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// isText reports whether s can be in the middle of a line, without being able
// to end it or to be taken for two values.
func isText(s string, forbidden string) bool {
	if len(s) > maxText {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return !strings.ContainsAny(s, forbidden)
}

// isICE reports whether s can be an ice-ufrag or ice-pwd. RFC 8839 §5.4 says
// at least 4 and 22 characters; Dino's passwords are 22 and ufrags 4.
func isICE(s string, least int) bool {
	if len(s) < least || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/') {
			return false
		}
	}
	return true
}

// direction is the SDP attribute for senders as the side from would write it.
// XEP-0167#sdp
func direction(s jingle.Senders, from jingle.Role) string {
	switch mine, theirs := s.Includes(from), s.Includes(from.Peer()); {
	case mine && theirs:
		return "sendrecv"
	case mine:
		return "sendonly"
	case theirs:
		return "recvonly"
	}
	return "inactive"
}

// senders is the inverse of direction.
func senders(direction string, from jingle.Role) (jingle.Senders, bool) {
	one := func(r jingle.Role) jingle.Senders {
		if r == jingle.Initiator {
			return jingle.SendersInitiator
		}
		return jingle.SendersResponder
	}
	switch direction {
	case "sendrecv":
		return jingle.SendersBoth, true
	case "sendonly":
		return one(from), true
	case "recvonly":
		return one(from.Peer()), true
	case "inactive":
		return jingle.SendersNone, true
	}
	return "", false
}
