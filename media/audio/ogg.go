package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The Ogg container, RFC 3533, as far as Ogg Opus needs it.

const (
	oggHeaderSize = 27
	oggContinued  = 1
	oggFirst      = 2
	oggLast       = 4
	// maxOggPacket bounds a packet put together from many pages. Comment
	// headers with pictures are the largest seen.
	maxOggPacket = 16 << 20
	// maxOggSkip bounds the search for the next page in a broken file.
	maxOggSkip = 1 << 20
)

// An oggPacket is one packet and what its page said.
type oggPacket struct {
	data    []byte // valid until the next call
	serial  uint32
	first   bool  // on the first page of its stream
	granule int64 // of the page, if this is the last packet that ends on it; else -1
	last    bool  // the last packet of its stream
}

// An oggReader takes packets out of an Ogg file, of all streams in their order.
// It follows one stream from its first page on and skips the others.
type oggReader struct {
	r      io.Reader
	head   [oggHeaderSize]byte
	lacing []byte // what is left of the page's segment table
	body   []byte // what is left of the page
	page   struct {
		flags   byte
		granule int64
		serial  uint32
	}
	serial  uint32 // of the stream that is followed
	inside  bool
	partial []byte
	broken  bool // the rest of a continued packet must be skipped
	bodyBuf [255 * 255]byte
	lacBuf  [255]byte
}

// packet returns the next packet, io.EOF at the end of the file.
func (o *oggReader) packet() (oggPacket, error) {
	for {
		for len(o.lacing) == 0 {
			if err := o.readPage(); err != nil {
				return oggPacket{}, err
			}
		}
		n, whole := 0, false
		for len(o.lacing) > 0 && !whole {
			n += int(o.lacing[0])
			whole = o.lacing[0] < 255
			o.lacing = o.lacing[1:]
		}
		piece := o.body[:n]
		o.body = o.body[n:]
		if o.broken {
			o.broken = !whole
			continue
		}
		if len(o.partial)+len(piece) > maxOggPacket {
			return oggPacket{}, fmt.Errorf("%w: Ogg packet of more than %d bytes", ErrFormat, maxOggPacket)
		}
		if !whole {
			o.partial = append(o.partial, piece...)
			continue
		}
		p := oggPacket{data: piece, serial: o.page.serial, first: o.page.flags&oggFirst != 0, granule: -1}
		if len(o.partial) > 0 {
			o.partial = append(o.partial, piece...)
			p.data, o.partial = o.partial, o.partial[:0]
		}
		if !slices.ContainsFunc(o.lacing, func(l byte) bool { return l < 255 }) {
			p.granule = o.page.granule
			p.last = o.page.flags&oggLast != 0
		}
		return p, nil
	}
}

// readPage reads the next page of the stream that is followed.
func (o *oggReader) readPage() error {
	for {
		if err := o.readAnyPage(); err != nil {
			return err
		}
		first := o.page.flags&oggFirst != 0
		switch {
		case first && (!o.inside || o.page.serial == o.serial):
			o.serial, o.inside = o.page.serial, true
		case first, o.page.serial != o.serial, !o.inside:
			continue // multiplexed with another stream
		}
		if o.page.flags&oggLast != 0 {
			o.inside = false // the next first page begins a chained stream
		}
		continued := o.page.flags&oggContinued != 0
		if !continued {
			o.partial, o.broken = o.partial[:0], false
		} else if len(o.partial) == 0 {
			o.broken = true // its beginning is missing
		}
		return nil
	}
}

