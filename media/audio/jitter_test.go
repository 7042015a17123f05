package audio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A simulation sends sound through an imagined network into a JitterBuffer and
// records what comes out.
type simulation struct {
	codec   string
	seconds float64
	sound   Generator
	options EncoderOptions
	// network says when packet i, sent at the given time, arrives; none means
	// it is lost, more than one that it is duplicated.
	network func(i int, sent time.Duration) []time.Duration
	skew    float64       // of the sender's clock, as 200e-6
	start   time.Duration // of the listener
	step    int           // samples of each Get; default HalfFrame
	burst   int           // Gets at once; default 1
	seq     uint16
	ts      uint32
	change  func(i int, p *Packet) // of what is sent
	config  JitterConfig
}

type result struct {
	heard  []int16
	said   []int16
	voiced []bool          // of each Get
	delay  []time.Duration // at each Get
	stats  JitterStats
}

const (
	opusType = 111
	pcmuType = 0
)

// run plays a simulation. Everything is a matter of arithmetic: there is no clock.
func (sim simulation) run(t testing.TB) result {
	t.Helper()
	if sim.codec == "" {
		sim.codec = "PCMU" // is quick, and what is tested is not the codec
	}
	if slow && sim.codec == "opus" {
		t.Skip("takes too long with the race detector")
	}
	codec, ok := FindCodec(sim.codec, map[string]uint32{"opus": 48000, "PCMU": 8000}[sim.codec], map[string]uint8{"opus": 2, "PCMU": 1}[sim.codec])
	if !ok {
		t.Fatal(sim.codec)
	}
	enc, err := codec.NewEncoder(sim.options)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	type event struct {
		at time.Duration
		p  Packet
	}
	var events []event
	frames := int(sim.seconds * 50)
	var r result
	sent := 0
	for i := range frames {
		f := make(Frame, FrameSize)
		sim.sound.Fill(f)
		r.said = append(r.said, f...)
		payload, err := enc.Encode(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(payload) == 0 {
			continue
		}
		p := Packet{
			SSRC: 1, Sequence: sim.seq + uint16(sent), PayloadType: codec.PayloadType, Payload: payload,
			Timestamp: sim.ts + uint32(i)*codec.TimestampStep(),
		}
		sent++
		if sim.change != nil {
			sim.change(i, &p)
		}
		at := time.Duration(float64(i*20) * (1 - sim.skew) * float64(time.Millisecond))
		arrivals := []time.Duration{at + 10*time.Millisecond}
		if sim.network != nil {
			arrivals = sim.network(i, at)
		}
		for _, a := range arrivals {
			events = append(events, event{a, p})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })

	cfg := sim.config
	if cfg.Decoders == nil {
		cfg.Decoders = map[uint8]Codec{codec.PayloadType: codec}
	}
	b := NewJitterBuffer(cfg)
	defer b.Close()
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if sim.step == 0 {
		sim.step = HalfFrame
	}
	sim.burst = max(sim.burst, 1)
	now := sim.start
	for now < time.Duration(sim.seconds*float64(time.Second)) {
		for len(events) > 0 && events[0].at <= now {
			b.Put(events[0].p, epoch.Add(events[0].at))
			events = events[1:]
		}
		for range sim.burst {
			f := make(Frame, sim.step)
			r.voiced = append(r.voiced, b.Get(f, epoch.Add(now)))
			r.heard = append(r.heard, f...)
			r.delay = append(r.delay, b.Stats().Delay)
		}
		now += Frame(make([]int16, sim.step)).Duration() * time.Duration(sim.burst)
	}
	r.stats = b.Stats()
	return r
}

// gaps is how many of the windows of 10 ms from..to (in seconds) have the tone
// more than 3 dB too low or high.
func (r result) gaps(hz, from, to float64) int {
	n := 0
	pcm := r.heard[int(from*SampleRate):int(to*SampleRate)]
	for len(pcm) >= FrameSize {
		if l := ToneLevel(pcm[:FrameSize], hz); math.Abs(l - -9) > 3 {
			n++
		}
		pcm = pcm[HalfFrame:]
	}
	return n
}

// clicks is how many samples are not what a sine of this level could do.
func (r result) clicks(hz float64) int {
	most := 0.5 * math.MaxInt16 * 2 * math.Pi * hz / SampleRate
	n := 0
	for i := 1; i < len(r.heard); i++ {
		if math.Abs(float64(r.heard[i])-float64(r.heard[i-1])) > 3*most+200 {
			n++
		}
	}
	return n
}

func (r result) log(t *testing.T) {
	t.Helper()
	t.Logf("%+v", r.stats)
}

// ms is a time on the network: a constant and something more.
func after(sent time.Duration, ms float64) []time.Duration {
	return []time.Duration{sent + time.Duration(ms*float64(time.Millisecond))}
}

func tone() *Tone { return &Tone{Hz: 440} }

func TestJitterCleanPath(t *testing.T) {
	for _, codec := range []string{"opus", "PCMU"} {
		t.Run(codec, func(t *testing.T) {
			r := simulation{codec: codec, seconds: 5, sound: tone(), seq: 65500, ts: math.MaxUint32 - 100000}.run(t)
			r.log(t)
			first := slices.Index(r.voiced, true)
			if at := time.Duration(first) * 10 * time.Millisecond; at > 30*time.Millisecond {
				t.Errorf("first sound after %v, want 30 ms: 10 ms of network and 20 of waiting", at)
			}
			for i, d := range r.delay[30:] {
				if d < 14*time.Millisecond || d > 30*time.Millisecond {
					t.Fatalf("delay at %d ms = %v, want 20 ms", i*10, d)
				}
			}
			st := r.stats
			if st.Lost+st.Late+st.Duplicate+st.Discarded+st.Recovered+st.Resets+st.Concealed != 0 {
				t.Error("something is wrong on a clean path")
			}
			if g := r.gaps(440, 0.2, 5); g != 0 {
				t.Errorf("%d gaps", g)
			}
			if c := r.clicks(440); c != 0 {
				t.Errorf("%d clicks", c)
			}
		})
	}
}

func TestJitterGetsInAnyPiece(t *testing.T) {
	for _, sim := range []simulation{
		{step: FrameSize}, {step: MaxFrameSize}, {step: HalfFrame, burst: 2}, {step: HalfFrame, burst: 4},
	} {
		t.Run(fmt.Sprintf("%dx%d", sim.burst, sim.step), func(t *testing.T) {
			sim.seconds, sim.sound = 6, tone()
			r := sim.run(t)
			r.log(t)
			if g := r.gaps(440, 1, 6); g != 0 {
				t.Errorf("%d gaps", g)
			}
			if r.stats.Concealed > SampleRate/20 {
				t.Errorf("%d samples concealed on a clean path", r.stats.Concealed)
			}
		})
	}
}

func TestJitterReorderAndDuplicates(t *testing.T) {
	r := simulation{seconds: 10, sound: tone(), network: func(i int, sent time.Duration) []time.Duration {
		switch {
		case i%10 == 3: // after the one that follows it
			return after(sent, 10+25)
		case i%7 == 2:
			return append(after(sent, 10), after(sent, 12)...)
		}
		return after(sent, 10)
	}}.run(t)
	r.log(t)
	if r.stats.Received != 500 && r.stats.Received != 499 {
		t.Errorf("received %d, want 500", r.stats.Received)
	}
	if r.stats.Duplicate < 60 {
		t.Errorf("%d duplicates, want 71", r.stats.Duplicate)
	}
	if g := r.gaps(440, 1, 9.9); g != 0 {
		t.Errorf("%d gaps", g)
	}
	if r.stats.Late > 3 {
		t.Errorf("%d late", r.stats.Late)
	}
}

func TestJitterLossIsRecoveredByFEC(t *testing.T) {
	lost := 0
	sim := simulation{codec: "opus", seconds: 10, sound: NewSpeech(1), options: EncoderOptions{Loss: 20}}
	sim.network = func(i int, sent time.Duration) []time.Duration {
		if i > 20 && i%6 == 0 {
			lost++
			return nil
		}
		return after(sent, 10)
	}
	r := sim.run(t)
	r.log(t)
	if r.stats.Lost < uint64(lost-2) || r.stats.Lost > uint64(lost) {
		t.Errorf("lost = %d, want %d", r.stats.Lost, lost)
	}
	if float64(r.stats.Recovered) < 0.8*float64(lost) {
		t.Errorf("recovered %d of %d", r.stats.Recovered, lost)
	}
	withFEC := Compare(r.said, r.heard, 200*time.Millisecond)
	sim.sound, sim.options, lost = NewSpeech(1), EncoderOptions{NoFEC: true}, 0
	r = sim.run(t)
	r.log(t)
	without := Compare(r.said, r.heard, 200*time.Millisecond)
	t.Logf("likeness with FEC %.3f, without %.3f", withFEC.Score, without.Score)
	if r.stats.Recovered != 0 || r.stats.Concealed < uint64(lost-2)*FrameSize {
		t.Errorf("without FEC: %d recovered, %d concealed", r.stats.Recovered, r.stats.Concealed)
	}
	if withFEC.Score < 0.95 || withFEC.Score <= without.Score {
		t.Errorf("likeness with FEC %.3f, without %.3f", withFEC.Score, without.Score)
	}
}

func TestJitterLossBurst(t *testing.T) {
	for _, codec := range []string{"opus", "PCMU"} {
		t.Run(codec, func(t *testing.T) {
			r := simulation{codec: codec, seconds: 8, sound: tone(), network: func(i int, sent time.Duration) []time.Duration {
				if i >= 100 && i < 104 || i >= 200 && i < 250 {
					return nil
				}
				return after(sent, 10)
			}}.run(t)
			r.log(t)
			if r.stats.Lost != 54 {
				t.Errorf("lost = %d, want 54", r.stats.Lost)
			}
			// 80 ms are hidden for the most part, 1 s becomes silence.
			if l := Measure(r.heard[int(2.03*SampleRate):int(2.07*SampleRate)]).RMS; l < -22 {
				t.Errorf("level in the beginning of a short loss = %.1f", l)
			}
			if l := Measure(r.heard[int(4.3*SampleRate):int(4.9*SampleRate)]); l.RMS > -80 {
				t.Errorf("level in a long loss = %.1f, want silence", l.RMS)
			}
			if g := r.gaps(440, 2.2, 3.9) + r.gaps(440, 5.2, 7.9); g != 0 {
				t.Errorf("%d gaps afterwards", g)
			}
			if d := r.delay[len(r.delay)-1]; d > 35*time.Millisecond {
				t.Errorf("delay afterwards = %v", d)
			}
		})
	}
}

// The delay follows the jitter up and, when it is over, down again.
func TestJitterAdapts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := simulation{seconds: 40, sound: NewSpeech(2), network: func(i int, sent time.Duration) []time.Duration {
		if i > 250 && i < 1000 {
			return after(sent, 10+rnd.Float64()*80)
		}
		return after(sent, 10)
	}}.run(t)
	r.log(t)
	mean := func(from, to float64) time.Duration {
		var sum time.Duration
		part := r.delay[int(from*100):int(to*100)]
		for _, d := range part {
			sum += d
		}
		return sum / time.Duration(len(part))
	}
	calm, rough, after := mean(2, 5), mean(10, 20), mean(33, 40)
	t.Logf("mean delay: calm %v, 80 ms of jitter %v, calm again %v", calm, rough, after)
	if calm > 30*time.Millisecond || after > 35*time.Millisecond {
		t.Error("too much delay on a calm path")
	}
	if rough < 65*time.Millisecond || rough > 120*time.Millisecond {
		t.Error("delay under jitter is not about 85 ms")
	}
	if share := float64(r.stats.Concealed) / float64(r.stats.Samples); share > 0.02 {
		t.Errorf("%.1f %% concealed", 100*share)
	}
	if r.stats.Compressed == 0 || r.stats.Stretched == 0 {
		t.Error("nothing was stretched or left out")
	}
}

