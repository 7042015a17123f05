// Package cli is the command line of carillon: one type for each command, and
// what they share.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/talk"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
)

// An Env is the world around the program.
type Env struct {
	Args   []string // without the name of the program
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Exit   func(code int) // ends the program at once
}

// app is what the commands share.
type app struct {
	env    Env
	flags  *tree
	kong   *kong.Kong
	config config.File
	paths  config.Paths
	store  *accounts.Store
	screen *screen.Screen
	json   *events.Writer // nil for people
	log    *slog.Logger
	stop   *interrupt.Interrupt
	out    *outlet
}

// Main runs the command line and returns its exit code.
func Main(ctx context.Context, env Env) int {
	a := &app{flags: new(tree)}
	env.Stdout, a.out = newOutlet(env.Stdout)
	a.env = env
	// What fails before the flags are known is shown as for people, unless
	// somebody obviously reads JSON.
	asked := wantsJSON(env.Args)
	a.screen = screen.New(screen.Config{Out: env.Stdout, Err: env.Stderr, In: env.Stdin, Getenv: env.Getenv, Quiet: asked})
	if asked {
		a.json = events.NewWriter(env.Stdout, time.Now)
	}
	err := a.run(ctx)
	a.screen.Clear()
	switch broken, quiet := a.out.left(); {
	case quiet:
		return trouble.Failed // whoever read has left, and wants to hear no more
	case broken != nil:
		err = broken
	}
	if err == nil || errors.Is(err, errHelp) {
		return trouble.Done
	}
	t := trouble.Describe(err)
	if told(err) {
		return t.Exit
	}
	a.screen.Error(t.Message, t.Hint)
	if was := new(toldError); a.json != nil && !errors.As(err, &was) {
		if err := a.json.Event(describe(err)); err != nil {
			a.screen.Warn("%v", err)
		}
	}
	return t.Exit
}

// describe is an error as an event.
func describe(err error) events.Error {
	t := trouble.Describe(err)
	e := events.Error{Code: t.Code, Message: t.Message, Hint: t.Hint}
	var in *talk.CallError
	if errors.As(err, &in) {
		e.Call = &in.Call
	}
	return e
}

// told reports whether the user knows an error already.
func told(err error) bool {
	var in *talk.CallError
	return errors.As(err, &in) && in.Told
}

func wantsJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--json" {
			return true
		}
	}
	return false
}

func newParser(flags *tree, env Env) (*kong.Kong, error) {
	return kong.New(flags,
		kong.Name("carillon"),
		kong.Description("Call people on XMPP."),
		kong.NoDefaultHelp(),
		kong.KindMapper(reflect.String, kong.MapperFunc(word)),
		kong.Writers(env.Stdout, env.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true, WrapUpperBound: 100}),
	)
}

// word takes an argument as it is: kong's own way makes UTF-8 of it, and names
// of files need not be.
func word(ctx *kong.DecodeContext, target reflect.Value) error {
	t, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	target.SetString(fmt.Sprint(t.Value))
	return nil
}

func (a *app) run(ctx context.Context) error {
	var err error
	if a.kong, err = newParser(a.flags, a.env); err != nil {
		return err
	}
	args := a.env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := a.kong.Parse(args)
	if errors.Is(err, errHelp) {
		return errHelp
	}
	if err != nil {
		return usageError(err)
	}
	if err := a.setUp(); err != nil {
		return err
	}
	ctx, a.stop = interrupt.Context(ctx, func() {
		a.screen.Restore()
		a.env.Exit(trouble.Failed)
	})
	defer a.stop.Stop()
	a.out.onBroken(a.stop.End)
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(a)
}

// usageError makes one line and a hint of what kong says.
func usageError(err error) error {
	message, next := err.Error(), `"carillon --help" lists the commands`
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			next = fmt.Sprintf("%q says how to use it", "carillon "+node.Path()+" --help")
		}
	}
	if before, did, ok := strings.Cut(message, ", did you mean "); ok {
		message, next = before, "did you mean "+did
	}
	return trouble.Usagef(next, "%s", message)
}

// setUp reads the configuration and what the flags say.
func (a *app) setUp() error {
	var err error
	if a.paths, err = config.FindPaths(a.env.Getenv); err != nil {
		return fmt.Errorf("find the home folder: %w", err)
	}
	path := a.paths.Config
	if a.flags.Config != "" {
		path = a.flags.Config
	}
	if a.config, err = config.Load(path, a.flags.Config != ""); err != nil {
		return err
	}
	level, err := screen.ParseLevel(or(a.flags.LogLevel, a.config.LogLevel))
	if err != nil {
		return trouble.Usagef("", "%v", err)
	}
	a.log = slog.New(screen.NewHandler(a.screen.Log(), level))
	a.store = accounts.Open(a.paths.Data, accounts.System(a.env.Getenv))
	return nil
}

// historyDir is where the calls of all accounts are kept.
func (a *app) historyDir() string { return filepath.Join(a.paths.State) }

// or returns the first of its arguments that is not empty.
func or(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
