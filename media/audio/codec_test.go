package audio

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// through encodes and decodes all of pcm and returns the payloads, too.
func through(t testing.TB, c Codec, o EncoderOptions, pcm []int16) (out []int16, payloads [][]byte) {
	t.Helper()
	enc, err := c.NewEncoder(o)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	dec, err := c.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for ; len(pcm) >= FrameSize; pcm = pcm[FrameSize:] {
		p, err := enc.Encode(nil, pcm[:FrameSize])
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
		var f Frame
		if len(p) == 0 {
			f, err = dec.Conceal(nil, FrameSize)
		} else {
			if n, err := dec.Samples(p); n != FrameSize {
				t.Fatalf("samples = %d, %v, want %d", n, err, FrameSize)
			}
			f, err = dec.Decode(nil, p)
		}
		if err != nil || len(f) != FrameSize {
			t.Fatalf("decode = %d samples, %v", len(f), err)
		}
		out = append(out, f...)
	}
	return out, payloads
}

func total(payloads [][]byte) (bytes, sent int) {
	for _, p := range payloads {
		bytes += len(p)
		if len(p) > 0 {
			sent++
		}
	}
	return bytes, sent
}

func TestCodecsKeepSpeech(t *testing.T) {
	t.Logf("Opus is %s", OpusImplementation)
	seconds := 5
	if slow {
		seconds = 2
	}
	said := record(NewSpeech(1), 50*seconds)
	for _, c := range Codecs() {
		out, payloads := through(t, c, EncoderOptions{}, said)
		l := Compare(said, out, 100*time.Millisecond)
		n, _ := total(payloads)
		t.Logf("%s: likeness %.3f, delay %v, %d bit/s", c.Name, l.Score, l.Delay, n*8/seconds)
		if l.Score < 0.95 || l.Delay < 0 || l.Delay > 20*time.Millisecond {
			t.Errorf("%s: likeness = %+v", c.Name, l)
		}
		before, after := Measure(said), Measure(out)
		if math.Abs(before.RMS-after.RMS) > 1.5 {
			t.Errorf("%s: level %.1f became %.1f", c.Name, before.RMS, after.RMS)
		}
	}
}

func TestCodecTonesKeepLevel(t *testing.T) {
	for _, c := range Codecs() {
		for _, hz := range []float64{200, 440, 1000, 3000} {
			out, _ := through(t, c, EncoderOptions{}, record(&Tone{Hz: hz}, 50))
			if got := ToneLevel(out[SampleRate/2:], hz); math.Abs(got - -9) > 1 {
				t.Errorf("%s: %v Hz at %.1f dBFS, want -9", c.Name, hz, got)
			}
		}
	}
}

func TestOpusOptions(t *testing.T) {
	if slow {
		t.Skip("takes too long with the race detector")
	}
	opus, _ := FindCodec("OPUS", 48000, 2)
	said := record(&half{Generator: NewSpeech(1)}, 300)
	rate := func(o EncoderOptions) int {
		_, payloads := through(t, opus, o, said)
		n, _ := total(payloads)
		return n * 8 / 6
	}
	low, high := rate(EncoderOptions{Bitrate: 12000}), rate(EncoderOptions{Bitrate: 60000})
	if low > 15000 || high < 2*low {
		t.Errorf("rates for 12 and 60 kbit/s: %d and %d", low, high)
	}
	_, payloads := through(t, opus, EncoderOptions{CBR: true}, said)
	for _, p := range payloads[1:] {
		if len(p) != len(payloads[0]) {
			t.Fatalf("CBR packets of %d and %d bytes", len(payloads[0]), len(p))
		}
	}
	if n := len(payloads[0]); n != 80 {
		t.Errorf("CBR packet of %d bytes, want 80", n)
	}
	heard, payloads := through(t, opus, EncoderOptions{DTX: true}, said)
	if _, sent := total(payloads); sent > 230 || sent < 150 {
		t.Errorf("DTX sent %d of 300 packets, half of them silence", sent)
	}
	if l := Compare(said, heard, 100*time.Millisecond); l.Score < 0.9 {
		t.Errorf("likeness with DTX = %+v", l)
	}
	_, payloads = through(t, opus, EncoderOptions{}, said)
	if _, sent := total(payloads); sent != 300 {
		t.Errorf("%d of 300 packets sent without DTX", sent)
	}

	enc, err := opus.NewEncoder(EncoderOptions{Bitrate: 1, Complexity: 99, Loss: -5})
	if err != nil {
		t.Fatalf("options out of range: %v", err)
	}
	defer enc.Close()
	enc.SetBitrate(1 << 30)
	enc.SetLoss(1000)
	if _, err := enc.Encode(nil, make(Frame, 480)); !errors.Is(err, ErrFrameSize) {
		t.Errorf("encode of 480 samples = %v, want %v", err, ErrFrameSize)
	}
}

