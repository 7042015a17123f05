package icepath

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Packets arrive as they were written, whatever was sent together.
func TestTrainKeepsPackets(t *testing.T) {
	for _, plain := range []bool{false, true} {
		from, err := net.ListenUDP("udp", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		to.SetReadBuffer(4 << 20)
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		tr := newTrain(from)
		tr.plain = plain
		var want [][]byte
		for i, n := range []int{1200, 1200, 1200, 50, 1200, 1400, 1200, 1200, 7, 7, 1228, 1} {
			want = append(want, bytes.Repeat([]byte{byte(i + 1)}, n))
		}
		for i := range 100 { // more than one call takes
			want = append(want, bytes.Repeat([]byte{byte(i)}, 1228))
		}
		for _, p := range want {
			if _, err := tr.write(p, addr); err != nil {
				t.Fatal(err)
			}
		}
		tr.close() // what waits is sent
		var wg sync.WaitGroup
		wg.Go(tr.run)
		wg.Wait()
		buf := make([]byte, 64<<10)
		for i, p := range want {
			to.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := to.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], p) {
				t.Fatalf("plain %t, packet %d: %d bytes, %v; want %d", plain, i, n, err, len(p))
			}
		}
		if _, err := tr.write([]byte{1}, addr); err == nil {
			t.Error("a closed train takes packets")
		}
	}
}

// A writer waits when there is too much, and not for ever.
func TestTrainIsBounded(t *testing.T) {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	tr := newTrain(u)
	ended := make(chan error, 1)
	go func() {
		p := make([]byte, 1200)
		for {
			if _, err := tr.write(p, u.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
				ended <- err
				return
			}
		}
	}()
	tr.mu.Lock()
	for len(tr.data) < trainWaiting-1200 {
		tr.mu.Unlock()
		tr.mu.Lock()
	}
	tr.mu.Unlock()
	tr.close()
	<-ended
	if len(tr.data) > trainWaiting {
		t.Errorf("%d bytes wait, want at most %d", len(tr.data), trainWaiting)
	}
}

// What came as one is taken apart, and each packet goes to whom it belongs.
func TestSplitTakesTrainsApart(t *testing.T) {
	var ends [2]*Split
	for i := range ends {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		u.SetReadBuffer(4 << 20)
		ends[i] = newSplit(u)
		defer ends[i].Close()
	}
	to := ends[1].LocalAddr().(*net.UDPAddr).AddrPort()
	ends[0].conn.to.Store(&to)
	var want [][]byte
	stun := 0
	for i := range 300 {
		p := bytes.Repeat([]byte{byte(i)}, 1228-i%3*i)
		p[0] = 23 // DTLS
		if i%50 == 7 {
			p[0] = 1 // STUN
			stun++
		} else {
			want = append(want, p)
		}
		if _, err := ends[0].conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 64<<10)
	ends[1].conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for i, p := range want {
		n, err := ends[1].conn.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], p) {
			t.Fatalf("packet %d: %d bytes, %v; want %d", i, n, err, len(p))
		}
	}
	for range stun {
		n, _, err := ends[1].ReadFrom(buf)
		if err != nil || buf[0] != 1 || n > 1228 {
			t.Fatalf("STUN: %d bytes, %v", n, err)
		}
	}
}
