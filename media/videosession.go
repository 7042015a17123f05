package media

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// ErrNoVideo says that the call can carry no video: this program was built
// without a codec (-tags native), or the peer declined.
var ErrNoVideo = errors.New("no video in this call")

// A videoSession is what a call knows about the content with the picture. Its
// owner is the goroutine of the call.
type videoSession struct {
	name    string    // of the content; "" while there is none
	link    *callLink // in which it travels, or is offered to
	track   *sendTrack
	agreed  bool           // both sides described it
	adding  bool           // we asked to add it, and wait for the answer
	added   bool           // we added it to a call that was running
	senders jingle.Senders // who sends, as far as both know
	before  jingle.Senders // what we asked to change
	// unwanted says that the peer does not want our picture.
	unwanted    bool
	remoteMuted bool // the peer shows nothing though it may
	told        told // whether we said that we show nothing
	remoteOn    bool // as RemoteVideo says
	next        int  // number of the next content of ours
	wantsREMB   bool // the peer sends what we tell it, since it numbers no packets
	remb        remb
	ssrc        uint32 // of the peer's picture

	local jingle.Content // as we described it
	last  videoSnapshot
}

func (c *Call) prepareVideo() {
	c.lips = newLipSync()
	if len(c.cfg.Video.Codecs) == 0 {
		return
	}
	sink := c.cfg.Video.Sink
	if sink == nil {
		sink = video.Discard()
	}
	c.shower = newVideoSender(c.cfg.Video, c.log)
	c.shower.hidden = func() bool {
		return c.held.Load() || c.remoteHeld.Load() || c.videoUnwanted.Load() || c.parting.Load()
	}
	c.shower.ended = func(err error) {
		c.box.post(func() {
			c.emit(VideoSourceEnded{Err: err})
			c.tellVideo()
		})
	}
	c.watcher = newVideoReceiver(sink, c.cfg.Video.Codecs, c.log)
	c.watcher.hidden = c.deaf
	c.watcher.hold = c.lips.wait
	c.watcher.rtt.Store(int64(100 * time.Millisecond))
	c.watcher.first = func(at time.Time, w, h int) {
		c.box.post(func() { c.emit(FirstFrame{SinceAccept: at.Sub(c.acceptedAt), Width: w, Height: h}) })
	}
	c.receiver.said = c.lips.said
}

// SetVideo shows the peer another source, from the next picture on: a camera
// and a screen are swapped without the peer being asked. With nil nothing is
// shown any more. When the call had no video so far, it is offered; the peer's
// answer comes as [RemoteVideo], or as [VideoSourceEnded] with [ErrNoVideo]. The
// source is the call's from now on, and the one before is closed; on error both
// are.
func (c *Call) SetVideo(source video.Source) error {
	if c.shower == nil {
		if source == nil {
			return nil
		}
		return errors.Join(ErrNoVideo, source.Close())
	}
	old := c.shower.swap(source)
	var err error
	if old != nil {
		err = old.Close()
	}
	if !c.box.post(c.videoSwitched) {
		if source = c.shower.swap(nil); source != nil {
			err = errors.Join(err, source.Close())
		}
		return errors.Join(c.errOver(), err)
	}
	if err != nil {
		c.log.Warn("close source of video", "err", err)
	}
	return nil
}

// videoSwitched follows SetVideo.
func (c *Call) videoSwitched() {
	c.video.unwanted = false
	c.videoUnwanted.Store(false)
	c.shower.wantKey.Store(true)
	c.tellVideo()
}

// noVideo gives up what is to be shown, because it cannot be.
func (c *Call) noVideo(err error) {
	if old := c.shower.swap(nil); old != nil {
		if e := old.Close(); e != nil {
			c.log.Warn("close source of video", "err", e)
		}
		c.emit(VideoSourceEnded{Err: err})
	}
}

// newTrack makes the track for a content.
func (c *Call) newTrack() *sendTrack {
	t := newSendTrack("video", webrtc.RTPCodecTypeVideo)
	t.codecs = c.cfg.Video.Codecs
	return t
}

// readVideoRTCP reads what the peer says about our picture.
func (c *Call) readVideoRTCP(sender *webrtc.RTPSender, t *sendTrack) {
	c.wg.Go(func() {
		readRTCP(sender, func(p rtcp.Packet) { c.shower.feedback(p, t.source()) })
	})
}

