//go:build !linux

package device

import "context"

// dialUnix connects to a Unix socket.
func dialUnix(ctx context.Context, address string) (conn, error) {
	return dial(ctx, "unix", address)
}
