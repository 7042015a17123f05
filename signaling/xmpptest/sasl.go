package xmpptest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
)

// Names of the SASL mechanisms, strongest first.
const (
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS"
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"
	ScramSHA256     = "SCRAM-SHA-256"
	ScramSHA1       = "SCRAM-SHA-1"
	Plain           = "PLAIN"
)

func allMechanisms() []string {
	return []string{ScramSHA256Plus, ScramSHA1Plus, ScramSHA256, ScramSHA1, Plain}
}

// A saslError is a failure condition of RFC 6120 §6.5.
type saslError string

func (e saslError) Error() string { return "sasl: " + string(e) }

// A mechanism is the server's side of one SASL exchange. Step takes what the
// client sent; done comes with the account and perhaps with additional data.
type mechanism interface {
	step(in []byte) (out []byte, acct *account, err error)
}

// exchange is what mechanisms need to know about the stream they run on.
type exchange struct {
	find    func(user string) (*account, error) // nil account when there is none
	binding func(name string) ([]byte, error)
	plus    bool // -PLUS mechanisms were offered

	iterations int
}

func newMechanism(name string, x exchange) (mechanism, error) {
	switch name {
	case Plain:
		return &plain{x}, nil
	case ScramSHA256, ScramSHA256Plus:
		return &scram{exchange: x, hash: sha256.New, id: 256, needBinding: name == ScramSHA256Plus}, nil
	case ScramSHA1, ScramSHA1Plus:
		return &scram{exchange: x, hash: sha1.New, id: 1, needBinding: name == ScramSHA1Plus}, nil
	}
	return nil, saslError("invalid-mechanism")
}

// plain is RFC 4616.
type plain struct{ exchange }

func (p *plain) step(in []byte) ([]byte, *account, error) {
	parts := strings.Split(string(in), "\x00")
	if len(parts) != 3 || parts[1] == "" {
		return nil, nil, saslError("malformed-request")
	}
	acct, err := p.find(parts[1])
	if err != nil {
		return nil, nil, err
	}
	if acct == nil || subtle.ConstantTimeCompare([]byte(acct.secrets.Load().password), []byte(parts[2])) != 1 {
		return nil, nil, saslError("not-authorized")
	}
	if parts[0] != "" && parts[0] != acct.jid.String() {
		return nil, nil, saslError("invalid-authzid")
	}
	return nil, acct, nil
}

// secrets are what the server knows to authenticate an account.
type secrets struct {
	password string
	scram    map[int]credentials // 1: SHA-1, 256: SHA-256
}

func newSecrets(password string, iterations int) (*secrets, error) {
	s := &secrets{password: password, scram: make(map[int]credentials)}
	for id, h := range map[int]func() hash.Hash{1: sha1.New, 256: sha256.New} {
		c, err := newCredentials(h, password, iterations)
		if err != nil {
			return nil, err
		}
		s.scram[id] = c
	}
	return s, nil
}

// credentials are what a server keeps of a password. RFC 5802 §3
type credentials struct {
	salt              []byte
	iterations        int
	storedKey, srvKey []byte
}

func newCredentials(h func() hash.Hash, password string, iterations int) (credentials, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return credentials{}, fmt.Errorf("salt the password: %w", err)
	}
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return credentials{salt, iterations, stored.Sum(nil), mac(h, salted, "Server Key")}, nil
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// scram is RFC 5802 and RFC 7677, with the channel bindings of RFC 9266.
type scram struct {
	exchange
	hash        func() hash.Hash
	id          int // 1 or 256, chooses the credentials of the account
	needBinding bool

	acct        *account
	creds       credentials
	gs2, nonce  string
	bindingData []byte
	firstBare   string // client-first-message-bare
	serverFirst string
}

func (s *scram) step(in []byte) ([]byte, *account, error) {
	if s.serverFirst == "" {
		out, err := s.first(string(in))
		return out, nil, err
	}
	return s.final(string(in))
}

