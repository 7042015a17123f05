package cli

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/demo"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/media"
)

func (demoCmd) Run(ctx context.Context, a *app) error {
	began := time.Now()
	result, err := demo.Run(ctx, demo.Config{
		Say: func(format string, args ...any) {
			a.screen.Clear()
			a.screen.Printf("%5.2f s  "+format, append([]any{time.Since(began).Seconds()}, args...)...)
		},
		Level: func(s media.Stats) {
			a.screen.Show(screen.Status{
				Peer: "alice and bob", State: "talking", Timed: true, Time: s.Connected,
				Levels: true, Mic: s.LevelOut, Ear: s.LevelIn,
				Network: true, Loss: s.LossIn, Delay: s.Delay + s.RTT/2,
			})
		},
		Log: a.log,
	})
	if err != nil {
		return err
	}
	if a.json != nil {
		return a.json.Object("demo", struct {
			Verification string       `json:"verification"`
			Local        string       `json:"local"`
			Remote       string       `json:"remote"`
			Alice        demo.Heard   `json:"alice"`
			Bob          demo.Heard   `json:"bob"`
			Login        demo.Seconds `json:"login_seconds"`
			Ring         demo.Seconds `json:"ring_seconds"`
			Accept       demo.Seconds `json:"accept_to_sound_seconds"`
			Total        demo.Seconds `json:"total_seconds"`
		}{result.Verification, result.Local, result.Remote, result.Alice, result.Bob,
			result.Login, result.Ring, result.Accept, result.Total})
	}
	a.screen.Printf("it works: Carillon makes calls on this machine. Next: carillon login you@your.server")
	return nil
}
