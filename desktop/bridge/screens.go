package bridge

import (
	"context"
	"fmt"
	"image"
	"slices"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/video"
)

const (
	screensTime = time.Second // between two looks at what can be shared
	maxScenes   = 64          // screens and windows that are listed
	// A picture of one is at most as large.
	smallWidth, smallHeight = 240, 136
)

// findScreens lists what can be shared.
func findScreens(ctx context.Context) (list []state.Scene) {
	if screens, err := capture.Screens(ctx); err == nil {
		for _, x := range screens {
			s := state.Scene{
				ID: fmt.Sprintf("screen:%d", x.Number), Kind: state.WholeScreen, Number: x.Number,
				Width: x.Bounds.Dx(), Height: x.Bounds.Dy(), Primary: x.Primary,
			}
			if x.Dialog {
				s.Kind = state.AskDesktop
			}
			list = append(list, s)
		}
	}
	if windows, err := capture.Windows(ctx); err == nil {
		for _, x := range windows {
			list = append(list, state.Scene{ID: "window:" + x.ID, Kind: state.OneWindow, Width: x.Bounds.Dx(), Height: x.Bounds.Dy(), Title: x.Title})
		}
	}
	return list[:min(len(list), maxScenes)]
}

// watchScreens shows what can be shared for as long as somebody chooses. Owner only.
func (b *Bridge) watchScreens(on bool) {
	if b.watching != nil {
		b.watching()
		b.watching = nil
	}
	if !on {
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	b.watching = cancel
	b.wg.Go(func() {
		defer cancel()
		look := func(string) image.Image { return nil }
		g, err := capture.OpenGallery(b.log)
		if err != nil {
			b.log.Info("no pictures of screens to choose from", "err", err)
		} else {
			defer g.Close()
			look = func(id string) image.Image { return smallPicture(g, id) }
		}
		var waits atomic.Bool // a slow screen skips pictures
		watch(ctx, findScreens, look,
			func(list []state.Scene) { b.tell(state.ScreensFound{Screens: list}) },
			func(now map[string]image.Image) {
				b.onViewOnce(&waits, func(v View) { v.ShowScreens(now) })
			})
	})
}

// smallPicture returns what a screen or window shows now; nil is nothing.
func smallPicture(g *capture.Gallery, id string) image.Image {
	m, err := g.Picture(id, smallWidth, smallHeight)
	if err != nil {
		return nil // it may be hidden, or gone
	}
	out := image.NewRGBA(image.Rectangle{Max: m.Rect.Size()})
	video.ToRGBA(out, m)
	return out
}

// watch lists what there is, when that changes, and shows it every time, until
// ctx ends.
func watch(ctx context.Context, list func(context.Context) []state.Scene, look func(id string) image.Image,
	tell func([]state.Scene), show func(map[string]image.Image)) {
	ticker := time.NewTicker(screensTime)
	defer ticker.Stop()
	var last []state.Scene
	for first := true; ; first = false {
		now := inPlace(last, list(ctx))
		if ctx.Err() != nil {
			return
		}
		if first || !slices.Equal(now, last) {
			tell(now)
		}
		last = now
		pictures := make(map[string]image.Image)
		for _, s := range now {
			if ctx.Err() != nil {
				return
			}
			if s.Kind == state.AskDesktop {
				continue
			}
			if i := look(s.ID); i != nil {
				pictures[s.ID] = i
			}
		}
		show(pictures)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// inPlace keeps what is there still where it was: nothing moves under a pointer
// that is about to choose it. What is new comes last.
func inPlace(was, now []state.Scene) []state.Scene {
	if was == nil {
		return now
	}
	var list []state.Scene
	for _, old := range was {
		if i := slices.IndexFunc(now, func(s state.Scene) bool { return s.ID == old.ID }); i >= 0 {
			list = append(list, now[i])
		}
	}
	for _, s := range now {
		if !slices.ContainsFunc(was, func(old state.Scene) bool { return old.ID == s.ID }) {
			list = append(list, s)
		}
	}
	return list
}
