//go:build native

package main

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver"
	"github.com/go-gl/gl/v2.1/gl"
)

// slowRenderers draw with the processor: of Mesa, and of those who bring their
// own.
var slowRenderers = []string{"llvmpipe", "softpipe", "swrast", "swiftshader", "software"}

// filmWindow returns the number of a window in which a film is worth while.
// It is called on the UI thread.
func filmWindow(w fyne.Window) (number uint32, ok bool) {
	native, ok := w.(driver.NativeWindow)
	if !ok {
		return 0, false
	}
	native.RunNative(func(context any) {
		if x, is := context.(driver.X11WindowContext); is {
			number = uint32(x.WindowHandle)
		}
	})
	with, ok := w.(interface{ RunWithContext(func()) }) // OpenGL's, of Fyne's driver
	if number == 0 || !ok {
		return 0, false
	}
	var renderer string
	with.RunWithContext(func() {
		if s := gl.GetString(gl.RENDERER); s != nil {
			renderer = strings.ToLower(gl.GoStr(s))
		}
	})
	return number, slices.ContainsFunc(slowRenderers, func(name string) bool { return strings.Contains(renderer, name) })
}
