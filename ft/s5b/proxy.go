package s5b

import (
	"context"
	"encoding/xml"
	"fmt"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle/s5b"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Limits of the search for proxies.
const (
	maxItems   = 32 // services of a server that are asked what they are
	maxProxies = 4
)

type discoItems struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/disco#items query"`
	Items   []struct {
		JID string `xml:"jid,attr"`
	} `xml:"item"`
}

type discoInfo struct {
	XMLName    xml.Name `xml:"http://jabber.org/protocol/disco#info query"`
	Identities []struct {
		Category string `xml:"category,attr"`
		Type     string `xml:"type,attr"`
	} `xml:"identity"`
}

// ask sends a query and decodes its answer into into.
func ask(ctx context.Context, env ft.Env, to jid.JID, query, into any) error {
	r, err := env.IQ(ctx, to, stanza.GetIQ, query)
	if err != nil {
		return err
	}
	return xml.NewTokenDecoder(r).Decode(into)
}

// FindProxies asks the server of env.Local for its SOCKS5 proxies.
// XEP-0065#disco
func FindProxies(ctx context.Context, env ft.Env) ([]s5b.StreamHost, error) {
	if env.Ask == nil {
		return nil, nil
	}
	var items discoItems
	if err := ask(ctx, env, env.Local.Domain(), &discoItems{}, &items); err != nil {
		return nil, fmt.Errorf("ask the server for its services: %w", err)
	}
	var found []s5b.StreamHost
	for _, it := range items.Items[:min(len(items.Items), maxItems)] {
		to, err := jid.Parse(it.JID)
		if err != nil {
			continue
		}
		var info discoInfo
		if ask(ctx, env, to, &discoInfo{}, &info) != nil {
			continue // a service that does not answer is none for us
		}
		for _, id := range info.Identities {
			if id.Category != "proxy" || id.Type != "bytestreams" {
				continue
			}
			var q s5b.Query
			if ask(ctx, env, to, &s5b.Query{}, &q) == nil {
				for _, h := range q.Hosts {
					if h.JID == "" {
						h.JID = to.String()
					}
					found = append(found, h)
				}
			}
			break
		}
		if len(found) >= maxProxies {
			return found[:maxProxies], nil
		}
	}
	return found, nil
}

// activate tells the proxy to connect the two ends of a stream.
// XEP-0065#mediated-proto-activation
func activate(ctx context.Context, env ft.Env, proxy, sid string) error {
	to, err := jid.Parse(proxy)
	if err != nil {
		return fmt.Errorf("address of the proxy: %w", err)
	}
	if _, err := env.IQ(ctx, to, stanza.SetIQ, &s5b.Query{SID: sid, Activate: env.Peer.String()}); err != nil {
		return fmt.Errorf("activate the stream at %s: %w", proxy, err)
	}
	return nil
}
