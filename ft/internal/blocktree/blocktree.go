// Package blocktree hashes a file in blocks that are subtrees of its BLAKE3
// tree: each block can be checked on arrival, and the blocks' hashes together
// give the hash that b3sum prints for the whole file.
//
//	           root = BLAKE3 of the file
//	         /          \
//	     parent          parent
//	    /      \        /      \
//	block 0  block 1  block 2  block 3     1 MiB each, the last may be shorter
//
// A block's hash depends on its position, so a block that is right but in the
// wrong place is found out too.
package blocktree

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"

	"lukechampine.com/blake3/guts"
)

// BlockSize is the length in bytes of every block but the last of a file. It
// is a power of two of BLAKE3 chunks, so that a block is one subtree.
const BlockSize = 1 << 20

// HashSize is the length of a Hash in bytes.
const HashSize = 32

// A Hash is the chaining value of a block, or the root of a file.
type Hash [HashSize]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Blocks returns the number of blocks of a file of size bytes. A file without
// bytes has none.
func Blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// BlockLen returns the length of block i of a file of size bytes.
func BlockLen(size, i int64) int {
	return int(min(BlockSize, size-i*BlockSize))
}

// Block returns the hash of block i, whose bytes are p. It is the chaining
// value of the block's subtree, not finalized as a root.
func Block(p []byte, i int64) Hash {
	h := NewHasher(i)
	h.Write(p)
	return h.Block()
}

// One returns the root of a file that is a single block or empty.
func One(p []byte) Hash {
	var h Hasher
	h.Write(p)
	return root(h.node())
}

// Root returns the root of a file of at least two blocks from their hashes in
// order.
func Root(blocks []Hash) Hash {
	var t tree
	for _, h := range blocks[:len(blocks)-1] {
		t.push(toCV(h))
	}
	return root(t.join(toCV(blocks[len(blocks)-1])))
}

// A Hasher computes the hash of a block as its bytes come, while they are
// still in the processor's cache. Its zero value hashes block 0.
type Hasher struct {
	t     tree
	last  guts.Node
	chunk uint64
	any   bool // last is the node of what was written last
}

// Grain is what Hasher.Write takes at a time: every write but the last of a
// block is a multiple of it.
const Grain = guts.MaxSIMD * guts.ChunkSize

// NewHasher returns a Hasher of block i.
func NewHasher(i int64) Hasher { return Hasher{chunk: uint64(i) * (BlockSize / guts.ChunkSize)} }

// Write adds p.
func (h *Hasher) Write(p []byte) {
	for len(p) > 0 {
		if h.any {
			h.t.push(guts.ChainingValue(h.last))
		}
		var n int
		if len(p) >= Grain {
			n = Grain
			h.last = guts.CompressBuffer((*[Grain]byte)(p), Grain, &guts.IV, h.chunk, 0)
		} else {
			var buf [Grain]byte
			n = copy(buf[:], p)
			h.last = guts.CompressBuffer(&buf, n, &guts.IV, h.chunk, 0)
		}
		h.any = true
		p, h.chunk = p[n:], h.chunk+guts.MaxSIMD
	}
}

func (h *Hasher) node() guts.Node {
	if !h.any {
		var buf [Grain]byte
		return guts.CompressBuffer(&buf, 0, &guts.IV, h.chunk, 0)
	}
	if h.t.n == 0 {
		return h.last
	}
	return h.t.join(guts.ChainingValue(h.last))
}

// Block returns the hash as [Block] does.
func (h *Hasher) Block() Hash { return toHash(guts.ChainingValue(h.node())) }

// A tree merges the chaining values of equal subtrees as BLAKE3 does: the
// stack holds one complete subtree for each bit set in n.
type tree struct {
	stack [54][8]uint32
	n     uint64
}

func (t *tree) push(cv [8]uint32) {
	i := 0
	for ; t.n&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(t.stack[i], cv, &guts.IV, 0))
	}
	t.stack[i] = cv
	t.n++
}

// join returns the node above everything pushed and the last, possibly
// smaller, subtree. At least one value was pushed.
func (t *tree) join(last [8]uint32) guts.Node {
	var node guts.Node
	for i := bits.TrailingZeros64(t.n); i < bits.Len64(t.n); i++ {
		if t.n&(1<<i) != 0 {
			node = guts.ParentNode(t.stack[i], last, &guts.IV, 0)
			last = guts.ChainingValue(node)
		}
	}
	return node
}

func root(n guts.Node) Hash {
	n.Flags |= guts.FlagRoot
	words := guts.CompressNode(n)
	return toHash([8]uint32(words[:8]))
}

func toHash(cv [8]uint32) (h Hash) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(h[4*i:], w)
	}
	return h
}

func toCV(h Hash) (cv [8]uint32) {
	for i := range cv {
		cv[i] = binary.LittleEndian.Uint32(h[4*i:])
	}
	return cv
}
