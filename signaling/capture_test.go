package signaling

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// A replay plays one side of a captured call byte for byte, as a peer that
// follows its script, while our client takes the other side: when the script
// says that it is our turn, our client is told to do what the real one did.
type replay struct {
	t       *testing.T
	srv     *xmpptest.Server
	c       *Client
	peer    string // full JID of the scripted side
	sent    chan xmpptest.Stanza
	pending []xmpptest.Stanza
	late    map[string]string // captured requests of our side not yet seen, and their kind
	ids     map[string]string // of captured requests of our side: the real id
	app     *app
	out     *Call
	in      *IncomingCall
	asked   map[string]bool // captured requests of the peer that were played
	started map[string]bool // what our client was already told to do
}

// what tells one stanza of a call from another.
func what(kind, typ, id string, child func(space string) (local string, attr func(string) string)) string {
	if local, _ := child(jmi.NS); local != "" {
		return "message " + local
	}
	if kind == "iq" && (typ == "result" || typ == "error") {
		return "iq " + typ + " " + id
	}
	if local, attr := child(jingle.NS); local != "" {
		return "iq " + attr("action")
	}
	return ""
}

func whatSent(st xmpptest.Stanza) string {
	return what(st.Name.Local, st.Get("type"), st.Get("id"), func(space string) (string, func(string) string) {
		for _, c := range st.Children() {
			if c.Name.Space == space {
				return c.Name.Local, c.Get
			}
		}
		return "", nil
	})
}

func whatCaptured(c jingletest.Captured) string {
	return what(c.Kind, c.Type, c.ID, func(space string) (string, func(string) string) {
		d := xml.NewDecoder(bytes.NewReader(c.XML))
		for {
			tok, err := d.Token()
			if err != nil {
				return "", nil
			}
			if s, ok := tok.(xml.StartElement); ok && s.Name.Space == space {
				return s.Name.Local, func(name string) string {
					for _, a := range s.Attr {
						if a.Name.Local == name {
							return a.Value
						}
					}
					return ""
				}
			}
		}
	})
}

