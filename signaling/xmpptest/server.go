package xmpptest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Config adjusts a Server. The zero Config is ready to use.
type Config struct {
	// Domains the server is responsible for. Empty means "example.org".
	Domains []string
	// Accounts maps bare JIDs to passwords; [Server.AddAccount] adds more.
	Accounts map[string]string
	// Mechanisms are the SASL mechanisms offered, in order. Empty means all the
	// server knows; [Server.SetMechanisms] changes them later.
	Mechanisms []string
	// Iterations of SCRAM. Zero means 4096.
	Iterations int
	// MaxStanza is the size in bytes beyond which a stanza ends its stream with
	// policy-violation. Zero means 256 KiB.
	MaxStanza int
	// Hibernation is how long a session lives without connection. XEP-0198#resumption
	// Zero means one minute; negative means sessions cannot be resumed.
	Hibernation time.Duration
	// RejectConflict refuses a resource that is in use. Otherwise the older
	// session is ended with the stream error conflict.
	RejectConflict bool
	// Without lists namespaces that the server does not know, for example
	// "urn:xmpp:sm:3" or "urn:xmpp:carbons:2".
	Without []string
	// CertNames are the names in the server's certificate. Empty means Domains,
	// localhost and 127.0.0.1.
	CertNames []string
	// CertLifetime is how long the certificate is valid. Zero means a day;
	// negative means it has expired.
	CertLifetime time.Duration
	// MaxTLS is the newest TLS version, such as tls.VersionTLS12, whose channel
	// binding is tls-unique. Zero means the newest there is.
	MaxTLS uint16
	// Bindings are the types of channel binding that the server knows and
	// announces, even where its TLS does not have them. Nil means all that work.
	Bindings []string
	// Registration lets clients create accounts (XEP-0077). Nil does not.
	Registration *Registration
	// InMemory opens no sockets: clients connect with [Server.DialContext]
	// only, as tests under testing/synctest must.
	InMemory bool
}

// A Registration says how accounts are created.
type Registration struct {
	// Fields are wanted besides name and password, such as "email".
	Fields []string
	// URL is a web page that is offered besides.
	URL string
}

// A Server is an XMPP server in this process. Its methods may be called at any time
// and by any goroutine.
type Server struct {
	cfg       Config
	auth      *authority
	tls       *tls.Config
	starttls  net.Listener
	direct    net.Listener
	web       *webServer
	accepting gate
	observers observers

	wg     sync.WaitGroup // accept loops and connections
	mu     sync.Mutex     // guards everything below, and what account and session hold
	closed bool
	conns  map[*conn]bool

	domains    []string
	mechanisms []string
	accounts   map[addr]*account
	resumable  map[string]*session // by stream management id
	expired    map[string]uint32   // what those that timed out had handled
	services   []Service
	handlers   map[string]IQHandler
	lastID     int // of archived messages
}

// An account is guarded by Server.mu, except jid, which does not change, and
// secrets.
type account struct {
	jid     addr // bare
	secrets atomic.Pointer[secrets]

	sessions map[string]*session // by resource
	roster   map[addr]*rosterItem
	requests map[addr]*Element // subscription requests that the user has not answered
	blocked  map[addr]bool
	archive  []archived
	offline  []*Element
}

// NewServer starts a server. Like those of net/http/httptest it panics when it cannot
// listen, and when cfg contains a JID that is none.
func NewServer(cfg Config) *Server {
	if len(cfg.Domains) == 0 {
		cfg.Domains = []string{"example.org"}
	}
	if len(cfg.Mechanisms) == 0 {
		cfg.Mechanisms = allMechanisms()
	}
	if cfg.Iterations == 0 {
		cfg.Iterations = 4096
	}
	if cfg.MaxStanza == 0 {
		cfg.MaxStanza = 256 << 10
	}
	if cfg.Hibernation == 0 {
		cfg.Hibernation = time.Minute
	}
	if len(cfg.CertNames) == 0 {
		cfg.CertNames = append(slices.Clone(cfg.Domains), "localhost", "127.0.0.1")
	}
	if cfg.CertLifetime == 0 {
		cfg.CertLifetime = 24 * time.Hour
	}
	s := &Server{
		cfg:        cfg,
		conns:      make(map[*conn]bool),
		domains:    cfg.Domains,
		mechanisms: cfg.Mechanisms,
		accounts:   make(map[addr]*account),
		resumable:  make(map[string]*session),
		expired:    make(map[string]uint32),
		handlers:   make(map[string]IQHandler),
	}
	for i, d := range s.domains {
		s.domains[i] = mustAddr(d).domain
	}
	for j, password := range cfg.Accounts {
		s.AddAccount(j, password)
	}
	var err error
	if s.auth, err = newAuthority(cfg.CertNames, cfg.CertLifetime); err != nil {
		panic("xmpptest: " + err.Error())
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{s.auth.leaf}, MinVersion: tls.VersionTLS12, MaxVersion: cfg.MaxTLS}
	s.starttls = s.listen(5222)
	s.direct = s.listen(5223)
	s.web = newWebServer(s, s.listen(5281))
	s.wg.Go(func() { s.accept(s.starttls, false) })
	s.wg.Go(func() { s.accept(s.direct, true) })
	s.wg.Go(s.web.run)
	return s
}

