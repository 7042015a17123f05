package icepath

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	_ "crypto/sha512" // for the hashes below
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/carillon-im/carillon/jingle/iceudp"
)

// An Identity is a certificate made for one session.
type Identity struct {
	Certificate tls.Certificate
	Fingerprint iceudp.Fingerprint // without a setup
}

// NewIdentity makes an identity.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "session"}, // names mean nothing here
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	var b strings.Builder
	for i, x := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", x)
	}
	return &Identity{
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		Fingerprint: iceudp.Fingerprint{Hash: "sha-256", Value: b.String()},
	}, nil
}

// A Pin is the one certificate that is trusted.
type Pin struct {
	hash crypto.Hash
	sum  []byte
}

// Hashes that a fingerprint may be of; older ones can be forged. RFC 8122 §5
var hashes = map[string]crypto.Hash{"sha-256": crypto.SHA256, "sha-384": crypto.SHA384, "sha-512": crypto.SHA512}

// ErrNoFingerprint reports a peer that does not say which certificate is its.
var ErrNoFingerprint = errors.New("the peer names no fingerprint of its certificate that can be used")

// NewPin takes the first fingerprint of a kind that is safe, and its setup.
func NewPin(list []iceudp.Fingerprint) (Pin, iceudp.Setup, error) {
	for _, f := range list {
		h, ok := hashes[strings.ToLower(f.Hash)]
		if !ok {
			continue
		}
		sum, err := hex.DecodeString(strings.ReplaceAll(f.Value, ":", ""))
		if err == nil && len(sum) == h.Size() && len(f.Value) == 3*len(sum)-1 {
			return Pin{h, sum}, f.Setup, nil
		}
	}
	return Pin{}, "", ErrNoFingerprint
}

// Check compares the certificate that the peer shows with the pin.
func (p Pin) Check(certs [][]byte) error {
	if len(certs) == 0 || p.hash == 0 {
		return errors.New("the peer shows no certificate")
	}
	h := p.hash.New()
	h.Write(certs[0])
	if subtle.ConstantTimeCompare(h.Sum(nil), p.sum) != 1 {
		return errors.New("the certificate is not the one that the signalling names")
	}
	return nil
}
