//go:build native && !linux

package main

import "fyne.io/fyne/v2"

// A dozer runs functions on the UI thread. On Linux it does more.
type dozer struct{}

func newDozer(func() bool) *dozer { return &dozer{} }

func (*dozer) start()      {}
func (*dozer) do(f func()) { fyne.Do(f) }
