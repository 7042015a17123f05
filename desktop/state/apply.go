package state

import (
	"cmp"
	"slices"
	"strings"
)

func (e Show) apply(a App) App {
	a.Page, a.Stage, a.SignIn.JID = e.Page, false, ""
	if e.Page == PageCalls {
		a.History = slices.Clone(a.History)
		for i := range a.History {
			a.History[i].Seen = true
		}
	}
	return a
}

func (e Select) apply(a App) App {
	a.Selected, a.Page, a.Stage = e.Key, PageContacts, false
	if a.Problem != nil && a.Problem.Code == DroppedNowhere {
		a.Problem = nil // that was what to do
	}
	return a
}

func (e Searched) apply(a App) App   { a.Search = e.Text; return a }
func (Dismissed) apply(a App) App    { a.Problem, a.Flash = nil, nil; return a }
func (e StageShown) apply(a App) App { a.Stage = e.On && len(a.Calls) > 0; return a }
func (e Creating) apply(a App) App   { a.SignIn = SignIn{Create: e.On}; return a }
func (SigningIn) apply(a App) App    { a.SignIn.Busy, a.SignIn.Problem = true, nil; return a }

func (e SigningInAgain) apply(a App) App {
	a.Page, a.Stage, a.SignIn = PageSignIn, false, SignIn{JID: e.JID}
	return a
}

func (e SignedIn) apply(a App) App {
	a.SignIn.Busy, a.SignIn.Problem = false, e.Problem
	if e.Problem == nil {
		a.SignIn, a.Problem = SignIn{}, nil // which may have said that it is to be done
		if a.Page == PageSignIn {
			a.Page = PageContacts
		}
	}
	return a
}

func (e AccountChanged) apply(a App) App {
	if a.Selected.JID != "" && a.Selected.Account == "" {
		a.Selected.Account = e.Account.JID // a link was opened before there was an account
	}
	a.Accounts = put(a.Accounts, e.Account, func(x Account) bool { return x.JID == e.Account.JID })
	if e.Account.Link == LoggedOut { // nobody tells us any more who is there
		a.Contacts = slices.Clone(a.Contacts)
		for i, c := range a.Contacts {
			if c.Account == e.Account.JID {
				a.Contacts[i].Presence, a.Contacts[i].Status = Gone, ""
			}
		}
	}
	return a.reasons(e.Account.JID)
}

// AsksAgain returns the account that a problem is about, if the server does not
// take what is kept of it to log in.
func (a App) AsksAgain(p *Problem) (Account, bool) {
	if p == nil {
		return Account{}, false
	}
	own, ok := a.Account(p.Who)
	return own, ok && own.Link == LoggedOut
}

func (e AccountRemoved) apply(a App) App {
	a.Accounts = drop(a.Accounts, func(x Account) bool { return x.JID == e.JID })
	a.Contacts = drop(a.Contacts, func(x Contact) bool { return x.Account == e.JID })
	a.Requests = drop(a.Requests, func(x Request) bool { return x.Account == e.JID })
	a.History = drop(a.History, func(x Line) bool { return x.Account == e.JID })
	a.Transfers = drop(a.Transfers, func(x Transfer) bool { return x.Account == e.JID })
	if a.Selected.Account == e.JID {
		a.Selected = Key{}
	}
	if len(a.Accounts) == 0 {
		a.Page, a.Search = PageContacts, "" // whoever comes next begins anew
	}
	return a
}

// Account returns one of our accounts.
func (a App) Account(jid string) (Account, bool) {
	for _, x := range a.Accounts {
		if x.JID == jid {
			return x, true
		}
	}
	return Account{}, false
}

func (e ContactChanged) apply(a App) App {
	return a.contacts([]Contact{e.Contact}, func(_, c Contact) Contact { return c })
}

func (e ContactsChanged) apply(a App) App {
	return a.contacts(e.Contacts, func(_, c Contact) Contact { return c })
}

func (e ContactsListed) apply(a App) App {
	return a.contacts(e.Contacts, func(old, c Contact) Contact {
		old.Key, old.Name, old.SeenByUs, old.SeesUs, old.Asked = c.Key, c.Name, c.SeenByUs, c.SeesUs, c.Asked
		return old
	})
}

