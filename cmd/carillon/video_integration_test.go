//go:build integration && native && linux

package main

import (
	"context"
	"image"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/video"
)

// What one program shows is read off the screen of the other, which shows it in
// a window.
func TestIntegrationVideoInAWindow(t *testing.T) {
	t.Setenv("DISPLAY", lab.StartDisplay(t, "640x480x24").Name)
	t.Setenv("WAYLAND_DISPLAY", "")
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	path := lab.CarillonPath(t)
	bob := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob",
		Args: []string{"answer", "--auto", "--once", "--mic", "silence", "--speaker", "null", "--camera", "none", "--screen", "window"}})
	bob.Wait("online")
	alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
		Args: []string{"call", server.JID("bob"), "--mic", "silence", "--speaker", "null", "--camera", "pattern:320x240@15"}})
	alice.Wait("connected")

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	screen, err := capture.OpenSource(ctx, "screen", capture.Options{NoPointer: true})
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	seen := make(map[uint16]bool)
	for len(seen) < 10 {
		f, err := screen.Read(ctx)
		if err != nil {
			t.Fatalf("%d pictures were seen: %v", len(seen), err)
		}
		// Nobody manages windows here: it is where it opened.
		if c, ok := video.ReadCode(f.Image.SubImage(image.Rect(0, 0, 320, 240)).(*image.YCbCr)); ok {
			seen[c.Number] = true
		}
	}
	alice.Key("q")
	if code := bob.Exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// Whoever names a codec gets it both ways, whether they call or answer.
func TestIntegrationVideoCodec(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	path := lab.CarillonPath(t)
	for _, tt := range []struct {
		name           string
		caller, callee []string
		out, in        string // of the caller
	}{
		{"nobody asks", nil, nil, "VP8", "VP8"},
		{"the caller asks for AV1", []string{"--video-codec", "av1"}, nil, "AV1", "AV1"},
		{"the callee asks for AV1", nil, []string{"--video-codec", "av1"}, "AV1", "AV1"},
		{"the callee asks for another", []string{"--video-codec", "av1"}, []string{"--video-codec", "vp9"}, "AV1", "VP9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talk := []string{"--mic", "silence", "--speaker", "null", "--camera", "pattern:320x240@15", "--stats"}
			bob := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob",
				Args: append(append([]string{"answer", "--auto", "--once"}, talk...), tt.callee...)})
			bob.Wait("online")
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: append(append([]string{"call", server.JID("bob")}, talk...), tt.caller...)})
			alice.Wait("first-frame")
			e := alice.Wait("video")
			for e.CodecIn == "" || e.CodecOut == "" {
				e = alice.Wait("video")
			}
			if e.CodecOut != tt.out || e.CodecIn != tt.in {
				t.Errorf("%s out, %s in, want %s and %s", e.CodecOut, e.CodecIn, tt.out, tt.in)
			}
			alice.Key("q")
			if code := bob.Exit(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}
