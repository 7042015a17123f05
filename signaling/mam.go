package signaling

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// catchUpDefault is how far back the archive is read at first.
const catchUpDefault = 7 * 24 * time.Hour

type archiveQuery struct {
	XMLName xml.Name  `xml:"urn:xmpp:mam:2 query"`
	QueryID string    `xml:"queryid,attr"`
	Form    *dataForm `xml:"jabber:x:data x"`
	Page    *resultSet
}

// resultSet is a request for one page. XEP-0059
type resultSet struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/rsm set"`
	Max     int      `xml:"max"`
	After   string   `xml:"after,omitempty"`
}

// archive collects the results of the one query that runs. They are told from
// forgeries by their sender and by an id that only the server knows.
type archive struct {
	mu      sync.Mutex
	queryID string // "" when none runs
	page    []*envelope
}

// offer takes a message that is a result of the running query, on the stream's
// goroutine.
func (c *Client) offerArchive(st *stream.Stanza) bool {
	result := st.Child(nsMAM, "result")
	if result == nil || !c.fromOwnAccount(st.From) {
		return false
	}
	a := &c.archive
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queryID == "" || result.Attr("queryid") != a.queryID {
		return false
	}
	if len(a.page) >= archivePage {
		return true // more than we asked for
	}
	env, err := forwarded(result)
	if err != nil {
		c.log.Debug("archived message ignored", "err", err)
		return true
	}
	if isZero(env.from) {
		env.from = c.own
	}
	env.archived, env.archiveID = true, result.Attr("id")
	env.own = c.isOwnAccount(env.from)
	a.page = append(a.page, env)
	return true
}

// readPage asks for one page of the archive. XEP-0313#query
func (c *Client) readPage(ctx context.Context, start time.Time, after string) (page []*envelope, last string, complete bool, err error) {
	q := &archiveQuery{QueryID: newID(), Page: &resultSet{Max: archivePage, After: after}}
	q.Form = &dataForm{Type: "submit", Fields: []dataField{{Var: formType, Type: "hidden", Values: []string{nsMAM}}}}
	if !start.IsZero() {
		q.Form.Fields = append(q.Form.Fields, dataField{Var: "start", Values: []string{start.UTC().Format("2006-01-02T15:04:05Z")}})
	}
	a := &c.archive
	a.mu.Lock()
	a.queryID, a.page = q.QueryID, nil
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.queryID, a.page = "", nil
		a.mu.Unlock()
	}()
	st, err := c.s.IQ(ctx, jid.JID{}, stanza.SetIQ, q)
	if err != nil {
		return nil, "", false, fmt.Errorf("read the archive: %w", err)
	}
	// The results came before the answer, but perhaps they wait to be handled.
	caughtUp := make(chan struct{})
	c.s.After(func() { close(caughtUp) })
	select {
	case <-caughtUp:
	case <-ctx.Done():
		return nil, "", false, fmt.Errorf("read the archive: %w", context.Cause(ctx))
	}
	fin := st.Child(nsMAM, "fin")
	last = fin.Child(nsRSM, "set").Child(nsRSM, "last").Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.page, last, fin.Attr("complete") == "true", nil
}

// catchUp reads what the archive has of calls that this device did not see.
func (c *Client) catchUp(ctx context.Context) error {
	mark := c.marks.get()
	l := newLedger(c.own)
	var start time.Time
	if mark == "" {
		start = time.Now().Add(-c.cfg.CatchUp)
	}
	after, read := mark, 0
	for read < maxArchive {
		page, last, complete, err := c.readPage(ctx, start, after)
		var answer *stream.AnswerError
		if errors.As(err, &answer) && answer.Err.Condition == stanza.ItemNotFound && after != "" && read == 0 {
			// The archive does not go back that far any more. XEP-0313#query-paging
			after, start = "", time.Now().Add(-c.cfg.CatchUp)
			mark = ""
			c.marks.set("")
			continue
		}
		if err != nil {
			return err
		}
		for _, env := range page {
			c.archived(l, env)
		}
		read += len(page)
		if last != "" {
			after = last
			c.marks.set(last)
		}
		if complete || len(page) == 0 || last == "" {
			c.marks.caughtUp()
			break
		}
	}
	now := time.Now()
	done, open := l.settle(now, jmi.MaxAge) // older proposals do not ring
	for _, e := range done {
		if !c.recorded(e.record.SID) {
			c.record(e.record)
		}
	}
	for _, e := range open {
		// Its caller may still be waiting: it rings now, not while the archive is
		// read, because what takes it back comes later in there. XEP-0353#business-rules
		if e.record.Direction == In && !c.recorded(e.record.SID) && !c.seen.before(e.env, e.proposal) {
			c.onCallMessage(e.env, e.proposal)
		}
	}
	if err := c.saveMark(ctx); err != nil {
		return err
	}
	c.log.Debug("archive read", "messages", read, "calls", len(done))
	return nil
}

// archived takes one archived message.
func (c *Client) archived(l *ledger, env *envelope) {
	if env.msg.Attr("type") == "error" || env.msg.Attr("type") == "groupchat" {
		return
	}
	for child := range env.msg.Children() {
		if !jmi.Is(child.Start.Name) {
			continue
		}
		var m jmi.Message
		if err := child.Decode(&m); err != nil {
			return
		}
		l.apply(env, &m, time.Now())
		return
	}
}

// marks remember up to where the archive is known.
type marks struct {
	mu    sync.Mutex
	last  string // id in the archive
	saved string
	near  bool // everything up to last was read, so that what comes live may follow
}

// behind says that there may be messages after the mark that did not come live.
func (m *marks) behind() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.near = false
}

// caughtUp says that the archive was read to its end.
func (m *marks) caughtUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.near = true
}

func (m *marks) get() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

func (m *marks) set(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = id
}

// live notes a message that came by itself: nobody needs to read it again.
func (m *marks) live(env *envelope) {
	if env.archiveID == "" || env.archived {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.near && m.last != "" { // otherwise there may be older ones
		m.last = env.archiveID
	}
}

func (m *marks) unsaved() (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.last != m.saved
}

// loadMark reads where the last run stopped.
func (c *Client) loadMark(ctx context.Context) error {
	if c.cfg.History == nil {
		return nil
	}
	mark, err := c.cfg.History.Mark(ctx)
	if err != nil {
		return fmt.Errorf("read the call history: %w", err)
	}
	if len(mark) > 1024 || strings.ContainsAny(mark, "\r\n\x00") {
		mark = ""
	}
	c.marks.mu.Lock()
	c.marks.last, c.marks.saved = mark, mark
	c.marks.mu.Unlock()
	return nil
}

// saveMark stores where we stopped.
func (c *Client) saveMark(ctx context.Context) error {
	if c.cfg.History == nil {
		return nil
	}
	mark, changed := c.marks.unsaved()
	if !changed {
		return nil
	}
	done := make(chan error, 1)
	if !c.recorder.post(func(h History) { done <- h.SetMark(ctx, mark) }) {
		return nil
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("write the call history: %w", err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.marks.mu.Lock()
	c.marks.saved = mark
	c.marks.mu.Unlock()
	return nil
}
