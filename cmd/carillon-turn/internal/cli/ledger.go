package cli

import (
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/ledger"
	"github.com/carillon-im/carillon/turn"
)

// ledger is where users are counted together with other relays, nil when they
// are not.
func (n *running) ledger() (*ledger.Redis, error) {
	url, err := n.file.RedisURL()
	if err != nil || url == "" {
		return nil, err
	}
	return ledger.Open(ledger.Config{URL: string(url), Prefix: n.file.Redis.Prefix, Limit: n.allocationsOf})
}

// allocationsOf is how many allocations an account may have at all relays:
// what it may have at one.
func (n *running) allocationsOf(a turn.Account) int {
	c := n.limits.Load()
	if limit := c.Limits.PerUser.Allocations; limit != 0 {
		return limit
	}
	users := c.Users
	for _, r := range c.Realms {
		if r.Name == a.Realm {
			users = r.Users
		}
	}
	if _, fixed := users[a.User]; fixed {
		return -1
	}
	return turn.DefaultAllocationsPerUser
}
