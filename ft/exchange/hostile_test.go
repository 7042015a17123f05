package exchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
)

// A script is a peer that says what it is told and hears nothing.
type script []byte

func (s script) frame(t frameType, body ...[]byte) script {
	var b bytes.Buffer
	writeFrame(&b, t, bytes.Join(body, nil))
	return append(slices.Clip(s), b.Bytes()...)
}

func (s script) hello() script { return s.frame(frameHello, []byte(protocol)) }

func entries(list ...Entry) (b []byte) {
	for _, e := range list {
		b = appendEntry(b, e)
	}
	return b
}

func block(file uint32, i int64, data []byte) []byte {
	h := blocktree.Block(data, i)
	return append(append(numbers(file, uint32(i)), h[:]...), data...)
}

func packed(file uint32, data []byte) []byte {
	h := blocktree.One(data)
	return append(append(numbers(file, uint32(len(data))), h[:]...), data...)
}

// receiveScript lets a script play the sender.
func receiveScript(t testing.TB, s script, dir string) (*Result, error) {
	t.Helper()
	a, b := streams(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Write(s)
		a.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, a)
		a.Close()
	}()
	res, err := Receive(t.Context(), b, ReceiveOptions{Dir: dir, Peer: "m"})
	<-done
	return res, err
}

func TestHostileSender(t *testing.T) {
	now := time.Unix(1, 0)
	file := func(path string, size int64) Entry { return Entry{Path: path, Size: size, ModTime: now} }
	manifest := func(list ...Entry) script {
		return script{}.hello().frame(frameManifest, entries(list...)).frame(frameEnd)
	}
	mib := make([]byte, blocktree.BlockSize)
	big := manifest(file("f", 2<<20))
	bad := block(0, 0, mib)
	bad[20] ^= 1
	short := func(n int) []byte { return make([]byte, n) }
	for _, tt := range []struct {
		name string
		say  script
		want error
	}{
		{"another protocol", script("GET / HTTP/1.1\r\n\r\n"), ErrProtocol},
		{"huge frame", script{}.hello().frame(frameManifest)[:len(script{}.hello())+1], io.ErrUnexpectedEOF},
		{"frame over the limit", append(script{}.hello(), 'M', 0xff, 0xff, 0xff, 0xff), ErrProtocol},
		{"empty manifest", manifest(), ErrManifest},
		{"path leaves the folder", manifest(file("../f", 1)), ErrManifest},
		{"absolute path", manifest(file("/etc/passwd", 1)), ErrManifest},
		{"file inside a file", manifest(file("a", 1), file("a/b", 1)), ErrManifest},
		{"file without its folder", manifest(file("a/b", 1)), ErrManifest},
		{"folder with a size", manifest(Entry{Path: "d", Dir: true, Size: 5, ModTime: now}), ErrManifest},
		{"impossible size", script{}.hello().frame(frameManifest, binary.AppendUvarint([]byte{0}, 1<<60)), ErrManifest},
		{"sizes that add up to nothing", func() script {
			list := make([]Entry, 1<<14) // of 1<<50 bytes: 1<<64 in all
			for i := range list {
				list[i] = file(fmt.Sprint(i), 1<<50)
			}
			return manifest(list...)
		}(), ErrManifest},
		{"cut entry", script{}.hello().frame(frameManifest, entries(file("abc", 1))[:6]), ErrManifest},
		{"more than the disk has", manifest(file("f", 1<<49)), ErrDiskFull},
		{"ends early", big.frame(frameEnd), ErrProtocol},
		{"stream ends early", big.frame(frameBlock, block(0, 0, mib)), io.ErrUnexpectedEOF},
		{"block of no file", big.frame(frameBlock, block(7, 0, mib)), ErrProtocol},
		{"block past the end", big.frame(frameBlock, block(0, 2, mib)), ErrProtocol},
		{"short block", big.frame(frameBlock, block(0, 0, mib[:1000])), ErrProtocol},
		{"block without hash", big.frame(frameBlock, numbers(0, 0)), ErrProtocol},
		{"block twice", big.frame(frameBlock, block(0, 0, mib)).frame(frameBlock, block(0, 0, mib)), ErrProtocol},
		{"keep of what is not there", big.frame(frameKeep, numbers(0, 0, 1)), ErrProtocol},
		{"keep of everything", big.frame(frameKeep, numbers(0, 0, 0xffffffff)), ErrProtocol},
		{"wrong root", big.frame(frameBlock, block(0, 0, mib)).frame(frameBlock, block(0, 1, mib)).frame(frameRoot, numbers(0), short(32)), ErrCorrupt},
		{"root of a small file", manifest(file("f", 5)).frame(frameRoot, numbers(0), short(32)), ErrProtocol},
		{"data for a folder", manifest(Entry{Path: "d", Dir: true, ModTime: now}).frame(framePack, packed(0, nil)), ErrProtocol},
		{"packed file too long", manifest(file("f", 5)).frame(framePack, packed(0, []byte("123456"))), ErrProtocol},
		{"packed file twice", manifest(file("f", 5), file("g", 5)).frame(framePack, packed(0, []byte("12345"))).frame(framePack, packed(0, []byte("12345"))), ErrProtocol},
		{"packed length lies", manifest(file("f", 5)).frame(framePack, packed(0, []byte("12345"))[:42]), ErrProtocol},
		{"packed hash lies", manifest(file("f", 5)).frame(framePack, numbers(0, 5), short(32), []byte("12345")), ErrCorrupt},
		{"skip of no file", manifest(file("f", 5)).frame(frameSkip, numbers(3)), ErrProtocol},
		{"unknown frame", manifest(file("f", 5)).frame('z'), ErrProtocol},
		{"control characters in its last words", script{}.hello().frame(frameBye, []byte{byte(byeFailed)}, []byte("a\x1b[2Jb")), &PeerError{Text: "a [2Jb"}},
		{"damaged block again and again", func() script {
			s := big
			for range maxResends + 1 {
				s = s.frame(frameBlock, bad)
			}
			return s
		}(), ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "in")
			_, err := receiveScript(t, tt.say, dir)
			var said *PeerError
			if want, ok := tt.want.(*PeerError); ok {
				if !errors.As(err, &said) || said.Text != want.Text {
					t.Errorf("error = %v, want %v", err, want)
				}
			} else if !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			list, _ := os.ReadDir(dir)
			for _, f := range list {
				if n := f.Name(); n != "f.part" && n != "f.part.journal" && n != "g.part.journal" && n != "d.part" && n != "d.part.journal" && n != "g.part" {
					t.Errorf("left behind under a final or foreign name: %s", n)
				}
			}
		})
	}
}

