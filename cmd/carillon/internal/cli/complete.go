package cli

import (
	"context"
	"fmt"
	"regexp"

	"github.com/carillon-im/carillon/internal/history"
)

// maxOffered is how many past calls of an account a completion looks at.
const maxOffered = 200

// harmless are addresses that mean the same to every shell, quoted or not.
// Anybody can choose an address and call us, so only these are offered.
var harmless = regexp.MustCompile(`^[A-Za-z0-9._+][A-Za-z0-9._+-]*@[A-Za-z0-9._-]+$`)

// Run prints addresses for the completion of shells, one a line.
func (c completeCmd) Run(_ context.Context, a *app) error {
	list, err := a.store.List()
	if err != nil {
		return err
	}
	var accounts []string
	for _, account := range list {
		accounts = append(accounts, account.JID)
	}
	if c.List == "accounts" {
		return a.offer(accounts)
	}
	if named := or(a.flags.Account, a.config.Account); named != "" {
		accounts = []string{named}
	}
	var people []string
	for _, account := range accounts {
		calls, err := history.Open(a.historyDir(), account).Calls(maxOffered)
		if err != nil {
			return err
		}
		for i := range calls { // the newest first
			people = append(people, calls[len(calls)-1-i].Peer.Bare().String())
		}
	}
	return a.offer(people)
}

// offer prints those that are harmless, each once.
func (a *app) offer(addresses []string) error {
	offered := make(map[string]bool)
	for _, s := range addresses {
		if offered[s] || !harmless.MatchString(s) {
			continue
		}
		offered[s] = true
		if _, err := fmt.Fprintln(a.env.Stdout, s); err != nil {
			return err
		}
	}
	return nil
}
