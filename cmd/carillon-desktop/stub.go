//go:build !native

// Command carillon-desktop is the call app with a window. It needs C:
//
//	make build
//	CGO_ENABLED=1 go build -tags native ./cmd/carillon-desktop
//
// Without -tags native this says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "carillon-desktop: error: this was built without the window")
	fmt.Fprintln(os.Stderr, `carillon-desktop: hint: build it with "make build", or "CGO_ENABLED=1 go build -tags native ./cmd/carillon-desktop"`)
	os.Exit(2)
}