func (e RosterLoaded) apply(a App) App {
	stay := make(map[Key]bool, len(e.Contacts))
	for _, c := range e.Contacts {
		stay[c.Key] = true
	}
	list := make([]Contact, 0, len(a.Contacts))
	for _, c := range a.Contacts {
		if c.Account != e.Account || stay[c.Key] {
			list = append(list, c)
		} else if c.Key == a.Selected {
			a.Selected = Key{}
		}
	}
	a.Contacts = list
	return ContactsListed{e.Contacts}.apply(a)
}

// contacts puts contacts in their places among those by name, without sorting
// all of them: rosters may have many thousands. become says what a contact
// becomes that is there already, or the zero one, by what is new of it.
func (a App) contacts(changed []Contact, become func(old, c Contact) Contact) App {
	news := make(map[Key]Contact, len(changed))
	for _, c := range changed {
		news[c.Key] = c
	}
	accounts := make(map[string]Account, len(a.Accounts))
	for _, own := range a.Accounts {
		accounts[own.JID] = own
	}
	var moved []Contact
	list := make([]Contact, 0, len(a.Contacts)+len(news))
	for _, old := range a.Contacts {
		c, ok := news[old.Key]
		if !ok {
			list = append(list, old)
			continue
		}
		delete(news, old.Key)
		c = become(old, c)
		c.Why = a.why(accounts[c.Account], c)
		if c.lower = old.lower; c.Name != old.Name {
			c.lower = c.searched()
		}
		if c.Title() == old.Title() {
			list = append(list, c)
		} else {
			moved = append(moved, c)
		}
	}
	for _, c := range news {
		c = become(Contact{}, c)
		c.Why, c.lower = a.why(accounts[c.Account], c), c.searched()
		moved = append(moved, c)
	}
	if len(moved) == 0 {
		a.Contacts = list
		return a
	}
	a = a.named(moved)
	slices.SortFunc(moved, byName)
	rest := list
	list = make([]Contact, 0, len(rest)+len(moved))
	for _, c := range moved {
		i, _ := slices.BinarySearchFunc(rest, c, byName)
		list = append(append(list, rest[:i]...), c)
		rest = rest[i:]
	}
	a.Contacts = append(list, rest...)
	return a
}

// named has calls and transfers show what people are called now: those of
// earlier runs are there before the contacts are.
func (a App) named(now []Contact) App {
	titles := make(map[Key]string, len(now))
	for _, c := range now {
		titles[c.Key] = c.Title()
	}
	a.History, a.Transfers = slices.Clone(a.History), slices.Clone(a.Transfers)
	for i, l := range a.History {
		if title, ok := titles[l.Key]; ok {
			a.History[i].Name = title
		}
	}
	for i, t := range a.Transfers {
		if title, ok := titles[t.Key]; ok {
			a.Transfers[i].Name = title
		}
	}
	return a
}

// searched is where the words of a search are looked for.
func (c Contact) searched() string { return strings.ToLower(c.Name + " " + c.JID) }

func byName(x, y Contact) int {
	return cmp.Or(cmp.Compare(strings.ToLower(x.Title()), strings.ToLower(y.Title())), cmp.Compare(x.Account, y.Account), cmp.Compare(x.JID, y.JID))
}

// reasons decides anew why calls of an account may not be.
func (a App) reasons(account string) App {
	own, _ := a.Account(account)
	a.Contacts = slices.Clone(a.Contacts)
	for i, c := range a.Contacts {
		if c.Account == account {
			a.Contacts[i].Why = a.why(own, c)
		}
	}
	// While a call goes out, what it was told to wait for may be another thing by now.
	a.Calls = slices.Clone(a.Calls)
	for i, c := range a.Calls {
		switch {
		case c.Account != account || c.Phase != Dialing:
		case own.Link != Online:
			a.Calls[i].Why = WhyWeOffline
		case c.Why == WhyWeOffline:
			a.Calls[i].Why = WhyNothing
		}
	}
	return a
}

// why decides why calls of a contact of an account may not be.
func (a App) why(own Account, c Contact) Why {
	switch {
	case own.Link != Online:
		return WhyWeOffline
	case c.NoDevice && c.Presence != Gone:
		return WhyNoDevice
	case !c.SeenByUs && c.Asked:
		return WhyAsked
	case !c.SeenByUs:
		return WhyNotSeen
	case c.Presence == Gone:
		return WhyTheyOffline
	case own.NoRelay && a.Settings.RelayOnly:
		return WhyNoRelayAtAll
	case own.NoRelay:
		return WhyNoRelay
	}
	return WhyNothing
}

