package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"go.uber.org/goleak"
)

func TestDemo(t *testing.T) {
	defer goleak.VerifyNone(t)
	var said []string
	result, err := Run(t.Context(), Config{
		Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatalf("%v, after\n%s", err, strings.Join(said, "\n"))
	}
	for who, h := range map[string]Heard{"alice": result.Alice, "bob": result.Bob} {
		if h.Score < audio.SameSound || h.Score > 1.001 || h.Loss > 0.5 {
			t.Errorf("%s heard %+v", who, h)
		}
	}
	if result.Verification == "" || result.Local == "" || result.Total <= 0 || result.Total > 10 {
		t.Errorf("result = %+v", result)
	}
	if len(said) < 8 {
		t.Errorf("a person is told too little: %q", said)
	}
}

// speech is what the voice of that number says.
func speech(voice uint32, seconds int) []int16 {
	pcm := make(audio.Frame, seconds*audio.SampleRate)
	audio.NewSpeech(voice).Fill(pcm)
	return pcm
}

func TestCompareBelievesNothing(t *testing.T) {
	a, b, c := speech(1, 3), speech(2, 3), speech(3, 3)
	for _, tt := range []struct {
		name                 string
		aliceHears, bobHears []int16
		want                 string
	}{
		{"as it should be", b, a, ""},
		{"bob hears somebody else", b, c, "bob did not hear what alice said"},
		{"alice hears nothing", make([]int16, len(b)), a, "alice did not hear what bob said"},
		{"each hears themselves", a, b, "bob did not hear what alice said"},
		{"nothing was recorded", nil, nil, "bob did not hear what alice said"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alice, bob := newPerson("alice", 1), newPerson("bob", 2)
			alice.mouth.pcm, bob.mouth.pcm = a, b
			alice.ear.pcm, bob.ear.pcm = tt.aliceHears, tt.bobHears
			d := &demo{Config: Config{Say: func(string, ...any) {}}}
			err := d.compare(alice, bob)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLikenessForgivesABusyMachine(t *testing.T) {
	said := speech(1, 4)
	const hole, between = audio.SampleRate / 20, audio.SampleRate
	var heard []int16 // 50 ms more delay every second
	for at := 0; at < len(said); at += between {
		heard = append(heard, make([]int16, hole)...)
		heard = append(heard, said[at:min(len(said), at+between)]...)
	}
	if l := likeness(said, heard); l.Score < audio.SameSound || l.Delay < 50*time.Millisecond || l.Delay > 250*time.Millisecond {
		t.Errorf("the same with holes: %+v", l)
	}
	for voice := uint32(2); voice < 8; voice++ {
		if l := likeness(speech(voice, 4), heard); l.Score > 0.6 {
			t.Errorf("voice %d is taken for voice 1: %+v", voice, l)
		}
	}
}

func TestDemoEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	talking := func(format string, args ...any) {
		if strings.HasPrefix(format, "they talk") {
			cancel(stop)
		}
	}
	began := time.Now()
	_, err := Run(ctx, Config{Say: talking, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, stop) {
		t.Errorf("error = %v, want %v", err, stop)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}
