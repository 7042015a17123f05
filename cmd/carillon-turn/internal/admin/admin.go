// Package admin shows what a relay is doing over HTTP, on addresses of its own:
// a page for people, JSON for programs, metrics for Prometheus, and whether it
// is well.
//
//	/          the page          /metrics   Prometheus
//	/summary   what it shows     /healthz   alive: 200 as long as it answers
//	/history   the last minutes  /readyz    takes new allocations: 200, draining: 503
//	/status    everything
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/carillon-im/carillon/turn"
)

// A Relay is what is shown.
type Relay struct {
	Realm   string
	Version string
	Status  func() turn.Status
	// Limit is how many allocations there may be.
	Limit func() int
	// HideAddresses keeps those of clients and peers away from everybody.
	HideAddresses func() bool
}

// A Server shows one relay.
type Server struct {
	relay   Relay
	sampler sampler
	metrics http.Handler
}

// New prepares a server; [Server.Sample] makes it remember.
func New(r Relay) *Server {
	s := &Server{relay: r}
	s.sampler.relay = &s.relay
	s.metrics = promhttp.HandlerFor(registry(&s.relay), promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
	return s
}

const maxScrapes = 4

// Sample looks at the relay every two seconds until ctx is done: rates and the
// history of the page are made of it.
func (s *Server) Sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.sampler.sample(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Handler serves everything.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.public(mux)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		st := s.relay.Status()
		if s.relay.HideAddresses() {
			for i := range st.Allocations {
				a := &st.Allocations[i]
				a.Client, a.Relayed, a.Additional = netip.AddrPort{}, netip.AddrPort{}, netip.AddrPort{}
			}
		}
		answer(w, st)
	})
	mux.HandleFunc("GET /summary", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.sampler.summary(time.Now())) })
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.sampler.history()) })
	for path, file := range pages {
		mux.HandleFunc("GET "+path, file.serve)
	}
	return mux
}

// Metrics serves what names nobody: metrics and health.
func (s *Server) Metrics() http.Handler {
	mux := http.NewServeMux()
	s.public(mux)
	return mux
}

func (s *Server) public(mux *http.ServeMux) {
	mux.Handle("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.relay.Status().Draining {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// The client has gone when this does not work.
	_ = json.NewEncoder(w).Encode(v)
}

// Serve answers at l until ctx is done.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
