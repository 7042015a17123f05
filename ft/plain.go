package ft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// Times of a transfer with another client.
const (
	countTimeout    = 2 * time.Minute // for the receiver to have counted the last byte after we wrote it
	keepTimeout     = 5 * time.Second // for the receiver to say that it has the file once it acknowledged every byte
	checksumTimeout = time.Second     // for a checksum after the last byte, when none was promised
	promisedTimeout = 15 * time.Second
)

// algorithm is the hash that we send to other clients. XEP-0300#recommendations
const algorithm = "sha-256"

// NewPlainSender returns a transfer of one file to a peer that knows XEP-0234
// and not NS. Source.Each splits a source into files, see also
// [NewSeveralSender].
func NewPlainSender(cfg SendConfig) (*Transfer, error) {
	if cfg.Source != nil && (len(cfg.Source.Manifest) != 1 || cfg.Source.Manifest[0].Dir) {
		return nil, errors.New("other clients take one file in a session")
	}
	return newSender(cfg, func(t *Transfer) job { return t.plainJob(cfg) })
}

// plainJob offers and sends the one file of a source.
func (t *Transfer) plainJob(cfg SendConfig) job {
	f := describeFile(cfg.Source.Manifest[0])
	f.Thumbnail = cfg.Thumbnail
	return job{
		description: &filetransfer.Description{File: f},
		use:         func(ctx context.Context, s Stream) (*exchange.Result, error) { return t.sendPlain(ctx, s, cfg) },
	}
}

// describeFile says about a file what others may want to know before they take
// it. Its empty range says that we know ranges. XEP-0234#range
func describeFile(e exchange.Entry) filetransfer.File {
	return filetransfer.File{
		Name: e.Path, Size: &e.Size, Date: e.ModTime.Truncate(time.Second), MediaType: MediaType(e.Path),
		Range: &filetransfer.Range{}, HashUsed: []string{algorithm},
	}
}

// MediaType guesses what is in a file from its name.
func MediaType(name string) string {
	m, _, err := mime.ParseMediaType(mime.TypeByExtension(path.Ext(name)))
	if err != nil {
		return "application/octet-stream"
	}
	return m
}

// sendPlain writes the file and waits until the receiver has it. The receiver
// counts bytes and ends the session; closing first would cut what is still on
// its way.
//
// interop Conversations 2.19, Dino 0.4.2: both end the session themselves.
func (t *Transfer) sendPlain(ctx context.Context, s Stream, cfg SendConfig) (*exchange.Result, error) {
	defer s.Close()
	offset := t.from
	if t.answer != nil {
		for _, c := range t.answer.Contents {
			if d, ok := c.Description.(*filetransfer.Description); ok && d.File.Range != nil {
				offset = d.File.Range.Offset
			}
		}
	}
	res, err := exchange.SendPlain(ctx, s, cfg.Source, offset, t.sendOptions(cfg))
	if err != nil {
		return res, err
	}
	t.conn.DoLater(func(sess *jingle.Session) ([]jingle.Effect, error) {
		return sess.Info(filetransfer.NewChecksum(t.content, filetransfer.Hash{Algo: algorithm, Value: res.Files[0].SHA256}))
	})
	return res, t.awaitKept(ctx, s)
}

