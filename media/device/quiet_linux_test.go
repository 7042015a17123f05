package device

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// quietPair is a quietConn and the server's end of it.
func quietPair(t *testing.T) (client conn, server net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "q") // paths of Unix sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = dialUnix(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestQuietConnCarriesBothWays(t *testing.T) {
	client, server := quietPair(t)
	data := bytes.Repeat([]byte("sound"), 1<<20) // more than a socket holds
	for name, ends := range map[string][2]io.ReadWriter{"to the server": {client, server}, "from the server": {server, client}} {
		sent := make(chan error, 1)
		go func() {
			_, err := ends[0].Write(data)
			sent <- err
		}()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(ends[1], got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := <-sent; err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s: something else arrived", name)
		}
	}
}

func TestQuietConnEnds(t *testing.T) {
	t.Run("by the server", func(t *testing.T) {
		client, server := quietPair(t)
		server.Close()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v, want EOF", err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("write worked")
		}
	})
	t.Run("by Close while it reads", func(t *testing.T) {
		client, _ := quietPair(t)
		ended := make(chan error, 1)
		go func() {
			_, err := client.Read(make([]byte, 1))
			ended <- err
		}()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if err := client.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("close again: %v", err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("a server that hangs", func(t *testing.T) {
		client, _ := quietPair(t)
		data := make([]byte, 16<<20)
		if n, err := client.Write(data); !errors.Is(err, os.ErrDeadlineExceeded) || n == len(data) {
			t.Errorf("wrote %d: %v", n, err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		if _, err := dialUnix(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}
