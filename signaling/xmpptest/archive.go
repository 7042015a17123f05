package xmpptest

import (
	"slices"
	"strconv"
	"time"
)

// Bounds of an archive and of one page of it.
const (
	maxArchive = 10000
	maxPage    = 50
)

// archived is one message of an account's archive. XEP-0313
type archived struct {
	id   string
	at   time.Time
	with addr // the other side
	m    *Element
}

// archiveMessage stores m and returns its id, or "" when the server keeps no archive.
func (s *Server) archiveMessage(acct *account, with addr, m *Element) string {
	if !s.knows(nsMAM) {
		return ""
	}
	s.lastID++
	a := archived{id: "a" + strconv.Itoa(s.lastID), at: time.Now(), with: with, m: m.copy()}
	if len(acct.archive) == maxArchive {
		acct.archive = slices.Delete(acct.archive, 0, 1)
	}
	acct.archive = append(acct.archive, a)
	return a.id
}

// archiveFields are what a query may filter by.
var archiveFields = []string{"with", "start", "end", "before-id", "after-id", "ids"}

// archiveIQ answers a query of the user's own archive: the page as messages,
// then the IQ result. XEP-0313#query
func (s *Server) archiveIQ(sess *session, iq, query *Element) *Element {
	if !query.Is("", "query") {
		return errorReply(iq, "cancel", "feature-not-implemented")
	}
	if iq.Get("type") == "get" {
		x := el(nsForm, "x", "type", "form").add(formField("FORM_TYPE", "hidden", nsMAM))
		for _, f := range archiveFields {
			x.add(el(nsForm, "field", "var", f))
		}
		return resultReply(iq, el(nsMAM, "query").add(x))
	}
	found, why := filterArchive(sess.acct.archive, query.Child(nsForm, "x"))
	if why != "" {
		return errorReply(iq, "modify", why)
	}
	page, complete, ok := pageOf(found, query.Child(nsRSM, "set"))
	if !ok {
		return errorReply(iq, "cancel", "item-not-found")
	}
	for _, a := range found[page.start:page.end] {
		r := el(nsMAM, "result", "id", a.id).with("queryid", query.Get("queryid"))
		r.add(el(nsForward, "forwarded").add(el(nsDelay, "delay", "stamp", stamp(a.at)), a.m))
		s.deliver(sess, el(nsClient, "message", "from", sess.acct.jid.String(), "to", sess.jid.String()).add(r))
	}
	set := el(nsRSM, "set")
	if page.start < page.end {
		set.add(el(nsRSM, "first", "index", strconv.Itoa(page.start)).add(found[page.start].id))
		set.add(el(nsRSM, "last").add(found[page.end-1].id))
	}
	set.add(el(nsRSM, "count").add(strconv.Itoa(len(found))))
	fin := el(nsMAM, "fin").add(set)
	if complete {
		fin = fin.with("complete", "true")
	}
	return resultReply(iq, fin)
}

func formField(name, typ string, values ...string) *Element {
	f := el(nsForm, "field", "var", name, "type", typ)
	for _, v := range values {
		f.add(el(nsForm, "value").add(v))
	}
	return f
}

// filterArchive applies the form of a query, or says what is wrong with it.
func filterArchive(all []archived, form *Element) (found []archived, condition string) {
	fields := make(map[string][]string)
	if form != nil {
		for _, f := range form.Children() {
			for _, v := range f.Children() {
				fields[f.Get("var")] = append(fields[f.Get("var")], v.Text())
			}
		}
	}
	first := func(name string) string {
		if v := fields[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	var with addr
	var start, end time.Time
	var err error
	if v := first("with"); v != "" {
		if with, err = parseAddr(v); err != nil {
			return nil, "bad-request"
		}
	}
	for name, t := range map[string]*time.Time{"start": &start, "end": &end} {
		if v := first(name); v != "" {
			if *t, err = time.Parse(time.RFC3339Nano, v); err != nil {
				return nil, "bad-request"
			}
		}
	}
	after, before := first("after-id"), first("before-id")
	for _, id := range append([]string{after, before}, fields["ids"]...) {
		if id != "" && !slices.ContainsFunc(all, func(a archived) bool { return a.id == id }) {
			return nil, "item-not-found" // XEP-0313#query-limit-id
		}
	}
	started := after == ""
	for _, a := range all {
		if a.id == before {
			break
		}
		// Stamps have milliseconds, so that a client can ask from one it has seen.
		at := a.at.Truncate(time.Millisecond)
		keep := started && with.covers(a.with) &&
			(start.IsZero() || !at.Before(start)) && (end.IsZero() || !at.After(end)) &&
			(len(fields["ids"]) == 0 || slices.Contains(fields["ids"], a.id))
		started = started || a.id == after
		if keep {
			found = append(found, a)
		}
	}
	return found, ""
}

type pageRange struct{ start, end int }

// pageOf chooses what a result set management request wants. XEP-0059
func pageOf(found []archived, set *Element) (p pageRange, complete, ok bool) {
	limit := maxPage
	p.end = len(found)
	if set == nil {
		set = el(nsRSM, "set")
	}
	if m := set.Child(nsRSM, "max"); m != nil {
		n, err := strconv.Atoi(m.Text())
		if err != nil || n < 0 {
			return p, false, false
		}
		limit = min(n, maxPage)
	}
	index := func(id string) int {
		return slices.IndexFunc(found, func(a archived) bool { return a.id == id })
	}
	if after := set.Child(nsRSM, "after"); after != nil && after.Text() != "" {
		i := index(after.Text())
		if i < 0 {
			return p, false, false
		}
		p.start = i + 1
	}
	before := set.Child(nsRSM, "before")
	if before != nil && before.Text() != "" {
		if p.end = index(before.Text()); p.end < 0 {
			return p, false, false
		}
	}
	if complete = p.end-p.start <= limit; complete {
		return p, true, true
	}
	if before != nil { // the last page before it
		p.start = p.end - limit
	} else {
		p.end = p.start + limit
	}
	return p, false, true
}