// awaitKept waits until the receiver says that it has the file, or ends the
// session. Not to close the stream before it does is what most want: those who
// count bytes do not look for an end, and drop what they have not read yet when
// there is one.
//
// interop Dino 0.4.2: the close element of an in-band stream throws away what
// it has not read yet.
func (t *Transfer) awaitKept(ctx context.Context, s Stream) error {
	stop := context.AfterFunc(ctx, func() {
		s.SetReadDeadline(time.Unix(1, 0))
		s.SetWriteDeadline(time.Unix(1, 0)) // of CloseWrite
	})
	defer stop()
	wait, inBand := countTimeout, s.Info().Kind == "ibb"
	switch {
	case inBand:
		wait = keepTimeout // every block was acknowledged: it has them
	case s.Info().Kind == "s5b" && s.Info().Relayed:
		s.CloseWrite() // makes the proxy hand over all it has, see package s5b
	}
	received := make(chan error, 1)
	go func() { // a receiver that closes the stream has what it wants, too
		s.SetReadDeadline(time.Now().Add(countTimeout))
		_, err := s.Read(make([]byte, 1))
		received <- err
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case info := <-t.infos:
			if info.XMLName.Local == filetransfer.Received {
				t.confirmed = true
				return nil
			}
		case <-t.over: // carry tells success from failure
			for len(t.infos) > 0 { // said before the end
				t.confirmed = t.confirmed || (<-t.infos).XMLName.Local == filetransfer.Received
			}
			return nil
		case <-received:
			received = nil
			if err := context.Cause(ctx); err != nil {
				return err
			}
		case <-timer.C:
			if !inBand {
				return ErrUnconfirmed
			}
			// One that reads to the end of the stream needs to see it.
			s.SetWriteDeadline(time.Now().Add(keepTimeout))
			if err := s.CloseWrite(); err != nil && !t.isOver() && ctx.Err() == nil {
				return fmt.Errorf("send data: %w", err)
			}
			inBand = false
			timer.Reset(keepTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// openPlain makes ready for the file of an offer and returns the description
// that accepts it: with a range when the sender knows ranges and part of the
// file is there. XEP-0234#range
func (t *Transfer) openPlain(d *filetransfer.Description, opt exchange.ReceiveOptions) (*filetransfer.Description, error) {
	f, err := exchange.ReceivePlain(plainOffer(d), opt)
	if err != nil {
		return nil, err
	}
	t.plain = f
	if d.File.Range == nil {
		f.Restart()
	}
	accept := *d
	accept.File.Range, accept.File.Thumbnail = nil, nil
	if f.Offset() > 0 {
		accept.File.Range = &filetransfer.Range{Offset: f.Offset()}
	}
	return &accept, nil
}

// receivePlain reads the file and compares it with the hashes that the sender
// tells, in the offer or in a checksum.
func (t *Transfer) receivePlain(ctx context.Context, s Stream, d *filetransfer.Description) (*exchange.Result, bool, error) {
	defer s.Close()
	none := &exchange.Result{}
	if err := t.plain.Receive(ctx, s); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			t.awaitReason(ctx)
		}
		return none, false, err
	}
	var later []exchange.Sum
	if len(d.File.Hashes) == 0 {
		later = t.awaitChecksum(ctx, len(d.File.HashUsed) > 0)
	}
	res, verified, err := t.plain.Commit(later)
	if err != nil {
		return none, false, err
	}
	t.conn.DoLater(func(sess *jingle.Session) ([]jingle.Effect, error) {
		return sess.Info(filetransfer.NewReceived(t.content))
	})
	return res, verified, nil
}

// awaitReason gives a sender that has closed the stream time to end the session,
// which says why.
//
// interop Gajim 1.7.3: cancels in band with a close first.
func (t *Transfer) awaitReason(ctx context.Context) {
	timer := time.NewTimer(lastWordTimeout)
	defer timer.Stop()
	select {
	case <-t.over:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// isOver reports whether the session has ended.
func (t *Transfer) isOver() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

func plainOffer(d *filetransfer.Description) exchange.PlainOffer {
	o := exchange.PlainOffer{Name: d.File.Name, Size: -1, ModTime: d.File.Date, Sums: sums(d.File.Hashes)}
	if d.File.Size != nil {
		o.Size = *d.File.Size
	}
	return o
}

// awaitChecksum waits a moment for the hashes of what has come: longer when
// the sender promised them.
func (t *Transfer) awaitChecksum(ctx context.Context, promised bool) []exchange.Sum {
	wait := checksumTimeout
	if promised {
		wait = promisedTimeout
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case info := <-t.infos:
			if info.XMLName.Local == filetransfer.Checksum && info.File != nil {
				return sums(info.File.Hashes)
			}
		case <-t.over:
			return nil
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func sums(hs []filetransfer.Hash) (list []exchange.Sum) {
	for _, h := range hs {
		list = append(list, exchange.Sum{Algo: h.Algo, Value: slices.Clone(h.Value)})
	}
	return list
}
