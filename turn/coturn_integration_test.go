//go:build integration

package turn

import (
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

// coturn's own client sends through our relay to an echo, by every transport,
// with channels and with indications, and loses nothing.
func TestIntegrationCoturnClient(t *testing.T) {
	lab.Need(t, "turnutils_uclient", "turnutils_peer")
	peerPort := lab.FreePort(t, "127.0.0.1")
	echo := exec.Command("turnutils_peer", "-L", "127.0.0.1", "-p", strconv.Itoa(peerPort))
	if err := echo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Process.Kill(); echo.Wait() })

	conf := testConfig(t)
	conf.Secrets = []Secret{"shared"}
	s := start(t, conf)
	user, password := Credentials("shared", "", time.Now().Add(time.Hour))
	lost := regexp.MustCompile(`Total lost packets (\d+)`)
	received := regexp.MustCompile(`tot_recv_msgs=(\d+)`)
	ways := []struct {
		name string
		tr   Transport
		args []string
	}{
		{"UDP indications", UDP, []string{"-s"}}, {"UDP channels", UDP, nil}, {"UDP large", UDP, []string{"-l", "1400"}},
		{"TCP", TCP, []string{"-t"}}, {"TCP indications", TCP, []string{"-t", "-s"}}, {"TLS", TLS, []string{"-t", "-S"}},
		{"TCP relay", TCP, []string{"-t", "-T"}}, {"DTLS", DTLS, []string{"-S"}}, {"DTLS indications", DTLS, []string{"-S", "-s"}},
	}
	// All at once, since the client waits for seconds at its end.
	var clients sync.WaitGroup
	for i, w := range ways {
		at := netip.MustParseAddrPort(addressOf(t, s, w.tr))
		login := [2]string{"u", "p"}
		if i%2 == 1 {
			login = [2]string{user, string(password)}
		}
		args := append([]string{"-u", login[0], "-w", login[1], "-c", "-m", "4", "-n", "25", "-z", "5", "-e", "127.0.0.1", "-r", strconv.Itoa(peerPort), "-p", strconv.Itoa(int(at.Port()))}, w.args...)
		clients.Go(func() {
			out, err := exec.CommandContext(t.Context(), "turnutils_uclient", append(args, "127.0.0.1")...).CombinedOutput()
			m, n := lost.FindSubmatch(out), received.FindAllSubmatch(out, -1)
			if err != nil || m == nil || string(m[1]) != "0" || n == nil || string(n[len(n)-1][1]) != fmt.Sprint(4*25) {
				t.Errorf("%s: turnutils_uclient as %s: %v\n%s", w.name, login[0], err, out)
			}
		})
	}
	clients.Wait()
	// Over UDP and DTLS the client leaves without a word.
	await(t, "allocations end with their connections", func() bool {
		for _, a := range s.Status().Allocations {
			if a.Transport != UDP && a.Transport != DTLS {
				return false
			}
		}
		return true
	})
}

// coturn's tool finds out how the NAT behaves: there is none.
func TestIntegrationCoturnDiscovery(t *testing.T) {
	lab.Need(t, "turnutils_natdiscovery")
	_, first, second := discovering(t)
	for _, c := range []struct {
		flag string
		want string
	}{{"-m", "Endpoint Independent Mapping"}, {"-f", "Endpoint Independent Filtering"}} {
		out, err := exec.CommandContext(t.Context(), "turnutils_natdiscovery", c.flag, "-p", strconv.Itoa(int(first.Port())), "-L", "127.0.0.1", first.Addr().String()).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) || !strings.Contains(string(out), second.String()) {
			t.Errorf("turnutils_natdiscovery %s: %v, want %q\n%s", c.flag, err, c.want, out)
		}
	}
}

// coturn's STUN client sees itself from outside.
func TestIntegrationCoturnSTUN(t *testing.T) {
	lab.Need(t, "turnutils_stunclient")
	s := start(t, testConfig(t))
	at := netip.MustParseAddrPort(addressOf(t, s, UDP))
	out, err := exec.CommandContext(t.Context(), "turnutils_stunclient", "-p", strconv.Itoa(int(at.Port())), at.Addr().String()).CombinedOutput()
	if err != nil || !regexp.MustCompile(`UDP reflexive addr: 127\.0\.0\.1:\d+`).Match(out) {
		t.Errorf("turnutils_stunclient: %v\n%s", err, out)
	}
}