// TB is what the helpers for tests need of a testing.TB. Programs that run a
// server, such as a demonstration, do not link package testing.
type TB interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Fatal(args ...any)
}

// Run starts a server that is closed when the test ends.
func Run(t TB, cfg Config) *Server {
	t.Helper()
	s := NewServer(cfg)
	t.Cleanup(s.Close)
	return s
}

// listen opens a socket, or something that looks as if it had the given port.
func (s *Server) listen(port int) net.Listener {
	if s.cfg.InMemory {
		return newPipeListener(port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("xmpptest: " + err.Error())
	}
	return l
}

// accept serves one listener until it is closed.
func (s *Server) accept(l net.Listener, direct bool) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		if !s.admit(raw) {
			continue
		}
		t := newTCPTransport(raw, s.cfg.MaxStanza)
		c := newConn(s, t)
		if !s.register(c) {
			t.abort()
			return
		}
		go func() {
			defer s.forget(c)
			if direct {
				cfg := s.tls.Clone()
				cfg.NextProtos = []string{"xmpp-client"} // XEP-0368
				if err := t.startTLS(cfg); err != nil {
					t.abort()
					return
				}
			}
			c.serve()
		}()
	}
}

// register makes Close end c and wait until forget. It reports false when the
// server is closing.
func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = true
		s.wg.Add(1)
	}
	return !s.closed
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.wg.Done()
}

// Close cuts all connections and returns when everything has stopped. It is
// safe to call twice.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.kill()
	}
	for _, sess := range s.resumable {
		sess.stopTimer()
	}
	s.mu.Unlock()
	s.starttls.Close()
	s.direct.Close()
	s.web.close()
	s.wg.Wait()
}

// Addr is the host and port for STARTTLS.
func (s *Server) Addr() string { return s.starttls.Addr().String() }

// TLSAddr is the host and port for direct TLS (XEP-0368).
func (s *Server) TLSAddr() string { return s.direct.Addr().String() }

// CertPool contains the authority that signed the server's certificate.
func (s *Server) CertPool() *x509.CertPool { return s.auth.pool.Clone() }

// CAPEM is that authority as PEM.
func (s *Server) CAPEM() []byte { return slices.Clone(s.auth.pem) }

// CAFile writes that authority to a file that lives as long as the test.
func (s *Server) CAFile(t TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, s.auth.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// AddAccount creates an account. It panics when jid is no bare JID of one of
// the server's domains. An account that exists gets a new password.
func (s *Server) AddAccount(jid, password string) {
	a := mustAddr(jid)
	if a.local == "" || a.resource != "" || !slices.Contains(s.domains, a.domain) {
		panic(fmt.Sprintf("xmpptest: %s is not an account of %v", a, s.domains))
	}
	known, err := newSecrets(password, s.cfg.Iterations)
	if err != nil {
		panic(fmt.Sprintf("xmpptest: add %s: %v", a, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	acct := s.accounts[a]
	if acct == nil {
		acct = &account{
			jid:      a,
			sessions: make(map[string]*session),
			roster:   make(map[addr]*rosterItem),
			requests: make(map[addr]*Element),
			blocked:  make(map[addr]bool),
		}
		s.accounts[a] = acct
	}
	acct.secrets.Store(known)
}

// SetMechanisms changes what SASL mechanisms are offered from now on, for
// example to withhold the strongest.
func (s *Server) SetMechanisms(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mechanisms = slices.Clone(names)
}

// knows reports whether Config.Without leaves a namespace.
func (s *Server) knows(space string) bool { return !slices.Contains(s.cfg.Without, space) }

func (s *Server) account(a addr) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[a]
}
