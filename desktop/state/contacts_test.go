package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func titles(a App) (list []string) {
	for _, c := range a.Contacts {
		list = append(list, c.Title())
	}
	return list
}

// However contacts come, they stand by name, each once.
func TestContactsStandByName(t *testing.T) {
	who := func(jid, name string) Contact { return Contact{Key: Key{own, jid}, Name: name} }
	want := []string{"a@x", "Bob", "bob", "carol", "Dora"}
	all := []Contact{who("d@x", "Dora"), who("b2@x", "bob"), who("a@x", ""), who("c@x", "carol"), who("b1@x", "Bob")}
	one := after(online()[0])
	for _, c := range all {
		one = one.Apply(ContactChanged{who(c.JID, "zoe")}).Apply(ContactChanged{c})
	}
	slices.Reverse(all)
	for name, a := range map[string]App{
		"one by one": one,
		"at once":    after(online()[0], ContactsChanged{all}),
		"listed":     after(online()[0], ContactsListed{all}),
		"renamed":    one.Apply(ContactChanged{who("c@x", "Zoe")}).Apply(ContactsListed{all[1:3]}),
	} {
		if d := cmp.Diff(want, titles(a)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// A roster that comes anew does not hide who is there, and names the others no more.
func TestRosterKeepsWhatDevicesSay(t *testing.T) {
	a := after(append(online(), ContactChanged{Contact{Key: eve, Name: "Eve"}}, Select{eve})...)
	other := Contact{Key: Key{"other@example.org", "x@example.org"}}
	a = a.Apply(ContactChanged{other}).Apply(RosterLoaded{own, []Contact{{Key: bob, Name: "Robert", SeenByUs: true}}})
	if d := cmp.Diff([]string{"Robert", "x@example.org"}, titles(a)); d != "" || a.Selected != (Key{}) {
		t.Errorf("%s, selected %v", d, a.Selected)
	}
	if c, _ := a.Contact(bob); c.Presence != Available || c.SeesUs || c.Why != WhyNothing {
		t.Errorf("bob = %+v", c)
	}
}

// Of ten thousand contacts, none costs more than to copy the others.
func TestOneOfManyContacts(t *testing.T) {
	const n = 10000
	var list []Contact
	for i := range n {
		list = append(list, Contact{Key: Key{own, fmt.Sprintf("user%05d@example.org", i*7919%n)}, Name: fmt.Sprint("Name ", i)})
	}
	a := after(online()[0], ContactsListed{list})
	if len(a.Contacts) != n || !slices.IsSortedFunc(a.Contacts, byName) {
		t.Fatalf("%d contacts, or not by name", len(a.Contacts))
	}
	c := list[n/2]
	got := testing.AllocsPerRun(10, func() { a.Apply(ContactChanged{c}) })
	c.Name = "Another"
	moved := testing.AllocsPerRun(10, func() { a.Apply(ContactChanged{c}) })
	if got > 20 || moved > 100 { // a sort in lower case takes more than a hundred thousand
		t.Errorf("a change allocates %v times, a new name %v times", got, moved)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	var a App
	for i := range 5 * maxRequests {
		a = a.Apply(Requested{Request{Key: Key{own, fmt.Sprintf("s%d@evil.example", i)}}})
	}
	a = a.Apply(Requested{Request{Key: Key{own, "s0@evil.example"}, Text: "again"}})
	if len(a.Requests) != maxRequests || a.Requests[0].Text != "again" || a.Requests[maxRequests-1].JID != fmt.Sprintf("s%d@evil.example", maxRequests-1) {
		t.Errorf("%d requests, the first %+v", len(a.Requests), a.Requests[0])
	}
}

// What is searched for among ten thousand contacts, of whom one changes.
func BenchmarkFoundOfManyContacts(b *testing.B) {
	const n = 10000
	var list []Contact
	for i := range n {
		c := Contact{Key: Key{own, fmt.Sprintf("user%05d@example.org", i*7919%n)}, Name: fmt.Sprint("Name ", i)}
		if i%3 == 0 {
			c.Presence = Available
		}
		list = append(list, c)
	}
	for _, search := range []string{"", "e", "name 77"} {
		a := after(online()[0], ContactsListed{list}, ContactsChanged{list}, Searched{search})
		b.Run(fmt.Sprintf("%q", search), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(a.Found()) == 0 {
					b.Fatal("nobody was found")
				}
			}
		})
	}
	a := after(online()[0], ContactsListed{list}, ContactsChanged{list})
	b.Run("change", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			c := list[n/2]
			c.Status = [2]string{"lunch", "back"}[i%2]
			a = a.Apply(ContactChanged{c})
			a.Found()
		}
	})
}
