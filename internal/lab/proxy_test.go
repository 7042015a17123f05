package lab_test

import (
	"io"
	"net"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

func TestProxyForwardsCutsAndBreaks(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	p := lab.StartProxy(t, echo.Addr().String())
	ask := func() (net.Conn, error) {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write([]byte("x")); err != nil {
			return c, err
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		return c, err
	}

	c, err := ask()
	if err != nil {
		t.Fatalf("through the proxy: %v", err)
	}
	p.Cut()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a cut connection still reads")
	}
	if _, err := ask(); err != nil {
		t.Errorf("after a cut: %v", err)
	}
	p.Break()
	if _, err := ask(); err == nil {
		t.Error("a broken proxy forwards")
	}
	p.Mend()
	if _, err := ask(); err != nil {
		t.Errorf("after mending: %v", err)
	}
	if got := p.Connections(); got != 3 {
		t.Errorf("connections = %d, want 3", got)
	}
}
