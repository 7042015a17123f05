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
// [Call.Events]. Everything about codecs, sources and sinks is in media/audio and
// media/video, sound cards are in media/device, and media/mediatest has networks
// to try calls on.
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
// A picture travels beside the sound when a codec is there (-tags native) and
// the peer has one: offered with the call or added to it by either side, swapped
// by [Call.SetVideo] without asking, and turned off in the peer's dialect. What
// is sent follows what the path takes, by the peer's reports: bit rate, then the
// number of pictures, then their size. Packets that are lost are asked for and
// sent again; a picture that cannot be had is given up for the next key frame.
// Pictures wait for their sound.
//
// Peers that do not restart ICE (Dino) are given the time to come back and
// otherwise lost; calling again is up to the user of this package.
package media
