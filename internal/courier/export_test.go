package courier

import "github.com/carillon-im/carillon/ft"

// Env is what transfers of tests know and use.
func (c *Courier) Env() ft.Env { return c.env() }
