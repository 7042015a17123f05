package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
)

// Every frame is a type byte, the length of its body in four bytes, and the
// body. Numbers are big-endian.
const (
	headerLen   = 5
	blockHead   = 4 + 4 + blocktree.HashSize // file, block, hash
	packHead    = 4 + 4 + blocktree.HashSize // file, length, root
	maxBody     = blockHead + blocktree.BlockSize
	haveMax     = (maxBody - 8) / blocktree.HashSize // hashes in one have frame
	protocol    = "carillon transfer 0\n"
	maxTextSize = 1000 // bytes of an error's text
)

// A frameType says what a frame is.
type frameType byte

const (
	frameHello    frameType = 'H' // protocol name
	frameManifest frameType = 'M' // entries
	frameHave     frameType = 'V' // file, number of the first block, hashes of blocks
	frameStart    frameType = 'S' // the receiver has said what it has
	frameKeep     frameType = 'K' // file, first block, number of blocks: right as they are
	frameBlock    frameType = 'B' // file, block, hash, data
	framePack     frameType = 'P' // whole small files: file, length, root, data; repeated
	frameRoot     frameType = 'R' // file, root
	frameSkip     frameType = 'X' // file, reason: the sender cannot send it
	frameEnd      frameType = 'E' // nothing follows but what is asked for again
	frameAck      frameType = 'A' // bytes settled so far
	frameResend   frameType = 'N' // file, block: its hash was wrong
	frameDone     frameType = 'D' // everything is verified and in its place
	frameBye      frameType = 'Q' // code, text: the side gives up
	framePing     frameType = 'I' // nothing; shows that the side is alive
)

// ErrProtocol reports bytes that are no part of the protocol.
var ErrProtocol = errors.New("peer broke the transfer protocol")

// A bye code says why a side gave up.
type byeCode byte

const (
	byePaused byeCode = 1 // resumable, on purpose
	byeCancel byeCode = 2 // not wanted any more
	byeFailed byeCode = 3 // an error, in the text
)

// writeFrame writes one frame with a small body.
func writeFrame(w io.Writer, t frameType, body []byte) error {
	b := make([]byte, headerLen, headerLen+len(body))
	putHeader(b, t, len(body))
	_, err := w.Write(append(b, body...))
	return err
}

func putHeader(b []byte, t frameType, n int) {
	b[0] = byte(t)
	binary.BigEndian.PutUint32(b[1:], uint32(n))
}

// hashPiece is how many bytes of a block are read before they are hashed:
// little enough to be in the processor's cache then.
const hashPiece = 4 * blocktree.Grain

// readFrame reads one frame into buf, which holds maxBody bytes, and returns
// its body within buf. When sum is not nil it gets the hash of a block's data.
func readFrame(r io.Reader, buf []byte, sum *blocktree.Hash) (frameType, []byte, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	t, n := frameType(h[0]), binary.BigEndian.Uint32(h[1:])
	if n > maxBody {
		return 0, nil, fmt.Errorf("%w: frame of %d bytes", ErrProtocol, n)
	}
	body := buf[:n]
	if t != frameBlock || sum == nil || n < blockHead {
		_, err := io.ReadFull(r, body)
		return t, body, noEOF(err)
	}
	if _, err := io.ReadFull(r, body[:blockHead]); err != nil {
		return 0, nil, noEOF(err)
	}
	hash := blocktree.NewHasher(int64(binary.BigEndian.Uint32(body[4:])))
	if err := hashFull(r, body[blockHead:], &hash); err != nil {
		return 0, nil, noEOF(err)
	}
	*sum = hash.Block()
	return t, body, nil
}

// hashFull fills p and hashes it on the way.
func hashFull(r io.Reader, p []byte, h *blocktree.Hasher) error {
	for len(p) > 0 {
		n := min(len(p), hashPiece)
		if _, err := io.ReadFull(r, p[:n]); err != nil {
			return err
		}
		h.Write(p[:n])
		p = p[n:]
	}
	return nil
}

// noEOF turns an end inside a frame into what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fields reads n four-byte numbers from the front of a body.
func fields(p []byte, n int) ([3]uint32, []byte, error) {
	var f [3]uint32
	if len(p) < 4*n {
		return f, nil, fmt.Errorf("%w: frame is too short", ErrProtocol)
	}
	for i := range n {
		f[i] = binary.BigEndian.Uint32(p[4*i:])
	}
	return f, p[4*n:], nil
}

func numbers(ns ...uint32) []byte {
	var b []byte
	for _, n := range ns {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}
