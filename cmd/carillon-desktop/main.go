//go:build native

// Command carillon-desktop is the call app with a window.
//
//	carillon-desktop                          all accounts
//	carillon-desktop xmpp:bob@example.org?call
//	carillon-desktop --hidden                 only the tray, for autostart
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/carillon-im/carillon/desktop/single"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
)

// controlEnv names a socket at which tests drive the app; see control.go.
const controlEnv = "CARILLON_DESKTOP_CONTROL"

const handOverTime = 5 * time.Second

// options are what the command line says.
type options struct {
	account, config, server, caFile string
	mic, speaker, camera            string
	hidden, loopback, verbose       bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "carillon-desktop: error:", err)
		os.Exit(1)
	}
}

// gcPercent lets the heap grow by half of what is in use before it is
// collected. Most of what the Go side holds is fonts, which stay: a call of 90
// seconds went from 245 to 259 MB resident with nothing kept but garbage.
const gcPercent = 50

func run(args []string) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var o options
	f := flag.NewFlagSet("carillon-desktop", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: carillon-desktop [flags] [xmpp:ADDRESS[?call] | ADDRESS]")
		f.PrintDefaults()
	}
	f.StringVar(&o.account, "account", "", "use only this account")
	f.StringVar(&o.config, "config", "", "config file instead of the usual one")
	f.StringVar(&o.server, "server", "", "host:port instead of what DNS says")
	f.StringVar(&o.caFile, "ca-file", "", "PEM certificates trusted besides those of the system")
	f.StringVar(&o.mic, "mic", "", "what is said instead of the microphone of the settings, as in carillon call")
	f.StringVar(&o.speaker, "speaker", "", "where what is heard goes, likewise")
	f.StringVar(&o.camera, "camera", "", "what is shown instead of the camera, likewise")
	f.BoolVar(&o.hidden, "hidden", false, "begin without the window")
	f.BoolVar(&o.loopback, "loopback", false, "files may travel over loopback addresses (tests)")
	f.BoolVar(&o.verbose, "verbose", false, "log decisions to standard error")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		os.Exit(2)
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	paths, err := config.FindPaths(os.Getenv)
	if err != nil {
		return err
	}
	file, err := config.Load(first(o.config, paths.Config), o.config != "")
	if err != nil {
		return err
	}
	if o.server != "" {
		file.Server = o.server
	}
	if o.caFile != "" {
		file.CAFile = o.caFile
	}
	dir, err := single.RuntimeDir()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	instance, err := single.Start(ctx, dir, single.FromEnvironment(f.Args()))
	switch {
	case errors.Is(err, single.ErrHandedOver):
		return nil
	case err != nil:
		log.Warn("another instance cannot be found", "err", err)
	default:
		defer instance.Close()
	}
	return newDesk(o, paths, file, accounts.Open(paths.Data, accounts.System(os.Getenv)), log).run(instance, f.Args())
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
