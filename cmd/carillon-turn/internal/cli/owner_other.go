//go:build !unix

package cli

import "os"

func giveTo(*os.File, string) error { return nil }