func (e ContactRemoved) apply(a App) App {
	a.Contacts = drop(a.Contacts, func(x Contact) bool { return x.Key == e.Key })
	if a.Selected == e.Key {
		a.Selected = Key{}
	}
	return a
}

// Contact returns a contact.
func (a App) Contact(k Key) (Contact, bool) {
	for _, c := range a.Contacts {
		if c.Key == k {
			return c, true
		}
	}
	return Contact{}, false
}

// Whose is somebody whom a link names: as seen from the account that it asks for,
// or else from one that has them as a contact, or else from the first.
func (a App) Whose(jid, account string) Key {
	if _, ok := a.Account(account); ok {
		return Key{Account: account, JID: jid}
	}
	for _, own := range a.Accounts {
		if k := (Key{Account: own.JID, JID: jid}); slices.ContainsFunc(a.Contacts, func(c Contact) bool { return c.Key == k }) {
			return k
		}
	}
	if len(a.Accounts) > 0 {
		return Key{Account: a.Accounts[0].JID, JID: jid}
	}
	return Key{JID: jid}
}

// Name is what somebody is called: as in the contacts, or their address.
func (a App) Name(k Key) string {
	if c, ok := a.Contact(k); ok {
		return c.Title()
	}
	return k.JID
}

// Found returns the contacts that the search finds, which are those of a and not
// to be changed: those who can be called before those who are away.
func (a App) Found() []*Contact {
	words := strings.Fields(strings.ToLower(a.Search))
	list := make([]*Contact, len(a.Contacts))
	here, gone := 0, len(list) // from both ends
next:
	for i := range a.Contacts {
		c := &a.Contacts[i]
		for _, w := range words {
			if !strings.Contains(c.lower, w) {
				continue next
			}
		}
		if c.Presence == Gone {
			gone--
			list[gone] = c
		} else {
			list[here] = c
			here++
		}
	}
	slices.Reverse(list[gone:])
	return append(list[:here], list[gone:]...)
}

// MissedCalls counts the missed calls that were not looked at.
func (a App) MissedCalls() (n int) {
	for _, l := range a.History {
		if l.Outcome == Missed && !l.Seen {
			n++
		}
	}
	return n
}

func (e Requested) apply(a App) App {
	list := put(a.Requests, e.Request, func(x Request) bool { return x.Key == e.Request.Key })
	a.Requests = list[:min(len(list), maxRequests)] // anybody may send them; the server keeps those that do not fit
	return a
}

func (e RequestAnswered) apply(a App) App {
	a.Requests = drop(a.Requests, func(x Request) bool { return x.Key == e.Key })
	return a
}

func (e CallBegan) apply(a App) App {
	c := e.Call
	if c.Name == "" {
		c.Name = a.Name(c.Key)
	}
	if len(a.Calls) >= MaxCalls {
		return a
	}
	if own, ok := a.Account(c.Account); ok && own.Link != Online && c.Phase == Dialing {
		c.Why = WhyWeOffline
	}
	a.Flash = nil
	if !c.Incoming {
		a.Problem = nil // the user went on to something else
	}
	// What the user begins comes to the front; what comes in waits behind a call.
	if c.Incoming && len(a.Calls) > 0 {
		a.Calls = append(slices.Clone(a.Calls), c)
	} else {
		a.Calls = append([]Call{c}, a.Calls...)
	}
	a.Stage = true
	return a
}

func (a App) call(id string, f func(Call) Call) App {
	i := slices.IndexFunc(a.Calls, func(c Call) bool { return c.ID == id })
	if i < 0 {
		return a
	}
	a.Calls = slices.Clone(a.Calls)
	a.Calls[i] = f(a.Calls[i])
	return a
}

func (e CallChanged) apply(a App) App {
	return a.call(e.ID, func(c Call) Call {
		c.Phase = e.Phase
		if e.Phase != Dialing {
			c.Why = WhyNothing
		}
		if e.Phase == Running && c.Since.IsZero() {
			c.Since = e.At
		}
		return c
	})
}

func (e CallBlocked) apply(a App) App {
	return a.call(e.ID, func(c Call) Call {
		// That there is no relay keeps nobody's device from ringing.
		if c.Phase == Dialing && e.Why != WhyNoRelay {
			c.Why = e.Why
		}
		return c
	})
}

