package admin

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/carillon-im/carillon/turn"
)

// registry has the metrics of the relay, of Go and of the process.
func registry(r *Relay) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(&collector{relay: r}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

const namespace = "carillon_turn_"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+name, help, labels, nil)
}

var (
	buildInfo   = desc("build_info", "Always 1; the labels say what runs.", "version", "goversion")
	allocations = desc("allocations", "Live allocations by how the client reaches the relay.", "transport")
	limit       = desc("allocations_limit", "Allocations there may be in total.")
	connections = desc("connections", "Clients on TCP, TLS and DTLS.")
	draining    = desc("draining", "1 while new allocations are refused because the relay ends.")
	startTime   = desc("start_time_seconds", "When the relay started, in seconds since 1970.")
	refused     = desc("refused_total", "Permissions, allocations and connections that policy or limits refused.")
	refusals    = desc("refusals_total", "What was refused or dropped, by reason.", "reason")
	failed      = desc("failed_logins_total", "Requests with wrong credentials.")
	bytes       = desc("relayed_bytes_total", "Bytes relayed; up is from clients to peers.", "direction")
	packets     = desc("relayed_packets_total", "Packets relayed; up is from clients to peers.", "direction")
	offloaded   = desc("offloaded_packets_total", "Of the packets relayed, those that the eBPF program forwarded.")
	dropped     = desc("dropped_packets_total", "Packets that a limit, the policy or a full socket stopped.")
)

// A collector reads the status of a relay when it is asked.
type collector struct{ relay *Relay }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildInfo, allocations, limit, connections, draining, startTime, refused, refusals, failed, bytes, packets, offloaded, dropped} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s := c.relay.Status()
	gauge(buildInfo, 1, c.relay.Version, runtime.Version())
	for transport, n := range byTransport(s) {
		gauge(allocations, float64(n), string(transport))
	}
	gauge(limit, float64(c.relay.Limit()))
	gauge(connections, float64(s.Connections))
	if s.Draining {
		gauge(draining, 1)
	} else {
		gauge(draining, 0)
	}
	gauge(startTime, float64(s.Started.Unix()))
	counter(refused, s.RefusedPeers)
	for reason, n := range s.Refusals {
		counter(refusals, n, reason)
	}
	counter(failed, s.FailedLogins)
	counter(bytes, s.Total.UpBytes, "up")
	counter(bytes, s.Total.DownBytes, "down")
	counter(packets, s.Total.UpPackets, "up")
	counter(packets, s.Total.DownPackets, "down")
	counter(offloaded, s.Total.Offloaded)
	counter(dropped, s.Total.Dropped)
}

func byTransport(s turn.Status) map[turn.Transport]int {
	by := map[turn.Transport]int{turn.UDP: 0, turn.TCP: 0, turn.TLS: 0, turn.DTLS: 0}
	for _, a := range s.Allocations {
		by[a.Transport]++
	}
	return by
}
