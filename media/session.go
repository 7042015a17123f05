package media

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/pion/webrtc/v4"
)

// session is what a call knows about its Jingle session. Its owner is the
// goroutine of the call, except where noted.
type session struct {
	conn       jingle.Conn // nil before Attach
	role       jingle.Role
	acceptedAt time.Time
	local      []jingle.Content // as we described them
	links      []*callLink      // the first carries the sound
	trickle    bool             // candidates may be sent

	remoteBundles bool // the peer groups contents
	agreed        bool // both sides described their media
	connectedAt   time.Time
	connected     bool // now
	finished      bool
	ending        bool          // we asked for the end
	reason        jingle.Reason // why
	failure       error         // what went wrong
	restart       restart

	toldMuted, toldHeld told

	video videoSession

	remoteHeld    atomic.Bool // the peer holds the call
	unwanted      atomic.Bool // the peer changed senders so that we do not send
	videoUnwanted atomic.Bool // likewise, of the picture
	parting       atomic.Bool // the call is ending, and nobody is to be heard

	statsTick                              *time.Ticker
	connectTimer, restartTimer, closeTimer *time.Timer
	last                                   snapshot
	report                                 peerReport
}

// closeAfter is how long a session may take to end after we asked for it.
const closeAfter = 3 * time.Second

func (s *session) init() {
	stopped := func() *time.Timer {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	s.statsTick = time.NewTicker(time.Hour)
	s.statsTick.Stop()
	s.connectTimer, s.restartTimer, s.closeTimer = stopped(), stopped(), stopped()
}

// A callLink is a link as the session knows it.
type callLink struct {
	link   link
	sender *webrtc.RTPSender
	names  []string // of the contents in it; candidates are sent for the first

	remote iceudp.Transport // the peer's, of the present generation
	count  int              // of its candidates, in this generation
	early  []early          // candidates that came before their time

	connected  bool // now
	generation int
	sent       map[string]bool    // ids of our candidates that the peer has
	backlog    []iceudp.Candidate // of ours, found and not sent
	tracks     int
}

// early is a candidate of the peer that cannot be used yet.
type early struct {
	candidate iceudp.Candidate
	ufrag     string
}

func (c *Call) attach(conn jingle.Conn, at time.Time) {
	if c.conn != nil || c.ending {
		conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
			return s.Terminate(jingle.Reason{Condition: jingle.Cancel}), nil
		})
		return
	}
	c.conn, c.role = conn, conn.Role()
	if c.acceptedAt.IsZero() {
		c.acceptedAt = at
	}
	if c.role == jingle.Initiator {
		c.initiate()
	}
}

// do has the session do something, later and in order.
func (c *Call) do(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	if c.conn != nil && !c.finished {
		c.conn.DoLater(fn)
	}
}

// must is do for what the call cannot be without.
func (c *Call) must(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) {
		effects, err := fn(s)
		if err != nil {
			c.box.post(func() { c.fail(err) })
		}
		return effects, err
	})
}

// initiate offers the call.
func (c *Call) initiate() {
	main := c.links[0]
	contents, err := main.link.Offer()
	if err != nil {
		c.fail(err)
		return
	}
	c.local = contents
	for i := range contents {
		d, tr := description(contents[i]), iceTransport(contents[i])
		trimSources(d)
		prefer(d, c.cfg.Audio.Codecs)
		tr.Trickle = &iceudp.Option{}
		main.names = append(main.names, contents[i].Name)
	}
	iceTransport(contents[0]).Candidates = main.take(c.cfg.RelayOnly)
	names := slices.Clone(main.names)
	if c.shower != nil && c.shower.has() {
		more, err := c.offerVideo(jingle.SendersBoth)
		if err != nil {
			c.fail(err)
			return
		}
		contents = append(contents, more)
		c.local = contents
		names = append(names, more.Name)
	}
	j := &jingle.Jingle{
		Contents: slices.Clone(contents),
		Groups:   []group.Group{group.New(group.Bundle, names...)},
	}
	c.must(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(j) })
}

// take returns our candidates found so far, which the peer is about to be told.
func (cl *callLink) take(relayOnly bool) []iceudp.Candidate {
	_, found := cl.link.Local()
	if relayOnly {
		found = slices.DeleteFunc(found, func(k iceudp.Candidate) bool { return k.Type != iceudp.Relay })
	}
	for _, k := range found {
		cl.sent[k.ID] = true
	}
	return found
}

// found sends a candidate of ours, or keeps it until it may be sent.
func (c *Call) found(cl *callLink, generation int, k iceudp.Candidate) {
	if generation != cl.generation || cl.sent[k.ID] || c.cfg.RelayOnly && k.Type != iceudp.Relay {
		return
	}
	cl.sent[k.ID] = true
	cl.backlog = append(cl.backlog, k)
	c.flush(cl)
}

