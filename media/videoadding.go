package media

import (
	"errors"
	"slices"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// addVideo asks the peer to add a picture to the call.
func (c *Call) addVideo() {
	if c.restart.offered || c.restart.answered {
		return // tellVideo comes again
	}
	v := &c.video
	j := &jingle.Jingle{}
	if c.remoteBundles {
		content, err := c.bundleVideo()
		if err != nil {
			c.log.Error("add video", "err", err)
			c.noVideo(err)
			return
		}
		j.Contents = append(j.Contents, content)
		// interop Conversations 2.19: what the group leaves out leaves the bundle.
		j.Groups = append(j.Groups, group.New(group.Bundle, c.links[0].names...))
	} else {
		// interop Dino 0.4: who adds sends, and the other may follow.
		content, err := c.offerVideo(senderOnly(c.role))
		if err != nil {
			c.log.Error("add video", "err", err)
			c.noVideo(err)
			return
		}
		j.Contents = append(j.Contents, content)
	}
	v.adding = true
	name := v.name
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) {
		effects, err := s.AddContent(j)
		if err != nil {
			c.log.Debug("add video", "err", err)
			c.box.post(func() { c.contentRejected([]string{name}) })
		}
		return effects, err
	})
}

// bundleVideo describes a picture in the transport of the sound.
func (c *Call) bundleVideo() (jingle.Content, error) {
	main, v := c.links[0], &c.video
	track, name := c.newTrack(), c.freeName()
	sender, err := main.link.AddTrack(track, name, streamID{})
	if err != nil {
		return jingle.Content{}, err
	}
	described, err := main.link.More()
	if err != nil {
		return jingle.Content{}, err
	}
	i := slices.IndexFunc(described, func(k jingle.Content) bool { return k.Name == name })
	if i < 0 {
		return jingle.Content{}, errors.New("pion did not describe it")
	}
	c.readVideoRTCP(sender, track)
	out := described[i]
	trimSources(description(out))
	iceTransport(out).Trickle = &iceudp.Option{}
	out.Senders = jingle.SendersBoth
	if c.cfg.Video.Sink == nil {
		out.Senders = senderOnly(c.role)
	}
	main.names = append(main.names, name)
	v.name, v.link, v.track, v.senders, v.local = name, main, track, out.Senders, out
	return out, nil
}

// contentAccepted takes the peer's answer to addVideo.
func (c *Call) contentAccepted(j *jingle.Jingle) {
	v := &c.video
	i := slices.IndexFunc(j.Contents, func(k jingle.Content) bool { return k.Name == v.name })
	if i < 0 || !v.adding {
		return
	}
	answer := j.Contents[i]
	if v.link == c.links[0] {
		answer = c.fill(answer)
	}
	if err := checkContents([]jingle.Content{answer}); err != nil || !c.canDecode(description(answer)) {
		name := v.name
		c.contentRejected([]string{name})
		c.do(func(s *jingle.Session) ([]jingle.Effect, error) {
			return s.RemoveContent(&jingle.Reason{Condition: jingle.IncompatibleParameters}, name)
		})
		return
	}
	v.adding, v.agreed, v.added = false, true, true
	v.senders = both(answer.Senders)
	answer.Senders = jingle.SendersBoth
	var err error
	if v.link == c.links[0] {
		err = v.link.link.Accept(append(slices.Clone(v.link.link.Remote()), answer))
	} else if err = v.link.link.Accept([]jingle.Content{answer}); err == nil {
		v.link.begin(*iceTransport(answer))
		c.addCandidates(v.link, iceTransport(answer))
	}
	if err != nil {
		c.fail(refuse(jingle.IncompatibleParameters, "take the answer about the picture: %w", err))
		return
	}
	c.videoAgreed()
	c.afterAdding()
}

// afterAdding does what had to wait for the answer.
func (c *Call) afterAdding() {
	if c.restart.again {
		c.restart.again = false
		c.reconnect("the network changed", true)
	}
}

