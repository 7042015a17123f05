package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/carillon-im/carillon/turn"
)

type initCmd struct {
	Realm string `required:"" placeholder:"DOMAIN" help:"Domain of the XMPP server."`
	Host  string `placeholder:"HOST" help:"Name of the relay; default turn.DOMAIN."`
	Out   string `short:"o" placeholder:"FILE" help:"Write the configuration here, readable by its owner alone; default standard output."`
}

// Run prints a configuration, and on stderr what the XMPP server needs.
func (i *initCmd) Run(env Env) error {
	host := i.Host
	if host == "" {
		host = "turn." + i.Realm
	}
	secret := rand.Text() + rand.Text()
	text := fmt.Sprintf(`realm = %q
listen = ["udp:0.0.0.0:3478", "tcp:0.0.0.0:3478"]
# For turns: add "tls:0.0.0.0:5349" to listen, and
# [tls]
# cert = "/etc/letsencrypt/live/%s/fullchain.pem"
# key = "/etc/letsencrypt/live/%s/privkey.pem"

# Shared with the XMPP server, which makes credentials of it.
secrets = [%q]

# Behind a 1:1 NAT, as in most clouds:
# relay-ip = ["10.0.0.5"]
# public-ip = ["192.0.2.5"]

# Status and metrics, for this machine alone.
admin = "127.0.0.1:9641"
`, i.Realm, host, host, secret)
	if i.Out == "" {
		fmt.Fprint(env.Stdout, text)
	} else {
		f, err := os.OpenFile(i.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("write config: %w", err)
		}
		if _, err := f.WriteString(text); err != nil {
			f.Close()
			return fmt.Errorf("write config: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("write config: %w", err)
		}
	}
	fmt.Fprintf(env.Stderr, `For Prosody, in prosody.cfg.lua:

    modules_enabled = { "turn_external" } -- beside what is there
    turn_external_host = %[1]q
    turn_external_secret = %[2]q

For ejabberd, in ejabberd.yml:

    modules:
      mod_stun_disco:
        secret: %[2]q
        services:
          - {host: %[1]q, port: 3478, type: stun, transport: udp}
          - {host: %[1]q, port: 3478, type: turn, transport: udp, restricted: true}
          - {host: %[1]q, port: 3478, type: turn, transport: tcp, restricted: true}
`, host, secret)
	return nil
}

type credentialsCmd struct {
	Name       string        `arg:"" optional:"" help:"Who they are for, such as a JID; limits are counted for this name."`
	Secret     string        `placeholder:"SECRET" help:"Shared secret; other users of this machine can see it."`
	SecretFile string        `placeholder:"FILE" help:"File whose first line is the shared secret."`
	Valid      time.Duration `default:"24h" help:"How long they are good."`
}

// Run prints credentials as one JSON object.
func (c *credentialsCmd) Run(env Env) error {
	secret, err := secretOf(env, c.Secret, c.SecretFile)
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

type statusCmd struct {
	Admin string `default:"127.0.0.1:9641" placeholder:"HOST:PORT" help:"Where the relay serves its status."`
	JSON  bool   `name:"json" help:"Print the JSON that the relay serves."`
}

const maxStatus = 64 << 20

// Run asks a running relay.
func (s *statusCmd) Run(ctx context.Context, env Env) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := net.SplitHostPort(s.Admin); err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Admin+"/status", nil)
	if err != nil {
		return fmt.Errorf("ask relay: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &hinted{fmt.Errorf("ask relay: %w", err), `the relay serves its status where "admin" in its configuration says`}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask relay: %s", resp.Status)
	}
	var st turn.Status
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxStatus)).Decode(&st); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	if s.JSON {
		return json.NewEncoder(env.Stdout).Encode(st)
	}
	state := "serving"
	if st.Draining {
		state = "draining"
	}
	fmt.Fprintf(env.Stdout, "%s for %v: %d allocations, %d bytes up, %d down, %d refused, %d failed logins\n", state,
		time.Since(st.Started).Round(time.Second), len(st.Allocations), st.Total.UpBytes, st.Total.DownBytes, st.RefusedPeers, st.FailedLogins)
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	if len(st.Allocations) > 0 {
		fmt.Fprintln(w, "USER\tBY\tRELAYED\tPEERS\tAGE\tUP\tDOWN\tDROPPED")
	}
	for _, a := range st.Allocations {
		fmt.Fprintf(w, "%q\t%s\t%v\t%d\t%v\t%d\t%d\t%d\n", a.User, a.Transport, a.Relayed, a.Peers,
			time.Since(a.Created).Round(time.Second), a.Traffic.UpBytes, a.Traffic.DownBytes, a.Traffic.Dropped)
	}
	return w.Flush()
}
