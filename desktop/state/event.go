package state

import "time"

// An Event is something that happened: in the network, or because the user
// wants to see something else.
type Event interface{ apply(App) App }

// Apply returns what is to be shown after an event.
func (a App) Apply(e Event) App { return e.apply(a) }

// Of the user's looking around.
type (
	// Show opens a page.
	Show struct{ Page Page }
	// Select shows somebody.
	Select struct{ Key Key }
	// Searched says what stands in the search field.
	Searched struct{ Text string }
	// Dismissed takes away what was said: the problem and how a call ended.
	Dismissed struct{}
	// StageShown shows the call in front, or with false the page behind it.
	StageShown struct{ On bool }
	// Creating chooses between signing in and making an account.
	Creating struct{ On bool }
)

// Of accounts and people.
type (
	// SigningInAgain shows where the password of an account is given anew.
	SigningInAgain struct{ JID string }
	// SigningIn says that it is tried.
	SigningIn struct{}
	// SignedIn says that it went well (nil) or why not.
	SignedIn struct{ Problem *Problem }
	// AccountChanged adds or replaces an account.
	AccountChanged struct{ Account Account }
	// AccountRemoved says that an account was forgotten.
	AccountRemoved struct{ JID string }
	// ContactChanged adds or replaces a contact.
	ContactChanged struct{ Contact Contact }
	// ContactsChanged is many of those at once.
	ContactsChanged struct{ Contacts []Contact }
	// ContactsListed adds contacts, or takes over what the roster says of them:
	// what is known of their devices stays.
	ContactsListed struct{ Contacts []Contact }
	// RosterLoaded is that for all contacts of an account: the others go.
	RosterLoaded struct {
		Account  string
		Contacts []Contact
	}
	// ContactRemoved says that somebody is no contact any more.
	ContactRemoved struct{ Key Key }
	// Requested says that somebody wants to see when we are online.
	Requested struct{ Request Request }
	// RequestAnswered says that the user agreed or did not.
	RequestAnswered struct{ Key Key }
)

// Of calls.
type (
	// CallBegan says that we call or are called.
	CallBegan struct{ Call Call }
	// CallChanged says how far a call is.
	CallChanged struct {
		ID    string
		Phase Phase
		At    time.Time
	}
	// CallBlocked says what may stand in the way while nothing rings.
	CallBlocked struct {
		ID  string
		Why Why
	}
	// CallSecured says what is known of the keys.
	CallSecured struct {
		ID           string
		Verification string
		Trust        Trust
	}
	// CallMuted and CallHeld say what either side did.
	CallMuted struct {
		ID         string
		On, Remote bool
	}
	CallHeld struct {
		ID         string
		On, Remote bool
	}
	// CallPictured says what we send.
	CallPictured struct {
		ID      string
		Picture Picture
	}
	// CallShown says whether there is a picture of theirs.
	CallShown struct {
		ID string
		On bool
	}
	// CallTyped says that a telephone key was sent.
	CallTyped struct {
		ID  string
		Key rune
	}
	// CallMeasured tells how a call is doing.
	CallMeasured struct {
		ID    string
		Stats Stats
	}
	// LevelsMoved tells how loud a call is now, in dBFS.
	LevelsMoved struct {
		ID      string
		In, Out float64
	}
	// CallInFront brings a call to the front.
	CallInFront struct{ ID string }
	// CallEnded says that a call is over. Outcome is Answered when people talked.
	CallEnded struct {
		ID      string
		Outcome Outcome
		Lasted  time.Duration
		Remote  bool
		Problem *Problem
	}
)

// Of what is past and of files.
type (
	// HistoryLoaded replaces the history of an account.
	HistoryLoaded struct {
		Account string
		Lines   []Line
	}
	// Recorded adds or replaces a line of the history.
	Recorded struct {
		Line     Line
		Archived bool // the archive of the server says so
	}
	// TransferBegan adds or replaces a transfer.
	TransferBegan struct{ Transfer Transfer }
	// TransferMoved tells how far one is.
	TransferMoved struct {
		ID         string
		Done, Size int64
		At         time.Time
	}
	// TransferCarried says which way the bytes go.
	TransferCarried struct {
		ID   string
		Path Path
	}
	// TransferChanged says in which state one is.
	TransferChanged struct {
		ID       string
		Phase    Moving
		Problem  *Problem
		Place    string
		Verified bool
		GivenUp  bool
	}
	// Packed puts files and folders into the parcel for somebody.
	Packed struct {
		Key   Key
		Paths []string
	}
	// Unpacked takes one out again; of the last, the parcel goes.
	Unpacked struct{ Path string }
	// ParcelGone puts it away, sent or not.
	ParcelGone struct{}
	// TransferGone takes one off the page.
	TransferGone struct{ ID string }
)

// Of everything else.
type (
	// DevicesFound tells which devices there are.
	DevicesFound struct{ Devices Devices }
	// ScreensFound tells what can be shared now.
	ScreensFound struct{ Screens []Scene }
	// SoundChecked tells the levels of a sound check.
	SoundChecked struct {
		On                     bool
		MicLevel, SpeakerLevel float64
	}
	// DoctorBegan clears the page of the doctor.
	DoctorBegan struct{}
	// DoctorFound is one line of it.
	DoctorFound struct{ Check Check }
	// DoctorDone says that there are no more.
	DoctorDone struct{}
	// SettingsChanged replaces the settings.
	SettingsChanged struct{ Settings Settings }
	// DeviceMended says that the microphone or speaker of a call works again.
	DeviceMended struct{}
	// WentWrong is a problem that concerns nobody in particular.
	WentWrong struct{ Problem Problem }
)
