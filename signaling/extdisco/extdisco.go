// Package extdisco implements External Service Discovery (XEP-0215): the
// server tells its users which STUN and TURN servers they may use.
//
//	we                                            server
//	 |--- services ---------------------------------->|
//	 |<-- stun, turn with username and password ------|
//	 |--- credentials (for a service without) ------->|
//	 |<-- the same service with them -----------------|
//
// [Services.Valid] keeps what can be used; [Service.URL] is for ICE.
package extdisco

import (
	"encoding/xml"
	"time"

	"github.com/carillon-im/carillon/signaling/internal/stream"
)

// NS is the namespace of the elements in this package. XEP-0215#registrar-ns
const NS = "urn:xmpp:extdisco:2"

// A Secret is a text that never shows in logs.
type Secret = stream.Secret

// A Service is one service of the server. XEP-0215#protocol
type Service struct {
	Type       string // "stun", "stuns", "turn" or "turns"; others are for others
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
func (s Service) URL() string { panic("soon") }

// Services is the answer of a server. XEP-0215#protocol
type Services struct {
	XMLName xml.Name `xml:"urn:xmpp:extdisco:2 services"`
}

// Valid returns the services that a client can use for ICE.
func (s Services) Valid(now time.Time) []Service { panic("soon") }
