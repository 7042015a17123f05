package trouble

import (
	"errors"
	"strings"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
)

// ErrPaused is returned by a transfer that our user interrupted.
var ErrPaused = errors.New("paused")

// How a transfer goes on, for who sends and for who receives.
const (
	goOn   = `the same command, or "carillon transfers resume", goes on from there`
	comeOn = `it goes on from there when it is sent again`
)

// Incoming returns t for who receives, and cannot go on alone.
func (t Trouble) Incoming() Trouble {
	t.Hint = strings.Replace(t.Hint, goOn, comeOn, 1)
	return t
}

// transfers are files that did not arrive.
func transfers(err error) (Trouble, bool) {
	var nobody *courier.NobodyError
	var incomplete *courier.IncompleteError
	var said *exchange.PeerError
	text := err.Error()
	switch {
	case errors.As(err, &nobody):
		return Trouble{"nobody", nobody.Error(), "--wait sends as soon as they are there", NoAnswer}, true
	case errors.Is(err, ErrPaused):
		return Trouble{Code: "paused", Message: "paused", Hint: goOn}, true
	case errors.Is(err, exchange.ErrPaused):
		return Trouble{Code: "paused", Message: "the other side paused the transfer", Hint: goOn}, true
	case errors.Is(err, exchange.ErrCancelled):
		return Trouble{Code: "cancelled", Message: "the other side took the transfer back"}, true
	case errors.Is(err, ft.ErrDeclined):
		return Trouble{"declined", text, "", Declined}, true
	case errors.As(err, &incomplete):
		return Trouble{Code: "incomplete", Message: text, Hint: "send these again"}, true
	case errors.Is(err, exchange.ErrDiskFull):
		return Trouble{Code: "disk-full", Message: text, Hint: "make room; " + goOn}, true
	case errors.Is(err, ft.ErrUnsupported):
		return Trouble{Code: "incompatible", Message: text, Hint: "try without --transport, or another device"}, true
	case errors.Is(err, exchange.ErrManifest), errors.Is(err, exchange.ErrProtocol):
		return Trouble{Code: "protocol", Message: text}, true
	case errors.Is(err, ft.ErrNoPath):
		return Trouble{Code: "no-path", Message: text, Hint: "a relay or a proxy of the server may help; " + goOn}, true
	case errors.Is(err, exchange.ErrStalled):
		return Trouble{Code: "stalled", Message: text, Hint: goOn}, true
	case errors.Is(err, exchange.ErrCorrupt):
		return Trouble{Code: "corrupt", Message: text, Hint: "send it again"}, true
	case errors.Is(err, ft.ErrUnconfirmed):
		return Trouble{Code: "unconfirmed", Message: text, Hint: "ask whether it is there; Dino loses files that come in stanzas, a SOCKS5 proxy of the server (XEP-0065) helps"}, true
	case errors.Is(err, ft.ErrForgotten):
		return Trouble{Code: "forgotten", Message: text, Hint: "Gajim does that with all files; another program of theirs may take it"}, true
	case errors.As(err, &said):
		return Trouble{Code: "failed", Message: text, Hint: goOn}, true
	}
	return Trouble{}, false
}
