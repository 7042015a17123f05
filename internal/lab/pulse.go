package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Pulse is a private PulseAudio. Each of its people has a mouth, a sink whose
// sound their microphone captures, and an ear, the sink of their speaker:
//
//	Speak -> alice-mouth -> source alice-mic       sink alice-ear -> Listen
//
// The first one's microphone and ear are the server's defaults.
type Pulse struct {
	Server string // for PULSE_SERVER

	t   testing.TB
	dir string
	*process
}

// Mic, Ear name a person's devices.
func Mic(person string) string { return person + "-mic" }
func Ear(person string) string { return person + "-ear" }

func mouth(person string) string { return person + "-mouth" }

// StartPulse starts a sound server for people and waits for their devices.
func StartPulse(t testing.TB, people ...string) *Pulse {
	t.Helper()
	Need(t, "pulseaudio", "pactl", "pacat")
	dir := tempDir(t)
	p := &Pulse{Server: "unix:" + filepath.Join(dir, "native"), t: t, dir: dir}
	args := []string{"-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--realtime=no", "--high-priority=no",
		"--log-level=notice", "--log-target=stderr", "--disable-shm=yes",
		"-L", "module-native-protocol-unix auth-anonymous=1 socket=" + filepath.Join(dir, "native")}
	alsa := "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n"
	for _, who := range people {
		for sink, channels := range map[string]int{mouth(who): 1, Ear(who): 2} {
			args = append(args, "-L", fmt.Sprintf("module-null-sink sink_name=%s rate=48000 channels=%d sink_properties=device.description=%[1]s", sink, channels))
		}
		// A remapped source, because clients hide monitors from their users.
		args = append(args, "-L", fmt.Sprintf("module-remap-source source_name=%s master=%s.monitor source_properties=device.description=%[1]s", Mic(who), mouth(who)))
		alsa += fmt.Sprintf("pcm.%[1]s { type pulse; device %[1]s; hint { show on; description %[1]s } }\n", Mic(who))
		alsa += fmt.Sprintf("pcm.%[1]s { type pulse; device %[1]s; hint { show on; description %[1]s } }\n", Ear(who))
	}
	write(t, filepath.Join(dir, "asound.conf"), alsa)
	cmd := exec.Command("pulseaudio", args...)
	cmd.Env = p.Env()
	p.process = start(t, "pulseaudio", filepath.Join(dir, "log"), cmd)
	p.waitFor("devices", func() error {
		sources, err := p.control("list", "short", "sources")
		if err != nil {
			return err
		}
		for _, who := range people {
			if !strings.Contains(sources, Mic(who)) {
				return fmt.Errorf("no %s yet", Mic(who))
			}
		}
		return nil
	})
	for _, set := range [][]string{{"set-default-sink", Ear(people[0])}, {"set-default-source", Mic(people[0])}} {
		if out, err := p.control(set...); err != nil {
			t.Fatalf("pactl %v: %v: %s", set, err, out)
		}
	}
	return p
}

// Env returns the environment of programs that shall use this server, by
// PulseAudio or, for PortAudio, by ALSA.
func (p *Pulse) Env() []string {
	return append(os.Environ(),
		"PULSE_SERVER="+p.Server, "PULSE_COOKIE="+filepath.Join(p.dir, "cookie"), "PULSE_RUNTIME_PATH="+p.dir, "PULSE_STATE_PATH="+p.dir,
		"ALSA_CONFIG_PATH="+filepath.Join(p.dir, "asound.conf"), "JACK_NO_START_SERVER=1")
}

func (p *Pulse) control(args ...string) (string, error) {
	cmd := exec.Command("pactl", args...)
	cmd.Env = p.Env()
	out, err := cmd.CombinedOutput()
	return string(out), err
}
