package lab

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"
)

// ToneInWAV judges a recording of 16-bit samples: how much of the time a tone
// is heard, from the first to the last moment that it is.
func ToneInWAV(path string, hz float64) (Heard, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Heard{}, err
	}
	channels, data := 0, []byte(nil)
	hzWas := 0
	for at := 12; at+8 <= len(b); {
		id, size := string(b[at:at+4]), int(binary.LittleEndian.Uint32(b[at+4:]))
		body := b[at+8 : min(at+8+size, len(b))]
		switch {
		case id == "fmt " && len(body) >= 16:
			channels, hzWas = int(binary.LittleEndian.Uint16(body[2:])), int(binary.LittleEndian.Uint32(body[4:]))
		case id == "data":
			data = body
		}
		at += 8 + size + size%2
	}
	if channels == 0 || hzWas != rate || len(data) == 0 {
		return Heard{}, fmt.Errorf("%s: %d channels at %d Hz, %d bytes of samples", path, channels, hzWas, len(data))
	}
	var good []bool
	samples := make([]float64, blockSize)
	for len(data) >= 2*channels*blockSize {
		energy := 0.0
		for i := range samples {
			samples[i] = float64(int16(binary.LittleEndian.Uint16(data[2*channels*i:]))) / math.MaxInt16
			energy += samples[i] * samples[i]
		}
		data = data[2*channels*blockSize:]
		good = append(good, math.Sqrt(energy/blockSize) >= loudEnough && goertzel(samples, hz)/energy >= toneShare)
	}
	return judge(good), nil
}

// judge measures from the first to the last block in which the tone was heard.
func judge(good []bool) Heard {
	for len(good) > 0 && !good[0] {
		good = good[1:]
	}
	for len(good) > 0 && !good[len(good)-1] {
		good = good[:len(good)-1]
	}
	return share(good)
}

// share measures all blocks.
func share(good []bool) Heard {
	var h Heard
	n, gap := 0, 0
	for _, g := range good {
		if g {
			n, gap = n+1, 0
			continue
		}
		gap++
		h.LongestGap = max(h.LongestGap, time.Duration(gap)*blockTime)
	}
	h.Share = float64(n) / float64(max(1, len(good)))
	h.For = time.Duration(len(good)) * blockTime
	return h
}