// A single stall delays what comes, loses nothing, and is made good for.
func TestJitterStall(t *testing.T) {
	r := simulation{seconds: 10, sound: tone(), network: func(i int, sent time.Duration) []time.Duration {
		if i >= 150 && i < 165 { // 300 ms come at once
			return []time.Duration{165*20*time.Millisecond + 10*time.Millisecond}
		}
		return after(sent, 10)
	}}.run(t)
	r.log(t)
	if r.stats.Lost != 0 {
		t.Errorf("lost = %d, want all played late", r.stats.Lost)
	}
	if r.stats.Concealed < SampleRate/5 || r.stats.Concealed > SampleRate/3 {
		t.Errorf("concealed %d samples, want about 0.3 s", r.stats.Concealed)
	}
	if d := r.delay[len(r.delay)-1]; d > 40*time.Millisecond {
		t.Errorf("delay at the end = %v", d)
	}
}

func TestJitterFollowsClockSkew(t *testing.T) {
	if slow {
		t.Skip("takes too long with the race detector")
	}
	for _, skew := range []float64{200e-6, -200e-6} {
		r := simulation{seconds: 120, sound: tone(), skew: skew}.run(t)
		r.log(t)
		if g := r.gaps(440, 1, 119); g != 0 {
			t.Errorf("skew %v: %d gaps", skew, g)
		}
		if c := r.clicks(440); c != 0 {
			t.Errorf("skew %v: %d clicks", skew, c)
		}
		for i, d := range r.delay[100:] {
			if d < 6*time.Millisecond || d > 40*time.Millisecond {
				t.Fatalf("skew %v: delay at %d ms = %v", skew, i*10, d)
			}
		}
		// 120 s at 200 ppm are 24 ms.
		if skew > 0 && r.stats.Compressed < 400 || skew < 0 && r.stats.Stretched+r.stats.Concealed < 400 {
			t.Errorf("skew %v was not followed", skew)
		}
		if r.stats.Concealed != 0 {
			t.Errorf("skew %v: %d concealed", skew, r.stats.Concealed)
		}
	}
}

