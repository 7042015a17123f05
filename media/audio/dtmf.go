package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Telephone events, RFC 4733: the keys of a telephone sent as what they are,
// because codecs spoil their tones.

// TelephoneEvent names the payload type in rtpmap. Its clock rate is that of
// the audio it goes with, so both 8000 and 48000 are offered.
const TelephoneEvent = "telephone-event"

// TelephoneEvents is the fmtp value: the keys 0-9, *, # and A-D.
const TelephoneEvents = "0-15"

const dtmfKeys = "0123456789*#ABCD"

// An Event is the payload of one telephone-event packet. RFC 4733 §2.3
type Event struct {
	Code     uint8  // 0 to 15 are the keys 0-9, *, #, A-D
	End      bool   // the key was let go
	Volume   uint8  // of the tone, in -dBm0, 0 to 63
	Duration uint16 // so far, in units of the clock rate
}

// KeyEvent returns the event of a key, which is one of 0-9, *, #, A-D.
func KeyEvent(key rune) (Event, error) {
	i := strings.IndexRune(dtmfKeys, key)
	if i < 0 && key >= 'a' && key <= 'd' {
		i = strings.IndexRune(dtmfKeys, key-'a'+'A')
	}
	if i < 0 {
		return Event{}, fmt.Errorf("audio: no telephone key %q", key)
	}
	return Event{Code: uint8(i), Volume: 10}, nil
}

// Key is the key the event is about, 0 if it is another event.
func (e Event) Key() rune {
	if int(e.Code) < len(dtmfKeys) {
		return rune(dtmfKeys[e.Code])
	}
	return 0
}

// Append appends the payload to b.
func (e Event) Append(b []byte) []byte {
	flags := e.Volume & 0x3f
	if e.End {
		flags |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(b, e.Code, flags), e.Duration)
}

// ParseEvent decodes a payload. What follows the first four bytes is ignored.
func ParseEvent(p []byte) (Event, error) {
	if len(p) < 4 {
		return Event{}, fmt.Errorf("%w: telephone-event of %d bytes", ErrPayload, len(p))
	}
	return Event{
		Code:     p[0],
		End:      p[1]&0x80 != 0,
		Volume:   p[1] & 0x3f,
		Duration: binary.BigEndian.Uint16(p[2:]),
	}, nil
}

// An EventPacket is what to send for a key at one moment.
type EventPacket struct {
	Event
	Offset time.Duration // since the key was pressed
	Marker bool          // of RTP, on the first packet
}

// ErrKeyTime is returned for a key pressed too shortly or too long.
var ErrKeyTime = errors.New("audio: a key is pressed for 40 ms to 1 s")

// PressKey returns the packets of a key held for the given time, which is
// rounded up to 20 ms: one every 20 ms, and the last one three times in case it
// is lost. All have the RTP timestamp of the moment the key was pressed.
// RFC 4733 §2.5.1
func PressKey(key rune, hold time.Duration, clockRate uint32) ([]EventPacket, error) {
	e, err := KeyEvent(key)
	if err != nil {
		return nil, err
	}
	if hold < 40*time.Millisecond || hold > time.Second {
		return nil, ErrKeyTime
	}
	var out []EventPacket
	n := int((hold + FrameDuration - 1) / FrameDuration)
	for i := 1; i <= n; i++ {
		e.Duration = uint16(uint32(i) * clockRate / 50)
		e.End = i == n
		out = append(out, EventPacket{e, time.Duration(i) * FrameDuration, i == 1})
	}
	last := out[n-1]
	for range 2 {
		last.Offset += FrameDuration
		out = append(out, last)
	}
	return out, nil
}

// An EventReader turns received events into keys, each once, although its
// packets come many times and some are lost.
type EventReader struct {
	started bool
	last    uint32
	code    uint8
}

// Receive takes a payload and the RTP timestamp of its packet. ok is true for
// the first packet of a key.
func (r *EventReader) Receive(payload []byte, timestamp uint32) (key rune, ok bool) {
	e, err := ParseEvent(payload)
	if err != nil || e.Key() == 0 {
		return 0, false
	}
	if r.started && int32(timestamp-r.last) <= 0 && (timestamp != r.last || e.Code == r.code) {
		return 0, false // the same one, or an older one that comes late
	}
	r.started, r.last, r.code = true, timestamp, e.Code
	return e.Key(), true
}

var (
	dtmfRows    = [4]float64{697, 770, 852, 941}
	dtmfColumns = [4]float64{1209, 1336, 1477, 1633}
)

const dtmfPad = "123A456B789C*0#D"

// KeyTone is a Generator of the sound of a telephone key, ITU-T Q.23.
type KeyTone struct {
	row, column Tone
	other       Frame
}

// NewKeyTone returns the sound of a key, which is one of 0-9, *, #, A-D.
func NewKeyTone(key rune) (*KeyTone, error) {
	e, err := KeyEvent(key)
	if err != nil {
		return nil, err
	}
	i := strings.IndexRune(dtmfPad, e.Key())
	return &KeyTone{
		row:    Tone{Hz: dtmfRows[i/4], Level: 0.2},
		column: Tone{Hz: dtmfColumns[i%4], Level: 0.25},
	}, nil
}

// Fill continues the tone.
func (k *KeyTone) Fill(f Frame) {
	k.other = append(k.other[:0], f...)
	k.row.Fill(f)
	k.column.Fill(k.other)
	for i, v := range k.other {
		f[i] += v // at most 0.45 of full scale
	}
}

// FindKey returns the telephone key that sounds in f, 0 if none does. f should
// be 40 ms or more.
func FindKey(f Frame) rune {
	loud := func(of [4]float64) (best int, level float64) {
		level = math.Inf(-1)
		for i, hz := range of {
			if l := ToneLevel(f, hz); l > level {
				best, level = i, l
			}
		}
		return best, level
	}
	row, lr := loud(dtmfRows)
	column, lc := loud(dtmfColumns)
	total := Measure(f).RMS
	// Both tones are there, about as loud, and nearly nothing else is.
	both := 10 * math.Log10(math.Pow(10, lr/10)+math.Pow(10, lc/10))
	if min(lr, lc) < -45 || math.Abs(lr-lc) > 8 || both < total-1.5 {
		return 0
	}
	return rune(dtmfPad[row*4+column])
}
