package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"time"
)

// wav makes a WAV file of one second of a 440 Hz tone in every channel.
func wav(kind uint16, rate, channels, bits int, extra []byte) []byte {
	var data []byte
	for i := range rate {
		v := 0.5 * math.Sin(2*math.Pi*440*float64(i)/float64(rate))
		for range channels {
			switch {
			case kind == wavFloat:
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
			case bits == 8:
				data = append(data, byte(128+v*127))
			case bits == 16:
				data = binary.LittleEndian.AppendUint16(data, uint16(int16(v*32767)))
			case bits == 24:
				n := int32(v * (1<<23 - 1))
				data = append(data, byte(n), byte(n>>8), byte(n>>16))
			case bits == 32:
				data = binary.LittleEndian.AppendUint32(data, uint32(int32(v*math.MaxInt32)))
			}
		}
	}
	format := binary.LittleEndian.AppendUint16(nil, kind)
	format = binary.LittleEndian.AppendUint16(format, uint16(channels))
	format = binary.LittleEndian.AppendUint32(format, uint32(rate))
	format = binary.LittleEndian.AppendUint32(format, uint32(rate*channels*bits/8))
	format = binary.LittleEndian.AppendUint16(format, uint16(channels*bits/8))
	format = binary.LittleEndian.AppendUint16(format, uint16(bits))
	format = append(format, extra...)
	chunk := func(name string, b []byte) []byte {
		c := append([]byte(name), 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(c[4:], uint32(len(b)))
		c = append(c, b...)
		if len(b)%2 == 1 {
			c = append(c, 0)
		}
		return c
	}
	body := append([]byte("WAVE"), chunk("fmt ", format)...)
	body = append(body, chunk("LIST", []byte("odd"))...)
	body = append(body, chunk("data", data)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func readAll(b []byte) ([]int16, error) {
	r, err := NewFileReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []int16
	buf := make([]int16, 1000)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, err
		}
	}
}

func TestWAVFormats(t *testing.T) {
	extensible := append([]byte{22, 0, 16, 0, 0, 0, 0, 0, 1, 0}, make([]byte, 14)...)
	for _, test := range []struct {
		name                 string
		kind                 uint16
		rate, channels, bits int
		extra                []byte
	}{
		{"8 bit", wavPCM, 8000, 1, 8, nil},
		{"CD", wavPCM, 44100, 2, 16, nil},
		{"studio", wavPCM, 96000, 2, 24, nil},
		{"32 bit", wavPCM, 48000, 1, 32, nil},
		{"float", wavFloat, 22050, 6, 32, []byte{0, 0}},
		{"extensible", wavExtensible, 16000, 1, 16, extensible},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := readAll(wav(test.kind, test.rate, test.channels, test.bits, test.extra))
			if err != nil {
				t.Fatal(err)
			}
			if len(out) < SampleRate-50 || len(out) > SampleRate+50 {
				t.Errorf("%d samples, want one second", len(out))
			}
			if l := ToneLevel(out[1000:len(out)-1000], 440); math.Abs(l - -9) > 0.2 {
				t.Errorf("tone at %.1f dBFS, want -9", l)
			}
		})
	}
	good := wav(wavPCM, 8000, 1, 16, nil)
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("hello, this is text"), "no data": good[:44], "cut in the format": good[:30],
		"AVI": append([]byte("RIFF\x00\x00\x00\x00AVI "), good[12:]...), "A-law": wav(6, 8000, 1, 8, nil),
		"0 channels": wav(wavPCM, 8000, 0, 16, nil), "0 Hz": wav(wavPCM, 0, 1, 16, nil), "12 bit": wav(wavPCM, 8000, 1, 12, nil),
	} {
		if _, err := readAll(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error = %v, want %v", name, err, ErrFormat)
		}
	}
	// A program that was killed left the size open.
	open := bytes.Clone(good)
	i := bytes.Index(open, []byte("data"))
	copy(open[i+4:], []byte{0xff, 0xff, 0xff, 0xff})
	if out, err := readAll(open); err != nil || len(out) < SampleRate-50 {
		t.Errorf("unknown size: %d samples, %v", len(out), err)
	}
}