func (e CallSecured) apply(a App) App {
	return a.call(e.ID, func(c Call) Call { c.Verification, c.Trust = e.Verification, e.Trust; return c })
}

func (e CallMuted) apply(a App) App {
	return a.call(e.ID, func(c Call) Call {
		if e.Remote {
			c.TheyMuted = e.On
		} else {
			c.Muted = e.On
		}
		return c
	})
}

func (e CallHeld) apply(a App) App {
	return a.call(e.ID, func(c Call) Call {
		if e.Remote {
			c.TheyHeld = e.On
		} else {
			c.Held = e.On
		}
		return c
	})
}

func (e CallPictured) apply(a App) App {
	return a.call(e.ID, func(c Call) Call { c.Picture = e.Picture; return c })
}

func (e CallShown) apply(a App) App {
	return a.call(e.ID, func(c Call) Call { c.TheirPicture = e.On; return c })
}

func (e CallTyped) apply(a App) App {
	return a.call(e.ID, func(c Call) Call {
		c.Digits += string(e.Key)
		if len(c.Digits) > maxDigits {
			c.Digits = c.Digits[len(c.Digits)-maxDigits:]
		}
		return c
	})
}

func (e CallMeasured) apply(a App) App {
	return a.call(e.ID, func(c Call) Call { return c.rate(e.Stats) })
}

func (e LevelsMoved) apply(a App) App {
	return a.call(e.ID, func(c Call) Call { c.Stats.LevelIn, c.Stats.LevelOut = e.In, e.Out; return c })
}

func (e CallInFront) apply(a App) App {
	i := slices.IndexFunc(a.Calls, func(c Call) bool { return c.ID == e.ID })
	if i < 0 {
		return a
	}
	front := a.Calls[i]
	a.Calls = append([]Call{front}, drop(a.Calls, func(c Call) bool { return c.ID == e.ID })...)
	a.Stage = true
	return a
}

func (e CallEnded) apply(a App) App {
	c, ok := a.Call(e.ID)
	if !ok {
		return a
	}
	front := a.Calls[0].ID == e.ID
	a.Calls = drop(a.Calls, func(c Call) bool { return c.ID == e.ID })
	// A call that rang and was not taken is in the history; there it says enough.
	if front && e.Outcome != Retracted && !(c.Phase == Rings && e.Problem == nil && e.Outcome != Missed && e.Outcome != Elsewhere) {
		a.Flash = &Flash{Key: c.Key, Name: c.Name, Video: c.Video, Outcome: e.Outcome, Lasted: e.Lasted, Remote: e.Remote, Problem: e.Problem}
		a.Problem = nil // there is room for one, and this is what the user waits for
	}
	a.Stage = a.Stage && len(a.Calls) > 0
	if len(a.Calls) == 0 && a.Problem != nil && (a.Problem.Code == DeviceLost || a.Problem.Code == DeviceReplaced) {
		a.Problem = nil // nobody misses a device without a call
	}
	return a
}

func (e HistoryLoaded) apply(a App) App {
	a.History = append(drop(a.History, func(l Line) bool { return l.Account == e.Account }), e.Lines...)
	return a.named(a.Contacts).sorted()
}

func (e Recorded) apply(a App) App {
	l := e.Line
	if l.Name == "" {
		l.Name = a.Name(l.Key)
	}
	if e.Archived && slices.ContainsFunc(a.History, func(x Line) bool { return x.ID == l.ID && x.Account == l.Account && x.Outcome != Missed }) {
		return a // as the history does: the archive knows less than who had the call
	}
	a.History = put(a.History, l, func(x Line) bool { return x.ID == l.ID && x.Account == l.Account })
	return a.sorted()
}

func (a App) sorted() App {
	slices.SortStableFunc(a.History, func(x, y Line) int { return y.Start.Compare(x.Start) })
	if len(a.History) > maxHistory {
		a.History = a.History[:maxHistory:maxHistory]
	}
	return a
}

func (e TransferBegan) apply(a App) App {
	t := e.Transfer
	if t.Name == "" {
		t.Name = a.Name(t.Key)
	}
	if slices.ContainsFunc(a.Transfers, func(x Transfer) bool { return x.ID == t.ID }) {
		return a.transfer(t.ID, func(Transfer) Transfer { return t })
	}
	a.Transfers = append([]Transfer{t}, a.Transfers...)
	for i := len(a.Transfers) - 1; len(a.Transfers) > maxTransfers && i >= 0; i-- {
		if a.Transfers[i].Phase.Over() {
			a.Transfers = slices.Delete(a.Transfers, i, i+1)
		}
	}
	return a
}

