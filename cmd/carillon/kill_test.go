package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// Sizes of the crash test.
const (
	crashFile  = 24<<20 + 12345
	crashAgain = 8 << 20 // bytes that may cross the network twice for one crash
	crashPairs = 3       // of people at once: a round is mostly waiting
)

// A program is a running carillon that may be killed.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan map[string]any
	done   chan struct{}
	log    *bytes.Buffer // of stderr; complete once done is closed
}

// run starts carillon with its own home folder in dir.
func run(t *testing.T, srv *xmpptest.Server, dir, account string, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath("carillon")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, events: make(chan map[string]any, 1024), done: make(chan struct{}), log: new(bytes.Buffer)}
	all := append([]string{"--json", "--log-level", "debug", "-a", account, "--server", srv.Addr(), "--ca-file", filepath.Join(dir, "ca.pem")}, args...)
	p.cmd = exec.Command(path, all...)
	p.cmd.Env = append(os.Environ(), "HOME="+filepath.Join(dir, account), "CARILLON_PASSWORD=secret",
		"XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_STATE_HOME=", "DBUS_SESSION_BUS_ADDRESS=")
	p.cmd.Dir, p.cmd.Stderr = dir, p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.read(out)
		p.cmd.Wait() // ended says how
	}()
	t.Cleanup(func() {
		running := p.cmd.ProcessState == nil
		p.kill()
		if t.Failed() && running {
			t.Logf("carillon %s:\n%s", strings.Join(args, " "), p.log)
		}
	})
	return p
}

func (p *program) read(out io.Reader) {
	defer close(p.events)
	for s := bufio.NewScanner(out); s.Scan(); {
		var e map[string]any
		if json.Unmarshal(s.Bytes(), &e) != nil || e["event"] == "progress" {
			continue
		}
		p.events <- e
	}
}

// kill is kill -9.
func (p *program) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	for range p.events {
	}
	<-p.done
}

// wait waits for an event of the given name.
func (p *program) wait(name string) map[string]any {
	p.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				<-p.done
				p.t.Fatalf("carillon ended without %q: %v\n%s", name, p.cmd.ProcessState, p.log)
			}
			if e["event"] == name {
				return e
			}
		case <-timeout:
			p.t.Fatalf("no %q", name)
		}
	}
}

// grown returns once a file has a size, or ended is closed.
func grown(path string, size int64, ended <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			return
		}
	}
}

// TestCrashes kills the sender, the receiver or both at a random point of a
// transfer, starts them again, and looks at what arrives.
func TestCrashes(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	accounts := make(map[string]string)
	for i := range crashPairs {
		accounts[fmt.Sprintf("alice%d@example.org", i)], accounts[fmt.Sprintf("bob%d@example.org", i)] = "secret", "secret"
	}
	srv := xmpptest.Run(t, xmpptest.Config{Accounts: accounts})
	for i := range crashPairs {
		alice, bob := fmt.Sprintf("alice%d@example.org", i), fmt.Sprintf("bob%d@example.org", i)
		srv.Befriend(alice, bob)
		t.Run(bob, func(t *testing.T) {
			t.Parallel()
			crash(t, srv, alice, bob, (rounds+crashPairs-1)/crashPairs, i)
		})
	}
}

// crash makes crashes of two people; turn is who is the first to be killed.
func crash(t *testing.T, srv *xmpptest.Server, alice, bob string, rounds, turn int) {
	dir := t.TempDir()
	inbox := filepath.Join(dir, "inbox")
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), srv.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, crashFile)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	rand.NewChaCha8([32]byte{7}).Read(data)

	receive := func() *program {
		p := run(t, srv, dir, bob, "receive", "--accept", "contacts", "--dir", inbox)
		p.wait("online")
		return p
	}
	receiver := receive()
	var worst, total int64
	for i := range rounds {
		name := fmt.Sprintf("f%02d.bin", i)
		data[random.IntN(len(data))]++
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		send := func() *program {
			return run(t, srv, dir, alice, "send", file, bob, "--wait")
		}
		sender := send()
		who := []string{"sender", "receiver", "both"}[(turn+i)%3]
		if at := random.Int64N(crashFile * 5 / 4); at < crashFile {
			grown(filepath.Join(inbox, name+".part"), at, sender.done)
		} else { // around the end, when the file gets its name
			grown(filepath.Join(inbox, name), 0, sender.done)
		}
		var wg sync.WaitGroup
		if who != "receiver" {
			wg.Go(sender.kill)
		}
		if who != "sender" {
			wg.Go(receiver.kill)
		}
		wg.Wait()
		var held int64
		if info, err := os.Stat(filepath.Join(inbox, name+".part")); err == nil {
			held = info.Size()
		}
		if who != "sender" {
			receiver = receive()
		}
		if who != "receiver" {
			sender = send()
		}
		end := sender.wait("done")
		kept, wire := int64(end["kept"].(float64)), int64(end["wire"].(float64))
		lost := wire - crashFile // bytes that the sender has sent twice
		if who != "receiver" {
			lost = held - kept // that were there and were sent again
		}
		if kept == crashFile {
			lost = 0 // it was known to have arrived
		}
		worst, total = max(worst, lost), total+max(0, lost)
		if lost > crashAgain {
			t.Errorf("round %d, %s killed: %d bytes were sent again, want at most %d (held %d, kept %d)", i, who, lost, crashAgain, held, kept)
		}
		if end["verified"] != true {
			t.Errorf("round %d: not verified", i)
		}
		got, err := os.ReadFile(filepath.Join(inbox, name))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("round %d, %s killed: what arrived is not what was sent: %v", i, who, err)
		}
		if i > 1 { // the disk of a test machine is small
			os.Remove(filepath.Join(dir, fmt.Sprintf("f%02d.bin", i-1)))
		}
		if err := os.Remove(filepath.Join(inbox, name)); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if !strings.HasSuffix(e.Name(), ".part") && !strings.HasSuffix(e.Name(), ".journal") || strings.Contains(e.Name(), "(") {
			t.Errorf("left over: %s", e.Name())
		}
	}
	t.Logf("%d crashes: %d bytes sent again for each on average, at most %d", rounds, total/int64(rounds), worst)
}