// half is a generator that is silent every other second.
type half struct {
	Generator
	n int
}

func (h *half) Fill(f Frame) {
	h.Generator.Fill(f)
	if h.n/50%2 == 1 {
		clear(f)
	}
	h.n++
}

func TestJitterDTXIsNotLoss(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	r := simulation{codec: "opus", seconds: 20, sound: &half{Generator: tone()}, options: EncoderOptions{DTX: true},
		network: func(i int, sent time.Duration) []time.Duration { return after(sent, 10+10*rnd.Float64()) }}.run(t)
	r.log(t)
	if r.stats.Received > 850 {
		t.Fatalf("%d packets: the encoder does not pause", r.stats.Received)
	}
	if r.stats.Lost != 0 || r.stats.Late != 0 {
		t.Error("silence counts as loss")
	}
	if r.stats.Concealed > SampleRate/10 {
		t.Errorf("%d samples concealed", r.stats.Concealed)
	}
	if r.stats.Silent < 3*SampleRate {
		t.Errorf("%d samples silent", r.stats.Silent)
	}
	for s := 2; s < 18; s += 2 {
		if g := r.gaps(440, float64(s)+0.15, float64(s)+0.95); g != 0 {
			t.Errorf("%d gaps in second %d", g, s)
		}
		if l := Measure(r.heard[int((float64(s)+1.4)*SampleRate):int((float64(s)+1.9)*SampleRate)]); l.RMS > -60 {
			t.Errorf("level in silence = %.1f", l.RMS)
		}
	}
}

