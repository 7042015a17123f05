package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/admin"
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/sd"
	"github.com/carillon-im/carillon/turn"
)

type runCmd struct {
	configFlags
	DrainTimeout time.Duration `placeholder:"TIME" help:"How long calls may last after SIGTERM; a second signal ends them. Default $CARILLON_TURN_DRAIN_TIMEOUT, which the unit of systemd sets, or 1h."`
}

const defaultDrain = time.Hour

// endTime is how long the end takes when calls have ended: a ledger may not answer.
const endTime = 15 * time.Second

// A running relay, with what serves beside it.
type running struct {
	cmd    *runCmd
	env    Env
	out    config.Outside
	certs  *certificates
	log    *slog.Logger
	conf   turn.Config
	server *turn.Server
	admin  *admin.Server
	limits atomic.Pointer[turn.Config] // what the ledger asks

	mu   sync.Mutex
	file config.File // Reload replaces it
}

// Run serves until a signal.
func (r *runCmd) Run(ctx context.Context, env Env) error {
	n := &running{cmd: r, env: env, certs: &certificates{getenv: env.Getenv}}
	n.out = config.Outside{Getenv: env.Getenv, Sockets: sd.Sockets(), ACME: n.certs.tls, Uncertified: func(err error) {
		n.log.Warn("going on with the certificate that there was", "error", err)
	}}
	var err error
	if s := env.Getenv("CARILLON_TURN_DRAIN_TIMEOUT"); s != "" {
		if d, err := time.ParseDuration(s); err != nil || d < 0 {
			return fmt.Errorf("$CARILLON_TURN_DRAIN_TIMEOUT is %q: want a time such as 60s", s)
		}
	}
	if n.file, err = r.file(env); err != nil {
		return err
	}
	if n.conf, err = n.file.Turn(n.out); err != nil {
		return &hinted{err, `"carillon-turn init" makes a configuration to begin with`}
	}
	if n.log, err = newLogger(env.Stderr, n.file.LogLevel, n.file.LogJSON); err != nil {
		return err
	}
	n.conf.Logger = n.log
	n.limits.Store(&n.conf)
	shared, err := n.ledger()
	if err != nil {
		return err
	}
	if shared != nil {
		defer shared.Close()
		n.conf.Ledger = shared
	}
	if flags := r.exposed(); len(flags) > 0 {
		n.log.Warn("others on this machine can see secrets in arguments; use files or the environment", "flags", strings.Join(flags, " "))
	}
	n.warnOfReadable(n.file)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(endSignals, reloadSignals...)...)
	defer signal.Stop(signals)

	// Forwarding threads keep a processor each while there is traffic.
	if n.conf.Loops <= 0 {
		n.conf.Loops = turn.DefaultLoops()
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n.conf.Loops)
	if n.server, err = turn.New(n.conf); err != nil {
		return err
	}
	defer func() {
		for _, s := range n.out.Sockets {
			s.Close()
		}
	}()
	return errors.Join(n.beside(ctx, signals), n.server.Close())
}

// beside serves status, metrics and challenges while the relay runs.
func (n *running) beside(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	n.admin = admin.New(admin.Relay{
		Realm: n.conf.Realm, Version: version(), Status: n.server.Status, Limit: n.server.AllocationLimit,
		HideAddresses: func() bool { return n.config().LogHidden },
	})
	wait.Go(func() { n.admin.Sample(ctx) })
	for _, w := range n.webs() {
		l, err := w.listen()
		if err != nil {
			return fmt.Errorf("serve %s: %w", w.what, err)
		}
		n.log.Info(w.what, "address", l.Addr().String())
		wait.Go(func() {
			if err := admin.Serve(ctx, l, w.handler, n.log); err != nil {
				n.log.Error(w.what, "error", err)
			}
		})
	}
	if s := n.certs.source; s != nil {
		// An exchange with the authority cannot be cut short; it ends with the
		// program.
		go s.Obtain(ctx, n.log)
	}
	for _, l := range n.server.Addresses() {
		n.log.Info("serving", "transport", l.Transport, "address", l.Address)
	}
	n.told(sd.Ready())
	if n.env.Getenv("NOTIFY_SOCKET") != "" {
		wait.Go(func() {
			n.told(sd.Watch(ctx, watchEvery, n.check, func(err error) { n.log.Error("the relay does not answer itself", "error", err) }))
		})
	}
	return n.wait(ctx, signals)
}

const watchEvery = 30 * time.Second

