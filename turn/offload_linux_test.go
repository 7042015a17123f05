package turn

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An offloaded is a relay whose eBPF program forwards for a client, whose
// channel 0x4000 is bound to peer and 0x4001 to witness.
type offloaded struct {
	*far
	config        Config
	server        *Server
	client        *client
	peer, witness *peer
	relayed       netip.AddrPort
}

// offloadTest returns nil when the test has run in another process.
func offloadTest(t *testing.T, change func(*Config)) *offloaded {
	t.Helper()
	f := inNetwork(t)
	if f == nil {
		return nil
	}
	o := &offloaded{far: f, config: Config{
		Realm: testRealm, Users: map[string]Secret{"u": "p"}, EBPF: nearInterface, Loops: 1,
		Listeners:  []Listener{{Transport: UDP, Address: netip.AddrPortFrom(nearAddress, 3478)}},
		AllowPeers: []netip.Prefix{netip.PrefixFrom(nearAddress, 24)},
	}}
	if change != nil {
		change(&o.config)
	}
	o.server = start(t, o.config)
	o.client = o.connect()
	// The witness has an address, and so a permission, of its own.
	o.peer, o.witness = &peer{t, f.listen(farPeer)}, &peer{t, f.listen(farClient)}
	o.relayed = o.client.allocate()
	o.client.bindChannel(0x4000, o.peer.address())
	o.client.bindChannel(0x4001, o.witness.address())
	o.until(true)
	return o
}

func (o *offloaded) connect() *client {
	return &client{t: o.t, conn: o.listen(farClient), user: "u", password: "p",
		server: net.UDPAddrFromAddrPort(netip.AddrPortFrom(nearAddress, 3478))}
}

// until makes both sides known to the program, and sees who forwards.
func (o *offloaded) until(program bool) {
	o.t.Helper()
	o.pass(0x4000, o.peer, body(100, 'a'))
	before := o.traffic()
	o.pass(0x4000, o.peer, body(100, 'b'))
	if n := o.traffic().Offloaded - before.Offloaded; program && n != 2 || !program && n != 0 {
		o.t.Fatalf("the program forwarded %d of 2 packets", n)
	}
}

// pass sends data through the relay and back.
func (o *offloaded) pass(number uint16, p *peer, data string) {
	o.t.Helper()
	o.client.sendChannel(number, data)
	p.expect(data)
	p.send(o.relayed, data)
	o.client.expect(data, number)
}

// stopped sends what must not pass the channel to peer, and waits for what is
// sent behind it.
func (o *offloaded) stopped(what string) {
	o.t.Helper()
	before := o.traffic()
	o.client.sendChannel(0x4000, body(100, '!'))
	o.client.sendChannel(0x4001, body(100, 'u'))
	o.witness.expect(body(100, 'u'))
	o.peer.send(o.relayed, body(100, '!'))
	o.witness.send(o.relayed, body(100, 'd'))
	o.client.expect(body(100, 'd'), 0x4001)
	// The loop, to which both went, may be slower than the program.
	await(o.t, what+": both packets dropped", func() bool { return o.traffic().Dropped == before.Dropped+2 })
	if n := o.traffic().Offloaded - before.Offloaded; n > 2 {
		o.t.Errorf("%s: the program forwarded %d packets, want those of the witness", what, n)
	}
	if err := o.peer.conn.SetReadDeadline(time.Now()); err != nil {
		o.t.Fatal(err)
	}
	if n, _, err := o.peer.conn.ReadFromUDPAddrPort(make([]byte, 2000)); err == nil {
		o.t.Errorf("%s: the peer got %d bytes", what, n)
	}
}

func (o *offloaded) traffic() Traffic { return o.server.Status().Allocations[0].Traffic }

func (o *offloaded) allocation() *allocation { return o.server.list()[0] }

func body(n int, b byte) string { return strings.Repeat(string([]byte{b}), n) }

func TestOffloadedChannelsPassTheProgramAlone(t *testing.T) {
	o := offloadTest(t, nil)
	if o == nil {
		return
	}
	before, packets, bytes := o.traffic(), uint64(0), uint64(0)
	for n := 60; n < 1400; n += 67 { // with each number of bytes of padding
		o.pass(0x4000, o.peer, body(n, byte(n)))
		packets, bytes = packets+1, bytes+uint64(n)
	}
	want := before
	want.UpPackets, want.UpBytes, want.Offloaded = before.UpPackets+packets, before.UpBytes+bytes, before.Offloaded+2*packets
	want.DownPackets, want.DownBytes = before.DownPackets+packets, before.DownBytes+bytes
	if got := o.traffic(); got != want {
		t.Errorf("metered %+v, want %+v", got, want)
	}
	if used := int64(o.server.total.used.Load()); used != int64(want.UpBytes+want.DownBytes) {
		t.Errorf("%d bytes of the day, want %d", used, want.UpBytes+want.DownBytes)
	}

	// A hop takes one of the time to live, RFC 8656#section-16.
	raw, err := o.peer.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTTL, 1) }); err != nil {
		t.Fatal(err)
	}
	o.client.sendChannel(0x4000, body(100, 't'))
	b, control := make([]byte, 2000), make([]byte, 100)
	_, n, _, from, err := o.peer.conn.ReadMsgUDPAddrPort(b, control)
	if err != nil || from != o.relayed {
		t.Fatalf("from %v, %v; want %v", from, err, o.relayed)
	}
	if m, err := unix.ParseSocketControlMessage(control[:n]); err != nil || len(m) != 1 || m[0].Data[0] != 63 {
		t.Errorf("time to live: %v, %v; want 63", m, err)
	}
}