// With loss expected, packets carry the one before; the decoder gets it back.
func TestOpusFEC(t *testing.T) {
	if slow {
		t.Skip("takes too long with the race detector")
	}
	opus, _ := FindCodec("opus", 48000, 2)
	said := record(NewSpeech(1), 150)
	count := func(o EncoderOptions) (n int) {
		_, payloads := through(t, opus, o, said)
		for _, p := range payloads {
			if opusHasFEC(p) {
				n++
			}
		}
		return n
	}
	if n := count(EncoderOptions{Loss: 10}); n < 100 {
		t.Errorf("%d of 150 packets with FEC, want most", n)
	}
	if n := count(EncoderOptions{NoFEC: true, Loss: 10}); n != 0 {
		t.Errorf("%d packets with FEC although there should be none", n)
	}

	_, payloads := through(t, opus, EncoderOptions{Loss: 10}, said)
	dec, _ := opus.NewDecoder()
	defer dec.Close()
	var out Frame
	for i, p := range payloads {
		var err error
		if i%5 == 4 && i+1 < len(payloads) {
			var ok bool
			if out, ok = dec.DecodeFEC(out, payloads[i+1], FrameSize); ok {
				continue
			}
			out, err = dec.Conceal(out, FrameSize)
		} else {
			out, err = dec.Decode(out, p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != len(said) {
		t.Fatalf("%d samples, want %d", len(out), len(said))
	}
	if l := Compare(said, out, 100*time.Millisecond); l.Score < 0.93 {
		t.Errorf("likeness with 20 %% lost = %+v", l)
	}
	for _, n := range []int{-1, 0, 1, 480, 961, maxOpusSamples + 1} {
		if f, ok := dec.DecodeFEC(nil, payloads[20], n); ok || len(f) != 0 {
			t.Errorf("FEC of %d samples = %d samples, %v", n, len(f), ok)
		}
	}
}

// The reference decoder understands what we write, and we understand what the
// reference encoder writes.
func TestOpusAgreesWithOpusTools(t *testing.T) {
	if slow {
		t.Skip("takes too long with the race detector")
	}
	for _, tool := range []string{"opusdec", "opusenc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: apt install opus-tools", tool)
		}
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	said := record(NewSpeech(4), 200)
	write := func(name string) {
		t.Helper()
		s, err := createFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.write(said), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []int16 {
		t.Helper()
		s, err := openFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out := make([]int16, 2*len(said))
		f := s.(*pacedSource)
		n := 0
		for f.fill(out[n:n+FrameSize]) == nil {
			n += FrameSize
		}
		return out[:n]
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	write("ours.opus")
	run("opusdec", "--quiet", "--rate", "48000", path("ours.opus"), path("theirs.wav"))
	theirs, ours := read("theirs.wav"), read("ours.opus")
	if snr := signalToNoise(theirs, ours); snr < 40 {
		t.Errorf("opusdec and we decode our file differently: SNR %.1f dB", snr)
	} else {
		t.Logf("our file by opusdec and by us: SNR %.1f dB", snr)
	}
	if n := len(theirs) / FrameSize; n != 200 {
		t.Errorf("opusdec finds %d frames, want 200: pre-skip and end are wrong", n)
	}
	write("said.wav")
	for _, args := range []string{"--bitrate 24", "--bitrate 64 --framesize 60", "--bitrate 96 --framesize 10 --music", "--hard-cbr --bitrate 16 --framesize 40"} {
		run("opusenc", append(strings.Fields("--quiet "+args), path("said.wav"), path("file.opus"))...)
		run("opusdec", "--quiet", "--rate", "48000", path("file.opus"), path("file.wav"))
		if snr := signalToNoise(read("file.wav"), read("file.opus")); snr < 40 {
			t.Errorf("opusenc %s: SNR of opusdec and us %.1f dB", args, snr)
		}
	}
}

// Whatever a call does to the encoder, it stays out of the mode that the pure Go
// decoder has a defect in: see maxBitrate. So the reference decoder agrees.
func TestOpusControlChanges(t *testing.T) {
	opus, _ := FindCodec("opus", 48000, 2)
	rnd := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	opusdec, _ := exec.LookPath("opusdec")
	trials, frames := 6, 300
	if slow {
		trials, frames = 2, 30
	}
	for trial := range trials {
		o := EncoderOptions{DTX: trial%2 == 0, NoFEC: trial%3 == 0, Complexity: 1 + rnd.IntN(10)}
		enc, err := opus.NewEncoder(o)
		if err != nil {
			t.Fatal(err)
		}
		dec, _ := opus.NewDecoder()
		voice := &half{Generator: NewSpeech(uint32(trial))}
		var ogg bytes.Buffer
		pager := oggPager{w: &ogg}
		head := append([]byte("OpusHead"), 1, 1, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0)
		if err := errors.Join(pager.add(head, 0), pager.flush(false), pager.add([]byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00"), 0), pager.flush(false)); err != nil {
			t.Fatal(err)
		}
		var ours Frame
		for range frames {
			if rnd.IntN(10) == 0 {
				enc.SetBitrate(rnd.IntN(150000))
			}
			if rnd.IntN(10) == 0 {
				enc.SetLoss(rnd.IntN(60))
			}
			f := make(Frame, FrameSize)
			voice.Fill(f)
			p, err := enc.Encode(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			if len(p) == 0 {
				continue
			}
			if p[0]>>3 >= 16 {
				t.Fatalf("the encoder went to CELT, config %d", p[0]>>3)
			}
			if ours, err = dec.Decode(ours, p); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(pager.add(p, int64(len(ours))), pager.flush(false)); err != nil {
				t.Fatal(err)
			}
		}
		enc.Close()
		dec.Close()
		if opusdec == "" {
			continue
		}
		in, out := filepath.Join(dir, "in.opus"), filepath.Join(dir, "out.wav")
		if err := errors.Join(pager.flush(true), os.WriteFile(in, ogg.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		if msg, err := exec.Command(opusdec, "--quiet", "--rate", "48000", in, out).CombinedOutput(); err != nil {
			t.Fatalf("opusdec: %v\n%s", err, msg)
		}
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewFileReader(f)
		if err != nil {
			t.Fatal(err)
		}
		theirs := make(Frame, len(ours))
		n, _ := r.Read(theirs)
		f.Close()
		if snr := signalToNoise(theirs[:n], ours); snr < 35 || n != len(ours) {
			t.Errorf("trial %d: opusdec gives %d samples, we %d; SNR %.1f dB", trial, n, len(ours), snr)
		} else {
			t.Logf("trial %d: SNR of opusdec and us %.1f dB", trial, snr)
		}
	}
}

// signalToNoise is how much more of a there is than of the difference of a and b, in dB.
func signalToNoise(a, b []int16) float64 {
	var signal, noise float64
	for i := range min(len(a), len(b)) {
		d := float64(a[i]) - float64(b[i])
		signal += float64(a[i]) * float64(a[i])
		noise += d * d
	}
	return 10 * math.Log10(signal/max(noise, 1))
}

func TestEncoderOptionsWith(t *testing.T) {
	for _, test := range []struct {
		name   string
		params []Parameter
		want   EncoderOptions
	}{
		{"nothing said", nil, EncoderOptions{NoFEC: true}},
		{"Dino", []Parameter{{"useinbandfec", "1"}}, EncoderOptions{}},
		{"all", []Parameter{{"maxaveragebitrate", "20000"}, {"useinbandfec", "1"}, {"usedtx", "1"}, {"cbr", "1"}},
			EncoderOptions{Bitrate: 20000, DTX: true, CBR: true}},
		{"more than we want", []Parameter{{"maxaveragebitrate", "510000"}, {"useinbandfec", "0"}}, EncoderOptions{Bitrate: 32000, NoFEC: true}},
		{"nonsense", []Parameter{{"maxaveragebitrate", "-1"}, {"useinbandfec", "yes"}, {"", ""}}, EncoderOptions{NoFEC: true}},
	} {
		if got := (EncoderOptions{}).With(test.params); got != test.want {
			t.Errorf("%s: options = %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestFindCodec(t *testing.T) {
	for _, test := range []struct {
		name     string
		rate     uint32
		channels uint8
		found    bool
	}{
		{"opus", 48000, 2, true}, {"Opus", 48000, 2, true}, {"opus", 48000, 1, false}, {"opus", 8000, 2, false},
		{"PCMU", 8000, 0, true}, {"pcma", 8000, 1, true}, {"G722", 8000, 1, false}, {"", 0, 0, false},
	} {
		if _, ok := FindCodec(test.name, test.rate, test.channels); ok != test.found {
			t.Errorf("FindCodec(%q, %d, %d) = %v, want %v", test.name, test.rate, test.channels, ok, test.found)
		}
	}
	if _, err := (Codec{Name: "speex", ClockRate: 8000}).NewEncoder(EncoderOptions{}); !errors.Is(err, ErrUnknownCodec) {
		t.Errorf("encoder of speex = %v", err)
	}
	if _, err := (Codec{}).NewDecoder(); !errors.Is(err, ErrUnknownCodec) {
		t.Errorf("decoder of nothing = %v", err)
	}
	if c, _ := FindCodec("opus", 48000, 2); c.Fmtp() != "minptime=10;useinbandfec=1" || c.TimestampStep() != 960 {
		t.Errorf("opus: %q, %d", c.Fmtp(), c.TimestampStep())
	}
}

// Values of ITU-T G.711 table 2a and 2b, and that every code is its own inverse.
func TestG711(t *testing.T) {
	for _, test := range []struct {
		law  *law
		code byte
		want int16
	}{
		{muLaw, 0x80, 32124}, {muLaw, 0x00, -32124}, {muLaw, 0xff, 0}, {muLaw, 0x7f, 0}, {muLaw, 0xf0, 120}, {muLaw, 0xef, 132},
		{aLaw, 0xaa, 32256}, {aLaw, 0x2a, -32256}, {aLaw, 0xd5, 8}, {aLaw, 0x55, -8}, {aLaw, 0xc5, 264},
	} {
		if got := test.law.decode[test.code]; got != test.want {
			t.Errorf("decode %#x = %d, want %d", test.code, got, test.want)
		}
	}
	for name, l := range map[string]*law{"mu": muLaw, "A": aLaw} {
		for i := range 256 {
			v := l.decode[i]
			if got := l.decode[l.encode(v)]; got != v {
				t.Errorf("%s-law: %d became %d", name, v, got)
			}
		}
		worst := 0.0
		for v := -32768; v <= 32767; v++ {
			d := math.Abs(float64(l.decode[l.encode(int16(v))]) - float64(v))
			worst = max(worst, d/max(math.Abs(float64(v)), 256))
		}
		if worst > 0.045 { // half a step at the beginning of a segment
			t.Errorf("%s-law: relative error %.3f", name, worst)
		}
		if l.decode[l.silence] > 8 {
			t.Errorf("%s-law: silence is %d", name, l.decode[l.silence])
		}
	}
}

// A lost packet of a tone is hidden.
func TestG711Concealment(t *testing.T) {
	c, _ := FindCodec("PCMU", 8000, 1)
	said := record(tone(), 20)
	_, payloads := through(t, c, EncoderOptions{}, said)
	dec, _ := c.NewDecoder()
	var out Frame
	for i, p := range payloads {
		if i == 10 {
			out, _ = dec.Conceal(out, FrameSize)
		} else {
			out, _ = dec.Decode(out, p)
		}
	}
	for i := 3; i < 19; i++ {
		if l := ToneLevel(out[i*FrameSize:(i+1)*FrameSize], 440); math.Abs(l - -9) > 2.5 {
			t.Errorf("frame %d at %.1f dBFS", i, l)
		}
	}
	silent, _ := dec.Conceal(nil, 5*FrameSize)
	if l := Measure(silent[4*FrameSize:]); l.Peak != MinLevel {
		t.Errorf("level after 80 ms of concealment = %+v, want silence", l)
	}
}

func TestOpusPacketLayout(t *testing.T) {
	for _, test := range []struct {
		packet []byte
		want   int // 0 for an error
	}{
		{nil, 0}, {[]byte{15 << 3}, 960}, {[]byte{31 << 3}, 960}, {[]byte{16 << 3}, 120}, {[]byte{3 << 3}, 2880},
		{[]byte{31<<3 | 1, 0}, 1920}, {[]byte{31<<3 | 3}, 0}, {[]byte{31<<3 | 3, 0}, 0}, {[]byte{31<<3 | 3, 6}, 5760},
		{[]byte{31<<3 | 3, 7}, 0}, {[]byte{16<<3 | 3, 48}, 5760}, {[]byte{3<<3 | 1, 0, 0}, 5760}, {make([]byte, maxOpusPayload+1), 0},
	} {
		got, err := opusSamples(test.packet)
		if got != test.want || (err != nil) != (test.want == 0) || err != nil && !errors.Is(err, ErrPayload) {
			t.Errorf("samples of %x = %d, %v, want %d", test.packet[:min(len(test.packet), 4)], got, err, test.want)
		}
	}
}

func FuzzDecoders(f *testing.F) {
	said := record(NewSpeech(1), 10)
	for _, c := range Codecs() {
		_, payloads := through(f, c, EncoderOptions{Loss: 10}, said)
		f.Add(c.Name, bytes.Join(payloads[4:6], nil))
		f.Add(c.Name, payloads[7])
	}
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		i := slices.IndexFunc(Codecs(), func(c Codec) bool { return c.Name == name })
		if i < 0 {
			i = 0
		}
		dec, err := Codecs()[i].NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		n, err := dec.Samples(payload)
		if err != nil {
			n = 0
		}
		for range 2 {
			f, derr := dec.Decode(nil, payload)
			if derr == nil && (err != nil || len(f) != n) {
				t.Fatalf("%d samples, foretold were %d, %v", len(f), n, err)
			}
			if derr != nil && len(f) != 0 {
				t.Fatalf("%d samples with %v", len(f), derr)
			}
			if f, ok := dec.DecodeFEC(nil, payload, FrameSize); ok && len(f) != FrameSize || !ok && len(f) != 0 {
				t.Fatalf("FEC gave %d samples, %v", len(f), ok)
			}
			if f, err := dec.Conceal(nil, HalfFrame); err != nil || len(f) != HalfFrame {
				t.Fatalf("conceal gave %d samples, %v", len(f), err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range Codecs() {
		for _, complexity := range []int{5, 9} {
			for _, loss := range []int{0, 10} {
				if c.Name != "opus" && (complexity != 9 || loss != 0) {
					continue
				}
				b.Run(fmt.Sprintf("%s/complexity=%d/loss=%d", c.Name, complexity, loss), func(b *testing.B) {
					enc, err := c.NewEncoder(EncoderOptions{Complexity: complexity, Loss: loss})
					if err != nil {
						b.Fatal(err)
					}
					defer enc.Close()
					said := record(NewSpeech(1), 100)
					var p []byte
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						at := i % 100 * FrameSize
						if p, err = enc.Encode(p[:0], said[at:at+FrameSize]); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/20000*100, "%core")
				})
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range Codecs() {
		b.Run(c.Name, func(b *testing.B) {
			_, payloads := through(b, c, EncoderOptions{}, record(NewSpeech(1), 100))
			dec, err := c.NewDecoder()
			if err != nil {
				b.Fatal(err)
			}
			defer dec.Close()
			var f Frame
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if f, err = dec.Decode(f[:0], payloads[i%100]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResample(b *testing.B) {
	for _, r := range [][2]int{{48000, 8000}, {8000, 48000}, {44100, 48000}} {
		b.Run(fmt.Sprintf("%d-%d", r[0], r[1]), func(b *testing.B) {
			rs := NewResampler(r[0], r[1])
			in := record(NewSpeech(1), 1)[:r[0]/50]
			var out []int16
			b.ReportAllocs()
			for b.Loop() {
				out = rs.Process(out[:0], in)
			}
		})
	}
}
