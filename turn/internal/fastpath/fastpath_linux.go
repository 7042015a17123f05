package fastpath

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

//go:embed relay.o
var object []byte

// A key is struct path of relay.c.
type key struct {
	Source, Destination         [4]byte
	SourcePort, DestinationPort [2]byte
	Channel                     [2]byte
	_                           [2]byte
}

// A value is struct flow of relay.c.
type value struct {
	Out            key
	Packets, Bytes uint64
	From, To       uint64
}

// A Path is the program at an interface.
type Path struct {
	program   *ebpf.Collection
	flows     *ebpf.Map
	link      link.Link
	addresses []netip.Addr
	detach    sync.Once
	detached  error
}

// Open attaches the program to a network interface, which needs CAP_BPF and
// CAP_NET_ADMIN and Linux 5.18. What the interface's driver cannot run itself
// the kernel runs in its place. The program goes with the process.
func Open(name string) (*Path, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", name, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s is not an Ethernet", name)
	}
	addresses, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	p := &Path{}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok && a.Unmap().Is4() {
				p.addresses = append(p.addresses, a.Unmap())
			}
		}
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read the eBPF program: %w", err)
	}
	var hardware [8]byte
	copy(hardware[:], ifi.HardwareAddr)
	err = errors.Join(
		spec.Variables["own_hardware"].Set(binary.NativeEndian.Uint64(hardware[:])),
		spec.Variables["mtu"].Set(uint32(ifi.MTU)))
	if err != nil {
		return nil, fmt.Errorf("prepare the eBPF program: %w", err)
	}
	if p.program, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("load the eBPF program, which needs the capabilities BPF and NET_ADMIN: %w", err)
	}
	p.flows = p.program.Maps["flows"]
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.program.Programs["relay"], Interface: ifi.Index})
	if err != nil {
		p.program.Close()
		return nil, fmt.Errorf("attach the eBPF program to %s: %w", name, err)
	}
	return p, nil
}

// Detach takes the program from the interface: nothing passes any more, and what
// has can still be counted. It is safe twice.
func (p *Path) Detach() error {
	p.detach.Do(func() {
		if err := p.link.Close(); err != nil {
			p.detached = fmt.Errorf("detach the eBPF program: %w", err)
		}
	})
	return p.detached
}

// Close detaches the program and forgets its channels.
func (p *Path) Close() error {
	err := p.Detach()
	p.program.Close()
	return err
}

// Serves says whether a was an address of the interface when it was opened.
func (p *Path) Serves(a netip.Addr) bool { return slices.Contains(p.addresses, a) }

// Add lets a channel pass. It fails where an address is not IPv4, or another
// channel has the addresses, or the table, of some 32,000 channels, is full.
func (p *Path) Add(c Channel) error {
	up, down, err := c.keys()
	if err != nil {
		return err
	}
	if err := p.flows.Update(up, value{Out: down.reverse()}, ebpf.UpdateNoExist); err != nil {
		return fmt.Errorf("add a channel to the eBPF program: %w", err)
	}
	if err := p.flows.Update(down, value{Out: up.reverse()}, ebpf.UpdateNoExist); err != nil {
		return errors.Join(fmt.Errorf("add a channel to the eBPF program: %w", err), p.flows.Delete(up))
	}
	return nil
}

// Count returns what has passed of a channel that was added.
func (p *Path) Count(c Channel) (Counters, error) { return c.count(p.flows.Lookup) }

// Remove ends a channel: but for packets that the program has in hand, nothing
// passes when it returns. It returns the last counters. After an error the
// channel may still pass; Detach then.
func (p *Path) Remove(c Channel) (Counters, error) { return c.count(p.flows.LookupAndDelete) }

// count reads both directions, the second even if the first fails.
func (c Channel) count(read func(key, value any) error) (n Counters, err error) {
	up, down, err := c.keys()
	if err != nil {
		return n, err
	}
	var u, d value
	if err := errors.Join(read(up, &u), read(down, &d)); err != nil {
		return n, fmt.Errorf("read a channel of the eBPF program: %w", err)
	}
	return Counters{u.Packets, u.Bytes, d.Packets, d.Bytes}, nil
}

// keys are those of what client and peer send.
func (c Channel) keys() (up, down key, err error) {
	for _, a := range []netip.AddrPort{c.Client, c.Server, c.Relay, c.Peer} {
		if !a.Addr().Is4() {
			return up, down, fmt.Errorf("%v is not an IPv4 address", a)
		}
	}
	return keyOf(c.Client, c.Server, c.Number), keyOf(c.Peer, c.Relay, 0), nil
}

func keyOf(from, to netip.AddrPort, channel uint16) key {
	k := key{Source: from.Addr().As4(), Destination: to.Addr().As4()}
	binary.BigEndian.PutUint16(k.SourcePort[:], from.Port())
	binary.BigEndian.PutUint16(k.DestinationPort[:], to.Port())
	binary.BigEndian.PutUint16(k.Channel[:], channel)
	return k
}

// reverse is what is sent in the other direction.
func (k key) reverse() key {
	k.Source, k.Destination = k.Destination, k.Source
	k.SourcePort, k.DestinationPort = k.DestinationPort, k.SourcePort
	return k
}