// readAnyPage reads a page whose checksum is right, skipping what is not one.
func (o *oggReader) readAnyPage() error {
	for skipped := 0; skipped < maxOggSkip; {
		if err := o.sync(&skipped); err != nil {
			return err
		}
		h := &o.head
		n := int(h[26])
		if _, err := io.ReadFull(o.r, o.lacBuf[:n]); err != nil {
			return endOfOgg(err)
		}
		size := 0
		for _, l := range o.lacBuf[:n] {
			size += int(l)
		}
		if _, err := io.ReadFull(o.r, o.bodyBuf[:size]); err != nil {
			return endOfOgg(err)
		}
		want := binary.LittleEndian.Uint32(h[22:])
		binary.LittleEndian.PutUint32(h[22:], 0)
		crc := oggCRC(oggCRC(oggCRC(0, h[:]), o.lacBuf[:n]), o.bodyBuf[:size])
		if crc != want || h[4] != 0 {
			skipped += oggHeaderSize + n + size
			continue
		}
		o.lacing, o.body = o.lacBuf[:n], o.bodyBuf[:size]
		o.page.flags = h[5]
		o.page.granule = int64(binary.LittleEndian.Uint64(h[6:]))
		o.page.serial = binary.LittleEndian.Uint32(h[14:])
		return nil
	}
	return fmt.Errorf("%w: no Ogg page found", ErrFormat)
}

// sync fills o.head with the next page header.
func (o *oggReader) sync(skipped *int) error {
	h := o.head[:]
	if _, err := io.ReadFull(o.r, h[:4]); err != nil {
		return endOfOgg(err)
	}
	for string(h[:4]) != "OggS" {
		if *skipped++; *skipped > maxOggSkip {
			return fmt.Errorf("%w: no Ogg page found", ErrFormat)
		}
		copy(h, h[1:4])
		if _, err := io.ReadFull(o.r, h[3:4]); err != nil {
			return endOfOgg(err)
		}
	}
	if _, err := io.ReadFull(o.r, h[4:]); err != nil {
		return endOfOgg(err)
	}
	return nil
}

// endOfOgg makes a file that ends anywhere end cleanly: recordings are cut off.
func endOfOgg(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return fmt.Errorf("read Ogg: %w", err)
}

// An oggPager puts packets into pages.
type oggPager struct {
	w       io.Writer
	serial  uint32
	page    uint32
	started bool
	lacing  []byte
	body    []byte
	granule int64
	buf     []byte
}

// add puts a packet of at most 64 kB into the present page, which is written
// first if it has no room. granule is the position after the packet.
func (o *oggPager) add(p []byte, granule int64) error {
	need := len(p)/255 + 1
	if need > 255 {
		return fmt.Errorf("write Ogg: packet of %d bytes", len(p))
	}
	if len(o.lacing)+need > 255 {
		if err := o.flush(false); err != nil {
			return err
		}
	}
	for range need - 1 {
		o.lacing = append(o.lacing, 255)
	}
	o.lacing = append(o.lacing, byte(len(p)%255))
	o.body = append(o.body, p...)
	o.granule = granule
	return nil
}

// flush writes the present page. An empty one is written only as the last.
func (o *oggPager) flush(last bool) error {
	if len(o.lacing) == 0 && !last {
		return nil
	}
	flags := byte(0)
	if !o.started {
		flags |= oggFirst
		o.started = true
	}
	if last {
		flags |= oggLast
	}
	b := append(o.buf[:0], "OggS"...)
	b = append(b, 0, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(o.granule))
	b = binary.LittleEndian.AppendUint32(b, o.serial)
	b = binary.LittleEndian.AppendUint32(b, o.page)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, byte(len(o.lacing)))
	b = append(b, o.lacing...)
	b = append(b, o.body...)
	binary.LittleEndian.PutUint32(b[22:], oggCRC(0, b))
	o.buf, o.lacing, o.body = b, o.lacing[:0], o.body[:0]
	o.page++
	if _, err := o.w.Write(b); err != nil {
		return fmt.Errorf("write Ogg: %w", cause(err))
	}
	return nil
}

var oggTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// oggCRC continues the checksum of RFC 3533 §6.
func oggCRC(c uint32, b []byte) uint32 {
	for _, v := range b {
		c = c<<8 ^ oggTable[byte(c>>24)^v]
	}
	return c
}