// The program leaves alone what is not simple, and what is not of a channel.
func TestProgramLeavesOthersAlone(t *testing.T) {
	o := offloadTest(t, nil)
	if o == nil {
		return
	}
	before := o.traffic().Offloaded
	// Too short for an Ethernet frame when the head is gone; the other way it grows.
	o.pass(0x4000, o.peer, "abc")
	before++
	// Too long, with the head, for one frame; fragments the other way.
	data := body(1472, 'x')
	o.peer.send(o.relayed, data)
	o.client.expect(data, 0x4000)
	data = body(3000, 'y')
	o.pass(0x4000, o.peer, data)
	// Without channel.
	o.client.sendIndication(o.peer.address(), body(100, 'i'))
	o.peer.expect(body(100, 'i'))
	another := &peer{t, o.listen(farPeer)}
	another.send(o.relayed, body(100, 'n'))
	o.client.expect(body(100, 'n'), 0)
	// Somebody else who uses the number; the client's own packet comes first.
	stranger := o.connect()
	stranger.sendChannel(0x4000, body(100, '!'))
	o.client.sendIndication(o.peer.address(), body(100, 'w'))
	o.peer.expect(body(100, 'w'))
	if n := o.traffic().Offloaded; n != before {
		t.Errorf("the program forwarded %d packets, want %d", n, before)
	}
	// What has nothing to do with the relay.
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nearAddress, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	own := &peer{t, u}
	o.peer.send(own.address(), body(100, '@'))
	own.expect(body(100, '@'))
	own.send(o.peer.address(), body(100, '@'))
	o.peer.expect(body(100, '@'))
}

func TestRevocationStopsTheProgramAtOnce(t *testing.T) {
	o := offloadTest(t, nil)
	if o == nil {
		return
	}
	a := o.allocation()
	peer := o.peer.address().Addr()
	a.mu.Lock()
	a.forbidLocked(func(p *permission) bool { return p.peer == peer })
	a.mu.Unlock()
	o.stopped("no permission")
	if reason := a.permit([]netip.Addr{peer}, never); reason != "" {
		t.Fatal(reason)
	}
	o.until(true)

	conf := o.config
	conf.DenyPeers = []netip.Prefix{netip.PrefixFrom(peer, 32)}
	if err := o.server.Reload(conf); err != nil {
		t.Fatal(err)
	}
	o.stopped("denied by reload")
	if err := o.server.Reload(o.config); err != nil {
		t.Fatal(err)
	}
	o.until(true)

	a.mu.Lock()
	a.unbindLocked(func(c *channel) bool { return c.number == 0x4000 })
	a.mu.Unlock()
	o.client.sendChannel(0x4000, body(100, '!'))
	o.pass(0x4001, o.witness, body(100, 'w'))
	o.client.bindChannel(0x4000, o.peer.address())
	o.until(true)

	release(o.client)
	if n := len(o.server.Status().Allocations); n != 0 {
		t.Fatalf("%d allocations", n)
	}
	o.client.sendChannel(0x4000, body(100, '!'))
	o.relayed = o.client.allocate()
	o.client.bindChannel(0x4000, o.peer.address())
	o.until(true) // nothing came before
}

func TestExpiryStopsTheProgram(t *testing.T) {
	o := offloadTest(t, nil)
	if o == nil {
		return
	}
	a, now := o.allocation(), o.server.now()
	o.expire(func() {
		a.permission(o.peer.address().Addr()).expires = now
	}, func() bool { return len(a.permissions) == 1 })
	o.stopped("permission expired")

	o.client.permitPeer(o.peer.address())
	o.until(true)
	o.expire(func() {
		i := slices.IndexFunc(a.channels, func(c channel) bool { return c.number == 0x4000 })
		a.channels[i].expires = now
	}, func() bool { return len(a.channels) == 1 })
	o.client.sendChannel(0x4000, body(100, '!'))
	o.peer.send(o.relayed, body(100, 'n'))
	o.client.expect(body(100, 'n'), 0)
	o.client.sendIndication(o.peer.address(), body(100, 'i'))
	o.peer.expect(body(100, 'i'))
}

// expire brings something's end forward and waits for the agenda to see it.
func (o *offloaded) expire(change func(), over func() bool) {
	o.t.Helper()
	a := o.allocation()
	a.mu.Lock()
	change()
	a.mu.Unlock()
	o.server.agenda.at(a, o.server.now())
	await(o.t, "the end of what is over", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return over()
	})
}

// With a limit nothing passes the program, from one packet to the next.
func TestLimitTakesChannelsFromTheProgram(t *testing.T) {
	o := offloadTest(t, nil)
	if o == nil {
		return
	}
	conf := o.config
	conf.Limits.PerUser.BytesPerDay = int64(o.server.total.used.Load()) + int64(o.traffic().UpBytes) + 5000
	if err := o.server.Reload(conf); err != nil {
		t.Fatal(err)
	}
	o.until(false)
	for range 100 {
		o.client.sendChannel(0x4000, body(1000, 'x'))
	}
	await(t, "packets dropped", func() bool { return o.traffic().Dropped > 80 })
	if used := o.server.Status().Allocations[0].Traffic; used.UpBytes+used.DownBytes > uint64(conf.Limits.PerUser.BytesPerDay)+1000 {
		t.Errorf("%d and %d bytes passed, the limit is %d", used.UpBytes, used.DownBytes, conf.Limits.PerUser.BytesPerDay)
	}
}
