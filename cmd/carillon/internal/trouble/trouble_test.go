package trouble

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"testing"

	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/talk"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

var alice = jid.MustParse("alice@example.org/x")

func TestDescribe(t *testing.T) {
	const bob = "bob@example.org"
	for _, tt := range []struct {
		name string
		err  error
		want Trouble
	}{
		{"wrong password", &signaling.AuthError{JID: alice, Condition: "not-authorized"},
			Trouble{"wrong-password", "wrong password for alice@example.org", "check the address and the password", Failed}},
		{"disabled account", &signaling.AuthError{JID: alice, Condition: "account-disabled"},
			Trouble{"login-refused", "account alice@example.org is disabled", "ask the operator of the server", Failed}},
		{"bad certificate", &signaling.CertificateError{Domain: "example.org", Addr: "h:1", Err: x509.UnknownAuthorityError{}},
			Trouble{"bad-certificate", "certificate of h:1 is not valid for example.org: x509: certificate signed by unknown authority",
				"if the server has a private certificate authority, name it with --ca-file; otherwise do not log in", Failed}},
		{"unreachable server", &signaling.UnreachableError{Domain: "example.org"},
			Trouble{"unreachable", "cannot reach the server of example.org", "check the network; a firewall may block ports 5222 and 5223", Failed}},
		{"no such host", &signaling.HostNotFoundError{Host: "exmaple.org"},
			Trouble{"no-such-host", "no such host: exmaple.org", "check the part of the address after the @, or name the server with --server HOST:PORT", Failed}},
		{"downgrade", &signaling.DowngradeError{JID: alice, Pinned: "SCRAM-SHA-256", Best: "PLAIN"},
			Trouble{"downgrade", "server of alice@example.org offers only PLAIN, before it offered SCRAM-SHA-256",
				"somebody may be between us and the server; if its operator changed it on purpose, log in anew", Failed}},
		{"another program took the resource", &signaling.StreamError{Condition: "conflict"},
			Trouble{"stream-error", "server ended the stream: conflict", "another program logged in with the same resource", Failed}},
		{"declined", &talk.NotTakenError{Peer: bob, Outcome: signaling.Declined},
			Trouble{"declined", "bob@example.org declined the call", "", Declined}},
		{"busy", &talk.NotTakenError{Peer: bob, Outcome: signaling.Busy},
			Trouble{"busy", "bob@example.org is busy", "try again later", Declined}},
		{"nobody answered", &talk.NotTakenError{Peer: bob, Outcome: signaling.NoAnswer, Why: "bob@example.org did not answer: no device rang"},
			Trouble{"no-answer", "bob@example.org did not answer: no device rang", "", NoAnswer}},
		{"no device that takes calls", &talk.NotTakenError{Peer: bob, Outcome: signaling.Failed, Why: "no such user"},
			Trouble{"call-failed", "call with bob@example.org failed: no such user", `"carillon doctor bob@example.org" says what stands in the way`, Failed}},
		{"no path", &talk.BrokenError{Peer: bob, Reason: jingle.Reason{Condition: jingle.ConnectivityError}, Err: errors.New("no path to the other side was found")},
			Trouble{"no-path", "call with bob@example.org failed: no path to the other side was found", `"carillon doctor bob@example.org" says what stands in the way`, Failed}},
		{"not encrypted as promised", &talk.BrokenError{Peer: bob, Remote: true, Reason: jingle.Reason{Condition: jingle.SecurityError}},
			Trouble{"not-secure", "call with bob@example.org failed: the other side says security-error",
				"the call was not encrypted as promised; somebody may be in between", Failed}},
		{"no TURN", fmt.Errorf("%w for example.org", talk.ErrNoRelay),
			Trouble{"no-relay", "no TURN relay found for example.org",
				`start one with "carillon-turn" and name it under [[relay]] in the config file, or leave out --relay-only`, Failed}},
		{"missing device", &audio.OpenError{Spec: "device:usb", Err: device.ErrNoDevice, Hint: "list them"},
			Trouble{"device", "open device:usb: no such sound device", "list them", Failed}},
		{"unwritable file", &audio.OpenError{Spec: "file:/x.wav", Err: fs.ErrPermission, Hint: "check"},
			Trouble{"file", "open file:/x.wav: permission denied", "check", Failed}},
		{"a source nobody understands", &audio.OpenError{Spec: "mic", Err: audio.ErrSpec, Hint: "sources are"},
			Trouble{"usage", "open mic: not understood", "sources are", Usage}},
		{"wrong usage", Usagef("do that", "not %s", "this"), Trouble{"usage", "not this", "do that", Usage}},
		{"wrong config key", &config.Error{Path: "c.toml", Line: 3, Reason: `unknown key "x"`, Hint: "h"},
			Trouble{"config", `c.toml:3: unknown key "x"`, "h", Usage}},
		{"no account", accounts.ErrNone,
			Trouble{"no-account", "no account is logged in", `log in first: "carillon login JID", or try "carillon demo"`, Usage}},
		{"several accounts", &accounts.SeveralError{JIDs: []string{"a@b", "c@d"}},
			Trouble{"which-account", "several accounts are logged in: a@b, c@d", `choose one with --account, or write account = "a@b" in the config file`, Usage}},
		{"password others can read", fmt.Errorf("read: %w", &safefile.ExposedError{Path: "p", Mode: 0o644}),
			Trouble{"exposed-file", "p can be read by others (mode 0644)", "chmod 600 p", Failed}},
		{"nobody to ask", screen.ErrNobody,
			Trouble{"no-password", "nobody can be asked: the input is not a terminal", "give the password with --password-file or CARILLON_PASSWORD", Usage}},
		{"failed checks", &FailedChecksError{2}, Trouble{"checks-failed", "2 checks failed", "what each means stands with it", Failed}},
		{"interrupted", fmt.Errorf("log in: %w", interrupt.ErrInterrupted), Trouble{"interrupted", "interrupted", "", Failed}},
		{"too slow", fmt.Errorf("log in: %w", context.DeadlineExceeded), Trouble{"timeout", "log in: it took too long", "", Failed}},
		{"closed", fmt.Errorf("call: %w", net.ErrClosed), Trouble{"closed", "connection was closed", "", Failed}},
		{"a file that is not there", &os.PathError{Op: "open", Path: "p", Err: fs.ErrNotExist},
			Trouble{"file", "open p: file does not exist", "check the path", Failed}},
		{"anything else", errors.New("odd"), Trouble{"failed", "odd", "", Failed}},
		{"text of a server that paints", &signaling.StreamError{Condition: "undefined-condition", Text: "a\u009b2Jb"},
			Trouble{"stream-error", `server ended the stream: undefined-condition ("a\u009b2Jb")`, "", Failed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Describe(tt.err); got != tt.want {
				t.Errorf("Describe:\n got %+v\nwant %+v", got, tt.want)
			}
			// What was being done around it changes neither code nor advice.
			got := Describe(errors.Join(fmt.Errorf("outer: %w", tt.err), errors.New("close: broken")))
			if got.Code != tt.want.Code || got.Exit != tt.want.Exit || got.Hint != tt.want.Hint {
				t.Errorf("Describe when wrapped:\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestJoinedErrorsAreOneLine(t *testing.T) {
	got := Describe(errors.Join(errors.New("this broke"), errors.New("that, too"))).Message
	if want := "this broke; that, too"; got != want {
		t.Errorf("message = %q, want %q", got, want)
	}
}
