package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/admin"
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
	"github.com/carillon-im/carillon/turn"
)

// configFlags say what a configuration file says; flags win.
type configFlags struct {
	Config     string   `short:"c" placeholder:"FILE" help:"Configuration, TOML."`
	Listen     []string `short:"l" sep:"none" placeholder:"[TRANSPORT:]ADDRESS:PORT" help:"Where clients are served; transports are udp, tcp, tls and dtls. May be repeated."`
	RelayIP    []string `name:"relay-ip" sep:"none" placeholder:"ADDRESS" help:"Address of this machine that allocations are given."`
	PublicIP   []string `name:"public-ip" sep:"none" placeholder:"ADDRESS" help:"What clients are told in its place, behind a 1:1 NAT."`
	Realm      string   `placeholder:"DOMAIN" help:"Realm of the credentials."`
	User       []string `sep:"none" placeholder:"NAME:PASSWORD" help:"A person with a fixed password; other users of this machine can see it."`
	Secret     []string `sep:"none" placeholder:"SECRET" help:"Shared with the XMPP server; other users of this machine can see it."`
	SecretFile []string `sep:"none" placeholder:"FILE" help:"File whose first line is that secret."`
	AllowPeer  []string `sep:"none" placeholder:"PREFIX" help:"Peers that may be reached although they are refused by default."`
	DenyPeer   []string `sep:"none" placeholder:"PREFIX" help:"Peers that may never be reached."`
	Cert       string   `placeholder:"FILE" help:"Certificate for TLS, PEM."`
	Key        string   `placeholder:"FILE" help:"Its key."`
	NonceFile  string   `name:"nonce-secret-file" placeholder:"FILE" help:"File with a secret that relays share, so that nonces are good at all of them."`
	Discovery  string   `placeholder:"ADDRESS:PORT" help:"Second address and port, for NAT behaviour discovery (RFC 5780)."`
	Alternate  []string `sep:"none" placeholder:"ADDRESS:PORT" help:"Another relay, where clients are sent when this one is full or draining."`
	MinPort    uint16   `help:"First port of allocations."`
	MaxPort    uint16   `help:"Last port of allocations."`
	Loops      int      `help:"Forwarding threads; default one for two cores."`
	Gather     int      `name:"gather-us" placeholder:"MICROSECONDS" help:"How long packets may wait for others under load, to save processor time; default 200, negative for none."`
	Portable   bool     `help:"Forward without the fast path."`
	Admin      string   `placeholder:"HOST:PORT" help:"Serve status and metrics here."`
	LogLevel   string   `placeholder:"LEVEL" help:"debug, info, warn or error."`
}

func (f configFlags) file() (config.File, error) {
	var c config.File
	if f.Config != "" {
		var err error
		if c, err = config.Load(f.Config); err != nil {
			return c, err
		}
	}
	or := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	list := func(to *[]string, v []string) {
		if len(v) > 0 {
			*to = v
		}
	}
	or(&c.Realm, f.Realm)
	or(&c.TLS.Cert, f.Cert)
	or(&c.TLS.Key, f.Key)
	or(&c.Admin, f.Admin)
	or(&c.LogLevel, f.LogLevel)
	or(&c.NonceSecretFile, f.NonceFile)
	or(&c.Discovery, f.Discovery)
	list(&c.Alternates, f.Alternate)
	list(&c.Listen, f.Listen)
	list(&c.RelayIP, f.RelayIP)
	list(&c.PublicIP, f.PublicIP)
	list(&c.Secrets, f.Secret)
	list(&c.SecretFiles, f.SecretFile)
	c.Peers.Allow = append(c.Peers.Allow, f.AllowPeer...)
	c.Peers.Deny = append(c.Peers.Deny, f.DenyPeer...)
	for _, u := range f.User {
		name, password, ok := strings.Cut(u, ":")
		if !ok {
			return c, errors.New("--user wants NAME:PASSWORD")
		}
		c.Users = append(c.Users, config.User{Name: name, Password: password})
	}
	if f.MinPort != 0 {
		c.MinPort = f.MinPort
	}
	if f.MaxPort != 0 {
		c.MaxPort = f.MaxPort
	}
	if f.Loops != 0 {
		c.Loops = f.Loops
	}
	if f.Gather != 0 {
		c.GatherUS = f.Gather
	}
	c.Portable = c.Portable || f.Portable
	return c, nil
}

