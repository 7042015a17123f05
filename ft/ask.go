package ft

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// An AskConfig describes a file that is asked for. File, Dir and Carriers are
// required.
type AskConfig struct {
	// File says what is wanted: a name, hashes, or both. XEP-0234#requesting
	File     filetransfer.File
	Dir      string
	Carriers []Carrier // tried in this order
	Env      Env       // SID, Content, Local and Peer are filled in
	OnEvent  func(Event)
}

// NewAsker returns the initiator's side of a transfer that asks the responder
// for one file.
func NewAsker(cfg AskConfig) (*Transfer, error) {
	if cfg.Dir == "" || len(cfg.Carriers) == 0 || cfg.File.Name == "" && len(cfg.File.Hashes) == 0 {
		return nil, errors.New("asking for a file needs its name or hash, a folder and a way to receive it")
	}
	t := newTransfer(jingle.Initiator, cfg.Carriers, cfg.Env, cfg.OnEvent)
	t.content, t.senders = contentName, jingle.SendersResponder
	t.work = func(ctx context.Context) error {
		defer func() {
			if t.plain != nil {
				t.plain.Close()
			}
		}()
		return t.offer(ctx, job{
			description: &filetransfer.Description{File: cfg.File},
			use:         func(ctx context.Context, s Stream) (*exchange.Result, error) { return t.receiveAsked(ctx, s, cfg) },
		})
	}
	return t, nil
}

// receiveAsked takes the file as the answer describes it.
func (t *Transfer) receiveAsked(ctx context.Context, s Stream, cfg AskConfig) (*exchange.Result, error) {
	none := &exchange.Result{}
	var d *filetransfer.Description
	for _, c := range t.answer.Contents {
		if c.Name == t.content {
			d, _ = c.Description.(*filetransfer.Description)
		}
	}
	if d == nil {
		s.Close()
		return none, fmt.Errorf("%w: the answer describes no file", ErrUnsupported)
	}
	// What was asked for by its hash must have it.
	d.File.Hashes = append(d.File.Hashes, cfg.File.Hashes...)
	if d.File.Name == "" {
		d.File.Name = cfg.File.Name
	}
	if t.plain == nil {
		var err error
		if t.plain, err = exchange.ReceivePlain(plainOffer(d), t.receiveOptions(ReceiveConfig{Dir: cfg.Dir})); err != nil {
			s.Close()
			return none, err
		}
		t.plain.Restart() // no range was asked for
	}
	res, verified, err := t.receivePlain(ctx, s, d)
	t.checked = verified
	return res, err
}

// give asks for the file that the peer wants, and describes it.
func (t *Transfer) give(ctx context.Context, cfg ReceiveConfig, want filetransfer.File) (jingle.Description, error) {
	err := t.ask(ctx, func(ctx context.Context) (err error) {
		t.given, err = cfg.Give(ctx, want)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case t.given == nil || len(t.given.Manifest) != 1 || t.given.Manifest[0].Dir:
		return nil, fmt.Errorf("%w: there is not one such file", ErrDeclined)
	}
	t.senders = jingle.SendersResponder
	if want.Range != nil {
		if want.Range.Length != nil {
			return nil, fmt.Errorf("%w: a part in the middle of a file", ErrUnsupported)
		}
		t.from = want.Range.Offset
	}
	f := describeFile(t.given.Manifest[0])
	f.Range = want.Range
	return &filetransfer.Description{File: f}, nil
}
