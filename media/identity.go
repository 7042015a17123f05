package media

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/media/internal/sdpmap"
	"github.com/pion/webrtc/v4"
)

// An Identity is a key and certificate that several calls use, so that the other
// side sees the same fingerprint each time, and notices when it is another one.
// Calls of one Identity can be tied to each other: use it with contacts only.
type Identity struct{ cert webrtc.Certificate }

// identityLife is how long an Identity is valid; it is not renewed, since its
// value is that it stays.
const identityLife = 20 * 365 * 24 * time.Hour

// NewIdentity makes one. Keep what MarshalPEM returns.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	// 20 octets, the first bit clear. RFC 5280 §4.1.2.2
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	now := time.Now()
	cert, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: serial, Version: 2, Subject: pkix.Name{CommonName: "carillon"}, Issuer: pkix.Name{CommonName: "carillon"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(identityLife), // clocks differ
	})
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &Identity{*cert}, nil
}

// ParseIdentity reads what MarshalPEM wrote. One that has expired is an error.
func ParseIdentity(pem []byte) (*Identity, error) {
	cert, err := webrtc.CertificateFromPEM(string(pem))
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	if !cert.Expires().IsZero() && time.Now().After(cert.Expires()) {
		return nil, errors.New("read identity: it has expired")
	}
	return &Identity{*cert}, nil
}

// MarshalPEM writes the identity with its private key, which is to be kept like
// a password.
func (i *Identity) MarshalPEM() (Secret, error) {
	s, err := i.cert.PEM()
	if err != nil {
		return "", fmt.Errorf("write identity: %w", err)
	}
	return Secret(s), nil
}

// certificate is that of the identity, or a new one for a single call.
func (cfg Config) certificate() (webrtc.Certificate, error) {
	if cfg.Identity != nil {
		return cfg.Identity.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("make DTLS key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("make DTLS certificate: %w", err)
	}
	return *cert, nil
}

// fingerprint is the strongest of a transport, "" when there is none.
func fingerprint(t iceudp.Transport) string {
	f, err := sdpmap.PickFingerprint(&t)
	if err != nil {
		return ""
	}
	return f.Hash + " " + f.Value
}

// verification makes a short text of both keys: twelve digits, 40 bits of a
// hash. Someone between the two would need as many tries as there are texts
// while the call is being set up.
func verification(local, remote iceudp.Transport) string {
	keys := []string{fingerprint(local), fingerprint(remote)}
	if keys[0] == "" || keys[1] == "" {
		return ""
	}
	slices.Sort(keys)
	sum := sha256.Sum256([]byte("carillon verification\n" + keys[0] + "\n" + keys[1]))
	n := binary.BigEndian.Uint64(sum[:8]) % 1_000_000_000_000
	return fmt.Sprintf("%04d %04d %04d", n/100_000_000, n/10_000%10_000, n%10_000)
}
