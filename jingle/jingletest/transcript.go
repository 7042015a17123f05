package jingletest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// Run plays every transcript of fsys that matches the pattern as a subtest.
//
// A transcript is a conversation with one engine, a line for each step. A line
// beginning with "#" is a comment, indented lines continue the one before.
//
//	given   STATE CONTENTS, we are ROLE     begins; STATE is created, pending or active
//	do      WHAT CONTENTS                   what the user or application wants
//	fails   TEXT                            the do before it failed, saying TEXT
//	->      ACTION CONTENTS                 the engine sends this
//	<-      ACTION CONTENTS                 the peer sends this
//	<-      <jingle ...>                    or this, as written; sid must be "s"
//	reply   CONDITION JINGLE-CONDITION      the engine refused it; without it, it must not have
//	ack                                     the peer acknowledges our oldest action
//	refuse  CONDITION JINGLE-CONDITION      the peer refuses it
//	silence                                 no answer to it comes
//	wait    DURATION                        time passes, timers fire
//	event   NAME ...                        the application is told
//	state   STATE                           where the session is now
//
// CONTENTS are names, such as "audio video:initiator"; what follows the colon is
// who sends. "video/application", "video/transport" and "video/bare" have an
// unknown description, an unknown transport, or neither. They may be followed by
// "because REASON", "with WHAT", where WHAT is a session-info such as "mute
// audio", and "bundled NAMES".
//
// What the engine sends and tells must be in the transcript, all of it and in
// this order. Timers are not; wait shows them.
func Run(t *testing.T, fsys fs.FS, pattern string) {
	t.Helper()
	files, err := fs.Glob(fsys, pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts match %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file[strings.LastIndexByte(file, '/')+1:], ".txt"), func(t *testing.T) {
			data, err := fs.ReadFile(fsys, file)
			if err != nil {
				t.Fatal(err)
			}
			if err := Play(string(data)); err != nil {
				t.Errorf("%s:%v", file, err)
			}
		})
	}
}

// Play plays one transcript. Its error begins with the line number.
func Play(text string) error {
	p := player{timers: make(map[jingle.TimerID]time.Duration)}
	var word, rest string
	from := 0
	flush := func() error {
		if word == "" {
			return nil
		}
		if err := p.step(word, strings.TrimSpace(rest)); err != nil {
			return fmt.Errorf("%d: %s %s: %w", from, word, strings.TrimSpace(rest), err)
		}
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
			continue
		case line[0] == ' ' || line[0] == '\t':
			rest += "\n" + line
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		word, rest, _ = strings.Cut(line, " ")
		from = i + 1
	}
	if err := flush(); err != nil {
		return err
	}
	if err := p.settled(); err != nil {
		return fmt.Errorf("%d: after the last line: %w", from, err)
	}
	if p.s == nil {
		return errors.New("1: transcript without given")
	}
	return nil
}

// A player is an engine and what it has not been asked about yet.
type player struct {
	s      *jingle.Session
	role   jingle.Role
	out    []string // what the engine sent and told, as lines of a transcript
	sent   []jingle.ActionID
	now    time.Duration
	timers map[jingle.TimerID]time.Duration // when they fire
	refuse *jingle.Error                    // reply to the last "<-", not yet asked about
	failed error                            // of the last "do", not yet asked about
}

// settled reports what nothing in the transcript asked for.
func (p *player) settled() error {
	switch {
	case p.refuse != nil:
		return fmt.Errorf("engine refused: reply %s", errorText(p.refuse))
	case p.failed != nil:
		return fmt.Errorf("it fails: %w", p.failed)
	case len(p.out) > 0:
		return fmt.Errorf("engine also did:\n\t%s", strings.Join(p.out, "\n\t"))
	}
	return nil
}

func (p *player) step(word, rest string) error {
	if p.s == nil && word != "given" {
		return errors.New("nothing given yet")
	}
	switch word {
	case "->", "event":
		return p.expect(word + " " + strings.Join(strings.Fields(rest), " "))
	case "reply":
		got := p.refuse
		p.refuse = nil
		if got == nil {
			return errors.New("engine acknowledged it")
		}
		if text := errorText(got); text != strings.Join(strings.Fields(rest), " ") {
			return fmt.Errorf("got %s", text)
		}
		return nil
	case "fails":
		got := p.failed
		p.failed = nil
		if got == nil || !strings.Contains(got.Error(), rest) {
			return fmt.Errorf("got error %v", got)
		}
		return nil
	case "state":
		if got := p.s.State().String(); got != rest {
			return fmt.Errorf("got %s", got)
		}
		return nil
	}
	if err := p.settled(); err != nil {
		return err
	}
	switch word {
	case "given":
		return p.given(rest)
	case "do":
		effects, err := p.do(rest)
		p.failed = err
		p.take(effects)
		return nil
	case "<-":
		j, err := p.hear(rest)
		if err != nil {
			return err
		}
		reply, effects := p.s.Receive(j)
		p.refuse = reply.Err
		p.take(effects)
		return nil
	case "ack":
		return p.answer(nil)
	case "refuse":
		return p.answer(parseError(rest))
	case "silence":
		return p.answer(errors.New("no answer"))
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		p.wait(d)
		return nil
	}
	return fmt.Errorf("unknown word %q", word)
}