// fill completes a content whose transport is the one that is there.
//
// interop Conversations 2.19: it may leave the transport of a bundled content
// empty.
func (c *Call) fill(k jingle.Content) jingle.Content {
	tr, ok := k.Transport.(*iceudp.Transport)
	if ok && tr != nil && tr.Ufrag != "" && len(tr.Fingerprints) > 0 {
		return k
	}
	remote := c.links[0].remote
	k.Transport = &remote
	return k
}

// contentRejected follows a peer that wants no picture.
func (c *Call) contentRejected(names []string) {
	v := &c.video
	if !v.adding || !slices.Contains(names, v.name) {
		return
	}
	if v.link == c.links[0] {
		if err := c.takeBack(); err != nil {
			c.fail(err)
			return
		}
	} else {
		c.dropLink(v.link)
	}
	c.forgetVideo()
	// In a tie the peer's own picture is being offered, and ours goes with it.
	c.box.post(func() {
		if c.video.name == "" {
			c.noVideo(ErrNoVideo)
		}
	})
	c.afterAdding()
}

// takeBack undoes an offer to pion, which knows no rollback: it is answered
// with a section that nobody uses.
func (c *Call) takeBack() error {
	main, v := c.links[0], &c.video
	out := declined(v.local)
	remote := main.remote
	out.Transport = &remote
	main.names = slices.DeleteFunc(main.names, func(n string) bool { return n == v.name })
	return main.link.Accept(append(slices.Clone(main.link.Remote()), out))
}

// contentOffered answers a peer that wants to add something: one picture, if
// there is none yet.
func (c *Call) contentOffered(j *jingle.Jingle) {
	if len(j.Contents) != 1 || c.shower == nil || c.video.name != "" || c.restart.offered {
		c.rejectContents(j.Contents, jingle.UnsupportedApplications)
		return
	}
	main := c.links[0]
	offer := j.Contents[0]
	together := slices.ContainsFunc(j.Groups, func(g group.Group) bool {
		return g.Semantics == group.Bundle && slices.ContainsFunc(g.Contents, func(n group.Content) bool { return n.Name == offer.Name }) &&
			slices.ContainsFunc(g.Contents, func(n group.Content) bool { return slices.Contains(main.names, n.Name) })
	})
	if together {
		offer = c.fill(offer)
	}
	if err := checkContents([]jingle.Content{offer}); err != nil || c.wantedVideo([]jingle.Content{offer}) < 0 {
		c.log.Debug("content not taken", "content", offer.Name, "err", err)
		c.rejectContents(j.Contents, jingle.UnsupportedApplications)
		return
	}
	answer, err := c.answerVideo(offer, together)
	if err != nil {
		c.log.Info("content not taken", "content", offer.Name, "err", err)
		c.rejectContents(j.Contents, jingle.IncompatibleParameters)
		c.forgetVideo()
		return
	}
	reply := &jingle.Jingle{Contents: []jingle.Content{answer}, Groups: j.Groups}
	c.do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.AcceptContent(reply) })
	if !together {
		c.flush(c.video.link)
	}
	c.videoAgreed()
}

// answerVideo describes our side of a picture that the peer adds.
func (c *Call) answerVideo(offer jingle.Content, together bool) (jingle.Content, error) {
	in := offer
	if !together {
		cl, err := c.open(nil)
		if err != nil {
			return in, err
		}
		c.links = append(c.links, cl)
		answers := make([]jingle.Content, 1)
		err = c.answer(cl, []jingle.Content{offer}, []int{0}, []int{0}, answers)
		return answers[0], err
	}
	main := c.links[0]
	if err := c.beginVideo(main, offer); err != nil {
		return in, err
	}
	in.Senders = jingle.SendersBoth
	described, err := main.link.Answer(append(slices.Clone(main.link.Remote()), in))
	if err != nil {
		return in, err
	}
	i := slices.IndexFunc(described, func(k jingle.Content) bool { return k.Name == offer.Name })
	if i < 0 {
		return in, errors.New("pion did not describe it")
	}
	out := described[i]
	trimSources(description(out))
	iceTransport(out).Trickle = &iceudp.Option{}
	c.describeVideo(&out, offer)
	main.names = append(main.names, offer.Name)
	return out, nil
}
