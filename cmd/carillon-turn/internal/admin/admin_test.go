package admin

import (
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/turn"
)

func fake(st *turn.Status, hide bool) *Server {
	return New(Relay{
		Realm: "example.org", Version: "1.2", Status: func() turn.Status { return *st },
		Limit: func() int { return 100 }, HideAddresses: func() bool { return hide },
	})
}

func someStatus() turn.Status {
	at := netip.MustParseAddrPort
	return turn.Status{
		Started: time.Now().Add(-time.Hour), RefusedPeers: 7, FailedLogins: 3, Connections: 1,
		Refusals: map[string]uint64{"loopback": 5, "no free port": 2},
		Total:    turn.Traffic{UpBytes: 1000, UpPackets: 10, DownBytes: 2000, DownPackets: 20, Dropped: 1},
		Allocations: []turn.AllocationStatus{
			{User: "alice", Transport: turn.UDP, Client: at("192.0.2.1:1"), Relayed: at("192.0.2.9:50000"), Created: time.Now().Add(-time.Minute), Peers: 1},
			{User: "<b>bob</b>", Transport: turn.TLS, Client: at("192.0.2.2:2"), Relayed: at("192.0.2.9:50001"), Created: time.Now(), Peers: 2},
		},
	}
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

func TestMetrics(t *testing.T) {
	st := someStatus()
	_, text := get(t, fake(&st, false), "/metrics")
	for _, want := range []string{
		`carillon_turn_allocations{transport="udp"} 1`, `carillon_turn_allocations{transport="tls"} 1`, `carillon_turn_allocations{transport="tcp"} 0`,
		`carillon_turn_refusals_total{reason="loopback"} 5`, `carillon_turn_relayed_bytes_total{direction="down"} 2000`,
		`carillon_turn_allocations_limit 100`, `carillon_turn_draining 0`, `carillon_turn_build_info{goversion="go`, "process_open_fds", "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(text, "alice") || strings.Contains(text, "192.0.2") {
		t.Error("metrics name people or addresses")
	}
}

func TestHealth(t *testing.T) {
	st := someStatus()
	s := fake(&st, false)
	for _, draining := range []bool{false, true} {
		st.Draining = draining
		live, _ := get(t, s, "/healthz")
		ready, _ := get(t, s, "/readyz")
		if want := map[bool]int{false: 200, true: 503}[draining]; live != 200 || ready != want {
			t.Errorf("draining %v: alive %d, ready %d, want 200 and %d", draining, live, ready, want)
		}
	}
	w := httptest.NewRecorder()
	s.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/summary", nil))
	if w.Code != 404 {
		t.Errorf("the address for metrics shows people: %d", w.Code)
	}
}

func TestRatesAndBusiest(t *testing.T) {
	st := someStatus()
	s := fake(&st, false)
	now := time.Now()
	s.sampler.sample(now)
	st.Total.UpBytes += 4000
	st.Total.DownPackets += 30
	st.FailedLogins += 2
	st.Allocations[1].Traffic.UpBytes = 4000
	s.sampler.sample(now.Add(2 * time.Second))
	var sum Summary
	_, text := get(t, s, "/summary")
	if err := json.Unmarshal([]byte(text), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Rates.UpBits != 16000 || sum.Rates.DownPackets != 15 || sum.Rates.FailedLogins != 1 {
		t.Errorf("rates %+v", sum.Rates)
	}
	if len(sum.Busiest) != 2 || sum.Busiest[0].User != "<b>bob</b>" || sum.Busiest[0].UpBits != 16000 || sum.Busiest[0].Client != "192.0.2.2:2" {
		t.Errorf("busiest %+v", sum.Busiest)
	}
	if len(sum.Refusals) != 2 || sum.Refusals[0] != (Refusal{"loopback", 5}) {
		t.Errorf("refusals %+v", sum.Refusals)
	}
	for i := range 2 * keptSamples {
		s.sampler.sample(now.Add(time.Duration(2+i) * sampleEvery))
	}
	if h := s.sampler.history(); len(h.Points) != keptSamples {
		t.Errorf("%d points, want %d", len(h.Points), keptSamples)
	}
	// A port that another allocation has by now does not make a negative rate.
	st.Allocations[1].Traffic.UpBytes = 8
	s.sampler.sample(now.Add(time.Hour))
	if b := s.sampler.summary(now).Busiest; b[0].UpBits < 0 || b[0].UpBits > 100 {
		t.Errorf("rate %v after the port was reused", b[0].UpBits)
	}
}

func TestAddressesAreHidden(t *testing.T) {
	st := someStatus()
	s := fake(&st, true)
	s.sampler.sample(time.Now())
	for _, path := range []string{"/summary", "/status", "/metrics", "/history"} {
		if _, text := get(t, s, path); strings.Contains(text, "192.0.2") {
			t.Errorf("%s shows addresses: %s", path, text)
		}
	}
}

func TestPageHasNothingFromOutside(t *testing.T) {
	st := someStatus()
	s := fake(&st, false)
	for path := range pages {
		w := httptest.NewRecorder()
		path = strings.TrimSuffix(path, "{$}")
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d, policy %q", path, w.Code, w.Header().Get("Content-Security-Policy"))
		}
		if body := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", ""); strings.Contains(body, "http:") || strings.Contains(body, "https:") || strings.Contains(body, "innerHTML") {
			t.Errorf("%s names something outside, or writes HTML", path)
		}
	}
}
