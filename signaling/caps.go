package signaling

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
)

// caps is the element in presence that tells what a device can do. XEP-0115#protocol
type caps struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/caps c"`
	Hash    string   `xml:"hash,attr"`
	Node    string   `xml:"node,attr"`
	Ver     string   `xml:"ver,attr"`
}

// capsHash returns a function of the hashes we verify. Others are not trusted
// beyond the device that uses them. XEP-0115#ver-proc
func capsHash(name string) func() hash.Hash {
	switch name {
	case "sha-1":
		return sha1.New
	case "sha-256":
		return sha256.New
	}
	return nil
}

// verification computes the verification string of an Info. XEP-0115#ver-gen
func verification(i Info, h hash.Hash) string {
	var b strings.Builder
	line := func(parts ...string) {
		for n, p := range parts {
			if n > 0 {
				b.WriteByte('/')
			}
			b.WriteString(p)
		}
		b.WriteByte('<')
	}
	// Sorting is of octets, as Go compares strings. XEP-0115#ver-gen
	ids := slices.Clone(i.Identities)
	slices.SortFunc(ids, func(a, b Identity) int {
		return slices.Compare(
			[]string{a.Category, a.Type, a.Lang, a.Name},
			[]string{b.Category, b.Type, b.Lang, b.Name})
	})
	for _, id := range ids {
		line(id.Category, id.Type, id.Lang, id.Name)
	}
	for _, f := range slices.Sorted(slices.Values(i.Features)) {
		line(f)
	}
	forms := slices.Clone(i.Forms)
	slices.SortFunc(forms, func(a, b Form) int { return strings.Compare(a.Type, b.Type) })
	for _, f := range forms {
		line(f.Type)
		fields := slices.Clone(f.Fields)
		slices.SortStableFunc(fields, func(a, b FormField) int { return strings.Compare(a.Var, b.Var) })
		for _, field := range fields {
			line(field.Var)
			for _, v := range slices.Sorted(slices.Values(field.Values)) {
				line(v)
			}
		}
	}
	h.Write([]byte(b.String()))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// self is what this client says about itself.
type self struct {
	node string

	mu       sync.Mutex
	identity Identity
	features map[string]int // how often each was added
	info     Info
	ver      string
	old      []oldInfo // what we said before, for questions still on their way
}

type oldInfo struct {
	ver  string
	info Info
}

const maxOldInfos = 4

func newSelf(node string, id Identity, features []string) *self {
	s := &self{node: node, identity: id, features: make(map[string]int)}
	s.change(features, +1)
	return s
}

// change adds (by +1) or takes away (by -1) features and reports whether what
// we say has changed.
func (s *self) change(features []string, by int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range features {
		if s.features[f] += by; s.features[f] <= 0 {
			delete(s.features, f)
		}
	}
	info := Info{Identities: []Identity{s.identity}}
	for f := range s.features {
		info.Features = append(info.Features, f)
	}
	slices.Sort(info.Features)
	ver := verification(info, sha1.New())
	if ver == s.ver {
		return false
	}
	if s.ver != "" {
		s.old = append(s.old, oldInfo{s.ver, s.info})
		if len(s.old) > maxOldInfos {
			s.old = s.old[1:]
		}
	}
	s.info, s.ver = info, ver
	return true
}

func (s *self) caps() *caps {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &caps{Hash: "sha-1", Node: s.node, Ver: s.ver}
}

// infoFor returns what we say at a disco node: none, or node#ver.
func (s *self) infoFor(node string) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node == "" || node == s.node+"#"+s.ver {
		return s.info, true
	}
	for _, o := range s.old {
		if node == s.node+"#"+o.ver {
			return o.info, true
		}
	}
	return Info{}, false
}

// capsCache remembers what verification strings stand for. Only what the hash
// proves is shared between devices.
type capsCache struct {
	flight singleflight.Group

	mu    sync.Mutex
	infos map[string]Info // by hash and ver
	order []string        // oldest first
}

func (cc *capsCache) get(key string) (Info, bool) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	i, ok := cc.infos[key]
	return i, ok
}

func (cc *capsCache) put(key string, i Info) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.infos == nil {
		cc.infos = make(map[string]Info)
	}
	if _, ok := cc.infos[key]; ok {
		return
	}
	if len(cc.order) >= maxCapsCache {
		delete(cc.infos, cc.order[0])
		cc.order = cc.order[1:]
	}
	cc.infos[key] = i
	cc.order = append(cc.order, key)
}

func capsKey(hash, ver string) string { return hash + " " + ver }

// knownInfo returns what is known about a device without asking it.
func (c *Client) knownInfo(d Device) *Info {
	if d.Info != nil {
		return d.Info
	}
	if capsHash(d.capsHash) == nil || d.CapsVer == "" {
		return nil
	}
	if i, ok := c.caps.get(capsKey(d.capsHash, d.CapsVer)); ok {
		return &i
	}
	return nil
}

// deviceInfo returns what a device can do, asking it if need be. Devices with
// the same verification string are asked once. XEP-0115#ver-proc
func (c *Client) deviceInfo(ctx context.Context, d Device) (Info, error) {
	if i := c.knownInfo(d); i != nil {
		return *i, nil
	}
	newHash := capsHash(d.capsHash)
	provable := newHash != nil && d.CapsVer != "" && d.CapsNode != ""
	// The flight is of one device: another one that shows the same string may
	// be honest where this one is not. XEP-0115#security-poisoning
	ch := c.caps.flight.DoChan(capsKey(d.capsHash, d.CapsVer)+" "+d.JID.String(), func() (any, error) {
		if !c.enter() {
			return nil, net.ErrClosed
		}
		defer c.wg.Done()
		ctx, cancel := context.WithTimeout(c.ctx, iqTimeout)
		defer cancel()
		node := ""
		if provable {
			node = d.CapsNode + "#" + d.CapsVer
		}
		info, err := c.askInfo(ctx, d.JID, node)
		if err != nil {
			return nil, err
		}
		if provable && verification(info, newHash()) == d.CapsVer {
			c.caps.put(capsKey(d.capsHash, d.CapsVer), info)
		}
		c.presence.setInfo(d, &info)
		return info, nil
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return Info{}, r.Err
		}
		return r.Val.(Info), nil
	case <-ctx.Done():
		return Info{}, fmt.Errorf("ask %s what it can do: %w", d.JID, context.Cause(ctx))
	}
}
