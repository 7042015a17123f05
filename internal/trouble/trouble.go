// Package trouble tells what an error of signaling, media and ft means: a code
// for programs, one clear line, and a hint when we know the next step. The
// command line shows the line and the hint, the app has a sentence for each
// code.
package trouble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/signaling"
)

// Exit codes.
const (
	Done     = 0
	Failed   = 1
	Usage    = 2 // the command line or the configuration is wrong
	Declined = 3 // the peer declined, or is busy
	NoAnswer = 4 // nobody answered
)

// A Trouble is an error as a person and a program see it.
type Trouble struct {
	Code    string // for programs, for example "wrong-password"
	Message string // one line, lower case
	Hint    string // what to do next, lower case; may be empty
	Exit    int
}

// Describe says what err means. Texts of servers and peers are in it as they
// came; whoever shows them makes them harmless.
func Describe(err error) Trouble {
	t := describe(err)
	if t.Exit == 0 {
		t.Exit = Failed
	}
	return t
}

func describe(err error) Trouble {
	for _, try := range []func(error) (Trouble, bool){calls, transfers, sound, sight, login} {
		if t, ok := try(err); ok {
			return t
		}
	}
	hint := signaling.Hint(err)
	switch {
	case errors.Is(err, context.Canceled):
		return Trouble{Code: "interrupted", Message: "interrupted"}
	case errors.Is(err, context.DeadlineExceeded):
		return Trouble{Code: "timeout", Message: trim(err) + ": it took too long", Hint: hint}
	case errors.Is(err, net.ErrClosed):
		return Trouble{Code: "closed", Message: "connection was closed", Hint: hint}
	case errors.Is(err, fs.ErrPermission):
		return Trouble{Code: "file", Message: trim(err), Hint: "check the permissions of the file and its folder"}
	case errors.Is(err, fs.ErrNotExist):
		return Trouble{Code: "file", Message: trim(err), Hint: "check the path"}
	}
	return Trouble{Code: "failed", Message: err.Error(), Hint: hint}
}

// trim leaves the last words of a context error out, which say nothing.
func trim(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+context.DeadlineExceeded.Error())
}

// calls are calls that did not go as wanted.
func calls(err error) (Trouble, bool) {
	var not *NotTakenError
	if errors.As(err, &not) {
		switch not.Outcome {
		case signaling.Declined:
			return Trouble{"declined", not.Error(), "", Declined}, true
		case signaling.Busy:
			return Trouble{"busy", not.Error(), "try again later", Declined}, true
		case signaling.NoAnswer, signaling.MissedCall, signaling.AnsweredElsewhere:
			return Trouble{"no-answer", not.Error(), "", NoAnswer}, true
		case signaling.Retracted:
			return Trouble{Code: "cancelled", Message: not.Error()}, true
		}
		return Trouble{Code: "call-failed", Message: not.Error(), Hint: doctor(not.Peer)}, true
	}
	var broken *BrokenError
	if errors.As(err, &broken) {
		t := Trouble{Code: "call-failed", Message: broken.Error()}
		switch broken.Reason.Condition {
		case jingle.ConnectivityError, jingle.FailedTransport, jingle.Timeout:
			t.Code, t.Hint = "no-path", doctor(broken.Peer)
		case jingle.SecurityError:
			t.Code, t.Hint = "not-secure", "the call was not encrypted as promised; somebody may be in between"
		case jingle.UnsupportedApplications, jingle.UnsupportedTransports, jingle.IncompatibleParameters:
			t.Code, t.Hint = "incompatible", "the other program cannot make this kind of call; an update may help"
		}
		return t, true
	}
	if errors.Is(err, ErrNoRelay) {
		return Trouble{Code: "no-relay", Message: err.Error(),
			Hint: `start one with "carillon-turn" and name it under [[relay]] in the config file, or leave out --relay-only`}, true
	}
	return Trouble{}, false
}

func doctor(peer string) string {
	return fmt.Sprintf("\"carillon doctor %s\" says what stands in the way", peer)
}

// sound are devices and files that cannot be opened.
func sound(err error) (Trouble, bool) {
	var open *audio.OpenError
	if !errors.As(err, &open) {
		return Trouble{}, false
	}
	t := Trouble{Code: "sound", Message: open.Error(), Hint: open.Hint}
	switch {
	case errors.Is(err, audio.ErrSpec):
		t.Code, t.Exit = "usage", Usage
	case errors.Is(err, device.ErrNoServer), errors.Is(err, device.ErrNoDevice),
		errors.Is(err, device.ErrUnsupported), errors.Is(err, device.ErrAmbiguous):
		t.Code = "device"
	default:
		t.Code = "file"
	}
	return t, true
}

// sight are cameras, screens and files that cannot be opened.
func sight(err error) (Trouble, bool) {
	var open *video.OpenError
	if !errors.As(err, &open) {
		return Trouble{}, false
	}
	t := Trouble{Code: "video", Message: open.Error(), Hint: open.Hint}
	switch {
	case errors.Is(err, video.ErrSpec):
		t.Code, t.Exit = "usage", Usage
	case errors.Is(err, video.ErrNoCodec):
		t.Code = "no-codec"
	}
	return t, true
}

// login are the reasons why the server does not let us in.
func login(err error) (Trouble, bool) {
	as := func(code string, e error) (Trouble, bool) {
		return Trouble{Code: code, Message: e.Error(), Hint: signaling.Hint(err)}, true
	}
	var (
		auth        *signaling.AuthError
		certificate *signaling.CertificateError
		downgrade   *signaling.DowngradeError
		noHost      *signaling.HostNotFoundError
		noMechanism *signaling.NoMechanismError
		proof       *signaling.ServerProofError
		unreachable *signaling.UnreachableError
		stream      *signaling.StreamError
		answer      *signaling.AnswerError
	)
	switch {
	case errors.As(err, &auth):
		if auth.WrongPassword() {
			return as("wrong-password", auth)
		}
		return as("login-refused", auth)
	case errors.As(err, &certificate):
		return as("bad-certificate", certificate)
	case errors.As(err, &downgrade):
		return as("downgrade", downgrade)
	case errors.As(err, &proof):
		return as("false-server", proof)
	case errors.As(err, &noMechanism):
		return as("no-mechanism", noMechanism)
	case errors.As(err, &noHost):
		return as("no-such-host", noHost)
	case errors.As(err, &unreachable):
		return as("unreachable", unreachable)
	case errors.As(err, &stream):
		return as("stream-error", stream)
	case errors.As(err, &answer):
		return Trouble{Code: "refused", Message: err.Error(), Hint: signaling.Hint(err)}, true
	}
	return Trouble{}, false
}