func (r *replay) jingleOf(c jingletest.Captured) *jingle.Jingle {
	r.t.Helper()
	j, err := jingletest.Registry().Decode(xml.NewDecoder(bytes.NewReader(c.Child(jingle.NS, "jingle"))))
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// act makes our client do what the captured one did.
func (r *replay) act(c jingletest.Captured, step string) {
	r.t.Helper()
	do := func(f func(*jingle.Session, *jingle.Jingle) ([]jingle.Effect, error)) {
		r.t.Helper()
		wait(r.t, "session", r.app.attached)
		j := r.jingleOf(c)
		if err := r.app.conn.Do(ctx(r.t), func(s *jingle.Session) ([]jingle.Effect, error) { return f(s, j) }); err != nil {
			r.t.Fatalf("%s: %v", step, err)
		}
	}
	switch step {
	case "message propose":
		var m jmi.Message
		if err := xml.Unmarshal(c.Child(jmi.NS, "propose"), &m); err != nil {
			r.t.Fatal(err)
		}
		var err error
		if r.out, err = r.c.Call(ctx(r.t), jid.MustParse(r.peer).Bare(), r.app, CallOptions{SID: m.SID, Media: proposedMedia(m.Descriptions)}); err != nil {
			r.t.Fatal(err)
		}
	case "message accept", "message proceed":
		if r.started["take"] {
			return
		}
		r.started["take"] = true
		if err := r.incoming().Accept(ctx(r.t), r.app); err != nil {
			r.t.Fatal(err)
		}
	case "message reject":
		if !r.started["reject"] {
			r.started["reject"] = true
			r.incoming().Reject(jingle.Reason{})
		}
	case "message retract":
		r.out.Hangup(jingle.Reason{})
	case "iq session-initiate":
		if r.out == nil { // a direct call
			j := r.jingleOf(c)
			var err error
			r.out, err = r.c.Call(ctx(r.t), jid.MustParse(r.peer), r.app, CallOptions{SID: j.SID, Direct: true})
			if err != nil {
				r.t.Fatal(err)
			}
		}
		do((*jingle.Session).Initiate)
	case "iq session-accept":
		if r.out == nil && r.in == nil {
			r.incoming()
		}
		if !r.started["take"] { // a direct call
			r.started["take"] = true
			if err := r.in.Accept(ctx(r.t), r.app); err != nil {
				r.t.Fatal(err)
			}
		}
		wait(r.t, "offer", r.app.saw("Offered"))
		do((*jingle.Session).Accept)
	case "iq session-info":
		j := r.jingleOf(c)
		if len(j.Payloads) != 1 {
			r.t.Fatalf("session-info with %d payloads", len(j.Payloads))
		}
		if r.app.conn == nil {
			return // ringing of a direct call, which goes by itself
		}
		do(func(s *jingle.Session, j *jingle.Jingle) ([]jingle.Effect, error) { return s.Info(j.Payloads[0]) })
	case "iq transport-info":
		do((*jingle.Session).TransportInfo)
	case "iq content-add":
		do((*jingle.Session).AddContent)
	case "iq content-accept":
		wait(r.t, "offer of content", r.app.saw("ContentOffered"))
		do((*jingle.Session).AcceptContent)
	case "iq content-modify":
		do(func(s *jingle.Session, j *jingle.Jingle) ([]jingle.Effect, error) {
			return s.ModifyContent(j.Contents[0].Name, j.Contents[0].Senders)
		})
	case "iq session-terminate":
		do(func(s *jingle.Session, j *jingle.Jingle) ([]jingle.Effect, error) {
			return s.Terminate(*j.Reason), nil
		})
	}
}

func (r *replay) incoming() *IncomingCall {
	r.t.Helper()
	if r.in == nil {
		r.in = incoming(r.t, r.c)
	}
	return r.in
}

// expect waits until our client sent a stanza of that kind.
func (r *replay) expect(step string) xmpptest.Stanza {
	r.t.Helper()
	for i, st := range r.pending {
		if whatSent(st) == step {
			r.pending = append(r.pending[:i], r.pending[i+1:]...)
			return st
		}
	}
	c := ctx(r.t)
	for {
		select {
		case st := <-r.sent:
			if whatSent(st) == step {
				return st
			}
			r.pending = append(r.pending, st)
		case <-c.Done():
			r.t.Fatalf("our client did not send %q, only %.3000s", step, fmt.Sprint(r.pending))
		}
	}
}

// step plays one captured stanza.
func (r *replay) step(c jingletest.Captured) {
	r.t.Helper()
	step := whatCaptured(c)
	if step == "" {
		return // presence and questions around the call
	}
	if c.From == r.peer {
		stanza := string(c.XML)
		if c.Type == "result" || c.Type == "error" {
			if late := r.late[c.ID]; late != "" {
				r.ids[c.ID] = r.expect(late).Get("id")
			}
			id, ok := r.ids[c.ID]
			if !ok {
				return // an answer to what we did not ask
			}
			stanza = strings.ReplaceAll(stanza, c.ID, id)
		}
		r.asked[c.ID] = true
		r.asked["terminate "+c.ID] = step == "iq session-terminate"
		kind := "<" + c.Kind + " "
		stanza = kind + "from='" + r.peer + "' " + strings.TrimPrefix(stanza, kind)
		if strings.Contains(step, "message accept") || strings.Contains(step, "message reject") && strings.Contains(stanza, " to='"+jid.MustParse(r.peer).Bare().String()+"'") {
			return // to itself
		}
		if n, err := r.srv.Inject(r.c.JID().String(), stanza); err != nil || n != 1 {
			r.t.Fatalf("inject: %d, %v", n, err)
		}
		return
	}
	if c.Type == "result" || c.Type == "error" {
		if r.asked[c.ID] {
			// That both end the call at once is no error to us.
			r.expect("iq " + map[bool]string{true: "result", false: c.Type}[r.asked["terminate "+c.ID]] + " " + c.ID)
		}
		return
	}
	r.act(c, step)
	if step == "iq transport-info" {
		r.late[c.ID] = step // our engine lets it wait until the offer is acknowledged
		return
	}
	if strings.HasPrefix(step, "message reject") && r.started["rejected"] {
		r.expect(step) // the one to ourselves
		return
	}
	r.started["rejected"] = r.started["rejected"] || step == "message reject"
	st := r.expect(step)
	r.ids[c.ID] = st.Get("id")
	// What we make of the captured content is what was captured.
	if el := c.Child(jingle.NS, "jingle"); el != nil && len(r.jingleOf(c).Contents) > 0 {
		j, err := jingletest.Registry().Decode(xml.NewDecoder(strings.NewReader(st.Child(jingle.NS, "jingle").String())))
		if err != nil {
			r.t.Fatal(err)
		}
		if got, want := len(j.Contents), len(r.jingleOf(c).Contents); got != want || j.Contents[0].Name != r.jingleOf(c).Contents[0].Name {
			r.t.Errorf("%s: %d contents, want %d", step, got, want)
		}
	}
}

// Real Dinos, as they were heard, call our client and are called by it.
func TestPlayAgainstDino(t *testing.T) {
	files, err := filepath.Glob("../jingle/testdata/captures/dino-*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "dino-"), ".xml")
		if name == "audio-omemo-verified" || name == "slix-minimal-offer" {
			continue // the former needs OMEMO, the latter is a call of a stranger without call messages to one with them
		}
		captured := jingletest.Captures(t, file)
		sides := map[string]bool{}
		for _, c := range captured {
			if whatCaptured(c) != "" && strings.Contains(c.From, "/") {
				sides[c.From] = true
			}
		}
		if len(sides) == 1 { // one of them said nothing
			sides["bob@xmpp.test/dino.silent"] = true
		}
		for ours := range sides {
			t.Run(fmt.Sprintf("%s/we are %s", name, jid.MustParse(ours).Localpart()), func(t *testing.T) {
				t.Parallel()
				play(t, captured, ours, sides)
			})
		}
	}
}

// initiateFirst puts the answer to session-initiate before those to what was
// sent after it. Dino does not order them, and our engine waits for the former.
func initiateFirst(captured []jingletest.Captured) []jingletest.Captured {
	out := slices.Clone(captured)
	initiate := slices.IndexFunc(out, func(c jingletest.Captured) bool { return whatCaptured(c) == "iq session-initiate" })
	if initiate < 0 {
		return out
	}
	answer := slices.IndexFunc(out, func(c jingletest.Captured) bool { return c.Type == "result" && c.ID == out[initiate].ID })
	first := initiate + 1 + slices.IndexFunc(out[initiate+1:], func(c jingletest.Captured) bool { return c.Type == "result" })
	if answer > first {
		c := out[answer]
		out = slices.Insert(slices.Delete(out, answer, answer+1), first, c)
	}
	return out
}

func play(t *testing.T, captured []jingletest.Captured, ours string, sides map[string]bool) {
	srv := xmpptest.Run(t, xmpptest.Config{Domains: []string{"xmpp.test"}, Accounts: map[string]string{
		"alice@xmpp.test": "pw", "bob@xmpp.test": "pw", "carol@xmpp.test": "pw"}})
	srv.Befriend("alice@xmpp.test", "bob@xmpp.test", "carol@xmpp.test")
	r := &replay{t: t, srv: srv, sent: make(chan xmpptest.Stanza, 1000), ids: map[string]string{}, asked: map[string]bool{}, late: map[string]string{}, started: map[string]bool{}, app: newApp()}
	r.app.hold = true
	for side := range sides {
		if side != ours {
			r.peer = side
		}
	}
	// The scripted side is not logged in: what goes to it is only looked at.
	bare := jid.MustParse(r.peer).Bare().String()
	remove := srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		if st.Dir != xmpptest.FromClient {
			return xmpptest.Verdict{}
		}
		if whatSent(st) != "" {
			r.sent <- st
		}
		to := st.Get("to")
		return xmpptest.Verdict{Drop: strings.HasPrefix(to, bare)}
	})
	defer remove()
	r.c = login(t, srv, ours)
	for _, c := range initiateFirst(captured) {
		r.step(c)
		if t.Failed() {
			return
		}
	}
	var k interface{ Done() <-chan struct{} }
	if k = r.out; r.out == nil {
		k = r.incoming()
	}
	wait(t, "end of the call", k.Done())
	remove()
	heal(t, srv, r.c)
}
