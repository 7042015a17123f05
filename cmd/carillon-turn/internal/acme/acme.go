// Package acme obtains certificates (RFC 8555) and renews them, for a relay
// that has no web server beside it.
//
// A Source answers http-01 where [Source.Handler] is served, and tls-alpn-01 at
// every listener with [Source.TLS] that the authority reaches on port 443.
package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
)

// A Source has the certificates of one relay.
type Source struct {
	manager *autocert.Manager
	names   []string
}

// directoryTimeout bounds one request to the authority.
const directoryTimeout = time.Minute

// New prepares a source; nothing is asked for yet.
func New(c config.ACME, getenv func(string) string) (*Source, error) {
	cache := c.Cache
	if cache == "" {
		// systemd lists several with colons.
		state, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":")
		if state == "" {
			return nil, errors.New("acme.cache names no folder to keep keys and certificates in")
		}
		cache = filepath.Join(state, "acme")
	}
	if slices.Contains(c.Names, "") {
		return nil, errors.New("acme.names has an empty name")
	}
	client := &acme.Client{DirectoryURL: c.Directory, HTTPClient: &http.Client{Timeout: directoryTimeout}, UserAgent: "carillon-turn"}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("acme.ca-file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("acme.ca-file: no certificate in %s", c.CAFile)
		}
		client.HTTPClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	}
	return &Source{names: c.Names, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(cache), HostPolicy: autocert.HostWhitelist(c.Names...),
		Email: c.Email, Client: client,
	}}, nil
}

// TLS serves the certificates.
func (s *Source) TLS() *tls.Config {
	relay := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.get}
	challenge := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.get, NextProtos: []string{acme.ALPNProto}}
	conf := relay.Clone()
	// Only the authority speaks acme-tls/1; what protocols clients name is
	// theirs, RFC 7443 is rarely known.
	conf.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(h.SupportedProtos, []string{acme.ALPNProto}) {
			return challenge, nil
		}
		return relay, nil
	}
	return conf
}

// get is GetCertificate for clients that ask for an address, or for another
// name of this machine, too.
func (s *Source) get(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !slices.Contains(s.names, strings.ToLower(strings.TrimSuffix(h.ServerName, "."))) {
		named := *h
		named.ServerName = s.names[0]
		h = &named
	}
	return s.manager.GetCertificate(h)
}

// Handler answers http-01 and nothing else.
func (s *Source) Handler() http.Handler {
	h := s.manager.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this is a TURN relay", http.StatusNotFound)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Behind a forwarded port the host may be named with it.
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			r.Host = host
		}
		h.ServeHTTP(w, r)
	})
}

// retries are the waits after failures; the last one goes on.
var retries = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

// Obtain gets the first certificates, so that no client waits for them, and
// returns when it has them all or ctx is done. Renewal goes on by itself.
func (s *Source) Obtain(ctx context.Context, log *slog.Logger) {
	var wait sync.WaitGroup
	for _, name := range s.names {
		wait.Go(func() { s.obtain(ctx, log, name) })
	}
	wait.Wait()
}

func (s *Source) obtain(ctx context.Context, log *slog.Logger, name string) {
	hello := &tls.ClientHelloInfo{
		ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
	}
	for try := 0; ; try++ {
		cert, err := s.manager.GetCertificate(hello)
		if err == nil {
			if _, ok := cert.PrivateKey.(*ecdsa.PrivateKey); ok && cert.Leaf != nil {
				log.Info("certificate", "name", name, "until", cert.Leaf.NotAfter)
			}
			return
		}
		wait := retries[min(try, len(retries)-1)]
		log.Error("no certificate", "name", name, "error", err, "again-in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
