//go:build native && !linux

package main

import "fyne.io/fyne/v2"

func filmWindow(fyne.Window) (number uint32, ok bool) { return 0, false }
