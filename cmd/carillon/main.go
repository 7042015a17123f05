// Carillon calls people on XMPP from the command line.
//
//	carillon demo                     a call between two clients on this machine
//	carillon login alice@example.org
//	carillon call bob@example.org
//	carillon answer
//
// "carillon --help" says more.
package main

import (
	"context"
	"os"

	"github.com/carillon-im/carillon/cmd/carillon/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Exit: os.Exit,
	}))
}