func (a App) transfer(id string, f func(Transfer) Transfer) App {
	i := slices.IndexFunc(a.Transfers, func(t Transfer) bool { return t.ID == id })
	if i < 0 {
		return a
	}
	a.Transfers = slices.Clone(a.Transfers)
	a.Transfers[i] = f(a.Transfers[i])
	return a
}

func (e TransferMoved) apply(a App) App {
	return a.transfer(e.ID, func(t Transfer) Transfer {
		if t.Phase.Over() {
			return t
		}
		if e.Size > 0 {
			t.Size = e.Size
		}
		return t.progress(e.Done, e.At)
	})
}

func (e TransferCarried) apply(a App) App {
	return a.transfer(e.ID, func(t Transfer) Transfer { t.Path = e.Path; return t })
}

func (e TransferChanged) apply(a App) App {
	return a.transfer(e.ID, func(t Transfer) Transfer {
		t.Unanswered = t.Incoming && t.Phase == Offered && e.Phase == Paused
		t.Phase, t.Problem, t.GivenUp = e.Phase, e.Problem, e.GivenUp
		if e.Place != "" {
			t.Place = e.Place
		}
		t.Verified = t.Verified || e.Verified
		if t.Phase == Arrived && t.Size > 0 {
			t.Done = t.Size
		}
		if t.Phase != Moves {
			t.Speed = 0
		}
		return t
	})
}

func (e TransferGone) apply(a App) App {
	a.Transfers = drop(a.Transfers, func(t Transfer) bool { return t.ID == e.ID })
	return a
}

func (e Packed) apply(a App) App {
	p := a.Parcel
	if p.Key != e.Key {
		p = Parcel{Key: e.Key}
		if c, ok := a.Contact(e.Key); ok {
			p.Name = c.Title()
		}
	}
	p.Paths = slices.Clone(p.Paths)
	for _, path := range e.Paths {
		if len(p.Paths) < maxParcel && !slices.Contains(p.Paths, path) {
			p.Paths = append(p.Paths, path)
		}
	}
	a.Parcel = p
	return a
}

func (e Unpacked) apply(a App) App {
	a.Parcel.Paths = drop(a.Parcel.Paths, func(p string) bool { return p == e.Path })
	if len(a.Parcel.Paths) == 0 {
		a.Parcel = Parcel{}
	}
	return a
}

func (ParcelGone) apply(a App) App { a.Parcel = Parcel{}; return a }

func (e DevicesFound) apply(a App) App {
	d := e.Devices
	d.Checking, d.MicLevel, d.SpeakerLevel = a.Devices.Checking, a.Devices.MicLevel, a.Devices.SpeakerLevel
	a.Devices = d
	return a
}

func (e ScreensFound) apply(a App) App { a.Devices.Screens = e.Screens; return a }

func (e SoundChecked) apply(a App) App {
	a.Devices.Checking, a.Devices.MicLevel, a.Devices.SpeakerLevel = e.On, e.MicLevel, e.SpeakerLevel
	return a
}

func (DoctorBegan) apply(a App) App { a.Doctor = Doctor{Running: true}; return a }
func (DoctorDone) apply(a App) App  { a.Doctor.Running = false; return a }
func (e DoctorFound) apply(a App) App {
	a.Doctor.Checks = append(slices.Clone(a.Doctor.Checks), e.Check)
	return a
}

func (e SettingsChanged) apply(a App) App {
	a.Settings = e.Settings
	for _, own := range a.Accounts {
		a = a.reasons(own.JID)
	}
	return a
}

func (e WentWrong) apply(a App) App { a.Problem = &e.Problem; return a }

func (DeviceMended) apply(a App) App {
	if a.Problem != nil && a.Problem.Code == DeviceLost {
		a.Problem = nil
	}
	return a
}

// put replaces the first element that is like x, or adds it, in a new slice.
func put[T any](list []T, x T, same func(T) bool) []T {
	list = slices.Clone(list)
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = x
		return list
	}
	return append(list, x)
}

// drop leaves elements out, in a new slice.
func drop[T any](list []T, out func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), out)
}
