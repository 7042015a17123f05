package stream

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-im/carillon/signaling/internal/scram"
)

// A mechanism is a way to log in, ready to be used on one connection.
type mechanism struct {
	name    string
	hash    scram.Hash // "" for PLAIN
	binding *scram.Binding
	flag    scram.Flag
}

// The mechanisms we know, the strongest first.
var mechanisms = []mechanism{
	{name: "SCRAM-SHA-512-PLUS", hash: scram.SHA512},
	{name: "SCRAM-SHA-512", hash: scram.SHA512},
	{name: "SCRAM-SHA-256-PLUS", hash: scram.SHA256},
	{name: "SCRAM-SHA-256", hash: scram.SHA256},
	{name: "SCRAM-SHA-1-PLUS", hash: scram.SHA1},
	{name: "SCRAM-SHA-1", hash: scram.SHA1},
	{name: "PLAIN"},
}

func isPlus(name string) bool { return strings.HasSuffix(name, "-PLUS") }

func (m mechanism) plus() bool    { return isPlus(m.name) }
func (m mechanism) rank() int     { return rankOf(m.name) }
func (m mechanism) strength() int { return strengthOf(m.name) }

// rankOf returns how strong a mechanism is, 0 for an unknown one.
func rankOf(name string) int {
	i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.name == name })
	if i < 0 {
		return 0
	}
	return len(mechanisms) - i
}

// strengthOf returns how well a mechanism protects the password. Whether it can
// be bound to a connection depends on that connection: on its version of TLS, or
// on a proxy in front of the server that ends TLS. So binding does not count.
func strengthOf(name string) int { return rankOf(strings.TrimSuffix(name, "-PLUS")) }

// choose returns the strongest mechanism that server and connection allow, and
// refuses one that is weaker than the one pinned.
//
// A server that bound us once and now offers no -PLUS at all is not refused: a
// newer TLS can be the reason, and nobody must be locked out by it. We say that
// we could (NotOffered), which a server whose offer was cut on the way refuses.
// Where -PLUS is offered and we cannot use it we have no way to say so; then
// who was bound before insists.
func (in *login) choose(l *link, features *Element, offer []string, pinned string) (mechanism, error) {
	announced := offeredBindings(features)
	binding, err := channelBinding(l.tls, announced)
	if err != nil {
		return mechanism{}, err
	}
	if in.unbound && announced == nil {
		binding = nil
	}
	plusOffered := slices.ContainsFunc(offer, func(s string) bool { return isPlus(s) && rankOf(s) > 0 })
	floor := strengthOf(pinned)
	insist := isPlus(pinned) && plusOffered && l.tls != nil
	best := ""
	for _, m := range mechanisms {
		if !slices.Contains(offer, m.name) {
			continue
		}
		switch {
		case m.plus() && binding == nil:
			continue
		case m.plus():
			m.binding = binding
		case m.hash == "" && (!in.cfg.AllowPlain || !l.encrypted() && !in.cfg.InsecureLoopback):
			continue
		case l.tls != nil && !plusOffered: // whatever types are announced: those can be forged too
			m.flag = scram.NotOffered
		default:
			m.flag = scram.NotSupported
		}
		if best == "" {
			best = m.name
		}
		if m.strength() < floor {
			break
		}
		if insist && !m.plus() {
			continue
		}
		return m, nil
	}
	if floor > 0 {
		if insist && announced != nil && in.mayKnowOlder(l, announced) {
			return mechanism{}, &olderTLSError{&DowngradeError{JID: in.cfg.JID, Pinned: pinned, Best: best}}
		}
		return mechanism{}, &DowngradeError{JID: in.cfg.JID, Pinned: pinned, Best: best}
	}
	return mechanism{}, &NoMechanismError{Offered: offer, Plain: slices.Contains(offer, "PLAIN")}
}

// mayKnowOlder reports whether the server may know a channel binding of TLS 1.2
// only, and we use a newer TLS.
func (in *login) mayKnowOlder(l *link, announced []string) bool {
	return l.tls != nil && l.tls.Version >= tls.VersionTLS13 && (announced == nil || slices.Contains(announced, "tls-unique"))
}

// encrypted reports whether nobody can listen. A WebSocket is wss, or allowed by a test.
func (l *link) encrypted() bool { return l.tls != nil || l.how == overWebSocket }

// offeredBindings returns the types the server announces, nil when it does not. XEP-0440
func offeredBindings(features *Element) []string {
	var types []string
	for c := range features.Child(nsCB, "sasl-channel-binding").Children() {
		if c.Start.Name.Local == "channel-binding" && len(types) < 16 {
			types = append(types, c.Attr("type"))
		}
	}
	return types
}

// channelBinding returns what ties a login to the TLS connection, or nil when
// we have nothing that the server knows. Without an announcement the server
// is taken to know the type that belongs to the version of TLS.
func channelBinding(cs *tls.ConnectionState, announced []string) (*scram.Binding, error) {
	if cs == nil {
		return nil, nil
	}
	knows := func(t string) bool { return slices.Contains(announced, t) }
	if cs.Version >= tls.VersionTLS13 && (announced == nil || knows("tls-exporter")) {
		data, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32) // RFC 9266
		if err != nil {
			return nil, fmt.Errorf("channel binding: %w", err)
		}
		return &scram.Binding{Type: "tls-exporter", Data: data}, nil
	}
	if cs.Version < tls.VersionTLS13 && len(cs.TLSUnique) > 0 && (announced == nil || knows("tls-unique")) {
		return &scram.Binding{Type: "tls-unique", Data: cs.TLSUnique}, nil
	}
	if knows("tls-server-end-point") && len(cs.PeerCertificates) > 0 {
		if h := endPointHash(cs.PeerCertificates[0].SignatureAlgorithm); h != 0 {
			sum := h.New()
			sum.Write(cs.PeerCertificates[0].Raw)
			return &scram.Binding{Type: "tls-server-end-point", Data: sum.Sum(nil)}, nil
		}
	}
	return nil, nil
}

// endPointHash is the hash of the certificate's signature, but never one
// weaker than SHA-256. RFC 5929 §4.1
func endPointHash(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return 0 // not defined
	}
	return crypto.SHA256
}
