package demo

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// maxRecording bounds what is kept of what was said and heard.
const maxRecording = 15 * audio.SampleRate

// A person is one side: a client, a voice, and ears that remember.
type person struct {
	name   string
	voice  uint32
	client *signaling.Client
	media  *media.Call
	watch  sync.WaitGroup

	connected  chan media.Connected
	heardFirst chan media.FirstAudio
	stats      chan media.Stats

	mouth, ear recording
}

func newPerson(name string, voice uint32) *person {
	return &person{
		name: name, voice: voice,
		connected: make(chan media.Connected, 1), heardFirst: make(chan media.FirstAudio, 1),
		stats: make(chan media.Stats, 1),
	}
}

func (p *person) login(ctx context.Context, server *xmpptest.Server, password signaling.Secret, log *slog.Logger) error {
	account, err := jid.Parse(p.name + "@carillon.test")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	p.client, err = signaling.Dial(ctx, signaling.Config{
		JID: account, Password: password, Server: server.Addr(), RootCAs: server.CertPool(),
		Features: signaling.CallFeatures(false), Log: log,
	})
	if err != nil {
		return fmt.Errorf("%s logs in: %w", p.name, err)
	}
	return nil
}

// open prepares the media of a call: it finds addresses and opens the voice.
func (p *person) open(log *slog.Logger) error {
	var err error
	p.media, err = media.NewCall(media.Config{
		Audio: media.Audio{
			Source: &mouth{Source: audio.NewSource(audio.NewSpeech(p.voice)), said: &p.mouth},
			Sink:   audio.NewSink(p.ear.take),
		},
		StatsInterval: 500 * time.Millisecond, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.watch.Go(p.follow)
	return nil
}

// follow takes what happens in the call, the first of each kind.
func (p *person) follow() {
	for e := range p.media.Events() {
		switch e := e.(type) {
		case media.Connected:
			offer(p.connected, e)
		case media.FirstAudio:
			offer(p.heardFirst, e)
		case media.Stats:
			offer(p.stats, e)
		}
	}
}

func offer[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func (p *person) loss() float64 {
	s := p.media.Stats()
	if all := s.PacketsIn + s.PacketsLost; all > 0 {
		return float64(s.PacketsLost) / float64(all)
	}
	return 0
}

func (p *person) said() []int16  { return p.mouth.all() }
func (p *person) heard() []int16 { return p.ear.all() }

// close ends what was opened. It is right for a person who never was online.
func (p *person) close() error {
	if p.media != nil {
		p.media.Close()
		p.watch.Wait()
	}
	if p.client == nil {
		return nil
	}
	return p.client.Close()
}

// A recording keeps sound.
type recording struct {
	mu  sync.Mutex
	pcm []int16
}

func (r *recording) take(f audio.Frame) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcm = append(r.pcm, f[:min(len(f), maxRecording-len(r.pcm))]...)
	return nil
}

func (r *recording) all() []int16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pcm
}

// A mouth remembers what was said.
type mouth struct {
	audio.Source
	said *recording
}

func (m *mouth) Read(ctx context.Context) (audio.Frame, error) {
	f, err := m.Source.Read(ctx)
	if err == nil {
		err = m.said.take(f)
	}
	return f, err
}