// freeName is a name for a content of ours.
func (c *Call) freeName() string {
	for {
		c.video.next++
		if name := strconv.Itoa(c.video.next); c.linkOf(name) == nil {
			return name
		}
	}
}

// offerVideo describes a content with our picture, in a transport of its own,
// since it is not known yet whether the peer bundles.
func (c *Call) offerVideo(senders jingle.Senders) (jingle.Content, error) {
	track := c.newTrack()
	cl, err := c.open(track)
	if err != nil {
		return jingle.Content{}, err
	}
	c.links = append(c.links, cl)
	name := c.freeName()
	if err := cl.link.Name(name); err != nil {
		return jingle.Content{}, err
	}
	described, err := cl.link.Offer()
	if err != nil {
		return jingle.Content{}, err
	}
	c.readVideoRTCP(cl.sender, track)
	out := described[0]
	trimSources(description(out))
	tr := iceTransport(out)
	tr.Trickle = &iceudp.Option{}
	tr.Candidates = cl.take(c.cfg.RelayOnly)
	cl.names = append(cl.names, name)
	if c.cfg.Video.Sink == nil {
		senders = senderOnly(c.role)
	}
	out.Senders = senders
	c.video.name, c.video.link, c.video.track, c.video.senders, c.video.local = name, cl, track, senders, out
	return out, nil
}

func senderOnly(r jingle.Role) jingle.Senders {
	if r == jingle.Initiator {
		return jingle.SendersInitiator
	}
	return jingle.SendersResponder
}

// with returns senders with or without one side.
func with(s jingle.Senders, r jingle.Role, on bool) jingle.Senders {
	switch theirs := s.Includes(r.Peer()); {
	case on && theirs:
		return jingle.SendersBoth
	case on:
		return senderOnly(r)
	case theirs:
		return senderOnly(r.Peer())
	}
	return jingle.SendersNone
}

// wantedVideo finds the content whose picture we take part in, -1 if none.
func (c *Call) wantedVideo(cs []jingle.Content) int {
	if c.shower == nil || c.cfg.Video.Sink == nil && !c.shower.has() {
		return -1
	}
	return slices.IndexFunc(cs, func(k jingle.Content) bool {
		return description(k).Media == jrtp.Video && c.canDecode(description(k))
	})
}

// beginVideo has a link send our picture as the answer to a content.
func (c *Call) beginVideo(cl *callLink, k jingle.Content) error {
	track := c.newTrack()
	sender, err := cl.link.AddTrack(track, "", streamID{})
	if err != nil {
		return err
	}
	c.readVideoRTCP(sender, track)
	c.video.name, c.video.link, c.video.track = k.Name, cl, track
	return nil
}

// describeVideo says who sends, in the answer to an offer.
func (c *Call) describeVideo(answer *jingle.Content, offer jingle.Content) {
	s := offer.Senders
	if s.Includes(c.role) && !c.shower.has() {
		s = with(s, c.role, false)
	}
	if c.cfg.Video.Sink == nil {
		s = with(s, c.role.Peer(), false)
	}
	preferVideo(description(*answer), description(offer), c.cfg.Video.Codecs)
	answer.Senders = s
	c.video.senders, c.video.agreed, c.video.local = s, true, *answer
}