// flush sends the candidates that wait, one in each transport-info.
//
// interop Monal: it looks at the first candidate only, and wants ufrag and pwd.
func (c *Call) flush(cl *callLink) {
	if !c.trickle || len(cl.names) == 0 || c.restart.offered {
		return
	}
	tr, _ := cl.link.Local()
	for _, k := range cl.backlog {
		j := &jingle.Jingle{Contents: []jingle.Content{{
			Creator: "initiator", Name: cl.names[0],
			Transport: &iceudp.Transport{Ufrag: tr.Ufrag, Pwd: tr.Pwd, Candidates: []iceudp.Candidate{k}},
		}}}
		c.do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.TransportInfo(j) })
	}
	cl.backlog = nil
}

// startTrickle lets candidates be sent from now on.
func (c *Call) startTrickle() {
	c.trickle = true
	for _, cl := range c.links {
		c.flush(cl)
	}
}

// handle takes an effect of the session.
func (c *Call) handle(e jingle.Effect) {
	if c.ending {
		if end, ok := e.(jingle.Ended); ok {
			c.finish(end)
		}
		return
	}
	switch e := e.(type) {
	case jingle.Offered:
		c.check(c.offered(e.Jingle))
	case jingle.InitiateAcknowledged:
		c.startTrickle()
	case jingle.Accepted:
		c.check(c.accepted(e.Jingle))
	case jingle.TransportInfoReceived:
		c.check(c.transportInfo(e.Jingle))
	case jingle.InfoReceived:
		c.info(e.Payload)
	case jingle.ContentOffered:
		c.contentOffered(e.Jingle)
	case jingle.ContentAccepted:
		c.contentAccepted(e.Jingle)
	case jingle.ContentRejected:
		c.contentRejected(e.Names)
	case jingle.ContentModified:
		c.modified(e)
	case jingle.ContentRemoved:
		c.videoRemoved(e.Names)
		if slices.Contains(e.Names, c.soundName()) {
			c.hangUp(jingle.Reason{Condition: jingle.Success})
		}
	case jingle.TransportReplaceReceived:
		var names []string
		for _, k := range e.Jingle.Contents {
			names = append(names, k.Name)
		}
		c.do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.RejectTransport(names...) })
	case jingle.ActionFailed:
		c.actionFailed(e)
	case jingle.Ended:
		c.finish(e)
	}
}

// check ends the call when the peer's part in it cannot be.
func (c *Call) check(err error) {
	if err != nil {
		c.fail(err)
	}
}

// offered answers the session-initiate.
func (c *Call) offered(j *jingle.Jingle) error {
	if err := checkContents(j.Contents); err != nil {
		return err
	}
	sound := firstAudio(j.Contents)
	if sound < 0 {
		return refuse(jingle.UnsupportedApplications, "no sound is offered")
	}
	c.remoteBundles = len(j.Groups) > 0
	answers := make([]jingle.Content, len(j.Contents))
	main, picture := c.links[0], c.wantedVideo(j.Contents)
	for _, members := range transports(j.Contents, j.Groups) {
		cl := main
		var carried []int
		for _, i := range members {
			if i == sound || i == picture {
				carried = append(carried, i)
			}
		}
		if !slices.Contains(members, sound) {
			var err error
			if cl, err = c.open(nil); err != nil {
				return err
			}
			c.links = append(c.links, cl)
		}
		if err := c.answer(cl, j.Contents, members, carried, answers); err != nil {
			return err
		}
	}
	remote := description(j.Contents[sound])
	prefer(description(answers[sound]), c.cfg.Audio.Codecs)
	if err := c.agree(description(answers[sound]), remote, description(answers[sound])); err != nil {
		return err
	}
	c.local = answers
	reply := &jingle.Jingle{Contents: slices.Clone(answers)}
	for _, g := range j.Groups {
		if g.Semantics == group.Bundle {
			reply.Groups = append(reply.Groups, g)
		}
	}
	c.must(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Accept(reply) })
	c.startTrickle()
	c.connecting()
	c.videoAgreed()
	return nil
}

