//go:build !linux

package capture

import (
	"context"
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
