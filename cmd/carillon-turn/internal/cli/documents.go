package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/carillon-im/carillon/internal/docs"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the completion of a shell.
func (c *completionCmd) Run(env Env, k *kong.Kong) error {
	return docs.Completion(env.Stdout, k.Model, c.Shell)
}

type manCmd struct {
	Dir string `arg:"" help:"Folder."`
}

// Run writes the man pages into a folder.
func (m *manCmd) Run(k *kong.Kong) error {
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return fmt.Errorf("write man pages: %w", err)
	}
	for _, p := range docs.ManPages(k.Model, version()) {
		if err := os.WriteFile(filepath.Join(m.Dir, p.Name), p.Text, 0o644); err != nil {
			return fmt.Errorf("write man pages: %w", err)
		}
	}
	return nil
}
