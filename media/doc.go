// Package media carries calls: it takes part in a Jingle session, as a
// [jingle.Application], and answers for its sound with pion's ICE, DTLS and
// SRTP.
//
//	     initiator                                   responder
//	NewCall  finds addresses while it rings      NewCall  likewise
//	Attach   |--- session-initiate, candidates ----->|    Attach
//	         |<------- session-accept, candidates ---|    ICE begins
//	         |<=== ICE checks, DTLS handshake =======|
//	         |<=== SRTP: Opus 20 ms, RTCP ==========>|    Connected, FirstAudio
//	         |--- session-info (mute, hold) -------->|
//	         |--- transport-info (ICE restart) ----->|    Reconnecting, Connected
//	HangUp   |--- session-terminate ---------------->|    Ended
//
// Begin with [NewCall], give the [Call] to package signaling, and read
// [Call.Events]. Everything about codecs, sources and sinks is in media/audio,
// sound cards are in media/device, and media/mediatest has networks to try
// calls on.
//
// One Jingle transport is one PeerConnection: the contents of a BUNDLE group
// share one, any other content has its own. SDP exists between sdpmap and pion
// and nowhere else.
//
// Nothing is sent to a peer before its description was checked: media over RTP,
// ICE, and a DTLS fingerprint with its role in every content, else the session
// ends with security-error. Addresses of the peer must be literal, UDP, and at
// most 64.
//
// Video is declined: a content with video is answered with nobody sending, and
// one that is added later is rejected. Peers that do not restart ICE (Dino) are
// given the time to come back and otherwise lost; calling again is up to the
// user of this package.
package media
