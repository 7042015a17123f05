// Package extdisco implements External Service Discovery (XEP-0215): the
// server tells its users which STUN and TURN servers they may use.
//
//	we                                            server
//	 |--- services ---------------------------------->|
//	 |<-- stun, turn with username and password ------|
//	 |--- credentials (for a service without) ------->|
//	 |<-- the same service with them -----------------|
//
// The package has the elements and their validation; signaling.Client.Services
// asks, fills in credentials and remembers. [Service.URL] is for ICE.
package extdisco

import (
	"encoding/xml"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-im/carillon/signaling/internal/stream"
)

// NS is the namespace of the elements in this package. XEP-0215#registrar-ns
const NS = "urn:xmpp:extdisco:2"

// A Secret is a text that never shows in logs.
type Secret = stream.Secret

// Limits on what a server can make us take.
const (
	maxServices   = 64
	maxCredential = 512 // bytes; TURN has 513 for a username, RFC 8489 §14.3
	maxName       = 256
)

// A Service is one service of the server that can be used. XEP-0215#protocol
type Service struct {
	Type       string // "stun", "stuns", "turn" or "turns"
	Host       string // a name or an IP address, without brackets
	Port       uint16
	Transport  string // "udp" or "tcp"
	Username   string
	Password   Secret
	Restricted bool      // needs credentials
	Expires    time.Time // of the credentials; the zero time means never
	Name       string    // for people
}

// URL returns the service as ICE wants it, for example
// "turn:turn.example.org:3478?transport=udp". RFC 7064, RFC 7065
func (s Service) URL() string {
	u := s.Type + ":" + net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	if s.Relay() { // RFC 7064 has no transport for STUN
		u += "?transport=" + s.Transport
	}
	return u
}

// Relay reports whether the service is TURN, over whatever transport.
func (s Service) Relay() bool { return s.Type == "turn" || s.Type == "turns" }

// HasCredentials reports whether username and password are there.
func (s Service) HasCredentials() bool { return s.Username != "" && s.Password != "" }

// Usable reports whether the service needs no credentials or has them, and
// they are valid at the given time.
func (s Service) Usable(now time.Time) bool {
	if !s.Expires.IsZero() && !now.Before(s.Expires) {
		return false
	}
	return s.HasCredentials() || !s.Restricted && !s.Relay()
}

// Services is the question for all services and its answer, and what a server
// pushes when they change. XEP-0215#protocol
type Services struct {
	XMLName xml.Name `xml:"urn:xmpp:extdisco:2 services"`
	Type    string   `xml:"type,attr,omitempty"`
	Items   []Item   `xml:"service"`
}

// Credentials is the question for the credentials of services and its answer.
// XEP-0215#credentials
type Credentials struct {
	XMLName xml.Name `xml:"urn:xmpp:extdisco:2 credentials"`
	Items   []Item   `xml:"service"`
}

// An Item is a service as it is on the wire: nothing about it is checked.
type Item struct {
	Action     string `xml:"action,attr,omitempty"` // in pushes: "add", "delete" or "modify"
	Expires    string `xml:"expires,attr,omitempty"`
	Host       string `xml:"host,attr"`
	Name       string `xml:"name,attr,omitempty"`
	Password   Secret `xml:"password,attr,omitempty"`
	Port       string `xml:"port,attr,omitempty"`
	Restricted string `xml:"restricted,attr,omitempty"`
	Transport  string `xml:"transport,attr,omitempty"`
	Type       string `xml:"type,attr"`
	Username   string `xml:"username,attr,omitempty"`
}

// Valid returns those of the services that ICE can use, without duplicates and
// in the order of the server: with a plausible host, port and transport. What
// is absent gets the default of the type; what is wrong makes a service
// disappear, since a guess would only delay calls.
func Valid(items []Item) []Service {
	var out []Service
	seen := make(map[string]bool)
	for _, item := range items {
		s, ok := item.service()
		if !ok || seen[s.URL()] {
			continue
		}
		seen[s.URL()] = true
		out = append(out, s)
		if len(out) == maxServices {
			break
		}
	}
	return out
}

func (i Item) service() (Service, bool) {
	s := Service{
		Type:       i.Type,
		Username:   i.Username,
		Password:   i.Password,
		Restricted: i.Restricted == "true" || i.Restricted == "1",
		Name:       i.Name,
	}
	port := uint16(3478) // RFC 8489 §18.6, RFC 8656 §19.3
	s.Transport = "udp"
	switch i.Type {
	case "stun", "turn":
	case "stuns", "turns":
		port, s.Transport = 5349, "tcp"
	default:
		return s, false
	}
	switch t := strings.ToLower(i.Transport); t {
	case "":
	case "udp", "tcp":
		s.Transport = t
	case "tls": // some servers name it so; RFC 7065 has turns over tcp
		s.Transport = "tcp"
	default:
		return s, false
	}
	if i.Port != "" {
		p, err := strconv.ParseUint(i.Port, 10, 16)
		if err != nil || p == 0 {
			return s, false
		}
		port = uint16(p)
	}
	s.Port = port
	var ok bool
	if s.Host, ok = validHost(i.Host); !ok {
		return s, false
	}
	if i.Expires != "" {
		t, err := time.Parse(time.RFC3339, i.Expires) // XEP-0082
		if err != nil {
			return s, false
		}
		s.Expires = t
	}
	if len(i.Username) > maxCredential || len(i.Password) > maxCredential || len(i.Name) > maxName {
		return s, false
	}
	return s, !strings.ContainsFunc(i.Username, isControl)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// validHost accepts a DNS name or an IP address that can be a server.
func validHost(h string) (string, bool) {
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	if ip, err := netip.ParseAddr(h); err == nil {
		if ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
			return "", false
		}
		return ip.Unmap().String(), true
	}
	h = strings.TrimSuffix(h, ".")
	if h == "" || len(h) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return "", false
			}
		}
	}
	return h, true
}

// Merge fills in credentials that the server told separately: of the service
// with the same type, host, and port and transport as far as they were told.
// XEP-0215#credentials
func Merge(services []Service, answer []Item) {
	for _, item := range answer {
		got, ok := item.service()
		if !ok || !got.HasCredentials() {
			continue
		}
		for i := range services {
			s := &services[i]
			if s.Type != got.Type || s.Host != got.Host ||
				item.Port != "" && s.Port != got.Port ||
				item.Transport != "" && s.Transport != got.Transport {
				continue
			}
			s.Username, s.Password, s.Expires = got.Username, got.Password, got.Expires
		}
	}
}

// Ask returns the question for the credentials of a service.
func (s Service) Ask() *Credentials {
	return &Credentials{Items: []Item{{Type: s.Type, Host: s.Host, Port: strconv.Itoa(int(s.Port)), Transport: s.Transport}}}
}
