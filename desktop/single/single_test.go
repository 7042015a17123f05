package single

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// dir is short, as paths of sockets must be.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "single")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return filepath.Join(d, "run")
}

func TestSecondHandsOver(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := dir(t)
	first, err := Start(t.Context(), d, Message{})
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Args: []string{"xmpp:bob@example.org?call", "ä b"}, Dir: "/home/bob", Activation: "token"}
	for range 3 {
		if _, err := Start(t.Context(), d, m); !errors.Is(err, ErrHandedOver) {
			t.Fatalf("the second: %v, want %v", err, ErrHandedOver)
		}
		if got := <-first.Messages(); !reflect.DeepEqual(got, m) {
			t.Errorf("handed over %+v, want %+v", got, m)
		}
	}
	if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	// Somebody who says nothing, or nonsense, is given up.
	conn, err := net.Dial("unix", filepath.Join(d, socketName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes in answer to nonsense", n)
	}
	conn.Close()
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
	if _, open := <-first.Messages(); open {
		t.Error("messages are open after Close")
	}
	again, err := Start(t.Context(), d, Message{})
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}

// A first one that crashed leaves its socket and its lock file, and another
// can be first.
func TestAfterACrash(t *testing.T) {
	if os.Getenv("SINGLE_TEST_DIR") != "" {
		if _, err := Start(t.Context(), os.Getenv("SINGLE_TEST_DIR"), Message{}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("ready\n")
		select {}
	}
	d := dir(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAfterACrash$", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), "SINGLE_TEST_DIR="+d)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ready [5]byte
	if _, err := out.Read(ready[:]); err != nil || string(ready[:]) != "ready" {
		t.Fatalf("the other process says %q, %v", ready, err)
	}
	if _, err := Start(t.Context(), d, Message{Args: []string{"x"}}); !errors.Is(err, ErrHandedOver) {
		t.Errorf("while the other process lives: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(d, socketName)); err != nil {
		t.Fatalf("the crash left no socket: %v", err)
	}
	i, err := Start(t.Context(), d, Message{})
	if err != nil {
		t.Fatalf("after the crash: %v", err)
	}
	i.Close()
}

// One that hangs is told apart from one that runs.
func TestFirstHangs(t *testing.T) {
	d := dir(t)
	if err := os.MkdirAll(d, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := tryLock(filepath.Join(d, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, d, Message{}); err == nil || errors.Is(err, ErrHandedOver) {
		t.Errorf("with a first one that does not listen: %v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Setenv("XDG_ACTIVATION_TOKEN", "")
	t.Setenv("DESKTOP_STARTUP_ID", "id")
	if m := FromEnvironment([]string{"a"}); m.Activation != "id" || m.Args[0] != "a" || m.Dir == "" {
		t.Errorf("message %+v", m)
	}
}
