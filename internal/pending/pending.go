//go:build pending

// Package pending keeps in go.mod what work in progress is about to import. It goes when the last line does.
package pending

import (
	_ "fyne.io/fyne/v2/app"
	_ "github.com/schollz/progressbar/v3"
	_ "golang.org/x/image/draw"
)
