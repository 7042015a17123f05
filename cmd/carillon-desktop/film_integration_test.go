//go:build integration && native && linux

package main

import (
	"image"
	"log/slog"
	"testing"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/carillon-im/carillon/desktop/ui"
	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// Our own picture goes past the view where that has made room for it, and only
// there: the view makes room when it has seen one.
func TestIntegrationFilmOfOurOwn(t *testing.T) {
	t.Setenv("DISPLAY", lab.StartDisplay(t, "640x480x24").Name)
	conn, err := xgb.NewConn()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id, err := xproto.NewWindowId(conn)
	if err != nil {
		t.Fatal(err)
	}
	err = xproto.CreateWindowChecked(conn, xproto.WindowClassCopyFromParent, id, xproto.Setup(conn).DefaultScreen(conn).Root,
		0, 0, 600, 400, 0, xproto.WindowClassInputOutput, 0, 0, nil).Check()
	if err != nil {
		t.Fatal(err)
	}
	f := &film{log: slog.New(slog.DiscardHandler)}
	f.open.Do(func() { f.dial(uint32(id)) })
	defer f.close()

	place := ui.PanePlace{Area: image.Rect(0, 0, 600, 400)}
	if !f.Place("1", place) {
		t.Fatal("there is no pane")
	}
	theirs, ours := video.NewImage(320, 240), video.NewImage(64, 48)
	if !f.show("1", false, theirs) {
		t.Error("a picture of theirs is not shown")
	}
	if f.show("2", false, theirs) {
		t.Error("a picture of another call is shown")
	}
	if f.show("1", true, ours) {
		t.Error("ours is taken from the view, which has no place for it yet")
	}
	place.Own = image.Rect(500, 300, 580, 360)
	f.Place("1", place)
	if !f.show("1", true, ours) {
		t.Error("ours is not shown")
	}
}
