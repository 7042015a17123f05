package state

import "time"

// A Transfer is files and folders on their way, or those that were.
type Transfer struct {
	ID string
	Key
	Name      string // of the person
	Incoming  bool
	Names     []string // of files and folders, as chosen
	Files     int
	Size      int64 // bytes; -1 when unknown
	Done      int64
	Speed     float64 // bytes a second, smoothed
	Phase     Moving
	Path      Path   // how the bytes travel
	Resumable bool   // it can be paused and goes on later
	Verified  bool   // compared with hashes of the sender
	Place     string // the file or folder it lies in
	Thumbnail []byte // a small image of it, as package thumb makes and decodes them
	Problem   *Problem
	GivenUp   bool // it failed so often that it does not go on by itself
	// Unanswered says that what comes in was interrupted before our user said a word.
	Unanswered bool
	Began      time.Time

	at time.Time // of the last progress
}

// A Parcel is files and folders that the user chooses one after the other, to
// send them at once. The zero Parcel shows nothing.
type Parcel struct {
	Key
	Name  string // of the person
	Paths []string
}

// A Moving is the state of a transfer.
type Moving string

// The states of a transfer.
const (
	Offered   Moving = "offered" // to us: the user decides; by us: they do
	WaitsFor  Moving = "waiting" // for the other side to come online
	Moves     Moving = "moves"
	Paused    Moving = "paused"
	Arrived   Moving = "arrived"
	Broke     Moving = "failed"
	Cancelled Moving = "cancelled"
	Refused   Moving = "declined"
)

// Over reports whether nothing happens any more.
func (m Moving) Over() bool { return m == Arrived || m == Broke || m == Cancelled || m == Refused }

// Share is how much has come, 0 to 1.
func (t Transfer) Share() float64 {
	switch {
	case t.Phase == Arrived:
		return 1
	case t.Size <= 0:
		return 0
	}
	return min(1, float64(t.Done)/float64(t.Size))
}

// Left estimates the time until it has arrived; zero when that is not known.
func (t Transfer) Left() time.Duration {
	if t.Speed < 1 || t.Size <= 0 || t.Phase != Moves {
		return 0
	}
	return time.Duration(float64(t.Size-t.Done) / t.Speed * float64(time.Second))
}

// Transfer returns a transfer.
func (a App) Transfer(id string) (Transfer, bool) {
	for _, t := range a.Transfers {
		if t.ID == id {
			return t, true
		}
	}
	return Transfer{}, false
}

// progress takes what has come by at.
func (t Transfer) progress(done int64, at time.Time) Transfer {
	if d := at.Sub(t.at).Seconds(); !t.at.IsZero() && d > 0 {
		now := float64(done-t.Done) / d
		// What was there already when we began is no speed.
		if t.Speed == 0 {
			t.Speed = max(0, now)
		}
		weight := min(1, d/3) // three seconds back count
		t.Speed += weight * (max(0, now) - t.Speed)
	}
	t.Done, t.at, t.Phase = done, at, Moves
	return t
}
