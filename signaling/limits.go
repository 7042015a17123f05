package signaling

import "time"

// Limits on what others can make us hold. A peer that goes beyond is answered
// with an error or not at all; the stream and everybody else's calls go on.
const (
	maxPerPerson    = 8    // calls, and sessions, with one bare JID; see Config.MaxPerPeer
	maxSessions     = 1024 // sessions altogether
	maxContents     = 16   // contents of one session
	maxCandidates   = 64   // candidates of one content in one generation
	maxSessionInbox = 256  // actions of one session not yet handled
	maxCallInbox    = 128  // messages of one call not yet handled
	maxRinging      = 32   // incoming calls nobody answered yet

	maxPeers        = 2048 // senders with stanzas not yet handled
	maxPerPeer      = 512  // stanzas of one full JID not yet handled
	maxPending      = 8192 // stanzas of everybody not yet handled
	workers         = 8    // stanzas handled at once
	strangerRate    = 20   // stanzas a second from one stranger's bare JID ...
	strangerBurst   = 100  // ... after this many at once
	maxStrangers    = 1024 // strangers whose rate is measured
	maxRoster       = 20000
	maxDevices      = 20000 // full JIDs with presence, of everybody
	maxDevicesOfOne = 64    // full JIDs with presence, of one bare JID
	maxStatus       = 1024  // bytes of a presence status kept
	maxCapsCache    = 512   // verification strings remembered
	maxFeatures     = 512   // features of one disco#info answer
	maxMessageIDs   = 4096  // message ids remembered to drop duplicates
	maxDirected     = 256   // strangers who were told we are online
	maxIncoming     = 32    // calls waiting in Incoming
	maxEvents       = 4096  // the largest event subscription
	maxArchive      = 2000  // archived messages read in one catch-up
	archivePage     = 100
)

// Times we wait.
const (
	iqTimeout     = 30 * time.Second // for the answer to an ordinary IQ
	actionTimeout = 20 * time.Second // for the answer to a Jingle action
	closeTimeout  = 3 * time.Second  // for the farewell to the server
	loginRetry    = 10 * time.Second // after a login that the server did not let us complete
	tieWindow     = 10 * time.Second // proposals further apart were not made at the same moment
)
