//go:build native

package bridge

import (
	"image"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
)

// A looker is somebody who looks at their own picture.
type looker struct {
	*user
	seen chan image.Image
}

func (l looker) ShowOwnPicture(_ string, i image.Image) {
	select {
	case l.seen <- i:
	default:
	}
}

// Who calls with video sees themselves while it rings.
func TestOwnPictureWhileItRings(t *testing.T) {
	s := server(t)
	anna, ben := newUser(t, s, "anna"), newUser(t, s, "ben")
	l := looker{anna, make(chan image.Image, 1)}
	anna.ui <- func() { anna.Show(l) }
	anna.until("online", online)
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	anna.Do(state.PlaceCall{Key: key("anna", "ben"), Video: true})
	in := ben.until("it rings here", phase(state.Rings))
	anna.until("it rings there", phase(state.RingsThere))
	for range 2 {
		select {
		case i := <-l.seen:
			if i == nil || i.Bounds().Empty() {
				t.Errorf("the picture is %v", i)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it rings, and who calls does not see themselves")
		}
	}
	if a := anna.State(); !phase(state.RingsThere)(a) || a.Calls[0].Picture != state.Camera {
		t.Errorf("meanwhile: %+v", a.Calls)
	}
	ben.Do(state.DeclineCall{ID: in.Calls[0].ID})
	anna.until("over", func(a state.App) bool { return len(a.Calls) == 0 })
}