func (s *scram) first(msg string) ([]byte, error) {
	parts := strings.SplitN(msg, ",", 3)
	if len(parts) != 3 {
		return nil, saslError("malformed-request")
	}
	flag, authzid, bare := parts[0], parts[1], parts[2]
	switch {
	case strings.HasPrefix(flag, "p=") && s.needBinding:
		data, err := s.binding(flag[2:])
		if err != nil {
			return nil, err
		}
		s.bindingData = data
	case flag == "n" && !s.needBinding:
	case flag == "y" && !s.needBinding:
		// The client thinks we have no -PLUS. If we have, someone cut it from the list. RFC 5802 §6
		if s.plus {
			return nil, saslError("not-authorized")
		}
	default:
		return nil, saslError("malformed-request")
	}
	attrs := strings.Split(bare, ",")
	if len(attrs) < 2 || !strings.HasPrefix(attrs[0], "n=") || !strings.HasPrefix(attrs[1], "r=") {
		return nil, saslError("malformed-request")
	}
	user := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(attrs[0][2:])
	acct, err := s.find(user)
	if err != nil {
		return nil, err
	}
	if authzid != "" && (acct == nil || authzid != "a="+acct.jid.String()) {
		return nil, saslError("invalid-authzid")
	}
	if acct != nil {
		s.creds = acct.secrets.Load().scram[s.id]
	} else if s.creds, err = newCredentials(s.hash, rand.Text(), s.iterations); err != nil {
		return nil, err // unknown users look like wrong passwords
	}
	s.acct, s.firstBare = acct, bare
	s.gs2 = flag + "," + authzid + ","
	s.nonce = attrs[1][2:] + rand.Text()
	s.serverFirst = "r=" + s.nonce + ",s=" + base64.StdEncoding.EncodeToString(s.creds.salt) + ",i=" + strconv.Itoa(s.creds.iterations)
	return []byte(s.serverFirst), nil
}

func (s *scram) final(msg string) ([]byte, *account, error) {
	cut := strings.LastIndex(msg, ",p=")
	if cut < 0 {
		return nil, nil, saslError("malformed-request")
	}
	proof, err := base64.StdEncoding.DecodeString(msg[cut+3:])
	if err != nil {
		return nil, nil, saslError("incorrect-encoding")
	}
	wantC := "c=" + base64.StdEncoding.EncodeToString(append([]byte(s.gs2), s.bindingData...))
	attrs := strings.Split(msg[:cut], ",")
	if len(attrs) < 2 || attrs[0] != wantC || attrs[1] != "r="+s.nonce || len(proof) != len(s.creds.storedKey) {
		return nil, nil, saslError("not-authorized")
	}
	auth := s.firstBare + "," + s.serverFirst + "," + msg[:cut]
	clientKey := mac(s.hash, s.creds.storedKey, auth) // the client's signature, so far
	subtle.XORBytes(clientKey, clientKey, proof)
	stored := s.hash()
	stored.Write(clientKey)
	if subtle.ConstantTimeCompare(stored.Sum(nil), s.creds.storedKey) != 1 || s.acct == nil {
		return nil, nil, saslError("not-authorized")
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(s.hash, s.creds.srvKey, auth))), s.acct, nil
}

// announced lists the channel binding types that the server claims to know. XEP-0440
func (s *Server) announced(cs tls.ConnectionState) []string {
	if s.cfg.Bindings != nil {
		return s.cfg.Bindings
	}
	return s.bindings(cs)
}

// bindings lists the channel binding types that work on a connection.
func (s *Server) bindings(cs tls.ConnectionState) []string {
	all := []string{"tls-exporter", "tls-server-end-point"}
	if cs.Version < tls.VersionTLS13 {
		all[0] = "tls-unique"
	}
	if s.cfg.Bindings != nil {
		all = slices.DeleteFunc(all, func(t string) bool { return !slices.Contains(s.cfg.Bindings, t) })
	}
	return all
}

// bindingData computes one of them; leaf is the server's certificate.
func bindingData(cs tls.ConnectionState, leaf []byte, name string) ([]byte, error) {
	switch {
	case name == "tls-exporter" && cs.Version >= tls.VersionTLS13: // RFC 9266
		data, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return nil, fmt.Errorf("export keying material: %w", err)
		}
		return data, nil
	case name == "tls-unique" && cs.Version < tls.VersionTLS13 && len(cs.TLSUnique) > 0: // RFC 5929 §3
		return cs.TLSUnique, nil
	case name == "tls-server-end-point": // RFC 5929 §4; our certificates are signed with SHA-256
		sum := sha256.Sum256(leaf)
		return sum[:], nil
	}
	return nil, saslError("malformed-request")
}

var errAuthAttempts = errors.New("too many authentication attempts")
