package talk

import "github.com/carillon-im/carillon/internal/trouble"

// ErrNoRelay is returned when calls shall go through a relay and none is known.
var ErrNoRelay = trouble.ErrNoRelay

type (
	// A NotTakenError reports that the other side did not take the call.
	NotTakenError = trouble.NotTakenError
	// A BrokenError reports a call that was taken and then went wrong.
	BrokenError = trouble.BrokenError
)
