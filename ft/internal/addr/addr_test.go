package addr

import (
	"net/netip"
	"testing"
)

func TestUsable(t *testing.T) {
	for ip, want := range map[string]bool{
		"192.0.2.7": true, "10.1.2.3": true, "2001:db8::1": true, "fd00::2": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"169.254.169.254": false, "fe80::1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
	} {
		if got := Usable(netip.MustParseAddr(ip), false); got != want {
			t.Errorf("Usable(%s) = %v, want %v", ip, got, want)
		}
	}
}
