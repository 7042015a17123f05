// Package state is what the call app shows, as values without widgets.
//
//	event -> App.Apply -> App -> package ui draws it
//
// An [App] is never changed in place: Apply returns another one, and what did
// not change is shared. Nothing here knows the network, the clock, or Fyne;
// time comes with the events. Video frames do not pass through here: a view
// keeps the latest one.
package state

import "time"

// Limits of what is kept.
const (
	maxHistory   = 500 // lines, the newest stay
	maxTransfers = 200 // lines; those that are over go first
	maxRequests  = 200 // the oldest stay
	maxDigits    = 32  // shown of what was typed
	maxParcel    = 500 // files and folders chosen one after the other
)

// MaxCalls is how many may be at once.
const MaxCalls = 8

// An App is everything that is shown.
type App struct {
	Page     Page
	Accounts []Account
	Contacts []Contact // by name
	Requests []Request
	Search   string
	Selected Key // whose page is shown; the zero Key shows nobody

	Calls []Call // the one in front first
	Stage bool   // the call in front is shown rather than the page
	Flash *Flash // how the last call ended, until it is dismissed

	History   []Line     // the newest first
	Transfers []Transfer // the newest first
	Parcel    Parcel     // what the user puts together to send
	Devices   Devices
	Doctor    Doctor
	Settings  Settings
	SignIn    SignIn
	Problem   *Problem // something to be said that concerns nobody in particular
}

// A Page is one of those that the bar leads to.
type Page string

// The pages. The zero Page is that of contacts.
const (
	PageContacts  Page = ""
	PageCalls     Page = "calls"
	PageTransfers Page = "transfers"
	PageSettings  Page = "settings"
	PageDoctor    Page = "doctor"
	PageSignIn    Page = "sign-in"
)

// A Key says who, as seen from which account of ours. Both are bare JIDs.
type Key struct{ Account, JID string }

// An Account is one of ours.
type Account struct {
	JID     string
	Link    Link
	Problem *Problem // why it is not online
	NoRelay bool     // its server offers no TURN relay
}

// A Link is the connection of an account.
type Link string

// The states of a connection.
const (
	Connecting Link = ""
	Online     Link = "online"
	Offline    Link = "offline" // and trying again by itself
	LoggedOut  Link = "logged out"
)

// A Presence is what a contact shows.
type Presence string

// The presences, the best first.
const (
	Available Presence = "available"
	Away      Presence = "away"
	Busy      Presence = "busy"
	Gone      Presence = ""
)

// A Contact is somebody in the roster.
type Contact struct {
	Key
	Name     string // as our user calls them; may be empty
	Presence Presence
	Status   string // what they wrote
	SeenByUs bool   // we may see their presence
	SeesUs   bool
	Asked    bool // we asked to see it and have no answer
	NoDevice bool // online, with nothing that takes calls
	Why      Why  // what stands in the way of a call; Apply finds it
	Video    bool // a device of theirs takes video
	Files    bool // a device of theirs takes files
	Blocked  bool

	lower string // what is searched in; Apply makes it
}

// Title is what a contact is called.
func (c Contact) Title() string {
	if c.Name != "" {
		return c.Name
	}
	return c.JID
}

// A Why says why a call cannot be, or may not be good.
type Why string

// The reasons.
const (
	WhyNothing      Why = ""
	WhyWeOffline    Why = "we-offline"     // our own account is not online
	WhyNotSeen      Why = "not-subscribed" // they do not show us their presence
	WhyAsked        Why = "asked"          // they have not answered our request
	WhyTheyOffline  Why = "they-offline"
	WhyNoDevice     Why = "no-device" // online, with nothing that takes calls
	WhyNoRelay      Why = "no-relay"  // calls work on good networks only
	WhyNoRelayAtAll Why = "relay-only"
)

// A Request is somebody who wants to see when we are online.
type Request struct {
	Key
	Text string // what they wrote
}

// A Problem is an error as a person sees it: package ui has a sentence for
// each code that says what happened and what to do.
type Problem struct {
	Code   string
	Who    string // the account or person it is about; may be empty
	Detail string // the error itself, for those who want to know
}

// DroppedNowhere is the code of files that were dropped where nobody is.
const DroppedNowhere = "drop"

// Codes of what happens to the microphone or speaker of a call.
const (
	DeviceLost     = "device-lost"
	DeviceReplaced = "device-replaced"
)

// A Line is something that is over: a call.
type Line struct {
	ID string
	Key
	Name     string
	Incoming bool
	Video    bool
	Outcome  Outcome
	Start    time.Time
	Duration time.Duration
	Seen     bool // missed calls are new until looked at
}

// An Outcome says how a call went, in the words of package signaling.
type Outcome string

// The outcomes.
const (
	Answered  Outcome = "answered"
	Elsewhere Outcome = "answered elsewhere"
	Declined  Outcome = "declined"
	WasBusy   Outcome = "busy"
	NoAnswer  Outcome = "no answer"
	Missed    Outcome = "missed"
	Retracted Outcome = "retracted"
	Failed    Outcome = "failed"
)

// A Device is a microphone, speaker or camera.
type Device struct {
	ID   string
	Name string
}

// A Scene is a screen or a window, which can be shown to others.
type Scene struct {
	ID            string
	Kind          SceneKind
	Number        int // from 1, of a screen
	Width, Height int // in pixels
	Primary       bool
	Title         string // of a window, which may be anything
}

// A SceneKind is what a scene is.
type SceneKind string

// The kinds.
const (
	WholeScreen SceneKind = "screen"
	OneWindow   SceneKind = "window"
	// AskDesktop has the desktop ask what to show, as on Wayland.
	AskDesktop SceneKind = "dialog"
)

// Devices are those there are, and how loud they are now.
type Devices struct {
	Mics, Speakers, Cameras []Device
	Screens                 []Scene
	MicLevel, SpeakerLevel  float64 // dBFS, during a sound check
	Checking                bool    // a sound check runs
}

// A Doctor is the page that says what stands in the way of calls.
type Doctor struct {
	Running bool
	Checks  []Check
}

// A Check is one line of the doctor. It says in English what it is put together
// of, for who says it in another language.
type Check struct {
	Kind, Which string // what was looked at, and which of several; may be empty
	Status      string // "ok", "warn", "fail" or "skip"
	Detail      Text
	Means       Text // what to do
}

// A Text is something said by the doctor: in English, and the format of package
// fmt that this was made with, with the values in words.
type Text struct {
	English string
	Format  string
	Values  []string
}

// A SignIn is the first page.
type SignIn struct {
	Create  bool   // make a new account rather than sign in to one
	JID     string // the account that asks for its password again; empty is a new one
	Busy    bool
	Problem *Problem
}

// Settings are what the user chose.
type Settings struct {
	Language  string  // "en", "de" or "es"; empty follows the system
	Theme     string  // "", "light" or "dark"; likewise
	Scale     float64 // 1 is 100 %; zero follows the system
	Mic       string  // IDs of devices; empty is the default one
	Speaker   string
	Camera    string
	Quiet     bool   // no ringing sound
	RelayOnly bool   // never reveal our addresses
	Strangers bool   // people who are not contacts may call, too
	Folder    string // for received files
	TakeFiles bool   // those of contacts are taken without asking
	NoPreview bool   // images are offered without showing them
	Quota     int64  // bytes to be received while the app runs; zero is no bound
	Autostart bool
	HideOnly  bool // closing the window leaves the app running
}