// expect compares the next thing that the engine did.
func (p *player) expect(want string) error {
	if p.refuse != nil || p.failed != nil {
		return p.settled()
	}
	if len(p.out) == 0 {
		return errors.New("engine did nothing more")
	}
	got := p.out[0]
	p.out = p.out[1:]
	if got != want {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// take carries out effects, noting them as lines.
func (p *player) take(effects []jingle.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			p.sent = append(p.sent, e.ID)
			p.out = append(p.out, "-> "+line(e.Jingle))
		case jingle.StartTimer:
			p.timers[e.ID] = p.now + e.After
		case jingle.StopTimer:
			delete(p.timers, e.ID)
		default:
			p.out = append(p.out, "event "+eventText(e))
		}
	}
}

func (p *player) answer(err error) error {
	if len(p.sent) == 0 {
		return errors.New("nothing of ours is unanswered")
	}
	id := p.sent[0]
	p.sent = p.sent[1:]
	p.take(p.s.Sent(id, err))
	return nil
}

// wait lets timers fire in order.
func (p *player) wait(d time.Duration) {
	end := p.now + d
	for {
		var next jingle.TimerID
		for id, at := range p.timers {
			if at <= end && (next == 0 || at < p.timers[next] || at == p.timers[next] && id < next) {
				next = id
			}
		}
		if next == 0 {
			p.now = end
			return
		}
		p.now = p.timers[next]
		delete(p.timers, next)
		p.take(p.s.TimerFired(next))
	}
}

// given brings a new engine into a state, with everything acknowledged.
func (p *player) given(rest string) error {
	what, who, ok := strings.Cut(rest, ", we are ")
	if !ok {
		return errors.New("say who we are")
	}
	switch who {
	case "initiator":
		p.role = jingle.Initiator
	case "responder":
		p.role = jingle.Responder
	default:
		return fmt.Errorf("unknown role %q", who)
	}
	words := strings.Fields(what)
	if len(words) == 0 {
		return errors.New("no state")
	}
	state, names := words[0], words[1:]
	*p = player{role: p.role, timers: make(map[jingle.TimerID]time.Duration)}
	local, peer := InitiatorJID, ResponderJID
	if p.role == jingle.Responder {
		local, peer = peer, local
	}
	p.s = jingle.NewSession(jingle.Config{SID: "s", Role: p.role, Local: local, Peer: peer})
	both := func(a jingle.Action, ours bool, do func(*jingle.Jingle) ([]jingle.Effect, error)) error {
		j := Contents(names...)
		if ours {
			effects, err := do(j)
			if err != nil {
				return err
			}
			p.take(effects)
			return p.answer(nil)
		}
		j.Action, j.SID = a, "s"
		reply, effects := p.s.Receive(j)
		if reply.Err != nil {
			return reply.Err
		}
		p.take(effects)
		return nil
	}
	if state != "created" {
		if err := both(jingle.ActionSessionInitiate, p.role == jingle.Initiator, p.s.Initiate); err != nil {
			return err
		}
	}
	if state == "active" {
		if err := both(jingle.ActionSessionAccept, p.role == jingle.Responder, p.s.Accept); err != nil {
			return err
		}
	}
	if got := p.s.State().String(); got != state {
		return fmt.Errorf("the engine is %s", got)
	}
	p.out = nil
	return nil
}

// A phrase is what follows the verb of a line.
type phrase struct {
	j     *jingle.Jingle
	names []string // without senders
	args  []string // as written
}

func parsePhrase(words []string) (phrase, error) {
	cut := func(word string) []string {
		i := slices.Index(words, word)
		if i < 0 {
			return nil
		}
		var tail []string
		words, tail = words[:i], words[i+1:]
		return tail
	}
	// From the end: each takes what is left behind it.
	bundled, with, because := cut("bundled"), cut("with"), cut("because")
	ph := phrase{args: words}
	var names []string
	kinds := make(map[string]string)
	for _, w := range words {
		name, kind, _ := strings.Cut(w, "/")
		names = append(names, name)
		name, _, _ = strings.Cut(name, ":")
		kinds[name] = kind
		ph.names = append(ph.names, name)
	}
	ph.j = Contents(names...)
	for i := range ph.j.Contents {
		c := &ph.j.Contents[i]
		switch kinds[c.Name] {
		case "":
		case "application":
			c.Description = &jingle.Unknown{XMLName: xml.Name{Space: "urn:example:app", Local: "description"}}
		case "transport":
			c.Transport = &jingle.Unknown{XMLName: xml.Name{Space: "urn:example:transport", Local: "transport"}}
		case "bare":
			c.Description, c.Transport = nil, nil
		default:
			return ph, fmt.Errorf("unknown kind of content %q", kinds[c.Name])
		}
	}
	if because != nil {
		ph.j.Reason = &jingle.Reason{Condition: jingle.Condition(strings.Join(because, " "))}
	}
	if with != nil {
		info, err := parseInfo(with)
		if err != nil {
			return ph, err
		}
		ph.j.Payloads = info
	}
	if bundled != nil {
		ph.j.Groups = groups(bundled)
	}
	return ph, nil
}