// acceptedVideo takes the part of the picture in the peer's answer.
func (c *Call) acceptedVideo(j *jingle.Jingle, sound jingle.Content) error {
	v := &c.video
	if v.name == "" {
		return nil
	}
	i := slices.IndexFunc(j.Contents, func(k jingle.Content) bool { return k.Name == v.name })
	answer := j.Contents[i]
	own := v.link
	together := false
	for _, members := range transports(j.Contents, j.Groups) {
		together = together || len(members) > 1 && slices.Contains(members, i)
	}
	if !c.canDecode(description(answer)) {
		// interop Conversations 2.19: a picture that is declined is answered
		// all the same.
		c.dropLink(own)
		c.forgetVideo()
		c.box.post(func() { c.noVideo(ErrNoVideo) })
		return nil
	}
	if !answer.Senders.Includes(c.role) {
		v.unwanted = true
		c.box.post(func() { c.noVideo(ErrNoVideo) })
	}
	v.senders, v.agreed = both(answer.Senders), true
	answer.Senders = jingle.SendersBoth // who sends is between us and the peer
	if !together {
		if err := own.link.Accept([]jingle.Content{answer}); err != nil {
			return refuse(jingle.IncompatibleParameters, "take the answer about the picture: %w", err)
		}
		own.begin(*iceTransport(answer))
		c.addCandidates(own, iceTransport(answer))
		return nil
	}
	// The answer has a group: the picture moves to the transport of the sound,
	// by a negotiation that nobody else sees. It keeps its sources and name.
	main := c.links[0]
	track := c.newTrack()
	sender, err := main.link.AddTrack(track, v.name, sources(description(v.local)))
	if err != nil {
		return err
	}
	if _, err := main.link.More(); err != nil {
		return err
	}
	c.readVideoRTCP(sender, track)
	v.track, v.link = track, main
	main.names = append(main.names, v.name)
	c.dropLink(own)
	answer.Transport = sound.Transport
	if err := main.link.Accept([]jingle.Content{sound, answer}); err != nil {
		return refuse(jingle.IncompatibleParameters, "take the answer about sound and picture: %w", err)
	}
	return nil
}

func both(s jingle.Senders) jingle.Senders {
	if s == "" {
		return jingle.SendersBoth
	}
	return s
}

// sources reads our own SSRCs.
func sources(d *jrtp.Description) (id streamID) {
	number := func(s string) uint32 {
		n, _ := strconv.ParseUint(s, 10, 32)
		return uint32(n)
	}
	for _, g := range d.SSRCGroups {
		if g.Semantics == "FID" && len(g.Sources) == 2 {
			return streamID{number(g.Sources[0].SSRC), number(g.Sources[1].SSRC)}
		}
	}
	if len(d.Sources) > 0 {
		id.ssrc = number(d.Sources[0].SSRC)
	}
	return id
}

// dropLink ends a link that is not needed.
func (c *Call) dropLink(cl *callLink) {
	if cl == c.links[0] {
		return
	}
	c.links = slices.DeleteFunc(c.links, func(l *callLink) bool { return l == cl })
	c.wg.Go(func() {
		if err := cl.link.Close(); err != nil {
			c.log.Debug("close link", "err", err)
		}
	})
}

// forgetVideo is for when there is no content with a picture any more.
func (c *Call) forgetVideo() {
	v := &c.video
	*v = videoSession{next: v.next, remoteOn: v.remoteOn, last: v.last}
	c.shower.attach(nil, nil)
	c.sayRemoteVideo()
}

// videoAgreed is for when both sides described the picture.
func (c *Call) videoAgreed() {
	if c.shower == nil {
		return
	}
	if !c.video.agreed {
		// The call was offered without, or the peer has none.
		return
	}
	c.video.wantsREMB = needsREMB(c.video.link.link.Remote(), c.video.name)
	c.shower.attach(c.video.track, c.video.link.link.Flow())
	c.videoUnwanted.Store(c.video.unwanted)
	c.videoFlows()
	c.sayRemoteVideo()
	c.tellVideo()
}

// needsREMB reports whether the side that described the contents wants to be
// told how much to send in one of them: it takes goog-remb and numbers no
// packets.
func needsREMB(cs []jingle.Content, name string) bool {
	for _, k := range cs {
		if k.Name != name {
			continue
		}
		d := description(k)
		has := func(typ string) bool {
			is := func(f jrtp.Feedback) bool { return f.Type == typ }
			return slices.ContainsFunc(d.Feedback, is) ||
				slices.ContainsFunc(d.PayloadTypes, func(p jrtp.PayloadType) bool { return slices.ContainsFunc(p.Feedback, is) })
		}
		return has(webrtc.TypeRTCPFBGoogREMB) && !has(webrtc.TypeRTCPFBTransportCC)
	}
	return false
}

