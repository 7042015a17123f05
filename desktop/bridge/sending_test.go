package bridge

import (
	"errors"
	"fmt"
	"testing"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
)

// What is there again when it is tried again counts, whoever says it and how.
func TestWhatLasts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errors.New("no such file"), true},
		{&exchange.PeerError{Text: exchange.ErrDiskFull.Error()}, true},
		{fmt.Errorf("offer: %w", &ft.DeclinedError{Text: exchange.ErrDiskFull.Error()}), true},
		{&ft.DeclinedError{Text: courier.ErrQuota.Error()}, true},
		{&ft.DeclinedError{Text: "not now"}, false},
		{ft.ErrDeclined, false},
		{exchange.ErrPaused, false},
		{exchange.ErrCancelled, false},
	} {
		if got := lasts(nil, tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
