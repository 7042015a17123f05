package cli

import "runtime/debug"

// release is set when a package is built: -ldflags "-X ...cli.release=1.2".
var release string

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
