//go:build !linux

package icepath

import (
	"errors"
	"net"
	"net/netip"
)

// sendSegments is not there on this system.
func sendSegments(*net.UDPConn, []byte, int, netip.AddrPort) error { return errors.ErrUnsupported }

// merge is not there either.
func merge(*net.UDPConn) bool { return false }

const mergedSpace = 0

func merged([]byte) int { return 0 }
