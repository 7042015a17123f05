// Package scram is the client side of SCRAM (RFC 5802, RFC 7677): both sides
// prove that they know the password, and neither shows it.
//
//	client                                      server
//	  |--- Client.First: name, nonce ------------->|
//	  |<-- nonce, salt, iteration count -----------|
//	  |--- Client.Final: binding, proof ---------->|
//	  |<-- signature, checked by Client.Verify ----|
//
// What the server sends is bounded: it cannot make us work for minutes. What
// is derived from the password can be kept in a [Keys] to log in again without
// that work.
package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
)

// A Hash is the hash function of a mechanism.
type Hash string

const (
	SHA1   Hash = "SHA-1"
	SHA256 Hash = "SHA-256"
	SHA512 Hash = "SHA-512"
)

func (h Hash) new() func() hash.Hash {
	switch h {
	case SHA512:
		return sha512.New
	case SHA256:
		return sha256.New
	}
	return sha1.New
}

// Limits on what a server may ask for.
const (
	minIterations = 4096      // RFC 5802 §5.1; with fewer a false server learns too much from our proof
	maxIterations = 2_000_000 // about a second
	maxField      = 1024      // bytes of nonce or salt
	maxMessage    = 8 << 10
)

// A Binding ties the login to the TLS connection. RFC 5056
type Binding struct {
	Type string // "tls-exporter", "tls-unique" or "tls-server-end-point"
	Data []byte
}

// Flag says what the server is told about channel binding.
type Flag byte

const (
	// NotSupported: we cannot bind here.
	NotSupported Flag = 'n'
	// NotOffered: we could, but the server does not seem to. A server that does
	// then knows that somebody changed its offer.
	NotOffered Flag = 'y'
)

// Keys remember what was derived from passwords, see [Client]. The zero Keys is
// empty and ready to use. It holds what is needed to log in, never a password.
type Keys struct {
	mu   sync.Mutex
	last key
	salted
}

type key struct {
	hash       Hash
	password   [32]byte // its SHA-256
	salt       string
	iterations int
}

type salted struct{ client, server []byte }

// A Client logs in once.
type Client struct {
	Hash     Hash
	User     string
	Password string
	Binding  *Binding // nil without channel binding, then Flag counts
	Flag     Flag     // the zero Flag is NotSupported
	Keys     *Keys    // nil derives anew

	nonce     string
	firstBare string
	signature []byte
}

var enc = base64.StdEncoding

func (c *Client) gs2Header() string {
	switch {
	case c.Binding != nil:
		return "p=" + c.Binding.Type + ",,"
	case c.Flag == NotOffered:
		return "y,,"
	}
	return "n,,"
}

// First returns the client-first-message.
func (c *Client) First() []byte {
	if c.nonce == "" {
		c.nonce = rand.Text()
	}
	c.firstBare = "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.User) + ",r=" + c.nonce
	return []byte(c.gs2Header() + c.firstBare)
}

// Final takes the server-first-message and returns the client-final-message.
func (c *Client) Final(serverFirst []byte) ([]byte, error) {
	nonce, salt, iterations, err := c.parseFirst(serverFirst)
	if err != nil {
		return nil, fmt.Errorf("server's first SCRAM message: %w", err)
	}
	keys, err := c.derive(salt, iterations)
	if err != nil {
		return nil, err
	}
	bound := []byte(c.gs2Header())
	if c.Binding != nil {
		bound = append(bound, c.Binding.Data...)
	}
	withoutProof := "c=" + enc.EncodeToString(bound) + ",r=" + nonce
	auth := c.firstBare + "," + string(serverFirst) + "," + withoutProof

	h := c.Hash.new()
	stored := h()
	stored.Write(keys.client)
	proof := mac(h, stored.Sum(nil), auth)
	subtle.XORBytes(proof, proof, keys.client)
	c.signature = mac(h, keys.server, auth)
	return []byte(withoutProof + ",p=" + enc.EncodeToString(proof)), nil
}

// Verify checks the server-final-message, by which the server proves that it
// knows the password too.
func (c *Client) Verify(serverFinal []byte) error {
	if c.signature == nil {
		return errors.New("server ended SCRAM before it began")
	}
	field, _, _ := bytes.Cut(serverFinal, []byte(","))
	if e, ok := bytes.CutPrefix(field, []byte("e=")); ok {
		return fmt.Errorf("server reports %.64q", e)
	}
	v, ok := bytes.CutPrefix(field, []byte("v="))
	if !ok || len(v) > maxField {
		return errors.New("server sent no signature")
	}
	got, err := enc.DecodeString(string(v))
	if err != nil || !hmac.Equal(got, c.signature) {
		return errors.New("server's signature is wrong")
	}
	c.signature = nil
	return nil
}

func (c *Client) parseFirst(m []byte) (nonce string, salt []byte, iterations int, err error) {
	if len(m) > maxMessage {
		return "", nil, 0, errors.New("too long")
	}
	fields := strings.Split(string(m), ",")
	if len(fields) < 3 {
		return "", nil, 0, errors.New("too few fields") // a mandatory extension (m=) lands below
	}
	nonce, ok := strings.CutPrefix(fields[0], "r=")
	if !ok || len(nonce) > maxField || !printable(nonce) {
		return "", nil, 0, errors.New("no nonce")
	}
	if c.nonce == "" || len(nonce) <= len(c.nonce) || !strings.HasPrefix(nonce, c.nonce) {
		return "", nil, 0, errors.New("nonce does not continue ours")
	}
	s, ok := strings.CutPrefix(fields[1], "s=")
	if !ok || len(s) == 0 || len(s) > maxField {
		return "", nil, 0, errors.New("no salt")
	}
	if salt, err = enc.DecodeString(s); err != nil || len(salt) == 0 {
		return "", nil, 0, errors.New("salt is not base64")
	}
	i, ok := strings.CutPrefix(fields[2], "i=")
	if !ok || len(i) > 9 {
		return "", nil, 0, errors.New("no iteration count")
	}
	if iterations, err = strconv.Atoi(i); err != nil {
		return "", nil, 0, errors.New("iteration count is not a number")
	}
	if iterations < minIterations || iterations > maxIterations {
		return "", nil, 0, fmt.Errorf("iteration count %d is not between %d and %d", iterations, minIterations, maxIterations)
	}
	return nonce, salt, iterations, nil
}

// printable reports whether s is made of what RFC 5802 §7 allows in a nonce.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

func (c *Client) derive(salt []byte, iterations int) (salted, error) {
	k := key{c.Hash, sha256.Sum256([]byte(c.Password)), string(salt), iterations}
	if c.Keys != nil {
		c.Keys.mu.Lock()
		defer c.Keys.mu.Unlock()
		if c.Keys.last == k {
			return c.Keys.salted, nil
		}
	}
	h := c.Hash.new()
	password, err := pbkdf2.Key(h, Prepare(c.Password), salt, iterations, h().Size())
	if err != nil {
		return salted{}, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	keys := salted{mac(h, password, "Client Key"), mac(h, password, "Server Key")}
	if c.Keys != nil {
		c.Keys.last, c.Keys.salted = k, keys
	}
	return keys, nil
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
