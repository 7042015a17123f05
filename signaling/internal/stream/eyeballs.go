package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// A target is one host to connect to.
type target struct {
	host string // name or IP address
	port uint16
	how  method
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// race connects to the first target that works, in the manner of RFC 8305: an
// attempt that is slow does not hold up the next address or the next target
// longer than stagger, and the first that is set up wins.
//
// try connects to one address and sets up what makes the connection usable; it
// calls connected when only the set-up remains, which gets setupGrace before
// the next attempt begins. discard ends a connection that came too late.
func race[T any](ctx context.Context, targets []target, resolve func(context.Context, string) ([]netip.Addr, error),
	try func(ctx context.Context, t target, a netip.AddrPort, connected func()) (T, error), discard func(T)) (T, []Attempt) {

	ctx, cancel := context.WithCancel(ctx)
	targets = targets[:min(len(targets), maxTargets)]

	type resolution struct {
		target int
		addrs  []netip.Addr
		err    error
	}
	type result struct {
		conn    T
		err     error
		attempt Attempt
	}
	resolved := make(chan resolution)
	results := make(chan result)
	connected := make(chan struct{})
	for i, t := range targets {
		go func() {
			addrs, err := resolve(ctx, t.host)
			resolved <- resolution{i, addrs, err}
		}()
	}

	var (
		waiting  = make([][]netip.Addr, len(targets)) // addresses not tried yet
		known    = make([]bool, len(targets))
		looking  = len(targets)
		running  int
		attempts []Attempt
		won      bool
		winner   T
		// Whether the next attempt may begin; the timer allows it again.
		free  = true
		timer = time.NewTimer(stagger) // for the first target's addresses
	)
	defer timer.Stop()

	// start begins the next attempt that is ready. An earlier target that is
	// still being looked up is waited for only until the timer allows to skip it.
	start := func(skip bool) {
		for i, t := range targets {
			if !known[i] && !skip {
				return
			}
			if len(waiting[i]) == 0 {
				continue
			}
			a := netip.AddrPortFrom(waiting[i][0], t.port)
			waiting[i] = waiting[i][1:]
			running++
			free = false
			timer.Reset(stagger)
			go func() {
				conn, err := try(ctx, t, a, func() {
					select {
					case connected <- struct{}{}:
					case <-ctx.Done():
					}
				})
				results <- result{conn, err, Attempt{Addr: describe(t, a), How: t.how.String(), Err: err}}
			}()
			return
		}
	}
	for looking > 0 || running > 0 {
		select {
		case r := <-resolved:
			looking--
			known[r.target] = true
			t := targets[r.target]
			switch {
			case won || ctx.Err() != nil:
			case r.err != nil:
				attempts = append(attempts, Attempt{Addr: t.String(), How: t.how.String(), Err: r.err})
			case len(r.addrs) == 0:
				err := &HostNotFoundError{Host: t.host}
				attempts = append(attempts, Attempt{Addr: t.String(), How: t.how.String(), Err: err})
			default:
				waiting[r.target] = interleave(r.addrs)
			}
			if free && !won {
				start(running > 0)
			}
		case r := <-results:
			running--
			switch {
			case r.err == nil && won:
				discard(r.conn)
			case r.err == nil:
				won, winner = true, r.conn
				cancel()
			case !won:
				attempts = append(attempts, r.attempt)
				free = true
				if ctx.Err() == nil {
					start(false)
				}
			}
		case <-connected:
			timer.Reset(setupGrace)
		case <-timer.C:
			free = true
			if !won && ctx.Err() == nil {
				start(true)
			}
		}
	}
	cause := context.Cause(ctx)
	cancel()
	if !won && cause != nil {
		attempts = append(attempts, Attempt{Addr: "connect", How: "any", Err: cause})
	}
	return winner, attempts
}

func describe(t target, a netip.AddrPort) string {
	if _, err := netip.ParseAddr(t.host); err == nil {
		return a.String()
	}
	return fmt.Sprintf("%s [%s]", t, a.Addr())
}

// interleave alternates between the families, beginning with that of the first
// address: the system sorts by what can be reached. RFC 8305 §4
func interleave(addrs []netip.Addr) []netip.Addr {
	addrs = addrs[:min(len(addrs), 2*maxAddresses)]
	var a, b []netip.Addr
	for _, ip := range addrs {
		ip = ip.Unmap()
		if slices.Contains(a, ip) || slices.Contains(b, ip) {
			continue
		}
		if len(a) == 0 || ip.Is4() == a[0].Is4() {
			a = append(a, ip)
		} else {
			b = append(b, ip)
		}
	}
	var out []netip.Addr
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out[:min(len(out), maxAddresses)]
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ascii, err := toASCII(host)
	if err != nil {
		return nil, &HostNotFoundError{Host: host, Err: err}
	}
	addrs, err := d.cfg.Resolver.LookupNetIP(ctx, "ip", ascii)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, &HostNotFoundError{Host: host, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	return addrs, nil
}

// dialTCP connects to "host:port", for HTTP.
func (d *dialer) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	t, err := parseHostPort(addr, 443)
	if err != nil {
		return nil, err
	}
	conn, attempts := race(ctx, []target{t}, d.resolve,
		func(ctx context.Context, _ target, a netip.AddrPort, _ func()) (net.Conn, error) {
			conn, err := d.cfg.Dial(ctx, "tcp", a.String())
			if err != nil {
				return nil, err
			}
			return quickAck(conn), nil
		}, func(c net.Conn) { _ = c.Close() })
	if conn == nil {
		return nil, &UnreachableError{Domain: t.host, Attempts: attempts}
	}
	return conn, nil
}

func parseHostPort(s string, defaultPort uint16) (target, error) {
	if ip, err := netip.ParseAddr(s); err == nil { // an IPv6 address without brackets
		return target{host: ip.String(), port: defaultPort}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, strconv.Itoa(int(defaultPort))
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return target{}, fmt.Errorf("server address %q is not HOST or HOST:PORT", s)
	}
	return target{host: host, port: uint16(n)}, nil
}

// byPriority sorts SRV records as RFC 2782 says: by priority, and among equals
// by chance according to weight. pick returns a number below its argument.
func byPriority(records []srvRecord, pick func(int) int) {
	slices.SortStableFunc(records, func(a, b srvRecord) int {
		if c := cmp.Compare(a.Priority, b.Priority); c != 0 {
			return c
		}
		return cmp.Compare(a.Weight, b.Weight) // those of weight zero first, as the RFC wants
	})
	for len(records) > 0 {
		n, sum := 0, 0
		for n < len(records) && records[n].Priority == records[0].Priority {
			sum += int(records[n].Weight)
			n++
		}
		for group := records[:n]; len(group) > 1; group = group[1:] {
			r, i := pick(sum+1), 0
			for r -= int(group[0].Weight); r > 0; r -= int(group[i].Weight) {
				i++
			}
			chosen := group[i]
			sum -= int(chosen.Weight)
			copy(group[1:], group[:i]) // the others keep their order
			group[0] = chosen
		}
		records = records[n:]
	}
}
