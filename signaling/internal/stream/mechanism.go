package stream

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"

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

func (m mechanism) plus() bool { return len(m.name) > 5 && m.name[len(m.name)-5:] == "-PLUS" }
func (m mechanism) rank() int  { return rankOf(m.name) }

// rankOf returns how strong a mechanism is, 0 for an unknown one.
func rankOf(name string) int {
	i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.name == name })
	if i < 0 {
		return 0
	}
	return len(mechanisms) - i
}

// choose returns the strongest mechanism that server and connection allow, and
// refuses one that is weaker than the one pinned.
func (in *login) choose(l *link, features *Element, offer []string, pinned string) (mechanism, error) {
	announced := offeredBindings(features)
	binding, err := channelBinding(l.tls, announced)
	if err != nil {
		return mechanism{}, err
	}
	if in.unbound && announced == nil {
		binding = nil
	}
	plusOffered := slices.ContainsFunc(offer, func(s string) bool { return mechanism{name: s}.plus() && rankOf(s) > 0 })
	floor := rankOf(pinned)
	if l.tls == nil && floor > 0 {
		// Without TLS of our own (WebSocket) binding is impossible, which says nothing
		// about the server: the pin counts without it.
		if m := mechanisms[len(mechanisms)-floor]; m.plus() {
			floor--
		}
	}
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
		case binding != nil && !plusOffered:
			m.flag = scram.NotOffered
		default:
			m.flag = scram.NotSupported
		}
		if best == "" {
			best = m.name
		}
		if m.rank() < floor {
			break
		}
		return m, nil
	}
	if floor > 0 {
		return mechanism{}, &DowngradeError{JID: in.cfg.JID, Pinned: pinned, Best: best}
	}
	return mechanism{}, &NoMechanismError{Offered: offer, Plain: slices.Contains(offer, "PLAIN")}
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
