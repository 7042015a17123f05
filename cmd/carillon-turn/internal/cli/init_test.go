package cli

import (
	"net"
	"strings"
	"testing"
)

func TestInitWithIPv6(t *testing.T) {
	for address, want := range map[string]bool{
		"2600:1:2::3/64": true, "fd00::1/64": false, "fe80::1/64": false, "::1/128": false, "192.0.2.1/24": false,
	} {
		ip, n, err := net.ParseCIDR(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := globalIPv6(&net.IPNet{IP: ip, Mask: n.Mask}); got != want {
			t.Errorf("%s: global is %v", address, got)
		}
	}
	for _, c := range []struct {
		init initCmd
		six  bool
		want string
	}{
		{initCmd{Realm: "r"}, false, `listen = ["udp:0.0.0.0:3478", "tcp:0.0.0.0:3478"]`},
		{initCmd{Realm: "r"}, true, `listen = ["udp:0.0.0.0:3478", "tcp:0.0.0.0:3478", "udp:[::]:3478", "tcp:[::]:3478"]`},
		{initCmd{Realm: "r", ACME: true}, true, `"tls:0.0.0.0:443", "dtls:0.0.0.0:443", "udp:[::]:3478", "tcp:[::]:3478", "tls:[::]:443", "dtls:[::]:443"]`},
		{initCmd{Realm: "r", RelayIP: "10.0.0.5", PublicIP: "8.8.4.4"}, true, `listen = ["udp:0.0.0.0:3478", "tcp:0.0.0.0:3478"]`},
	} {
		if got := c.init.config("h", "s", c.six); !strings.Contains(got, c.want) {
			t.Errorf("%+v, %v:\n%s\nwant %s", c.init, c.six, got, c.want)
		}
	}
}