// check asks the relay itself, for the watchdog.
func (n *running) check(ctx context.Context) (string, error) {
	if err := selfTest(ctx, n.server.Addresses()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d allocations", len(n.server.Status().Allocations)), nil
}

func (n *running) told(err error) {
	if err != nil {
		n.log.Warn("systemd", "error", err)
	}
}

func (n *running) config() config.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file
}

// A web is an address for HTTP.
type web struct {
	what    string
	at      string
	socket  *os.File
	handler http.Handler
}

func (w web) listen() (net.Listener, error) {
	if w.socket != nil {
		return net.FileListener(w.socket)
	}
	return net.Listen("tcp", w.at)
}

func (n *running) webs() (all []web) {
	if n.file.Admin != "" {
		all = append(all, web{what: "status and metrics", at: n.file.Admin, handler: n.admin.Handler()})
	}
	if n.file.Metrics != "" {
		all = append(all, web{what: "metrics", at: n.file.Metrics, handler: n.admin.Metrics()})
	}
	for _, s := range n.out.Sockets {
		if s.Name() == config.AdminSocket {
			all = append(all, web{what: "status and metrics", socket: s, handler: n.admin.Handler()})
		}
	}
	if s := n.certs.source; s != nil && n.file.ACME.HTTP != "" {
		all = append(all, web{what: "certificate challenges", at: n.file.ACME.HTTP, handler: s.Handler()})
	}
	return all
}

// wait reloads and drains when told to.
func (n *running) wait(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if !isReload(sig) {
				limit := n.drainTimeout()
				n.told(sd.Stopping(limit + endTime))
				n.drain(ctx, signals, limit)
				return nil
			}
			n.told(sd.Reloading())
			if err := n.reload(); err != nil {
				n.log.Error("not reloaded, going on as before", "error", err)
			} else {
				n.log.Info("reloaded")
			}
			n.told(sd.Ready())
		}
	}
}

// drainTimeout is what the flag says, else the configuration, else who started
// the relay.
func (n *running) drainTimeout() time.Duration {
	fallback, _ := time.ParseDuration(n.env.Getenv("CARILLON_TURN_DRAIN_TIMEOUT")) // Run has read it
	return cmp.Or(n.cmd.DrainTimeout, time.Duration(n.config().DrainTimeout), fallback, defaultDrain)
}

func (n *running) drain(ctx context.Context, signals <-chan os.Signal, limit time.Duration) {
	n.log.Info("draining", "allocations", len(n.server.Status().Allocations), "at-most", limit)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.server.Drain(ctx) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				n.log.Warn("calls are cut", "allocations", len(n.server.Status().Allocations))
			}
			return
		case sig := <-signals:
			if !isReload(sig) {
				cancel()
			}
		}
	}
}

func (n *running) reload() error {
	file, err := n.cmd.file(n.env)
	if err != nil {
		return err
	}
	conf, err := file.Turn(n.out)
	if err != nil {
		return err
	}
	conf.Logger = n.log
	if conf.Loops <= 0 {
		conf.Loops = n.conf.Loops
	}
	conf.Ledger = n.conf.Ledger
	old := n.config()
	if key := fixedKey(file, old); key != "" {
		return fmt.Errorf("%s cannot change while the relay runs: restart it", key)
	}
	if err := n.server.Reload(conf); err != nil {
		return err
	}
	n.warnOfReadable(file)
	n.limits.Store(&conf)
	n.mu.Lock()
	n.file = file
	n.mu.Unlock()
	return nil
}

func (n *running) warnOfReadable(f config.File) {
	for _, path := range f.Readable() {
		n.log.Warn(readableText, "file", path)
	}
}

const readableText = "everybody on this machine can read a file with secrets; chmod o-r makes it better"

// fixedKey is a key that differs and is looked at only when the relay starts,
// besides those that turn.Server.Reload knows of.
func fixedKey(a, b config.File) string {
	switch {
	case a.Admin != b.Admin:
		return "admin"
	case a.Metrics != b.Metrics:
		return "metrics"
	case a.Redis != b.Redis:
		return "[redis]"
	case a.TLS != b.TLS: // the files themselves are read again
		return "[tls]"
	case !reflect.DeepEqual(a.ACME, b.ACME):
		return "[acme]"
	case a.LogLevel != b.LogLevel:
		return "log-level"
	case a.LogJSON != b.LogJSON:
		return "log-json"
	}
	return ""
}