func TestJitterNewStream(t *testing.T) {
	for name, change := range map[string]func(i int, p *Packet){
		"ssrc": func(i int, p *Packet) {
			if i >= 100 {
				p.SSRC, p.Sequence, p.Timestamp = 2, p.Sequence+30000, p.Timestamp+1<<30
			}
		},
		"timestamp": func(i int, p *Packet) {
			if i >= 100 {
				p.Timestamp += 1 << 30
			}
		},
		"sequence": func(i int, p *Packet) {
			if i >= 100 {
				p.Sequence += 20000
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := simulation{seconds: 5, sound: tone(), change: change}.run(t)
			r.log(t)
			if r.stats.Resets != 1 {
				t.Errorf("resets = %d, want 1", r.stats.Resets)
			}
			if g := r.gaps(440, 0.2, 1.95) + r.gaps(440, 2.15, 4.9); g != 0 {
				t.Errorf("%d gaps", g)
			}
		})
	}
	t.Run("one odd packet", func(t *testing.T) {
		r := simulation{seconds: 5, sound: tone(), change: func(i int, p *Packet) {
			if i == 100 {
				p.Sequence += 20000
			}
		}}.run(t)
		if r.stats.Resets != 0 || r.stats.Lost != 1 {
			t.Errorf("stats = %+v, want one lost packet and no reset", r.stats)
		}
	})
}

