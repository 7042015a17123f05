package blocktree

import (
	"crypto/rand"
	"fmt"
	"testing"

	"lukechampine.com/blake3"
)

// fileHash computes the root from blocks, as sender and receiver do.
func fileHash(p []byte) Hash {
	if len(p) <= BlockSize {
		return One(p)
	}
	var hashes []Hash
	for i := range Blocks(int64(len(p))) {
		n := BlockLen(int64(len(p)), i)
		hashes = append(hashes, Block(p[i*BlockSize:][:n], i))
	}
	return Root(hashes)
}

func TestRootIsTheBLAKE3HashOfTheFile(t *testing.T) {
	data := make([]byte, 9*BlockSize+1234)
	rand.Read(data)
	sizes := []int{0, 1, 64, 1023, 1024, 1025, 16 << 10, 16<<10 + 1, 17 << 10, 100_000, BlockSize - 1, BlockSize, BlockSize + 1,
		BlockSize + 1024, BlockSize + 20_000, 2 * BlockSize, 2*BlockSize + 1, 3 * BlockSize, 5*BlockSize + 77, 7 * BlockSize, 8 * BlockSize, len(data)}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n, " bytes"), func(t *testing.T) {
			if got, want := fileHash(data[:n]), Hash(blake3.Sum256(data[:n])); got != want {
				t.Errorf("root = %v, want %v", got, want)
			}
		})
	}
}

func TestBlockHashDependsOnPosition(t *testing.T) {
	p := make([]byte, BlockSize)
	if Block(p, 0) == Block(p, 1) {
		t.Error("the same bytes at block 0 and block 1 have one hash")
	}
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct{ size, blocks, last int64 }{
		{0, 0, 0}, {1, 1, 1}, {BlockSize, 1, BlockSize}, {BlockSize + 1, 2, 1}, {20 << 30, 20 << 10, BlockSize},
	} {
		if got := Blocks(tt.size); got != tt.blocks {
			t.Errorf("Blocks(%d) = %d, want %d", tt.size, got, tt.blocks)
		}
		if tt.blocks > 0 {
			if got := BlockLen(tt.size, tt.blocks-1); int64(got) != tt.last {
				t.Errorf("last block of %d has %d bytes, want %d", tt.size, got, tt.last)
			}
		}
	}
}

func BenchmarkBlock(b *testing.B) {
	p := make([]byte, BlockSize)
	b.SetBytes(BlockSize)
	for b.Loop() {
		Block(p, 3)
	}
}
