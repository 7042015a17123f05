package media

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// picture makes the packets of one picture of VP8.
func picture(key bool, seq uint16, ts uint32, size int) (packets []videoPacket, data []byte) {
	data = bytes.Repeat([]byte{byte(ts), byte(seq), 7}, size/3+1)[:size]
	data[0] |= 1
	if key {
		data[0] &^= 1
	}
	p, _ := payloader("VP8")
	parts := p.Payload(1200, data)
	for i, b := range parts {
		packets = append(packets, videoPacket{timestamp: ts, payloadType: 96, marker: i == len(parts)-1, payload: b})
	}
	return packets, data
}

// A feed gives pictures to an assembler and counts what comes out.
type feed struct {
	t    *testing.T
	a    *assembler
	now  time.Time
	seq  uint16
	ts   uint32
	want int // key frames asked for
	got  [][]byte
}

func newFeed(t *testing.T) *feed {
	return &feed{
		t: t, a: newAssembler(map[uint8]string{96: "VP8"}), now: time.Unix(1000, 0), seq: 65530, ts: 1 << 31,
	}
}

func (f *feed) put(seq uint16, p videoPacket) {
	p.arrived = f.now
	if f.a.put(seq, p) {
		f.want++
	}
}

func (f *feed) pop() {
	for {
		c, ok, lost := f.a.pop(f.now)
		if lost {
			f.want++
		}
		if ok {
			f.got = append(f.got, c.data)
			continue
		}
		if !lost {
			return
		}
	}
}

func (f *feed) next(key bool, size int) (seq uint16, ps []videoPacket, data []byte) {
	f.now = f.now.Add(33 * time.Millisecond)
	ps, data = picture(key, f.seq, f.ts, size)
	seq = f.seq
	f.seq += uint16(len(ps))
	f.ts += 3000
	return seq, ps, data
}

func (f *feed) whole(key bool, size int) []byte {
	seq, ps, data := f.next(key, size)
	for i, p := range ps {
		f.put(seq+uint16(i), p)
	}
	f.pop()
	return data
}

func (f *feed) expect(what string, want ...[]byte) {
	f.t.Helper()
	if len(f.got) != len(want) {
		f.t.Fatalf("%s: %d pictures, want %d", what, len(f.got), len(want))
	}
	for i := range want {
		if !bytes.Equal(f.got[i], want[i]) {
			f.t.Errorf("%s: picture %d is not what was sent", what, i)
		}
	}
	f.got = nil
}

func TestAssemblerJoinsPackets(t *testing.T) {
	f := newFeed(t)
	a, b := f.whole(true, 9000), f.whole(false, 100)
	f.expect("in order", a, b)
	seq, ps, c := f.next(false, 5000) // the numbers have wrapped by now
	for _, i := range rand.Perm(len(ps)) {
		f.put(seq+uint16(i), ps[i])
		f.put(seq+uint16(i), ps[i])
	}
	f.pop()
	f.expect("in any order, twice", c)
	if f.want != 0 {
		t.Errorf("%d key frames were asked for", f.want)
	}
}

func TestAssemblerBeginsWithKeyFrame(t *testing.T) {
	f := newFeed(t)
	f.whole(false, 3000)
	f.expect("before a key frame")
	if f.want == 0 {
		t.Error("no key frame was asked for")
	}
	a := f.whole(true, 3000)
	f.expect("with it", a)
}