// oggFile is a short Ogg Opus file.
func oggFile(t testing.TB) []byte {
	var b bytes.Buffer
	w, err := NewOggWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record(tone(), 60)), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOggDamage(t *testing.T) {
	whole := oggFile(t)
	out, err := readAll(whole)
	if err != nil || len(out) != 60*FrameSize {
		t.Fatalf("whole file: %d samples, %v, want %d", len(out), err, 60*FrameSize)
	}
	if out, err = readAll(append(bytes.Clone(whole), whole...)); err != nil || len(out) != 120*FrameSize {
		t.Errorf("two chained: %d samples, %v, want %d", len(out), err, 120*FrameSize)
	}
	if out, err = readAll(whole[:len(whole)-100]); err != nil || len(out) < 20*FrameSize {
		t.Errorf("cut off: %d samples, %v", len(out), err)
	}
	bad := bytes.Clone(whole)
	bad[len(bad)/2] ^= 1 // one page has a wrong checksum and is skipped
	if out, err = readAll(bad); err != nil || len(out) < 20*FrameSize || len(out) >= 60*FrameSize {
		t.Errorf("one bit wrong: %d samples, %v", len(out), err)
	}
	if _, err = readAll(bytes.Replace(whole, []byte("OpusHead"), []byte("vorbis!!"), 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("not Opus: %v, want %v", err, ErrFormat)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add(oggFile(f))
	f.Add(oggFile(f)[:500])
	for _, w := range [][]byte{wav(wavPCM, 8000, 1, 8, nil), wav(wavFloat, 1000, 2, 32, nil), wav(wavPCM, 44100, 1, 24, nil)[:4000]} {
		f.Add(w[:min(len(w), 4000)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewFileReader(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error = %v, want %v", err, ErrFormat)
			}
			return
		}
		defer r.Close()
		buf := make([]int16, 4096)
		total := 0
		for {
			n, err := r.Read(buf)
			if total += n; total > 1<<22 || err != nil {
				return
			}
			if n == 0 {
				t.Fatal("nothing, and no error")
			}
		}
	})
}

// FuzzOggPackets checks that what goes into pages comes out of them.
func FuzzOggPackets(f *testing.F) {
	f.Add([]byte("OpusHead"), uint16(255), uint8(3))
	f.Add(bytes.Repeat([]byte{1}, 600), uint16(510), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, size uint16, every uint8) {
		var b bytes.Buffer
		p := oggPager{w: &b, serial: 7}
		var want [][]byte
		n := int(size)%2000 + 1
		for i := 0; len(data) > 0; i++ {
			k := min(n, len(data))
			want = append(want, data[:k])
			if err := p.add(data[:k], int64(i)); err != nil {
				t.Fatal(err)
			}
			data = data[k:]
			if every > 0 && i%int(every) == 0 {
				if err := p.flush(false); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.flush(true); err != nil {
			t.Fatal(err)
		}
		r := oggReader{r: &b}
		for i, w := range want {
			got, err := r.packet()
			if err != nil || !bytes.Equal(got.data, w) {
				t.Fatalf("packet %d of %d = %d bytes, %v, want %d", i, len(want), len(got.data), err, len(w))
			}
		}
		if got, err := r.packet(); err != io.EOF {
			t.Fatalf("after the last packet = %v, %v", got, err)
		}
	})
}

func FuzzJitterBuffer(f *testing.F) {
	opus, _ := FindCodec("opus", 48000, 2)
	pcmu, _ := FindCodec("PCMU", 8000, 1)
	_, payloads := through(f, opus, EncoderOptions{Loss: 10}, record(NewSpeech(1), 20))
	f.Add([]byte{1, 1, 0, 2, 0, 1, 1, 0, 2, 0, 0x81, 1, 0, 2, 5, 1, 1, 0, 2, 0})
	f.Add(bytes.Repeat([]byte{1, 1, 0, 2, 0}, 40))
	f.Add(bytes.Repeat([]byte{2, 1, 0, 2, 0, 1, 0xff, 0xff, 3, 0}, 20))
	f.Add([]byte{0x10, 200, 100, 50, 25, 0x3f, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, ops []byte) {
		b := NewJitterBuffer(JitterConfig{Decoders: map[uint8]Codec{opusType: opus, pcmuType: pcmu}})
		defer b.Close()
		now := time.Unix(1e9, 0)
		p := Packet{SSRC: 1, PayloadType: opusType}
		var got, voiced uint64
		// Each five bytes are an operation: what, by how much the sequence
		// number, the timestamp and the time go on.
		for ; len(ops) >= 5; ops = ops[5:] {
			p.Sequence += uint16(int16(int8(ops[1])))
			p.Timestamp += uint32(int32(int8(ops[2]))*480 + int32(ops[1])*960)
			now = now.Add(time.Duration(int8(ops[3])) * 10 * time.Millisecond)
			switch what := ops[0]; {
			case what < 0x80:
				p.PayloadType = []uint8{opusType, opusType, opusType, pcmuType, 101}[what%5]
				p.SSRC = 1 + uint32(what>>6)
				p.Payload = payloads[int(ops[4])%len(payloads)]
				if ops[4] > 200 {
					p.Payload = ops[:min(len(ops), int(ops[4]))]
				}
				if what&0x20 != 0 {
					p.Timestamp ^= uint32(ops[4]) << 24
				}
				b.Put(p, now)
			default:
				f := make(Frame, HalfFrame*(1+int(what)%6))
				if b.Get(f, now) {
					voiced += uint64(len(f))
				}
				got += uint64(len(f))
			}
			st := b.Stats()
			if st.Samples != got {
				t.Fatalf("%d samples given, %d counted", got, st.Samples)
			}
			if st.Target < 10*time.Millisecond || st.Target > 400*time.Millisecond {
				t.Fatalf("target = %v", st.Target)
			}
			if n := len(b.queue); n > maxQueue {
				t.Fatalf("%d packets in the queue", n)
			}
			if n := len(b.pcm); n > 10*SampleRate/25 {
				t.Fatalf("%d samples decoded and not given out", n)
			}
			if n := len(b.spare); n > maxQueue {
				t.Fatalf("%d spare buffers", n)
			}
		}
	})
}

func TestKeyEvents(t *testing.T) {
	for i, key := range dtmfKeys {
		e, err := KeyEvent(key)
		if err != nil || int(e.Code) != i || e.Key() != key {
			t.Errorf("event of %q = %+v, %v", key, e, err)
		}
		g, err := NewKeyTone(key)
		if err != nil {
			t.Fatal(err)
		}
		f := record(g, 2)
		if got := FindKey(f); got != key {
			t.Errorf("the tone of %q is taken for %q", key, got)
		}
	}
	for _, key := range []rune{'x', 0, 'e', ' '} {
		if _, err := KeyEvent(key); err == nil {
			t.Errorf("%q has an event", key)
		}
	}
	if e, err := KeyEvent('b'); err != nil || e.Key() != 'B' {
		t.Errorf("event of b = %+v, %v", e, err)
	}
	for name, f := range map[string]Frame{"silence": make(Frame, 1920), "a sine": record(&Tone{Hz: 770}, 2), "speech": record(NewSpeech(1), 2)} {
		if k := FindKey(f); k != 0 {
			t.Errorf("%s is taken for %q", name, k)
		}
	}
	if got, want := (Event{Code: 11, End: true, Volume: 10, Duration: 800}).Append(nil), []byte{11, 0x8a, 3, 0x20}; !bytes.Equal(got, want) {
		t.Errorf("payload = %x, want %x", got, want)
	}
}

func TestPressKey(t *testing.T) {
	packets, err := PressKey('5', 100*time.Millisecond, 8000)
	if err != nil {
		t.Fatal(err)
	}
	if len(packets) != 7 {
		t.Fatalf("%d packets, want 5 and two repeated", len(packets))
	}
	var r EventReader
	var keys []rune
	for i, p := range packets {
		if want := min(uint16(i+1), 5) * 160; p.Duration != want || p.End != (i >= 4) || p.Marker != (i == 0) || p.Offset != time.Duration(i+1)*20*time.Millisecond {
			t.Errorf("packet %d = %+v", i, p)
		}
		if i == 1 || i == 6 { // lost
			continue
		}
		if k, ok := r.Receive(p.Append(nil), 1000); ok {
			keys = append(keys, k)
		}
	}
	for _, again := range []struct {
		key rune
		ts  uint32
	}{{'5', 3000}, {'5', 1000}, {'#', 5000}} {
		e, _ := KeyEvent(again.key)
		if k, ok := r.Receive(e.Append(nil), again.ts); ok {
			keys = append(keys, k)
		}
	}
	if string(keys) != "55#" {
		t.Errorf("keys = %q, want 5 twice and #", string(keys))
	}
	for _, hold := range []time.Duration{0, 10 * time.Millisecond, 2 * time.Second} {
		if _, err := PressKey('1', hold, 48000); !errors.Is(err, ErrKeyTime) {
			t.Errorf("pressed for %v: %v, want %v", hold, err, ErrKeyTime)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte{1, 0x8a, 3, 0x20})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvent(b)
		if err != nil {
			return
		}
		again, err := ParseEvent(e.Append(nil))
		if err != nil || again != e {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
		var r EventReader
		if k, ok := r.Receive(b, 1); ok != (k != 0) {
			t.Fatalf("key %q, %v", k, ok)
		}
	})
}
