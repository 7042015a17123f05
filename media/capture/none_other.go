//go:build !linux

package capture

import (
	"context"
	"image"
	"log/slog"

	"github.com/carillon-im/carillon/media/video"
)

func openCamera(context.Context, string, Options) (video.Source, error) { return nil, ErrUnsupported }
func openScreen(context.Context, int, Options) (video.Source, error)    { return nil, ErrUnsupported }
func openWindow(context.Context, string, Options) (video.Source, error) { return nil, ErrUnsupported }
func openShow(*slog.Logger) (video.Sink, error)                         { return nil, ErrUnsupported }

func cameras(context.Context) ([]Camera, error) { return nil, ErrUnsupported }
func screens(context.Context) ([]Screen, error) { return nil, ErrUnsupported }
func windows(context.Context) ([]Window, error) { return nil, ErrUnsupported }

// A Pane is a part of a window that shows pictures by itself. There are some on
// Linux alone.
type Pane struct{}

// OpenPane returns ErrUnsupported.
func OpenPane(uint32, *slog.Logger) (*Pane, error) { return nil, ErrUnsupported }

func (*Pane) Place(PanePlace)                  {}
func (*Pane) Write(*image.YCbCr) error         { return ErrUnsupported }
func (*Pane) WriteOwn(*image.YCbCr) error      { return ErrUnsupported }
func (*Pane) Last() (theirs, ours *image.RGBA) { return nil, nil }
func (*Pane) Close() error                     { return nil }

// A Gallery takes small pictures of screens and windows; Linux.
type Gallery struct{}

// OpenGallery opens one.
func OpenGallery(*slog.Logger) (*Gallery, error) { return nil, ErrUnsupported }

func (*Gallery) Picture(string, int, int) (*image.YCbCr, error) { return nil, ErrUnsupported }
func (*Gallery) Close() error                                   { return nil }
