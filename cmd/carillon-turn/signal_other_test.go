//go:build !unix

package main

import "os"

var signalReload = os.Interrupt // there is none; the test is skipped
