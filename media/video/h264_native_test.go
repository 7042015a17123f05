//go:build native && cgo

package video

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

// h264Stream is some pictures of a size; each picture is a list of units.
func h264Stream(t testing.TB, w, h, n int) (pictures [][][]byte) {
	t.Helper()
	e, _ := codec(t, "H264", EncoderOptions{Width: w, Height: h, Bitrate: 200_000})
	p := NewPattern(w, h)
	for i := range n {
		data, _, err := e.Encode(nil, p.Next(time.UnixMilli(0)), time.Duration(i)*time.Second/30, i == 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		var units [][]byte
		for u := range nalUnits(data) {
			units = append(units, bytes.Clone(u))
		}
		pictures = append(pictures, units)
	}
	return pictures
}

func join(units ...[]byte) (out []byte) {
	for _, u := range units {
		out = append(append(out, 0, 0, 1), u...)
	}
	return out
}

// What is sent is what the parameters promise: parameter sets with each key
// frame, constrained baseline.
func TestH264IsConstrainedBaseline(t *testing.T) {
	for n, units := range h264Stream(t, 640, 480, 3) {
		var types []byte
		for _, u := range units {
			types = append(types, nalType(u))
		}
		want := []byte{nalSlice}
		if n == 0 {
			want = []byte{nalSPS, nalPPS, nalIDR}
			if sps := units[0]; sps[1] != 66 || sps[2]&0x40 == 0 || sps[3] > 0x1f {
				t.Errorf("profile %x", sps[1:4])
			}
		}
		if !slices.Equal(types, want) {
			t.Errorf("picture %d has units %v, want %v", n, types, want)
		}
	}
}

func TestH264Parameters(t *testing.T) {
	c, _ := FindCodec(Codecs(), "h264")
	if got, want := c.Fmtp(), "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"; got != want {
		t.Errorf("fmtp %q", got)
	}
	for _, tt := range []struct {
		profile, mode string
		want          bool
	}{
		{"42e01f", "1", true}, {"42E034", "1", true}, {"42c01e", "1", true}, {"4d801f", "1", true}, {"58c01f", "1", true},
		{"42e01f", "0", false}, {"42e01f", "", false}, {"42001f", "1", false}, {"640c1f", "1", false}, {"4d001f", "1", false},
		{"", "1", false}, {"42e0", "1", false}, {"zzzzzz", "1", false}, {"+2e01f", "1", false},
	} {
		var ps []Parameter
		if tt.profile != "" {
			ps = append(ps, Parameter{"profile-level-id", tt.profile})
		}
		if tt.mode != "" {
			ps = append(ps, Parameter{"packetization-mode", tt.mode})
		}
		if got := c.Fits(ps); got != tt.want {
			t.Errorf("%q in mode %q: %v", tt.profile, tt.mode, got)
		}
	}
}

func TestH264FilterRefuses(t *testing.T) {
	s := h264Stream(t, 64, 64, 2)
	sps, pps, idr, slice := s[0][0], s[0][1], s[0][2], s[1][0]
	other := h264Stream(t, 96, 80, 1)[0]
	// Set 0 of level 3.1, order 2, one reference, 256 by 256 blocks, whole frames.
	huge := []byte{0x67, 66, 0xc0, 31, 0b1_1_011_010, 0, 0b0_1000000, 0, 0b00_1_00000, 0b000_1_0000, 0x80}
	set := func(i int, v byte) []byte { b := bytes.Clone(sps); b[i] = v; return b }
	var many [][]byte
	for range maxUnits + 1 {
		many = append(many, []byte{6, 1})
	}
	for name, data := range map[string][]byte{
		"a slice of nothing":     join(slice),
		"no parameters":          join(idr),
		"slice before key frame": join(sps, pps, slice),
		"high profile":           join(set(1, 100), pps, idr),
		"huge picture":           join(huge, pps, idr),
		"two sequences":          join(sps, pps, other[0], other[1], idr),
		"cut parameters":         join(sps[:5], pps, idr),
		"arithmetic coding":      join(sps, []byte{0x68, 0b1_1_1_0_1_000}, idr),
		"slice groups":           join(sps, []byte{0x68, 0b1_1_0_0_010_0, 0x80}, idr),
		"many units":             join(many...),
	} {
		c, _ := FindCodec(Codecs(), "H264")
		d, err := c.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		want := ErrBitstream
		if name == "huge picture" {
			want = ErrFrame
		}
		if m, err := d.Decode(data); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
		d.Close()
	}
}

// A peer may change the size with a key frame, and what is not a picture is
// passed over.
func TestH264ChangesSize(t *testing.T) {
	_, d := codec(t, "H264", EncoderOptions{Width: 64, Height: 64, Bitrate: 100_000})
	for _, size := range [][2]int{{64, 64}, {320, 240}, {96, 80}, {64, 64}} {
		for n, units := range h264Stream(t, size[0], size[1], 3) {
			units = append([][]byte{{9, 0xf0}, {6, 1, 0, 0x80}}, units...) // delimiter, SEI
			m, err := d.Decode(join(units...))
			if err != nil || m == nil || m.Rect.Dx() != size[0] || m.Rect.Dy() != size[1] {
				t.Fatalf("picture %d of %v: %v, %v", n, size, m, err)
			}
		}
	}
}
