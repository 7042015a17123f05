package state

// A Command is something the user wants. What it leads to comes as events.
type Command interface{ command() }

// Look shows something else; nothing outside the window changes.
type Look struct{ Event Event }

// Of accounts and people.
type (
	// SignInTo logs in to an account and keeps it; Create makes it first. XEP-0077
	SignInTo struct {
		JID, Password string
		Server        string // host or host:port; empty asks DNS
		Create        bool
	}
	// SignOut forgets an account and its password.
	SignOut struct{ JID string }
	// AddContact adds somebody and asks to see when they are online.
	AddContact struct {
		Key  Key
		Name string
	}
	// RenameContact changes what a contact is called.
	RenameContact struct {
		Key  Key
		Name string
	}
	// RemoveContact removes a contact and both permissions.
	RemoveContact struct{ Key Key }
	// AnswerRequest lets somebody see our presence, or does not.
	AnswerRequest struct {
		Key Key
		Yes bool
	}
)

// Of calls.
type (
	// PlaceCall calls somebody.
	PlaceCall struct {
		Key   Key
		Video bool
	}
	// AnswerCall takes a call that rings. A running call is held, or ended with End.
	AnswerCall struct {
		ID    string
		Video bool
		End   bool
	}
	// DeclineCall rejects one that rings.
	DeclineCall struct{ ID string }
	// HangUp ends one.
	HangUp struct{ ID string }
	// Mute and Hold switch.
	Mute struct {
		ID string
		On bool
	}
	Hold struct {
		ID string
		On bool
	}
	// Swap holds the call in front and goes on with the other one.
	Swap struct{ ID string }
	// SendPicture says what we send: the camera, a screen or window, nothing.
	SendPicture struct {
		ID      string
		Picture Picture
		Device  string // of the camera or screen; empty is the default one
	}
	// TypeKey sends a telephone key.
	TypeKey struct {
		ID  string
		Key rune
	}
	// WatchLevels has the levels of a call shown as they change.
	WatchLevels struct {
		ID string
		On bool
	}
	// Verified says that the user compared the words of both sides.
	Verified struct{ ID string }
)

// Of files.
type (
	// SendFiles sends files and folders.
	SendFiles struct {
		Key   Key
		Paths []string
	}
	// ChooseFiles asks the user which, and puts them into the parcel for Key.
	ChooseFiles struct {
		Key    Key
		Folder bool
	}
	// TakeFiles accepts an offer.
	TakeFiles struct{ ID string }
	// RefuseFiles declines it.
	RefuseFiles struct{ ID string }
	// PauseFiles, ResumeFiles and CancelFiles change a transfer that was accepted.
	PauseFiles  struct{ ID string }
	ResumeFiles struct{ ID string }
	CancelFiles struct{ ID string }
	// OpenPlace shows where received files lie.
	OpenPlace struct{ ID string }
	// ForgetFiles takes transfers that are over off the page.
	ForgetFiles struct{}
)

// Of everything else.
type (
	// Change changes settings.
	Change struct{ Settings Settings }
	// ChooseFolder asks where received files go.
	ChooseFolder struct{}
	// FindDevices looks for devices anew.
	FindDevices struct{}
	// WatchScreens has what can be shared be listed and shown, about once a
	// second, until it is switched off.
	WatchScreens struct{ On bool }
	// CheckSound plays a tone and shows the level of the microphone.
	CheckSound struct{ On bool }
	// Examine runs the doctor. A contact in Key is checked, too.
	Examine struct{ Key Key }
	// Quit ends the program, and calls with it.
	Quit struct{}
)

func (Look) command()          {}
func (SignInTo) command()      {}
func (SignOut) command()       {}
func (AddContact) command()    {}
func (RenameContact) command() {}
func (RemoveContact) command() {}
func (AnswerRequest) command() {}
func (PlaceCall) command()     {}
func (AnswerCall) command()    {}
func (DeclineCall) command()   {}
func (HangUp) command()        {}
func (Mute) command()          {}
func (Hold) command()          {}
func (Swap) command()          {}
func (SendPicture) command()   {}
func (TypeKey) command()       {}
func (Verified) command()      {}
func (WatchLevels) command()   {}
func (SendFiles) command()     {}
func (ChooseFiles) command()   {}
func (TakeFiles) command()     {}
func (RefuseFiles) command()   {}
func (PauseFiles) command()    {}
func (ResumeFiles) command()   {}
func (CancelFiles) command()   {}
func (OpenPlace) command()     {}
func (ForgetFiles) command()   {}
func (Change) command()        {}
func (ChooseFolder) command()  {}
func (FindDevices) command()   {}
func (WatchScreens) command()  {}
func (CheckSound) command()    {}
func (Examine) command()       {}
func (Quit) command()          {}