// answer describes our side of the contents that share one transport, of which
// we take part in those carried.
func (c *Call) answer(cl *callLink, offer []jingle.Content, members, carried []int, answers []jingle.Content) error {
	// The first of a group speaks for the transport of all.
	transport := offer[members[0]].Transport
	var in []jingle.Content
	for _, i := range carried {
		k := offer[i]
		k.Transport = transport
		if description(k).Media == rtp.Video {
			if err := c.beginVideo(cl, k); err != nil {
				return err
			}
			k.Senders = jingle.SendersBoth // who sends is between us and the peer
		}
		in = append(in, k)
	}
	if len(in) == 0 {
		k := carrier(offer[members[0]], c.cfg.Audio.Codecs[0])
		k.Transport = transport
		in = append(in, k)
	}
	described, err := cl.link.Answer(in)
	if err != nil {
		return refuse(jingle.IncompatibleParameters, "take the offer: %w", err)
	}
	ours := *iceTransport(described[0])
	ours.Trickle = &iceudp.Option{}
	for n, i := range members {
		if k := slices.Index(carried, i); k >= 0 {
			answers[i] = described[k]
			trimSources(description(answers[i]))
			if description(offer[i]).Media == rtp.Video {
				c.describeVideo(&answers[i], offer[i])
			}
		} else {
			answers[i] = declined(offer[i])
			if !c.remoteBundles {
				// interop Dino 0.4: "invalid role none" ends the call. What the
				// peer sends there is not looked at.
				answers[i].Senders = with(offer[i].Senders, c.role, false)
			}
		}
		tr := ours
		if n == 0 {
			tr.Candidates = cl.take(c.cfg.RelayOnly)
		}
		answers[i].Transport = &tr
		cl.names = append(cl.names, offer[i].Name)
	}
	remote := offer[members[0]]
	cl.begin(*iceTransport(remote))
	for _, i := range members {
		c.addCandidates(cl, iceTransport(offer[i]))
	}
	return nil
}

// begin notes the peer's transport of a new generation.
func (cl *callLink) begin(remote iceudp.Transport) {
	remote.Candidates = nil
	cl.remote, cl.count = remote, 0
}

// addCandidates uses the peer's candidates, those that came early as well.
func (c *Call) addCandidates(cl *callLink, tr *iceudp.Transport) {
	for _, k := range tr.Candidates {
		c.addCandidate(cl, k, cl.remote.Ufrag)
	}
	waiting := cl.early
	cl.early = nil
	for _, e := range waiting {
		if e.ufrag == cl.remote.Ufrag || e.ufrag == "" {
			c.addCandidate(cl, e.candidate, cl.remote.Ufrag)
		}
	}
}

func (c *Call) addCandidate(cl *callLink, k iceudp.Candidate, ufrag string) {
	if cl.count++; cl.count > maxRemoteCandidates {
		return
	}
	if err := cl.link.AddCandidate(k, ufrag); err != nil {
		c.log.Debug("candidate not used", "content", cl.names, "err", err)
	}
}

// accepted takes the peer's answer to our offer.
func (c *Call) accepted(j *jingle.Jingle) error {
	if c.agreed {
		return nil // interop Movim: answers to contents come as session-accept
	}
	if err := checkContents(j.Contents); err != nil {
		return err
	}
	if len(j.Contents) != len(c.local) {
		return refuse(jingle.SecurityError, "%d contents accepted of %d", len(j.Contents), len(c.local))
	}
	main := c.links[0]
	for _, k := range j.Contents {
		i := slices.IndexFunc(c.local, func(l jingle.Content) bool { return l.Name == k.Name })
		if i < 0 || description(c.local[i]).Media != description(k).Media {
			return refuse(jingle.SecurityError, "content %q was not offered like this", k.Name)
		}
	}
	answer := j.Contents[firstAudio(j.Contents)]
	remote := description(answer)
	if err := main.link.Accept([]jingle.Content{answer}); err != nil {
		return refuse(jingle.IncompatibleParameters, "take the answer: %w", err)
	}
	if err := c.acceptedVideo(j, answer); err != nil {
		return err
	}
	main.begin(*iceTransport(answer))
	if err := c.agree(description(c.local[0]), remote, remote); err != nil {
		return err
	}
	c.remoteBundles = len(j.Groups) > 0
	c.addCandidates(main, iceTransport(answer))
	c.startTrickle()
	c.connecting()
	c.videoAgreed()
	return nil
}

// agree sets sender and receiver up.
func (c *Call) agree(local, remote, answer *rtp.Description) error {
	a, err := agree(local, remote, answer, c.cfg.Audio.Codecs, c.cfg.Audio.Encoder)
	if err != nil {
		return err
	}
	c.log.Debug("media agreed", "codec", a.send.codec.Name, "pt", a.send.payloadType)
	c.agreed = true
	c.receiver.agree(c.jitterConfig(a), a.events)
	if c.sender != nil {
		c.sender.codec.Store(&a.send)
	}
	c.mu.Lock()
	c.stats.Codec = a.send.codec.Name
	c.mu.Unlock()
	return nil
}

func (c *Call) connecting() {
	c.connectTimer.Reset(c.cfg.ConnectTimeout)
	c.emit(Connecting{})
}

