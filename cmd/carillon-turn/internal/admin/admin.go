// Package admin serves what a relay is doing over HTTP, for operators, on an
// address of its own: /status as JSON, /metrics for Prometheus, /healthz.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/carillon-im/carillon/turn"
)

// Handler serves the status of a relay.
func Handler(status func() turn.Status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if status().Draining {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// The client has gone when this does not work.
		_ = json.NewEncoder(w).Encode(status())
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		metrics(w, status())
	})
	return mux
}

// metrics writes the Prometheus text format.
func metrics(w http.ResponseWriter, s turn.Status) {
	line := func(name, kind, help string, value any) {
		fmt.Fprintf(w, "# HELP carillon_turn_%[1]s %[2]s\n# TYPE carillon_turn_%[1]s %[3]s\ncarillon_turn_%[1]s %[4]v\n", name, help, kind, value)
	}
	draining := 0
	if s.Draining {
		draining = 1
	}
	line("allocations", "gauge", "Live allocations.", len(s.Allocations))
	line("draining", "gauge", "Whether new allocations are refused.", draining)
	line("start_time_seconds", "gauge", "When the relay started.", s.Started.Unix())
	line("refused_total", "counter", "Peers, allocations and connections refused.", s.RefusedPeers)
	line("failed_logins_total", "counter", "Requests with wrong credentials.", s.FailedLogins)
	line("up_bytes_total", "counter", "Bytes relayed from clients to peers.", s.Total.UpBytes)
	line("down_bytes_total", "counter", "Bytes relayed from peers to clients.", s.Total.DownBytes)
	line("up_packets_total", "counter", "Packets relayed from clients to peers.", s.Total.UpPackets)
	line("down_packets_total", "counter", "Packets relayed from peers to clients.", s.Total.DownPackets)
	line("dropped_packets_total", "counter", "Packets stopped by a limit or the policy.", s.Total.Dropped)
}
