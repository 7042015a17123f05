package turn

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often files are looked at for a new certificate.
const certificateCheck = 10 * time.Second

// CertificateFiles returns a TLS configuration with the certificate in two PEM
// files. They are read again when they change; while they cannot be read, the
// certificate read last is used, and failed is told why, unless it is nil.
func CertificateFiles(cert, key string, failed func(error)) (*tls.Config, error) {
	f := &certificateFiles{cert: cert, key: key, failed: failed}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f.config(), nil
}

type certificateFiles struct {
	cert, key string
	failed    func(error)

	mu       sync.Mutex
	current  *tls.Certificate
	modified [2]time.Time
	checked  time.Time
	said     string // what failed last
}

func (f *certificateFiles) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}
}

func (f *certificateFiles) times() (t [2]time.Time, err error) {
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return t, fmt.Errorf("read certificate: %w", err)
		}
		t[i] = info.ModTime()
	}
	return t, nil
}

func (f *certificateFiles) load() error {
	t, err := f.times()
	if err != nil {
		return err
	}
	if f.current != nil && t == f.modified {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	f.current, f.modified = &pair, t
	return nil
}

// report says each failure once.
func (f *certificateFiles) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.said && f.failed != nil {
		f.failed(err)
	}
	f.said = text
}

func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) > certificateCheck {
		f.checked = now
		// Vanished or half written files are tried again later.
		f.report(f.load())
	}
	return f.current, nil
}
