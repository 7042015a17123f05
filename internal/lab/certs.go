package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// A certificate is a key pair in PEM, with the CA that signed it.
type certificate struct {
	ca, cert, key string
}

// newCertificate makes a CA and a certificate for names and ip.
func newCertificate(t testing.TB, names []string, ip net.IP) certificate {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("make a certificate: %v", err)
		}
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)

	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Lab CA " + rand.Text()[:8]},
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	check(err)
	// Parsed again for the key id that the leaf must name.
	ca, err = x509.ParseCertificate(caDER)
	check(err)

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: []net.IP{ip},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)

	block := func(typ string, b []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b})) }
	return certificate{ca: block("CERTIFICATE", caDER), cert: block("CERTIFICATE", der), key: block("PRIVATE KEY", keyDER)}
}

// A Certificate is a key pair in PEM, with the CA that signed it.
type Certificate struct{ CA, Cert, Key string }

// NewCertificate makes one for names and 127.0.0.1, good for a day.
func NewCertificate(t testing.TB, names ...string) Certificate {
	t.Helper()
	c := newCertificate(t, names, net.IPv4(127, 0, 0, 1))
	return Certificate{CA: c.ca, Cert: c.cert, Key: c.key}
}