type runCmd struct {
	configFlags
	DrainTimeout time.Duration `default:"1h" help:"How long calls may last after SIGTERM; a second signal ends them."`
}

// Run serves until a signal.
func (r *runCmd) Run(ctx context.Context, env Env) error {
	file, err := r.file()
	if err != nil {
		return err
	}
	conf, err := file.Turn(env.Getenv)
	if err != nil {
		return &hinted{err, `"carillon-turn init" prints a configuration to begin with`}
	}
	if conf.Logger, err = newLogger(env.Stderr, file.LogLevel, file.LogJSON); err != nil {
		return err
	}
	log := conf.Logger
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(endSignals, reloadSignals...)...)
	defer signal.Stop(signals)

	// Forwarding threads keep a processor each while there is traffic.
	loops := conf.Loops
	if loops <= 0 {
		loops = turn.DefaultLoops()
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops)
	conf.Loops = loops
	s, err := turn.New(conf)
	if err != nil {
		return err
	}
	var web *http.Server
	webDone := make(chan error, 1)
	if file.Admin != "" {
		l, err := net.Listen("tcp", file.Admin)
		if err != nil {
			return errors.Join(fmt.Errorf("serve status: %w", err), s.Close())
		}
		web = &http.Server{Handler: admin.Handler(s.Status), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
		go func() { webDone <- web.Serve(l) }()
		log.Info("status and metrics", "address", l.Addr().String())
	}
	for _, l := range s.Addresses() {
		log.Info("serving", "transport", l.Transport, "address", l.Address)
	}
	err = r.serve(ctx, env, s, conf, signals)
	if web != nil {
		err = errors.Join(err, web.Close())
		<-webDone
	}
	return errors.Join(err, s.Close())
}

func (r *runCmd) serve(ctx context.Context, env Env, s *turn.Server, conf turn.Config, signals <-chan os.Signal) error {
	log := conf.Logger
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if isReload(sig) {
				if err := r.reload(env, s, conf); err != nil {
					log.Error("not reloaded, going on as before", "error", err)
				} else {
					log.Info("reloaded")
				}
				continue
			}
			log.Info("draining", "allocations", len(s.Status().Allocations), "at-most", r.DrainTimeout)
			ctx, cancel := context.WithTimeout(ctx, r.DrainTimeout)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Drain(ctx) }()
			for {
				select {
				case err := <-done:
					if err != nil {
						log.Warn("calls are cut", "allocations", len(s.Status().Allocations))
					}
					return nil
				case sig := <-signals:
					if !isReload(sig) {
						cancel()
					}
				}
			}
		}
	}
}

func (r *runCmd) reload(env Env, s *turn.Server, running turn.Config) error {
	file, err := r.file()
	if err != nil {
		return err
	}
	conf, err := file.Turn(env.Getenv)
	if err != nil {
		return err
	}
	conf.Logger = running.Logger
	if conf.Loops <= 0 {
		conf.Loops = running.Loops
	}
	return s.Reload(conf)
}

type validateCmd struct{ configFlags }

// Run reads the configuration and starts nothing.
func (v *validateCmd) Run(env Env) error {
	file, err := v.file()
	if err != nil {
		return err
	}
	c, err := file.Turn(env.Getenv)
	if err != nil {
		return err
	}
	if _, err := newLogger(env.Stderr, file.LogLevel, false); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "realm %s, %d listeners, %d users, %d secrets: good\n", c.Realm, len(c.Listeners), len(c.Users), len(c.Secrets))
	return nil
}
