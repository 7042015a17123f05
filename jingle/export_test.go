package jingle

// Actions and Allowed show the table to the tests outside the package.
var Actions = actions[:]

func Allowed(s State, sender Role, a Action) (sent, taken bool) {
	p := allowed(s, sender, a)
	return p == free, p != never
}
