package state

import "time"

// A Phase is how far a call is.
type Phase string

// The phases, in order.
const (
	Rings        Phase = "rings"        // here: somebody calls us
	Dialing      Phase = "dialing"      // nothing rings yet
	RingsThere   Phase = "rings there"  //
	Linking      Phase = "connecting"   // taken, and no sound yet
	Running      Phase = "running"      //
	Reconnecting Phase = "reconnecting" // the path was lost
	Ending       Phase = "ending"       // we hung up
)

// Live reports whether the call was taken.
func (p Phase) Live() bool { return p == Linking || p == Running || p == Reconnecting }

// A Picture is what our side sends.
type Picture string

// The pictures.
const (
	NoPicture Picture = ""
	Camera    Picture = "camera"
	Screen    Picture = "screen"
)

// A Call is one that is not over.
type Call struct {
	ID string
	Key
	Name     string
	Incoming bool
	Stranger bool // not a contact
	Video    bool // proposed with video
	Phase    Phase
	Why      Why       // while nothing rings: what may stand in the way
	Since    time.Time // media could flow; zero before

	Muted, Held         bool
	TheyMuted, TheyHeld bool
	Picture             Picture // what we send
	TheirPicture        bool    // they send one
	Digits              string  // typed so far
	Verification        string  // what both sides see alike
	Trust               Trust
	Stats               Stats
	Quality             Quality
	badness             float64 // smoothed, 0 is perfect
}

// A Trust says what we know about the keys of the other side.
type Trust string

// What may be known.
const (
	TrustUnknown  Trust = ""
	TrustFirst    Trust = "first"    // seen for the first time, and remembered
	TrustSame     Trust = "same"     // the same as before
	TrustChanged  Trust = "changed"  // other than before
	TrustVerified Trust = "verified" // compared by our user
)

// Stats tell how a call is doing.
type Stats struct {
	Path              Path
	Codec             string
	VideoCodec        string
	Width, Height     int     // of what we see
	FPS               float64 // of what we see
	Freezes           int
	RTT, Delay        time.Duration
	LossIn, LossOut   float64 // 0 to 1
	Concealed         float64
	RateIn, RateOut   float64 // bit/s, sound and picture
	LevelIn, LevelOut float64 // dBFS
}

// A Path is the way the media goes.
type Path string

// The paths.
const (
	PathUnknown Path = ""
	PathDirect  Path = "direct"
	PathNAT     Path = "nat" // direct, through address translation
	PathRelay   Path = "relay"
)

// A Quality is what the badge shows.
type Quality string

// The qualities.
const (
	QualityUnknown Quality = ""
	Good           Quality = "good"
	Fair           Quality = "fair"
	Poor           Quality = "poor"
)

// rate takes new figures into the quality. Single bad seconds do not turn it.
func (c Call) rate(s Stats) Call {
	bad := 8*s.LossIn + 4*s.LossOut + 4*s.Concealed
	if rtt := s.RTT.Seconds(); rtt > 0.15 {
		bad += rtt - 0.15
	}
	const weight = 0.3
	if c.Quality == QualityUnknown {
		c.badness = bad
	}
	c.badness += weight * (bad - c.badness)
	switch {
	case c.badness < 0.15:
		c.Quality = Good
	case c.badness < 0.5:
		c.Quality = Fair
	default:
		c.Quality = Poor
	}
	c.Stats = s
	return c
}

// A Flash says how a call ended.
type Flash struct {
	Key
	Name    string
	Video   bool
	Outcome Outcome
	Lasted  time.Duration
	Remote  bool // they ended it
	Problem *Problem
}

// Stays is how long it is shown unless it is dismissed; zero is for ever. What
// asks for nothing goes soon.
func (f Flash) Stays() time.Duration {
	switch {
	case f.Problem != nil, f.Outcome == Missed:
		return 0
	case f.Outcome == Answered, f.Outcome == Elsewhere:
		return 8 * time.Second
	}
	return 30 * time.Second
}

// Front returns the call in front.
func (a App) Front() (Call, bool) {
	if len(a.Calls) == 0 {
		return Call{}, false
	}
	return a.Calls[0], true
}

// Call returns a call.
func (a App) Call(id string) (Call, bool) {
	for _, c := range a.Calls {
		if c.ID == id {
			return c, true
		}
	}
	return Call{}, false
}

// Waiting returns the call that rings while another one is in front.
func (a App) Waiting() (Call, bool) {
	for i, c := range a.Calls {
		if i > 0 && c.Phase == Rings {
			return c, true
		}
	}
	return Call{}, false
}

// Parked returns a call that was taken and is not in front, to be swapped with it.
func (a App) Parked() (Call, bool) {
	for i, c := range a.Calls {
		if i > 0 && c.Phase.Live() {
			return c, true
		}
	}
	return Call{}, false
}