func TestAssemblerAsksAndWaits(t *testing.T) {
	f := newFeed(t)
	a := f.whole(true, 3000)
	f.want = 0
	seq, ps, b := f.next(false, 5000)
	lost := seq + 2
	for i, p := range ps {
		if seq+uint16(i) != lost {
			f.put(seq+uint16(i), p)
		}
	}
	f.pop()
	if m := f.a.missing(f.now, nil); len(m) != 0 {
		t.Errorf("asked for %v at once: it may have been overtaken", m)
	}
	c := f.whole(false, 300)
	if m := f.a.missing(f.now, nil); len(m) != 1 || m[0] != lost {
		t.Errorf("asked for %v, want %d", m, lost)
	}
	if m := f.a.missing(f.now.Add(time.Millisecond), nil); len(m) != 0 {
		t.Errorf("asked again for %v before it can have come", m)
	}
	f.expect("meanwhile", a)
	f.put(lost, ps[2])
	f.pop()
	f.expect("recovered", b, c)
	if f.want != 0 || f.a.recovered != 1 || f.a.lost != 1 {
		t.Errorf("%d key frames asked for, %d recovered of %d, want 0, 1 of 1", f.want, f.a.recovered, f.a.lost)
	}
}

func TestAssemblerGivesUp(t *testing.T) {
	f := newFeed(t)
	f.whole(true, 3000)
	seq, ps, _ := f.next(false, 5000)
	f.put(seq, ps[0]) // the rest is lost
	f.got, f.want = nil, 0
	for range 20 {
		f.whole(false, 500)
	}
	f.expect("pictures that need the lost one")
	if f.want == 0 {
		t.Error("no key frame was asked for")
	}
	if m := f.a.missing(f.now, nil); len(m) != 0 {
		t.Errorf("still asks for %v", m)
	}
	k, n := f.whole(true, 4000), f.whole(false, 200)
	f.expect("from the next key frame on", k, n)
}

func TestAssemblerPassesPadding(t *testing.T) {
	f := newFeed(t)
	a := f.whole(true, 3000)
	for range 3 { // libwebrtc probes the path with these
		f.put(f.seq, videoPacket{timestamp: f.ts - 3000, payloadType: 96})
		f.seq++
	}
	b := f.whole(false, 100)
	f.expect("padding", a, b)
}

func TestAssemblerBoundsPictureWithoutEnd(t *testing.T) {
	f := newFeed(t)
	f.whole(true, 3000)
	f.got = nil
	_, ps, _ := f.next(false, 3000)
	for range 3 * assembleSize {
		f.put(f.seq, ps[0]) // one timestamp, never a marker
		f.seq++
		f.pop()
	}
	f.expect("a picture without end")
	if f.want == 0 {
		t.Error("no key frame was asked for")
	}
	a := f.whole(true, 3000)
	f.expect("afterwards", a)
}

func TestAssemblerFollowsJump(t *testing.T) {
	f := newFeed(t)
	f.whole(true, 3000)
	f.seq += 20000
	f.got = nil
	f.whole(false, 100)
	f.expect("after a jump")
	a := f.whole(true, 1000)
	f.expect("after a jump, with a key frame", a)
}