// Other payload types use up sequence numbers and no more.
func TestJitterOtherPayloadTypes(t *testing.T) {
	r := simulation{seconds: 5, sound: tone(), change: func(i int, p *Packet) {
		if i >= 100 && i < 110 {
			p.PayloadType = 101
		}
	}}.run(t)
	r.log(t)
	if r.stats.Lost != 0 || r.stats.Discarded != 0 {
		t.Errorf("lost %d, discarded %d, want none", r.stats.Lost, r.stats.Discarded)
	}
}

// Nobody listens for two seconds: afterwards the newest is heard.
func TestJitterLateListener(t *testing.T) {
	r := simulation{seconds: 5, sound: tone(), start: 2 * time.Second}.run(t)
	r.log(t)
	if !r.voiced[1] {
		t.Error("sound was there and was not played")
	}
	if d := r.delay[25]; d > 45*time.Millisecond {
		t.Errorf("delay = %v, want about 20 ms", d)
	}
}

func TestJitterIgnoresWhatItCannotDecode(t *testing.T) {
	opus, _ := FindCodec("opus", 48000, 2)
	b := NewJitterBuffer(JitterConfig{Decoders: map[uint8]Codec{opusType: opus, 9: {Name: "G722", ClockRate: 8000, Channels: 1}}})
	now := time.Unix(0, 0)
	for i, p := range []Packet{
		{PayloadType: opusType}, {PayloadType: 9, Payload: []byte{1}}, {PayloadType: 50, Payload: []byte{1}},
		{PayloadType: opusType, Payload: make([]byte, 5000)}, {PayloadType: opusType, Payload: []byte{0xff, 0xff}},
	} {
		p.Sequence = uint16(i)
		b.Put(p, now)
	}
	f := make(Frame, FrameSize)
	if b.Get(f, now.Add(time.Second)) || Measure(f).Peak != MinLevel {
		t.Error("there is sound")
	}
	if st := b.Stats(); st.Received != 0 || st.Discarded != 4 {
		t.Errorf("stats = %+v", st)
	}
	b.Close()
	b.Close()
	b.Put(Packet{PayloadType: opusType, Payload: []byte{0xfc, 0}}, now)
	if b.Get(f, now) {
		t.Error("sound after close")
	}
}

