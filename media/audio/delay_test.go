package audio

import "testing"

// A steady path is played with little delay, once it has shown itself to be steady.
func TestDelayOfASteadyPath(t *testing.T) {
	const least, most, packet = SampleRate / 100, SampleRate, SampleRate / 50
	var d delayHistory
	d.init(least, most)
	for i := range int64(2 * delayRecent) {
		want := int64(least)
		if i < delayRecent-1 {
			want = delayFirst
		}
		d.add(i*packet, 0)
		d.look(i * packet)
		if d.target != want {
			t.Fatalf("after %d packets: aims at %d samples, want %d", i+1, d.target, want)
		}
	}
	d.reset()
	if d.target != delayFirst {
		t.Errorf("of a new stream: aims at %d samples, want %d", d.target, delayFirst)
	}
}