// A picture may begin with the parameters it needs, or with its first slice, not
// with a later one.
func TestAssemblerKnowsKeyFramesOfH264(t *testing.T) {
	for _, tt := range []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"parameters", []byte{0x67, 0x42}, true},
		{"first slice", []byte{0x65, 0x88}, true},
		{"later slice", []byte{0x65, 0x44}, false},
		{"slice that needs others", []byte{0x61, 0x88}, false},
		{"joined", []byte{0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68}, true},
		{"joined behind a delimiter", []byte{0x78, 0, 1, 9, 0, 2, 0x67, 0x42}, true},
		{"joined, nothing that begins", []byte{0x78, 0, 2, 0x68, 0x42, 0, 2, 0x65, 0x44}, false},
		{"joined, cut", []byte{0x78, 0, 9, 0x67, 0x42}, false},
		{"joined, empty units", []byte{0x78, 0, 0, 0, 0, 0, 1, 0x67}, false},
		{"first part of the first slice", []byte{0x7c, 0x85, 0x88}, true},
		{"first part of a later slice", []byte{0x7c, 0x85, 0x44}, false},
		{"second part", []byte{0x7c, 0x05, 0x88}, false},
		{"one byte", []byte{0x7c}, false},
	} {
		if got := beginsKey("H264", tt.packet); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A picture whose first or last OBU is not whole is none.
func TestAssemblerJoinsAV1(t *testing.T) {
	// Flags Z, Y, two of W and N of a packet, an OBU or a part of one, and whether
	// it is the last of its picture.
	const z, y, one, n = 0x80, 0x40, 0x10, 0x08
	type packet struct {
		flags byte
		obu   string
		last  bool
	}
	for _, tt := range []struct {
		name    string
		packets []packet
		want    string // "" for no picture
	}{
		{"one packet", []packet{{one | n, "\x30abc", true}}, "\x32\x03abc"},
		{"three packets", []packet{{one | n | y, "\x30a", false}, {one | z | y, "b", false}, {one | z, "c", true}}, "\x32\x03abc"},
		{"two OBUs, the second in parts", []packet{{2*one | n | y, "\x02\x08x\x30a", false}, {one | z, "bc", true}}, "\x0a\x01x\x32\x03abc"},
		{"a delimiter", []packet{{2*one | n, "\x01\x10\x30abc", true}}, "\x32\x03abc"},
		{"its beginning is elsewhere", []packet{{one | n | z, "a", false}, {one, "\x30abc", true}}, ""},
		{"its end is elsewhere", []packet{{one | n, "\x30abc", false}, {one | y, "\x30abc", true}}, ""},
		{"what goes on does not", []packet{{one | n | y, "\x30a", false}, {one, "\x30bc", true}}, ""},
		{"more than there is", []packet{{n, "\x09\x30abc", true}}, ""},
		{"no OBU", []packet{{one | n, "", true}}, ""},
	} {
		a := newAssembler(map[uint8]string{100: "AV1"})
		now := time.Unix(1000, 0)
		for i, p := range tt.packets {
			a.put(uint16(i), videoPacket{timestamp: 1, payloadType: 100, marker: p.last, payload: append([]byte{p.flags}, p.obu...), arrived: now})
		}
		f, ok, lost := a.pop(now)
		if string(f.data) != tt.want || ok != (tt.want != "") || lost != !ok || ok && !f.key {
			t.Errorf("%s: %q, ok %v, lost %v, key %v", tt.name, f.data, ok, lost, f.key)
		}
	}
}

// FuzzAssembler gives packets of a peer that means no good.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 0, 0x10, 0, 1, 1, 0x90, 0x80, 0x12})
	f.Add([]byte{1, 0xff, 0, 9, 2, 0, 0x7c, 0x85, 3})
	f.Add([]byte{0x43, 0, 1, 5, 0x18, 0x30, 'a', 'b', 'c', 0x13, 0, 2, 4, 0x58, 0x30, 'a', 'b', 0x43, 1, 2, 3, 0x90, 'c', 'd'})
	f.Add([]byte{0x43, 0, 1, 7, 0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 1})
	names := map[uint8]string{0: "VP8", 1: "VP9", 2: "H264", 3: "AV1"}
	f.Fuzz(func(t *testing.T, in []byte) {
		a := newAssembler(names)
		now := time.Unix(1000, 0)
		for len(in) >= 4 {
			pt, seq, ts := in[0]&3, uint16(in[1])|uint16(in[0]&0x30)<<8, uint32(in[2]&15)
			n := min(int(in[3]&31), len(in)-4)
			a.put(seq, videoPacket{
				timestamp: ts, payloadType: pt, marker: in[0]&0x40 != 0, payload: in[4 : 4+n], arrived: now,
			})
			in = in[4+n:]
			now = now.Add(time.Duration(seq%50) * time.Millisecond)
			for {
				c, ok, lost := a.pop(now)
				if ok && len(c.data) == 0 {
					t.Fatal("an empty picture")
				}
				if !ok && !lost {
					break
				}
			}
			if m := a.missing(now, nil); len(m) > assembleSize {
				t.Fatalf("%d packets asked for", len(m))
			}
			if a.next > a.high+1 || a.high-a.next >= assembleSize {
				t.Fatalf("holds from %d to %d", a.next, a.high)
			}
		}
	})
}

