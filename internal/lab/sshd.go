package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// An SSHD is an OpenSSH server on loopback with keys of its own, for whoever
// runs the test.
type SSHD struct {
	// SSH is the command line of a client that logs in without asking, for
	// rsync -e. Options are those of it alone, for scp; the port is -P there.
	SSH     string
	Options []string
	Port    int
	Host    string

	*process
}

// StartSSHD starts a server and waits until it listens.
func StartSSHD(t testing.TB) *SSHD {
	t.Helper()
	Need(t, "sshd", "ssh", "ssh-keygen")
	dir := tempDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, key := range []string{"host", "key"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", in(key)).CombinedOutput(); err != nil {
			t.Fatalf("make a key: %v\n%s", err, out)
		}
	}
	public := func(key string) string {
		b, err := os.ReadFile(in(key + ".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s := &SSHD{Host: "127.0.0.1", Port: FreePort(t, "127.0.0.1")}
	write(t, in("authorized"), public("key"))
	write(t, in("known"), fmt.Sprintf("[%s]:%d %s", s.Host, s.Port, public("host")))
	write(t, in("config"), fmt.Sprintf(`Port %d
ListenAddress %s
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
Subsystem sftp internal-sftp
`, s.Port, s.Host, in("host"), in("authorized")))
	if os.Getuid() == 0 { // where it puts itself without rights; Debian makes it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := find("sshd")
	if err != nil {
		t.Fatal(err)
	}
	s.Options = []string{"-F", "none", "-i", in("key"), "-o", "UserKnownHostsFile=" + in("known")}
	s.SSH = fmt.Sprintf("ssh -p %d -F none -i %s -o UserKnownHostsFile=%s", s.Port, in("key"), in("known"))
	if path, err = filepath.Abs(path); err != nil { // it starts itself again for each login
		t.Fatal(err)
	}
	s.process = start(t, "sshd", in("log"), exec.Command(path, "-D", "-e", "-f", in("config")))
	s.waitFor("start", func() error { return listening(net.JoinHostPort(s.Host, strconv.Itoa(s.Port))) })
	return s
}

// PID returns the process id of the server.
func (s *SSHD) PID() int { return s.cmd.Process.Pid }
