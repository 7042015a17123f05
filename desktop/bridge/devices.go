package bridge

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/device"
)

// devicesTime is for looking for devices.
const devicesTime = 5 * time.Second

func spec(override, id string) string {
	switch {
	case override != "":
		return override
	case id != "":
		return "device:" + id
	}
	return "device"
}

func (b *Bridge) mic() string     { return spec(b.cfg.Mic, b.app.Settings.Mic) }
func (b *Bridge) speaker() string { return spec(b.cfg.Speaker, b.app.Settings.Speaker) }

// findDevices looks for devices. Owner only.
func (b *Bridge) findDevices() {
	b.wg.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, devicesTime)
		defer cancel()
		var d state.Devices
		list, err := device.List(ctx, device.Options{Logger: b.log})
		if err != nil {
			b.log.Info("no sound devices", "err", err)
		}
		for _, x := range list {
			switch {
			case x.Monitor:
			case x.Kind == device.Capture:
				d.Mics = append(d.Mics, state.Device{ID: x.ID, Name: x.Name})
			default:
				d.Speakers = append(d.Speakers, state.Device{ID: x.ID, Name: x.Name})
			}
		}
		if list, err := capture.Cameras(ctx); err == nil {
			for _, x := range list {
				d.Cameras = append(d.Cameras, state.Device{ID: x.ID, Name: x.Name})
			}
		}
		d.Screens = findScreens(ctx)
		b.tell(state.DevicesFound{Devices: d})
	})
}

func (b *Bridge) camera() string {
	switch {
	case b.cfg.Camera != "":
		return b.cfg.Camera
	case b.app.Settings.Camera != "":
		return "camera:" + b.app.Settings.Camera
	}
	return "camera"
}
