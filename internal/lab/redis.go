package lab

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// A Redis is a running server that keeps nothing on disk.
type Redis struct {
	URL string

	t    testing.TB
	dir  string
	port int
	*process
}

// StartRedis starts a server on 127.0.0.1.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	Need(t, "redis-server")
	r := &Redis{t: t, dir: tempDir(t), port: FreePort(t, "127.0.0.1")}
	r.URL = "redis://127.0.0.1:" + strconv.Itoa(r.port) + "/0"
	r.Start()
	return r
}

// Start starts the server again after Stop, empty.
func (r *Redis) Start() {
	r.t.Helper()
	r.process = start(r.t, "redis", filepath.Join(r.dir, "log"), exec.Command("redis-server",
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "no"))
	r.waitFor("start", func() error { return listening(net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))) })
}

// Stop stops the server.
func (r *Redis) Stop() { r.stop() }
