package cli

import (
	"encoding/json"
	"time"

	"github.com/carillon-im/carillon/turn"
)

type credentialsCmd struct {
	secretFlags
	Name  string        `arg:"" optional:"" help:"Who they are for, such as a JID; limits are counted for this name."`
	Valid time.Duration `default:"24h" help:"How long they are good."`
}

// Run prints credentials as one JSON object.
func (c *credentialsCmd) Run(env Env) error {
	secret, err := c.secret(env)
	if err != nil {
		return err
	}
	expires := time.Now().Add(c.Valid)
	user, password := turn.Credentials(secret, c.Name, expires)
	return json.NewEncoder(env.Stdout).Encode(struct {
		Username string    `json:"username"`
		Password string    `json:"password"`
		Expires  time.Time `json:"expires"`
	}{user, string(password), expires.UTC().Truncate(time.Second)})
}