// parseInfo reads "mute audio", "hold", "ping" or "unknown".
func parseInfo(words []string) ([]jingle.Payload, error) {
	switch words[0] {
	case "ping":
		return nil, nil
	case "unknown":
		return []jingle.Payload{&jingle.Unknown{XMLName: xml.Name{Space: "urn:example:info", Local: "x"}}}, nil
	case "active", "hold", "unhold", "mute", "unmute", "ringing":
		info := rtp.NewInfo(words[0])
		if len(words) > 1 {
			info.Name = words[1]
		}
		return []jingle.Payload{info}, nil
	}
	return nil, fmt.Errorf("unknown session-info %q", words[0])
}

// hear reads what the peer sends.
func (p *player) hear(rest string) (*jingle.Jingle, error) {
	if strings.HasPrefix(rest, "<") {
		j, err := Registry().Decode(xml.NewDecoder(strings.NewReader(rest)))
		if err != nil {
			return nil, err
		}
		return j, nil
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return nil, errors.New("no action")
	}
	ph, err := parsePhrase(words[1:])
	if err != nil {
		return nil, err
	}
	ph.j.Action, ph.j.SID = jingle.Action(words[0]), "s"
	switch ph.j.Action {
	case jingle.ActionContentModify, jingle.ActionContentRemove, jingle.ActionContentReject, jingle.ActionTransportReject:
		for i := range ph.j.Contents {
			ph.j.Contents[i].Description, ph.j.Contents[i].Transport = nil, nil
		}
	case jingle.ActionTransportInfo, jingle.ActionTransportReplace, jingle.ActionTransportAccept:
		for i := range ph.j.Contents {
			ph.j.Contents[i].Description = nil
		}
	}
	if !ph.j.Action.Known() {
		return ph.j, nil
	}
	// Through XML, as it would come.
	data, err := xml.Marshal(ph.j)
	if err != nil {
		return nil, err
	}
	return Registry().Decode(xml.NewDecoder(bytes.NewReader(data)))
}

// do does what the user or application wants.
func (p *player) do(rest string) ([]jingle.Effect, error) {
	words := strings.Fields(rest)
	if len(words) == 0 {
		return nil, errors.New("do what?")
	}
	verb := words[0]
	if verb == "info" {
		info, err := parseInfo(words[1:])
		if err != nil {
			return nil, err
		}
		if info == nil {
			return p.s.Info(nil)
		}
		return p.s.Info(info[0])
	}
	ph, err := parsePhrase(words[1:])
	if err != nil {
		return nil, err
	}
	switch verb {
	case "initiate":
		return p.s.Initiate(ph.j)
	case "accept":
		return p.s.Accept(ph.j)
	case "terminate":
		var r jingle.Reason
		if ph.j.Reason != nil {
			r = *ph.j.Reason
		}
		return p.s.Terminate(r), nil
	case "add":
		return p.s.AddContent(ph.j)
	case "accept-content":
		return p.s.AcceptContent(ph.j)
	case "reject-content":
		return p.s.RejectContent(ph.j.Reason, ph.names...)
	case "remove":
		return p.s.RemoveContent(ph.j.Reason, ph.names...)
	case "modify":
		c := ph.j.Contents[0]
		return p.s.ModifyContent(c.Name, c.Senders)
	case "describe":
		return p.s.DescriptionInfo(ph.j)
	case "trickle":
		return p.s.TransportInfo(ph.j)
	case "restart":
		for i := range ph.j.Contents {
			tr := Transport()
			tr.Candidates, tr.Fingerprints = nil, nil
			ph.j.Contents[i] = jingle.Content{Name: ph.j.Contents[i].Name, Transport: tr}
		}
		return p.s.RestartTransports(ph.j)
	case "replace":
		return p.s.ReplaceTransport(ph.j)
	case "accept-transport":
		return p.s.AcceptTransport(ph.j)
	case "reject-transport":
		return p.s.RejectTransport(ph.names...)
	}
	return nil, fmt.Errorf("unknown verb %q", verb)
}

// parseError reads "conflict tie-break".
func parseError(rest string) *jingle.Error {
	words := strings.Fields(rest)
	e := jingle.StanzaError(stanza.Condition(words[0]), "")
	if len(words) > 1 {
		e.Condition = words[1]
	}
	return e
}