// tellREMB tells the peer what the path from it takes.
func (c *Call) tellREMB(s VideoStats) {
	v, now := &c.video, time.Now()
	if !v.wantsREMB || v.ssrc == 0 || now.Sub(v.remb.at) < rembEvery {
		return
	}
	p := &rtcp.ReceiverEstimatedMaximumBitrate{
		SenderSSRC: 1, SSRCs: []uint32{v.ssrc},
		Bitrate: float32(v.remb.measure(s.LossIn, s.BitrateIn, c.cfg.Video.MaxBitrate, now)),
	}
	if err := v.link.link.WriteRTCP([]rtcp.Packet{p}); err != nil {
		c.log.Log(c.ctx, LevelTrace, "tell bit rate", "err", err)
	}
}

// widgetTime is how long a peer that does not bundle gets no picture after it
// was told of one.
//
// interop Dino 0.4: the first picture sizes its window, from the thread that
// decodes. If the window is being laid out anew meanwhile, which it is as soon
// as it knows of a picture, it may draw no more in this call.
const widgetTime = 700 * time.Millisecond

// videoFlows follows the state of the links.
func (c *Call) videoFlows() {
	if c.shower == nil {
		return
	}
	v := &c.video
	flows := v.agreed && v.link != nil && v.link.connected
	if flows && !c.shower.flowing.Load() && !c.remoteBundles {
		c.shower.hold(time.Now().Add(widgetTime))
		if v.added {
			// interop Dino 0.4: it looks for a picture that was added when it is
			// told that there is one.
			v.told = told{lost: true}
			c.tellVideo()
		}
	}
	c.shower.flowing.Store(flows)
}

// tellVideo has the peer know whether we show something, and offers it when
// there was no video before.
func (c *Call) tellVideo() {
	if c.shower == nil || c.connectedAt.IsZero() || c.ending {
		return
	}
	v, on := &c.video, c.shower.has()
	switch {
	case v.adding:
	case v.name == "":
		if on {
			c.addVideo()
		}
	case !v.agreed:
	case on && !v.senders.Includes(c.role):
		if !v.unwanted {
			c.modifyVideo(with(v.senders, c.role, true))
			if !c.remoteBundles {
				// interop Dino 0.4: it looks for our picture when it is told that
				// there is one, not when it may come.
				v.told = told{lost: true}
				c.tellVideo()
			}
		}
	case !on && v.senders.Includes(c.role) && c.remoteBundles:
		c.modifyVideo(with(v.senders, c.role, false))
	case v.senders.Includes(c.role) && v.told.differs(!on):
		// interop Dino 0.4: what it mutes stays, and it understands no other way.
		v.told = told{on: !on}
		if on && !c.remoteBundles {
			c.shower.hold(time.Now().Add(widgetTime))
		}
		c.inform(map[bool]string{true: "mute", false: "unmute"}[!on], v.name, &v.told)
	}
}

func (c *Call) modifyVideo(s jingle.Senders) {
	v := &c.video
	v.before, v.senders = v.senders, s
	name := v.name
	c.do(func(e *jingle.Session) ([]jingle.Effect, error) {
		effects, err := e.ModifyContent(name, s)
		if err != nil {
			c.log.Debug("change who sends", "err", err)
		}
		return effects, err
	})
}

// modifyRefused takes back a change of who sends.
func (c *Call) modifyRefused(e jingle.ActionFailed) {
	v := &c.video
	if !e.Tie && v.before != "" && slices.Contains(e.Names, v.name) {
		v.senders, v.before = v.before, ""
		if c.shower.has() && !v.senders.Includes(c.role) {
			c.noVideo(ErrNoVideo)
		}
	}
}

// videoModified follows a peer that changes who sends.
func (c *Call) videoModified(s jingle.Senders) {
	v := &c.video
	had := v.senders.Includes(c.role)
	v.senders, v.before = s, ""
	if now := s.Includes(c.role); now != had {
		v.unwanted = !now
		c.videoUnwanted.Store(v.unwanted)
	}
	c.sayRemoteVideo()
	c.tellVideo()
}

// videoInfo takes an informational message about the picture.
func (c *Call) videoInfo(message string) {
	switch message {
	case "mute":
		c.video.remoteMuted = true
	case "unmute", "active":
		c.video.remoteMuted = false
	}
	c.sayRemoteVideo()
}