func TestDamagedBlockIsSentAgain(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, "f"), 3<<20, 1)
	a, b := streams(t)
	o := exchange(t, a, &flip{Conn: b, at: 2 << 20}, scan(t, filepath.Join(from, "f")), SendOptions{}, ReceiveOptions{Dir: to})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatal(o.sendErr, o.getErr)
	}
	same(t, filepath.Join(from, "f"), filepath.Join(to, "f"))
	if o.got.Wire != 4<<20 {
		t.Errorf("%d bytes crossed, want the file and one block again", o.got.Wire)
	}
}

// A flip damages one byte on its way.
type flip struct {
	net.Conn
	at, n int
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.n <= f.at && f.at < f.n+n {
		p[f.at-f.n] ^= 0x10
	}
	f.n += n
	return n, err
}

func TestHostileReceiver(t *testing.T) {
	from := t.TempDir()
	random(t, filepath.Join(from, "f"), 3<<20, 1)
	src := scan(t, filepath.Join(from, "f"))
	hash := make([]byte, 32)
	for _, tt := range []struct {
		name string
		say  script
		want error
	}{
		{"another protocol", script("SSH-2.0-x\r\n"), ErrProtocol},
		{"have of no file", script{}.hello().frame(frameHave, numbers(9, 0), hash), ErrProtocol},
		{"have with a gap", script{}.hello().frame(frameHave, numbers(0, 1), hash), ErrProtocol},
		{"have of more blocks than there are", script{}.hello().frame(frameHave, numbers(0, 0), bytes.Repeat(hash, 4)), ErrProtocol},
		{"half a hash", script{}.hello().frame(frameHave, numbers(0, 0), hash[:5]), ErrProtocol},
		{"asks for a block that is not there", script{}.hello().frame(frameStart).frame(frameResend, numbers(0, 77)), ErrProtocol},
		{"asks without end", func() script {
			s := script{}.hello().frame(frameStart)
			for range 10 * maxResends {
				s = s.frame(frameResend, numbers(0, 0))
			}
			return s
		}(), ErrCorrupt},
		{"goes away", script{}.hello().frame(frameStart), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := streams(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				b.Write(tt.say)
				if errors.Is(tt.want, io.ErrUnexpectedEOF) {
					b.(*net.TCPConn).CloseWrite()
				}
				io.Copy(io.Discard, b)
				b.Close()
			}()
			_, err := Send(t.Context(), a, src, SendOptions{})
			<-done
			if !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(entries(Entry{Path: "a", Dir: true, ModTime: time.Unix(1, 2)}, Entry{Path: "a/b", Size: 7, Exec: true, ModTime: time.Unix(-5, 0)}))
	f.Add(entries(Entry{Path: "../a", Size: 1, ModTime: time.Unix(0, 0)}))
	f.Fuzz(func(t *testing.T, in []byte) {
		var r manifestReader
		if r.add(in) != nil {
			return
		}
		var again manifestReader
		if err := again.add(entries(r.entries...)); err != nil {
			t.Fatalf("what was accepted is refused when encoded again: %v", err)
		}
		for i, e := range again.entries {
			if got := r.entries[i]; got.Path != e.Path || got.Size != e.Size || got.Dir != e.Dir || got.Exec != e.Exec || !got.ModTime.Equal(e.ModTime) {
				t.Fatalf("entry %d: %+v became %+v", i, got, e)
			}
		}
	})
}

// FuzzReceive plays arbitrary bytes to a receiver that has already taken a
// manifest: it must end, and leave nothing under a final name that was not
// verified.
func FuzzReceive(f *testing.F) {
	m := script{}.hello().frame(frameManifest, entries(Entry{Path: "f", Size: 2 << 20, ModTime: time.Unix(1, 0)}, Entry{Path: "g", Size: 3, ModTime: time.Unix(1, 0)})).frame(frameEnd)
	f.Add([]byte(script{}.frame(framePack, packed(1, []byte("abc"))).frame(frameKeep, numbers(0, 0, 1)).frame(frameSkip, numbers(0)).frame(frameEnd)))
	f.Add([]byte(script{}.frame(frameRoot, numbers(0), make([]byte, 32))))
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		res, err := receiveScript(t, append(append(script{}, m...), in...), dir)
		if _, serr := os.Stat(filepath.Join(dir, "f")); serr == nil && err == nil && len(res.Failed()) == 0 {
			t.Fatal("a file of 2 MiB came out of a few bytes")
		}
	})
}
