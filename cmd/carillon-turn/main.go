// Carillon-turn is a TURN relay for people whose networks keep them from
// reaching each other.
//
//	carillon-turn init --realm example.org > relay.toml   a configuration with a fresh secret
//	carillon-turn run --config relay.toml
//	carillon-turn check turn:relay.example.org --user NAME --password-file FILE
//
// "carillon-turn --help" says more.
package main

import (
	"context"
	"os"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
	}))
}
