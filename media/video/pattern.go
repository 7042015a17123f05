package video

import (
	"context"
	"hash/crc32"
	"image"
	"sync"
	"time"
)

// The code of a test pattern is two rows of cells, light or dark, across the
// top eighth of the picture: large enough to survive coding at a few bits per
// pixel and scaling by half.
const (
	codeColumns = 32
	codeRows    = 2
	codeBits    = codeColumns * codeRows
	codeShare   = 16 // a row is this part of the height
	codeSync    = 0b10110100

	codeDark, codeLight = 24, 224
)

// A Code is what one picture of a test pattern says of itself.
type Code struct {
	// Number counts pictures from 0, modulo 65536.
	Number uint16
	// Millis is when the picture was made: the milliseconds since 1970, modulo
	// 2^32.
	Millis uint32
}

// Age is how long before now the picture was made, by the clock of now.
func (c Code) Age(now time.Time) time.Duration {
	return time.Duration(int32(uint32(now.UnixMilli())-c.Millis)) * time.Millisecond
}

func (c Code) bits() uint64 {
	v := uint64(codeSync)<<48 | uint64(c.Number)<<32 | uint64(c.Millis)
	return v<<8 | uint64(checkCode(v))
}

func checkCode(v uint64) uint8 {
	var b [7]byte
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return uint8(crc32.ChecksumIEEE(b[:]))
}

// ReadCode reads the code of a test pattern that fills the picture, in
// whatever size it arrived. It reports false when there is none.
func ReadCode(m image.Image) (Code, bool) {
	r := m.Bounds()
	if r.Dx() < codeColumns || r.Dy() < codeRows*codeShare {
		return Code{}, false
	}
	var v uint64
	for i := range codeBits {
		// The middle of the cell, away from what scaling and coding blur.
		cx := r.Min.X + (2*(i%codeColumns)+1)*r.Dx()/(2*codeColumns)
		cy := r.Min.Y + (2*(i/codeColumns)+1)*r.Dy()/(2*codeShare)
		v <<= 1
		if light(m, cx, cy) {
			v |= 1
		}
	}
	code := v >> 8
	if code>>48 != codeSync || checkCode(code) != uint8(v) {
		return Code{}, false
	}
	return Code{Number: uint16(code >> 32), Millis: uint32(code)}, true
}

func light(m image.Image, x, y int) bool {
	const middle = (codeDark + codeLight) / 2
	if m, ok := m.(*image.YCbCr); ok {
		return m.Y[m.YOffset(x, y)] > middle
	}
	r, g, b, _ := m.At(x, y).RGBA()
	return (299*r+587*g+114*b)/1000>>8 > middle
}

// A Pattern is a moving test picture with a [Code].
type Pattern struct {
	image  *image.YCbCr
	number int
}

// NewPattern returns a pattern of the given size.
func NewPattern(w, h int) *Pattern { return &Pattern{image: NewImage(w, h)} }

// slope goes up and down again without an edge.
var slope = func() (s [256]byte) {
	for i := range s {
		s[i] = byte(48 + min(i, 255-i))
	}
	return s
}()

// Next draws the picture of the moment now. It is the caller's until the next
// call.
func (p *Pattern) Next(now time.Time) *image.YCbCr {
	m, n := p.image, p.number
	p.number++
	w, h := m.Rect.Dx(), m.Rect.Dy()
	// A slope that slides by, and a box that bounces over it.
	for y := range h {
		row := m.Y[y*m.YStride : y*m.YStride+w]
		for x := range row {
			row[x] = slope[(x+y+2*n)&255]
		}
	}
	for y := range (h + 1) / 2 {
		cb, cr := m.Cb[y*m.CStride:y*m.CStride+(w+1)/2], m.Cr[y*m.CStride:y*m.CStride+(w+1)/2]
		u, v := byte(96+64*y/max(h/2, 1)), byte(112+n&31)
		for x := range cb {
			cb[x], cr[x] = u, v
		}
	}
	bw, bh := max(w/6, 1), max(h/5, 1)
	bx, by := bounce(4*n, w-bw), h/4+bounce(3*n, max(h-h/4-bh, 0))
	for y := by; y < min(by+bh, h); y++ {
		for x := bx; x < min(bx+bw, w); x++ {
			m.Y[y*m.YStride+x] = byte(200 ^ (x-bx)&(y-by)&31)
		}
	}
	DrawCode(m, Code{Number: uint16(n), Millis: uint32(now.UnixMilli())})
	return m
}

// DrawCode writes a code across the top of a picture that begins at the origin.
func DrawCode(m *image.YCbCr, c Code) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	v := c.bits()
	for i := range codeBits {
		shade := byte(codeDark)
		if v>>(codeBits-1-i)&1 == 1 {
			shade = codeLight
		}
		for y := (i / codeColumns) * h / codeShare; y < (i/codeColumns+1)*h/codeShare; y++ {
			row := m.Y[y*m.YStride:]
			for x := (i % codeColumns) * w / codeColumns; x < (i%codeColumns+1)*w/codeColumns; x++ {
				row[x] = shade
			}
		}
	}
	for y := range codeRows * h / codeShare / 2 {
		for x := range (w + 1) / 2 {
			m.Cb[y*m.CStride+x], m.Cr[y*m.CStride+x] = 128, 128
		}
	}
}

// bounce is a position between 0 and most that goes there and back.
func bounce(n, most int) int {
	if most <= 0 {
		return 0
	}
	if n %= 2 * most; n > most {
		return 2*most - n
	}
	return n
}

// NewPatternSource returns a source of a [Pattern], fps pictures a second.
func NewPatternSource(w, h int, fps float64) Source {
	return &patternSource{pattern: NewPattern(w, h), fps: fps, pace: newPacer()}
}

type patternSource struct {
	fps  float64
	pace *pacer

	mu      sync.Mutex // guards what follows
	pattern *Pattern
	next    int
}

func (s *patternSource) Read(ctx context.Context) (Frame, error) {
	start := s.pace.began()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := func(n int) time.Duration { return time.Duration(float64(n) / s.fps * float64(time.Second)) }
	// Pictures whose time has gone by are not made.
	if late := int(time.Since(start).Seconds() * s.fps); s.next < late {
		s.next = late
	}
	n := s.next
	if err := s.pace.Wait(ctx, start.Add(at(n))); err != nil {
		return Frame{}, err
	}
	s.next++
	return Frame{Image: s.pattern.Next(time.Now()), Time: at(n)}, nil
}

// Live reports that the pattern goes on while nobody reads it.
func (s *patternSource) Live() bool { return true }

func (s *patternSource) Close() error {
	s.pace.Stop()
	return nil
}
