//go:build integration

package main

import (
	"errors"
	"net"
	"testing"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"
)

// A held allocation lives until it is closed.
type held struct {
	client *pion.Client
	conn   net.PacketConn
	relay  net.PacketConn
}

// Close gives the allocation back.
func (h *held) Close() error {
	err := h.relay.Close()
	h.client.Close()
	return errors.Join(err, h.conn.Close())
}

func holdAllocation(t *testing.T, at, user, password string) *held {
	t.Helper()
	h, err := allocate(t, at, user, password)
	if err != nil {
		t.Fatalf("allocate at %s as %s: %v", at, user, err)
	}
	return h
}

func allocate(t *testing.T, at, user, password string) (*held, error) {
	t.Helper()
	h := &held{}
	var err error
	if h.conn, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.client, err = pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Conn: h.conn, Username: user, Password: password,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.client.Listen(); err != nil {
		t.Fatal(err)
	}
	if h.relay, err = h.client.Allocate(); err != nil {
		h.client.Close()
		return nil, errors.Join(err, h.conn.Close())
	}
	return h, nil
}
