// Package cli is the command line of carillon-turn.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	// Of check alone, which keeps the others.
	exitRefused = 3 // the relay answers, but the credentials are not good
	exitSilent  = 4 // nothing answers
)

// An Env is the world around the program.
type Env struct {
	Args   []string // without the name of the program
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
}

type tree struct {
	Run         runCmd         `cmd:"" help:"Serve."`
	Init        initCmd        `cmd:"" help:"Make a configuration with a fresh secret, and the lines for Prosody and ejabberd."`
	Validate    validateCmd    `cmd:"" help:"Say whether a configuration is right."`
	Credentials credentialsCmd `cmd:"" help:"Print time-limited credentials."`
	Check       checkCmd       `cmd:"" help:"Test a relay from outside."`
	Status      statusCmd      `cmd:"" help:"Show what a running relay does."`
	Completion  completionCmd  `cmd:"" help:"Print the completion of a shell."`
	Man         manCmd         `cmd:"" hidden:"" help:"Write the man pages into a folder."`

	Version kong.VersionFlag `help:"Print the version."`
}

// exited carries kong's wish to exit out of Parse.
type exited int

// Main runs the command line and returns its exit code.
func Main(ctx context.Context, env Env) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	var t tree
	parser, err := kong.New(&t, kong.Name("carillon-turn"), kong.Description("A TURN relay beside an XMPP server: safe by default, and up in a minute."), kong.Vars{"version": "carillon-turn " + version()}, kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}))
	if err != nil {
		return fail(env, err, exitFailed)
	}
	args := env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fail(env, err, exitUsage)
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(env, parser); err != nil {
		var c *coded
		if errors.As(err, &c) {
			return fail(env, err, c.code)
		}
		return fail(env, err, exitFailed)
	}
	return exitDone
}

func fail(env Env, err error, code int) int {
	fmt.Fprintln(env.Stderr, "carillon-turn: error:", err)
	var h *hinted
	if errors.As(err, &h) {
		fmt.Fprintln(env.Stderr, "carillon-turn: hint:", h.hint)
	}
	return code
}

// A hinted error says what to do next.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// A coded error says with what the program ends.
type coded struct {
	error
	code int
}

func (c *coded) Unwrap() error { return c.error }

func newLogger(w io.Writer, level string, json bool) (*slog.Logger, error) {
	var l slog.Level
	if level != "" {
		if err := l.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
		}
	}
	o := &slog.HandlerOptions{Level: l}
	if json {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