// sayRemoteVideo tells whether the peer shows something, when that changed.
func (c *Call) sayRemoteVideo() {
	v := &c.video
	on := v.agreed && v.senders.Includes(c.role.Peer()) && !v.remoteMuted && !c.remoteHeld.Load() && c.cfg.Video.Sink != nil
	if on == v.remoteOn {
		return
	}
	v.remoteOn = on
	c.watcher.clear()
	c.emit(RemoteVideo{On: on})
}

// videoRemoved follows a peer that takes the picture out of the call.
func (c *Call) videoRemoved(names []string) {
	if c.video.name == "" || !slices.Contains(names, c.video.name) {
		return
	}
	c.dropLink(c.video.link)
	c.forgetVideo()
	c.noVideo(ErrNoVideo)
}

// watch begins to read a picture of the peer.
func (c *Call) watch(cl *callLink, t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	params := r.GetParameters()
	names := make(map[uint8]string)
	for _, p := range params.Codecs {
		for _, k := range c.cfg.Video.Codecs {
			if strings.EqualFold(p.MimeType, "video/"+k.Name) {
				names[uint8(p.PayloadType)] = k.Name
			}
		}
	}
	var orientation uint8
	for _, x := range params.HeaderExtensions {
		if x.URI == orientationURI && x.ID > 0 && x.ID < 15 {
			orientation = uint8(x.ID)
		}
	}
	c.log.Debug("picture of the peer", "ssrc", t.SSRC(), "rtx", t.HasRTX(), "codecs", len(names))
	c.video.ssrc = uint32(t.SSRC())
	c.watcher.wg.Go(func() { c.watcher.read(t, names, orientation, cl.link.WriteRTCP) })
	c.wg.Go(func() {
		readRTCP(r, func(p rtcp.Packet) {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				c.lips.report(sr, video.ClockRate)
			}
		})
	})
}

// A videoSnapshot is what counters were when they were looked at before.
type videoSnapshot struct {
	bytesIn, bytesOut, packetsIn, lost, framesIn, framesOut uint64
}

// measureVideo takes stock of the picture. seconds is since the last time, 0 the
// first time.
func (c *Call) measureVideo(seconds float64, rtt time.Duration) (s VideoStats) {
	if c.shower == nil {
		return s
	}
	v, w, o := &c.video, c.watcher, c.shower
	if rtt > 0 {
		w.rtt.Store(int64(rtt))
	}
	s.Out = v.agreed && o.has() && v.senders.Includes(c.role)
	s.In = v.remoteOn
	if v.agreed {
		s.CodecOut, _ = v.track.bound()
		s.Resent = v.link.link.Flow().resent.Load()
	}
	if name := w.codec.Load(); name != nil {
		s.CodecIn = *name
	}
	s.WidthOut, s.HeightOut = int(o.width.Load()), int(o.height.Load())
	s.WidthIn, s.HeightIn = int(w.width.Load()), int(w.height.Load())
	s.Target = float64(o.target.Load())
	s.Delay = time.Duration(w.delay.Load())
	s.FramesOut, s.FramesIn, s.KeyFramesOut, s.KeyFramesIn = o.frames.Load(), w.shown.Load(), o.keys.Load(), w.keys.Load()
	s.Freezes, s.Frozen, s.Recovered = w.freezes.Load(), time.Duration(w.frozen.Load()), w.recover.Load()
	s.PacketsIn, s.PacketsOut, s.BytesIn, s.BytesOut = w.packets.Load(), o.packets.Load(), w.bytes.Load(), o.bytes.Load()
	o.mu.Lock()
	s.LossOut = o.lost
	o.mu.Unlock()
	next := videoSnapshot{s.BytesIn, s.BytesOut, s.PacketsIn, w.lost.Load(), s.FramesIn, s.FramesOut}
	if seconds > 0 {
		l := v.last
		s.BitrateIn, s.BitrateOut = float64(next.bytesIn-l.bytesIn)*8/seconds, float64(next.bytesOut-l.bytesOut)*8/seconds
		s.FPSIn, s.FPSOut = float64(next.framesIn-l.framesIn)/seconds, float64(next.framesOut-l.framesOut)/seconds
		s.LossIn = share(next.lost-l.lost, next.lost-l.lost+next.packetsIn-l.packetsIn)
	}
	v.last = next
	if seconds > 0 && v.agreed && s.PacketsIn > 0 {
		c.tellREMB(s)
	}
	return s
}