// What is missing does not hold up a key frame that is whole.
func TestAssemblerGoesOnWithAWholeKeyFrame(t *testing.T) {
	f := newFeed(t)
	f.whole(true, 3000)
	seq, ps, _ := f.next(false, 3000)
	f.put(seq, ps[0]) // the others are lost
	f.whole(false, 3000)
	f.got, f.want = nil, 0
	key := f.whole(true, 3000)
	after := f.whole(false, 3000)
	if len(f.got) != 2 || !bytes.Equal(f.got[0], key) || !bytes.Equal(f.got[1], after) {
		t.Errorf("%d pictures come at once, want the key frame and the one after it", len(f.got))
	}
	if f.want != 0 {
		t.Error("another key frame is asked for")
	}
	for i := range ps { // what comes after all is of no use
		f.put(seq+uint16(i), ps[i])
	}
	f.pop()
	if next := f.whole(false, 3000); len(f.got) != 3 || !bytes.Equal(f.got[2], next) {
		t.Error("it does not go on")
	}
}

// A slice of H264 is no whole key frame while the parameter sets before it may
// still come, and is one when it is known to be the first of its picture.
func TestAssemblerWaitsForParameterSets(t *testing.T) {
	sps, pps, idr, slice := []byte{0x67, 1}, []byte{0x68, 1}, []byte{0x65, 0x88}, []byte{0x41, 0x9a}
	for _, tt := range []struct {
		name    string
		packets [][]byte // of the key frame; nil is lost
		once    bool     // it is shown at once
	}{
		{"all there", [][]byte{sps, pps, idr}, true},
		{"one is missing", [][]byte{sps, nil, idr}, false},
		{"the first is missing", [][]byte{nil, pps, idr}, false},
		{"nothing but a slice", [][]byte{idr}, false}, // what is lost before it may be its own
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeed(t)
			f.a = newAssembler(map[uint8]string{96: "H264"})
			put := func(marker bool, packets ...[]byte) {
				for i, b := range packets {
					if b != nil {
						f.put(f.seq, videoPacket{timestamp: f.ts, payloadType: 96, marker: marker && i == len(packets)-1, payload: b})
					}
					f.seq++
				}
				f.ts += 3000
				f.pop()
			}
			put(true, sps, pps, idr)
			put(true, slice)
			if len(f.got) != 2 {
				t.Fatalf("%d pictures before, want 2", len(f.got))
			}
			put(true, nil)
			put(true, tt.packets...)
			if got := len(f.got) > 2; got != tt.once {
				t.Fatalf("it is shown at once: %v, want %v", got, tt.once)
			}
			f.now = f.now.Add(time.Second)
			f.pop() // nothing more will come
			f.now = f.now.Add(time.Second)
			f.pop()
			if tt.name == "nothing but a slice" && len(f.got) != 3 {
				t.Errorf("%d pictures in the end, want 3", len(f.got))
			}
		})
	}
}

// What a hostile peer sends costs little, however often it is looked at.
func TestAssemblerLooksForKeyFramesInTime(t *testing.T) {
	a := newAssembler(map[uint8]string{96: "VP8"})
	ps, _ := picture(true, 0, 1, 100)
	for n := range assembleSize - 1 {
		p := ps[0]
		p.marker = false // all are the first of one key frame, which never ends
		if n != 1 {
			a.put(uint16(n), p)
		}
	}
	began := time.Now()
	for range 2000 {
		if a.wholeKeyFrom(a.next + 1) {
			t.Fatal("it is whole")
		}
	}
	if took := time.Since(began); took > 4*time.Second { // 20 ms; 6 s if each packet is looked at by each
		t.Errorf("to look 2000 times took %v", took)
	}
}
