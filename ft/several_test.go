package ft_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	js5b "github.com/carillon-im/carillon/jingle/s5b"
)

// newFiles is a transfer of files of these sizes, named 0.bin and on.
func newFiles(t *testing.T, sizes ...int) (*transfer, [][]byte) {
	t.Helper()
	x := newFile(t, 1)
	dir := t.TempDir()
	var paths []string
	var all [][]byte
	for i, n := range sizes {
		data := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		p := filepath.Join(dir, fmt.Sprintf("%d.bin", i))
		if err := os.WriteFile(p, data, 0o666); err != nil {
			t.Fatal(err)
		}
		paths, all = append(paths, p), append(all, data)
	}
	var err error
	if x.send.Source, err = exchange.Scan(t.Context(), paths...); err != nil {
		t.Fatal(err)
	}
	return x, all
}

// has reports whether a file of a receiver's result has the data.
func has(t *testing.T, r *ft.Transfer, data []byte) bool {
	t.Helper()
	res, _ := r.Result()
	return slices.ContainsFunc(res.Paths, func(p string) bool {
		b, err := os.ReadFile(p)
		return err == nil && bytes.Equal(b, data)
	})
}

func TestSeveralFilesInOneSession(t *testing.T) {
	for _, tt := range []struct {
		name     string
		sizes    []int
		carriers []ft.Carrier
	}{
		{"two over TCP", []int{3 << 20, 100_000}, []ft.Carrier{tcp.Carrier{}}},
		{"three over SOCKS5, one empty", []int{300_000, 0, 5}, []ft.Carrier{s5b.Carrier{}}},
		{"each falls back by itself", []int{100_000, 200_000}, []ft.Carrier{hopeless{}, s5b.Carrier{}}},
		{"as many as there can be", slices.Repeat([]int{20_000}, ft.MaxSeveral), []ft.Carrier{tcp.Carrier{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, all := newFiles(t, tt.sizes...)
			x.send.Carriers = tt.carriers
			var (
				mu      sync.Mutex
				asked   ft.Offer
				last    exchange.Progress
				actions []string
			)
			x.take.Decide = func(_ context.Context, o ft.Offer) error { asked = o; return nil }
			x.take.OnEvent = func(e ft.Event) {
				if p, ok := e.(ft.Progressing); ok {
					last = p.Progress
				}
			}
			x.tap = func(_ jingle.Role, j *jingle.Jingle) {
				mu.Lock()
				defer mu.Unlock()
				actions = append(actions, fmt.Sprintf("%s %d", j.Action, len(j.Contents)))
			}
			s, r := x.runWith(t, ft.NewSeveralSender)
			res, err := r.Result()
			if err != nil || !r.Verified() {
				t.Fatalf("receiver: %+v, verified %t, %v", res, r.Verified(), err)
			}
			total := 0
			for i, data := range all {
				total += len(data)
				if b, err := os.ReadFile(res.Paths[i]); err != nil || !bytes.Equal(b, data) {
					t.Errorf("file %d: %d bytes of %d, %v", i, len(b), len(data), err)
				}
			}
			n := len(all)
			if asked.Files != n || asked.Size != int64(total) || len(asked.Names) != n || asked.Names[1] != "1.bin" {
				t.Errorf("asked about %+v", asked)
			}
			if last.Bytes != int64(total) || last.Total != int64(total) {
				t.Errorf("progress ends with %+v", last)
			}
			if res, err := s.Result(); err != nil || !s.Verified() || res.Bytes != int64(total) || len(res.Files) != n {
				t.Errorf("sender: %+v, verified %t, %v", res, s.Verified(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, want := range []string{fmt.Sprintf("session-initiate %d", n), fmt.Sprintf("session-accept %d", n), "session-terminate 0"} {
				if count(actions, want) != 1 {
					t.Errorf("%d times %q in %q", count(actions, want), want, actions)
				}
			}
			if k := len(slices.DeleteFunc(slices.Clone(x.events), func(e string) bool { return e != "accepted" })); k != 1 {
				t.Errorf("accepted %d times: %q", k, x.events)
			}
		})
	}
}

func count(list []string, s string) (n int) {
	for _, e := range list {
		if e == s {
			n++
		}
	}
	return n
}

func TestSeveralFilesAreDeclinedAsOne(t *testing.T) {
	x, _ := newFiles(t, 1000, 1000)
	x.take.Decide = func(context.Context, ft.Offer) error { return &ft.RefusedError{Text: "too many"} }
	s, r := x.runWith(t, ft.NewSeveralSender)
	if _, err := s.Result(); !errors.Is(err, ft.ErrDeclined) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("sender: %v", err)
	}
	if _, err := r.Result(); !errors.Is(err, ft.ErrDeclined) {
		t.Errorf("receiver: %v", err)
	}
	if left, _ := os.ReadDir(x.take.Dir); len(left) > 0 {
		t.Errorf("something was written: %v", left)
	}
}

// A file whose hash is wrong is lost to both sides, and the other is not.
func TestOneOfSeveralFails(t *testing.T) {
	x, all := newFiles(t, 200_000, 300_000)
	var mu sync.Mutex
	removed := false
	x.tap = func(_ jingle.Role, j *jingle.Jingle) {
		mu.Lock()
		defer mu.Unlock()
		removed = removed || j.Action == jingle.ActionContentRemove && j.Contents[0].Name == "1"
		for _, p := range j.Payloads {
			if i, ok := p.(*filetransfer.Info); ok && i.File != nil && i.Name == "1" {
				i.File.Hashes[0].Value = make([]byte, 32)
			}
		}
	}
	s, r := x.runWith(t, ft.NewSeveralSender)
	res, err := r.Result()
	if !errors.Is(err, exchange.ErrCorrupt) || r.Verified() || len(res.Paths) != 1 || len(res.Failed()) != 1 || res.Failed()[0].Path != "1.bin" {
		t.Errorf("receiver: %+v, %v", res, err)
	}
	if !has(t, r, all[0]) {
		t.Error("the other file did not arrive")
	}
	res, err = s.Result()
	if err == nil || s.Verified() || len(res.Failed()) != 1 || res.Failed()[0].Path != "1.bin" || res.Bytes < 200_000 {
		t.Errorf("sender: %+v, %v", res, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !removed {
		t.Error("the content of the file was not removed")
	}
}

// A brake holds back the stream of one content until it is let go, and breaks
// it then.
type brake struct {
	tcp.Carrier
	content string
	reached chan struct{} // closed when the stream would begin
	letGo   chan struct{}
}

func (b brake) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := b.Carrier.New(env, role)
	if env.Content == b.content {
		return brakeNegotiation{n, b}, err
	}
	return n, err
}

type brakeNegotiation struct {
	ft.Negotiation
	brake brake
}

func (b brakeNegotiation) Open(ctx context.Context) (ft.Stream, error) {
	s, err := b.Negotiation.Open(ctx)
	if err == nil {
		s = brakeStream{s, b.brake, ctx}
	}
	return s, err
}

type brakeStream struct {
	ft.Stream
	brake brake
	ctx   context.Context
}

// Write lets nothing through: the sender has second thoughts.
func (b brakeStream) Write(p []byte) (int, error) {
	close(b.brake.reached)
	select {
	case <-b.brake.letGo:
		return 0, io.ErrClosedPipe
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func TestSenderRemovesOneOfSeveral(t *testing.T) {
	x, all := newFiles(t, 200_000, 300_000)
	stuck := brake{content: "1", reached: make(chan struct{}), letGo: make(chan struct{})}
	x.send.Carriers = []ft.Carrier{stuck}
	s, r, a, _ := x.begin(t, ft.NewSeveralSender)
	<-stuck.reached
	err := a.Do(t.Context(), func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.RemoveContent(&jingle.Reason{Condition: jingle.Cancel}, "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	res, err := r.Result()
	if !errors.Is(err, exchange.ErrCancelled) || len(res.Failed()) != 1 || !has(t, r, all[0]) {
		t.Errorf("receiver: %+v, %v", res, err)
	}
	close(stuck.letGo)
	<-s.Done()
	if res, err := s.Result(); err == nil || len(res.Failed()) != 1 || res.Failed()[0].Path != "1.bin" {
		t.Errorf("sender: %+v, %v", res, err)
	}
}

// What is added to a session is refused, and what was agreed to goes on.
func TestMoreFilesAreRefused(t *testing.T) {
	x, all := newFiles(t, 200_000, 300_000)
	stuck := brake{content: "1", reached: make(chan struct{}), letGo: make(chan struct{})}
	x.send.Carriers = []ft.Carrier{stuck}
	answers := make(chan *jingle.Jingle, 4)
	x.tap = func(_ jingle.Role, j *jingle.Jingle) {
		if j.Action == jingle.ActionContentReject || j.Action == jingle.ActionContentAccept {
			answers <- j
		}
	}
	s, r, a, _ := x.begin(t, ft.NewSeveralSender)
	<-stuck.reached
	size := int64(5)
	err := a.Do(t.Context(), func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.AddContent(&jingle.Jingle{Contents: []jingle.Content{{
			Name: "2", Senders: jingle.SendersInitiator,
			Description: &filetransfer.Description{File: filetransfer.File{Name: "2.bin", Size: &size}},
			Transport:   &js5b.Transport{SID: "more"},
		}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case j := <-answers:
		if j.Action != jingle.ActionContentReject || len(j.Contents) != 1 || j.Contents[0].Name != "2" || j.Reason == nil || j.Reason.Condition != jingle.Decline {
			t.Errorf("answered by %s %+v, %+v; want content-reject of 2", j.Action, j.Contents, j.Reason)
		}
	case <-time.After(20 * time.Second):
		t.Error("no answer to content-add")
	}
	close(stuck.letGo)
	<-s.Done()
	<-r.Done()
	if !has(t, r, all[0]) {
		t.Error("the file that was agreed to did not arrive")
	}
}

// A file that the sender cannot go on with is removed by it, and the other
// arrives.
func TestSenderFailsAtOneOfSeveral(t *testing.T) {
	x, all := newFiles(t, 200_000, 300_000)
	stuck := brake{content: "0", reached: make(chan struct{}), letGo: make(chan struct{})}
	close(stuck.letGo)
	x.send.Carriers = []ft.Carrier{stuck}
	s, r := x.runWith(t, ft.NewSeveralSender)
	for _, x := range []*ft.Transfer{s, r} {
		if res, err := x.Result(); err == nil || x.Verified() || len(res.Failed()) != 1 || res.Failed()[0].Path != "0.bin" || res.Files[1].Err != nil {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if !has(t, r, all[1]) {
		t.Error("the other file did not arrive")
	}
}

// What the sender takes out of its offer while a person thinks does not come.
func TestOneOfSeveralIsWithdrawnBeforeTheAnswer(t *testing.T) {
	x, all := newFiles(t, 1000, 2000, 3000)
	thinking, decided := make(chan struct{}), make(chan struct{})
	x.take.Decide = func(ctx context.Context, _ ft.Offer) error {
		close(thinking)
		<-decided
		return nil
	}
	s, r, a, b := x.begin(t, ft.NewSeveralSender)
	<-thinking
	for _, do := range []func() error{
		func() error {
			return a.Do(t.Context(), func(s *jingle.Session) ([]jingle.Effect, error) { return s.RemoveContent(nil, "1") })
		},
		func() error { // until it has arrived
			for n := 3; n != 2; {
				if err := b.Do(t.Context(), func(s *jingle.Session) ([]jingle.Effect, error) { n = len(s.Contents()); return nil, nil }); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	close(decided)
	<-r.Done()
	res, err := r.Result()
	if !errors.Is(err, exchange.ErrCancelled) || len(res.Paths) != 2 || !has(t, r, all[0]) || !has(t, r, all[2]) {
		t.Errorf("receiver: %+v, %v", res, err)
	}
	s.Cancel() // its own content was taken away behind its back
	<-s.Done()
}

func TestHostileOffersOfSeveral(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*jingle.Jingle)
		ok   bool
	}{
		{name: "a file and something else", edit: func(j *jingle.Jingle) {
			j.Contents[1].Description = &ft.Description{Files: 1, Roots: []ft.Root{{Name: "x"}}}
		}},
		{name: "a file and something unknown", edit: func(j *jingle.Jingle) {
			j.Contents[1].Description = &jingle.Unknown{XMLName: xmlName("urn:example:game", "description")}
		}},
		{name: "a file and the wish for one", edit: func(j *jingle.Jingle) { j.Contents[1].Senders = jingle.SendersResponder }},
		{name: "a transport of pigeons", edit: func(j *jingle.Jingle) {
			j.Contents[1].Transport = &jingle.Unknown{XMLName: xmlName("urn:example:carrier-pigeon", "transport")}
		}},
		{name: "sizes that wrap around", edit: func(j *jingle.Jingle) {
			for _, c := range j.Contents {
				size := int64(math.MaxInt64)
				c.Description.(*filetransfer.Description).File.Size = &size
			}
		}},
		{name: "two contents of one name", edit: func(j *jingle.Jingle) { j.Contents[1].Name = j.Contents[0].Name }},
		{name: "two files of one name", ok: true, edit: func(j *jingle.Jingle) {
			for _, c := range j.Contents {
				c.Description.(*filetransfer.Description).File.Name = "same"
			}
		}},
		{name: "a name that leads away", ok: true, edit: func(j *jingle.Jingle) {
			j.Contents[1].Description.(*filetransfer.Description).File.Name = "../../evil"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, all := newFiles(t, 1000, 2000)
			x.tap = func(from jingle.Role, j *jingle.Jingle) {
				if j.Action == jingle.ActionSessionInitiate {
					tt.edit(j)
				}
			}
			s, r, _, _ := x.begin(t, ft.NewSeveralSender)
			<-s.Done()
			_, err := s.Result()
			if tt.ok {
				<-r.Done()
				if err != nil || !has(t, r, all[0]) || !has(t, r, all[1]) {
					res, rerr := r.Result()
					t.Errorf("sender: %v; receiver: %+v, %v", err, res, rerr)
				}
				res, _ := r.Result()
				for _, p := range res.Paths {
					if filepath.Dir(p) != x.take.Dir {
						t.Errorf("a file is at %q", p)
					}
				}
				return
			}
			if err == nil {
				t.Error("the offer is taken")
			}
			if left, _ := os.ReadDir(x.take.Dir); len(left) > 0 {
				t.Errorf("something was written: %v", left)
			}
		})
	}
}

// Nobody is offered, and nobody sends, more than there may be.
func TestTooManyFilesInOneSession(t *testing.T) {
	x, _ := newFiles(t, slices.Repeat([]int{1}, ft.MaxSeveral+1)...)
	if _, err := ft.NewSeveralSender(x.send); err == nil {
		t.Error("17 files are sent in one session")
	}
	contents := slices.Repeat([]jingle.Content{{Description: &filetransfer.Description{}, Transport: &tcp.Transport{}}}, ft.MaxSeveral+1)
	if _, ok := ft.ReadOffers(contents[:ft.MaxSeveral]); !ok {
		t.Error("16 files are no offer")
	}
	if _, ok := ft.ReadOffers(contents); ok {
		t.Error("17 files are an offer")
	}
}

func TestSeveralSenderIsCancelled(t *testing.T) {
	x, _ := newFiles(t, 200_000, 300_000)
	stuck := brake{content: "1", reached: make(chan struct{})}
	x.send.Carriers = []ft.Carrier{stuck, ibb.Carrier{}}
	s, r, _, _ := x.begin(t, ft.NewSeveralSender)
	<-stuck.reached
	s.Cancel()
	<-r.Done()
	<-s.Done()
	if _, err := s.Result(); !errors.Is(err, exchange.ErrCancelled) {
		t.Errorf("sender: %v", err)
	}
	if _, err := r.Result(); err == nil || r.Verified() { // its stream may end before the session does
		t.Error("the receiver thinks it is done")
	}
}
