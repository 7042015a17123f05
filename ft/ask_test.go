package ft_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

func TestAskingForAFile(t *testing.T) {
	other := sha256.Sum256([]byte("something else"))
	for _, tt := range []struct {
		name string
		want filetransfer.File
		give func(*exchange.Source) (*exchange.Source, error)
		try  []ft.Carrier
		err  error // of who asks
	}{
		{name: "by its name", want: filetransfer.File{Name: "f.bin"}, try: []ft.Carrier{s5b.Carrier{}}},
		{name: "over the second carrier", want: filetransfer.File{Name: "f.bin"}, try: []ft.Carrier{hopeless{}, s5b.Carrier{}}},
		{name: "a part of it", want: filetransfer.File{Name: "f.bin", Range: &filetransfer.Range{Length: new(int64)}}, try: []ft.Carrier{s5b.Carrier{}}, err: ft.ErrUnsupported},
		{name: "by a hash that it does not have", want: filetransfer.File{Name: "f.bin", Hashes: []filetransfer.Hash{{Algo: "sha-256", Value: other[:]}}},
			try: []ft.Carrier{s5b.Carrier{}}, err: exchange.ErrCorrupt},
		{name: "that is not given", want: filetransfer.File{Name: "f.bin"}, try: []ft.Carrier{s5b.Carrier{}}, err: ft.ErrDeclined,
			give: func(*exchange.Source) (*exchange.Source, error) { return nil, errors.New("no") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newFile(t, 1<<20)
			dir := t.TempDir()
			asker, err := ft.NewAsker(ft.AskConfig{File: tt.want, Dir: dir, Carriers: tt.try, Env: ft.Env{Loopback: true}, OnEvent: x.event})
			if err != nil {
				t.Fatal(err)
			}
			x.take.Give = func(_ context.Context, want filetransfer.File) (*exchange.Source, error) {
				if want.Name != "f.bin" {
					t.Errorf("asked for %q", want.Name)
				}
				if tt.give != nil {
					return tt.give(x.send.Source)
				}
				return x.send.Source, nil
			}
			giver, err := ft.NewReceiver(x.take)
			if err != nil {
				t.Fatal(err)
			}
			jingletest.Pair(t, jingletest.PairConfig{Registry: registry()}, asker, giver)
			for _, tr := range []*ft.Transfer{asker, giver} {
				select {
				case <-tr.Done():
				case <-time.After(30 * time.Second):
					t.Fatal("the transfer does not end")
				}
			}
			res, err := asker.Result()
			if !errors.Is(err, tt.err) {
				t.Fatalf("asker: %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
					t.Errorf("the folder has %v, %v", list, err)
				}
				return
			}
			want, _ := os.ReadFile(x.file)
			if got, err := os.ReadFile(res.Paths[0]); err != nil || !bytes.Equal(got, want) || !asker.Verified() {
				t.Errorf("%d bytes arrived of %d, verified %t, %v", len(got), len(want), asker.Verified(), err)
			}
			if res, err := giver.Result(); err != nil || res.Bytes != 1<<20 || !giver.Verified() {
				t.Errorf("giver: %+v, verified %t, %v", res, giver.Verified(), err)
			}
		})
	}
}

// Who gives nothing says so.
func TestAskingSomebodyWhoGivesNothing(t *testing.T) {
	x := newFile(t, 10)
	asker, err := ft.NewAsker(ft.AskConfig{File: filetransfer.File{Name: "f.bin"}, Dir: t.TempDir(), Carriers: []ft.Carrier{s5b.Carrier{}}, Env: ft.Env{Loopback: true}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ft.NewReceiver(x.take)
	if err != nil {
		t.Fatal(err)
	}
	jingletest.Pair(t, jingletest.PairConfig{Registry: registry()}, asker, r)
	<-asker.Done()
	<-r.Done()
	if _, err := asker.Result(); !errors.Is(err, ft.ErrUnsupported) {
		t.Errorf("asker: %v, want ErrUnsupported", err)
	}
}
