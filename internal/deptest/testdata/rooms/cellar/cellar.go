// Package cellar reaches the network.
package cellar

import "net"

// Host names a host.
func Host() string { return net.JoinHostPort("localhost", "80") }