func BenchmarkJitterBuffer(b *testing.B) {
	for _, name := range []string{"opus", "PCMU"} {
		b.Run(name, func(b *testing.B) {
			rate, ch := uint32(48000), uint8(2)
			if name == "PCMU" {
				rate, ch = 8000, 1
			}
			c, _ := FindCodec(name, rate, ch)
			_, payloads := through(b, c, EncoderOptions{}, record(NewSpeech(1), 100))
			jb := NewJitterBuffer(JitterConfig{Decoders: map[uint8]Codec{c.PayloadType: c}})
			defer jb.Close()
			now := time.Unix(0, 0)
			f := make(Frame, HalfFrame)
			p := Packet{PayloadType: c.PayloadType}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ { // 20 ms of a call
				p.Payload = payloads[i%100]
				jb.Put(p, now)
				p.Sequence++
				p.Timestamp += c.TimestampStep()
				for range 2 {
					jb.Get(f, now)
					now = now.Add(10 * time.Millisecond)
				}
			}
		})
	}
}

// What is heard over networks as people have them. The score is the likeness
// with what was said; delay is the mean.
func TestJitterOnRealisticNetworks(t *testing.T) {
	const seconds = 30
	for _, test := range []struct {
		name    string
		network func(rnd *rand.Rand) func(i int, sent time.Duration) []time.Duration
		score   float64
		delay   time.Duration // at most
		hidden  float64       // share that is concealed, at most
	}{
		{"wired", func(rnd *rand.Rand) func(int, time.Duration) []time.Duration {
			return func(_ int, sent time.Duration) []time.Duration { return after(sent, 20+rnd.ExpFloat64()) }
		}, 0.97, 28 * time.Millisecond, 0.001},
		{"wifi", func(rnd *rand.Rand) func(int, time.Duration) []time.Duration {
			// Bursts of retries: now and then everything stands for up to 60 ms.
			free := time.Duration(0)
			return func(_ int, sent time.Duration) []time.Duration {
				at := sent + time.Duration(10+5*rnd.ExpFloat64())*time.Millisecond
				if rnd.IntN(50) == 0 {
					free = max(free, at) + time.Duration(rnd.IntN(60))*time.Millisecond
				}
				if rnd.IntN(200) == 0 {
					return nil
				}
				return []time.Duration{max(at, free)}
			}
		}, 0.95, 80 * time.Millisecond, 0.02},
		{"mobile", func(rnd *rand.Rand) func(int, time.Duration) []time.Duration {
			// A delay that wanders, 3 % of loss in bursts, and reordering.
			wander, lossy := 50.0, false
			return func(_ int, sent time.Duration) []time.Duration {
				wander = min(max(wander+rnd.NormFloat64()*4, 40), 160)
				if lossy = rnd.Float64() < map[bool]float64{false: 0.015, true: 0.5}[lossy]; lossy {
					return nil
				}
				return after(sent, wander+rnd.Float64()*30)
			}
		}, 0.85, 150 * time.Millisecond, 0.08},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := simulation{codec: "opus", seconds: seconds, sound: NewSpeech(5), options: EncoderOptions{Loss: 10}, network: test.network(rand.New(rand.NewPCG(7, 8)))}.run(t)
			r.log(t)
			// The delay moves, so pieces of 3 s are compared for themselves.
			score, pieces := 0.0, 0
			for at := 0; at+3*SampleRate <= len(r.heard); at += 3 * SampleRate {
				score += Compare(r.said[at:at+3*SampleRate], r.heard[at:at+3*SampleRate], 300*time.Millisecond).Score
				pieces++
			}
			score /= float64(pieces)
			var sum time.Duration
			for _, d := range r.delay {
				sum += d
			}
			mean := sum / time.Duration(len(r.delay))
			hidden := float64(r.stats.Concealed) / float64(r.stats.Samples)
			t.Logf("likeness %.3f, mean delay %v, %.2f %% concealed", score, mean.Round(time.Millisecond), 100*hidden)
			if score < test.score || mean > test.delay || hidden > test.hidden {
				t.Errorf("want likeness %.2f, delay %v, %.1f %% concealed", test.score, test.delay, 100*test.hidden)
			}
		})
	}
}