// linkOf finds the link a content travels in.
func (c *Call) linkOf(name string) *callLink {
	for _, cl := range c.links {
		if slices.Contains(cl.names, name) {
			return cl
		}
	}
	return nil
}

// linkState follows the state of a link.
func (c *Call) linkState(cl *callLink, s linkState) {
	c.log.Debug("link", "state", s, "content", cl.names)
	cl.connected = s == linkConnected
	c.videoFlows()
	if cl != c.links[0] || c.ending || c.finished {
		return
	}
	c.connected = s == linkConnected
	switch s {
	case linkConnected:
		c.nowConnected()
	case linkDisconnected:
		c.reconnect("nothing came for a while", false)
	case linkFailed:
		c.lost()
	case linkInsecure:
		c.fail(refuse(jingle.SecurityError, "the other side could not prove its key"))
	case linkClosed:
		c.fail(refuse(jingle.ConnectivityError, "the other side closed the connection"))
	}
}

func (c *Call) nowConnected() {
	c.connectTimer.Stop()
	if c.connectedAt.IsZero() {
		c.connectedAt = time.Now()
		if c.sender != nil {
			c.sender.start()
		}
		c.wg.Go(func() { c.receiver.play(c.ctx) })
		c.statsTick.Reset(c.cfg.StatsInterval)
		c.tellSwitches()
	}
	c.measure()
	local, _ := c.links[0].link.Local()
	c.emit(Connected{
		Pair: c.Stats().Pair, SinceAccept: time.Since(c.acceptedAt),
		Verification: verification(local, c.links[0].remote), Fingerprint: fingerprint(c.links[0].remote),
	})
	c.restartDone()
}

func (c *Call) firstAudio(at, packet time.Time) {
	c.emit(FirstAudio{SinceAccept: at.Sub(c.acceptedAt), Packet: packet.Sub(c.acceptedAt)})
}

// rejectContents refuses what a peer wants to add.
func (c *Call) rejectContents(contents []jingle.Content, why jingle.Condition) {
	var names []string
	for _, k := range contents {
		names = append(names, k.Name)
	}
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.RejectContent(&jingle.Reason{Condition: why}, names...)
	})
}

// soundName is the name of the content that the call is about.
func (c *Call) soundName() string {
	for _, k := range c.local {
		if d, ok := k.Description.(*rtp.Description); ok && d.Media == rtp.Audio && k.Senders != jingle.SendersNone {
			return k.Name
		}
	}
	return ""
}

// modified follows a peer that changes who sends.
func (c *Call) modified(e jingle.ContentModified) {
	switch e.Name {
	case c.soundName():
		c.unwanted.Store(!e.Senders.Includes(c.role))
	case c.video.name:
		c.videoModified(e.Senders)
	}
}

func (c *Call) actionFailed(e jingle.ActionFailed) {
	c.log.Debug("refused", "action", e.Action, "tie", e.Tie, "timeout", e.Timeout, "err", e.Err)
	switch e.Action {
	case jingle.ActionTransportInfo:
		c.restartRefused(e)
	case jingle.ActionContentModify:
		c.modifyRefused(e)
	}
}

// fail ends the call because something went wrong.
func (c *Call) fail(err error) {
	if c.ending || c.finished {
		return
	}
	c.log.Info("call failed", "err", err)
	c.failure = err
	c.terminate(reasonFor(err))
}

func (c *Call) hangUp(r jingle.Reason) {
	if c.ending || c.finished {
		return
	}
	if r.Condition == "" {
		r.Condition = jingle.Success
		if !c.agreed {
			r.Condition = jingle.Cancel
		}
	}
	c.terminate(r)
}

// terminate asks the session to end. Its Ended finishes the call.
func (c *Call) terminate(r jingle.Reason) {
	c.ending, c.reason = true, r
	c.parting.Store(true) // though the session may take a while to end
	if c.conn == nil {
		c.finish(jingle.Ended{Reason: r})
		return
	}
	c.closeTimer.Reset(closeAfter) // in case the session never says so
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Terminate(r), nil })
}

// finish is the end of the call. What it had open is closed afterwards, which
// may take a while when a relay does not answer.
func (c *Call) finish(e jingle.Ended) {
	if c.finished {
		return
	}
	c.finished = true
	err := c.failure
	if err == nil {
		err = endError(e)
	}
	c.setErr(err)
	close(c.over)
	if !c.connectedAt.IsZero() {
		c.measure()
	}
	end := Ended{Reason: e.Reason, Remote: e.Remote, Err: err}
	if !c.connectedAt.IsZero() {
		end.Duration = time.Since(c.connectedAt)
	}
	c.emit(end)
	close(c.events)
}
