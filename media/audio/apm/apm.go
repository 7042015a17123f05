// Package apm takes the echo of the speaker out of what the microphone hears,
// lowers noise, and brings voices to one level.
//
//	far end --> Render --------> speaker
//	                               |  the room
//	us <-- Capture <------------ microphone
//
// The work is done by libwebrtc-audio-processing 0.3, so [New] works in
// programs built with -tags native, and elsewhere returns [ErrUnsupported].
// Package media/device feeds it; begin there, with device.Open.
package apm

import "errors"

// ErrUnsupported says that this program was built without the library.
var ErrUnsupported = errors.New("echo cancelling is not supported by this build; it needs -tags native")

// A Config adjusts a Processor. The zero Config does everything.
type Config struct {
	// NoEcho leaves the echo in: for headphones.
	NoEcho bool
	// NoNoise leaves the noise in: for music.
	NoNoise bool
	// NoGain leaves the level as it is.
	NoGain bool
}
