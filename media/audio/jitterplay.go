package audio

import "time"

// get is the playing half of the buffer.
func (s *jitterState) get(dst Frame, now time.Time) (voiced bool) {
	s.stats.Samples += uint64(len(dst))
	if s.closed {
		clear(dst)
		return false
	}
	s.now, s.piece = s.at(now), len(dst)
	s.catchUp()
	for len(s.pcm) < len(dst) {
		if s.playing || s.begin() {
			s.produce()
			continue
		}
		n := min(len(dst)-len(s.pcm), HalfFrame)
		s.pcm = append(s.pcm, make(Frame, n)...)
		s.stats.Silent += uint64(n)
		s.inRow += n
	}
	s.adapt()
	return s.give(dst)
}

// give moves the first samples of pcm to dst.
func (s *jitterState) give(dst Frame) (voiced bool) {
	n := copy(dst, s.pcm)
	s.pcm = s.pcm[:copy(s.pcm, s.pcm[n:])]
	voiced = s.voiced > 0
	s.voiced = max(0, s.voiced-n)
	if n < len(s.history) {
		copy(s.history, s.history[n:])
		copy(s.history[len(s.history)-n:], dst)
	} else {
		copy(s.history, dst[n-len(s.history):])
	}
	return voiced
}

// begin starts playing if the first packet has waited long enough. If many are
// there, the old ones are left out.
func (s *jitterState) begin() bool {
	for len(s.queue) > 0 && s.queue[0].dec == nil {
		s.pop()
	}
	if len(s.queue) == 0 {
		return false
	}
	// All that is given out at once has to be there.
	q := s.queue[0]
	need := s.delay.target - slackBelow + int64(max(0, s.piece-q.samples))
	if s.now-q.ts-s.delay.base < need {
		return false
	}
	s.skip()
	s.jump()
	return true
}

// jump goes on with the first packet of the queue, whatever was before.
func (s *jitterState) jump() {
	q := s.queue[0]
	s.playing = true
	s.last, s.played, s.next = q.seq-1, 0, q.ts
	s.level.reset()
}

// skip drops packets from the front of the queue so far as D stays at the target.
func (s *jitterState) skip() {
	drop := 0
	for i, q := range s.queue {
		if q.dec != nil && s.now-q.ts-s.delay.base >= s.delay.target {
			drop = i
		}
	}
	for range drop {
		s.drop()
	}
}

// produce appends samples that are needed now.
func (s *jitterState) produce() {
	for len(s.queue) > 0 && s.queue[0].dec == nil {
		s.advance(s.queue[0].seq, false)
		s.pop()
	}
	if len(s.queue) == 0 {
		s.waited += s.conceal(HalfFrame)
		return
	}
	q := &s.queue[0]
	gap := q.ts - s.next
	silent := gap > 0 && q.seq == s.last+1 // nothing is missing but sound
	s.settle(int(max(gap, 0)), silent)
	gap = q.ts - s.next
	late := s.now - q.ts - s.delay.base - s.delay.target // of D, if q were played now
	switch {
	case gap <= -int64(q.samples): // wholly concealed already
		s.stats.Late++
		s.stats.Lost++
		s.advance(q.seq, false)
		s.pop()
	case gap <= 0 && !silent:
		s.decode()
	case silent && late >= -slackBelow:
		s.next = max(s.next, q.ts)
		s.decode()
	case silent:
		n := s.conceal(HalfFrame)
		s.stats.Silent += uint64(n)
		s.next = min(s.next+int64(n), q.ts)
	case late >= hurryAbove:
		s.next = q.ts
		s.decode()
	case gap > int64(q.samples) || !s.recover(q, int(gap)):
		n := int64(HalfFrame)
		if gap > int64(q.samples) {
			n = min(n, gap-int64(q.samples))
		}
		n = int64(s.conceal(int(min(n, gap))))
		s.stats.Concealed += uint64(n)
		s.next += n
	}
}

// settle accounts for what was concealed while waiting, now that it is known
// that the stream has a gap of this length.
func (s *jitterState) settle(gap int, silent bool) {
	n := min(s.waited, gap)
	s.next += int64(n)
	if silent {
		s.stats.Silent += uint64(n)
	} else {
		s.stats.Concealed += uint64(n)
	}
	s.stats.Concealed += uint64(s.waited - n) // the packet was late
	s.waited = 0
}

// decode appends the first packet of the queue.
func (s *jitterState) decode() {
	q := s.queue[0]
	s.stats.Lost += uint64(max(0, q.seq-s.last-1))
	s.dec = q.dec
	begin := len(s.pcm)
	// How long ago could it have been here, when pcm is used up?
	s.level.add(s.now+int64(begin/s.piece*s.piece)-q.ts, q.samples)
	pcm, err := q.dec.Decode(s.pcm, q.payload)
	s.pcm = pcm
	overlap := int(min(max(0, s.next-q.ts), int64(q.samples)))
	if err != nil || len(s.pcm) == begin {
		s.stats.Discarded++
		s.stats.Concealed += uint64(s.conceal(q.samples - overlap))
	} else {
		if overlap > 0 { // the beginning was concealed already
			s.pcm = append(s.pcm[:begin], s.pcm[min(begin+overlap, len(s.pcm)):]...)
		}
		s.fresh(begin)
	}
	s.next = q.ts + int64(q.samples)
	s.advance(q.seq, true)
	s.pop()
}

// recover appends what was lost before q, if q knows it.
func (s *jitterState) recover(q *queued, gap int) bool {
	begin := len(s.pcm)
	pcm, ok := q.dec.DecodeFEC(s.pcm, q.payload, gap)
	if !ok {
		return false
	}
	s.pcm, s.dec = pcm, q.dec
	s.fresh(begin)
	s.stats.Recovered++
	s.next += int64(gap)
	return true
}

// fresh is called after real sound was appended from the given index on.
func (s *jitterState) fresh(begin int) {
	if s.inRow >= concealGone {
		s.ramp = rampLength
	}
	s.inRow = 0
	for i := begin; i < len(s.pcm) && s.ramp > 0; i++ {
		s.pcm[i] = int16(int(s.pcm[i]) * (rampLength - s.ramp) / rampLength)
		s.ramp--
	}
	s.voiced = len(s.pcm)
}

// advance notes that a sequence number was dealt with.
func (s *jitterState) advance(seq int64, decoded bool) {
	if step := seq - s.last; step > 0 {
		if step < playedWindow {
			s.played <<= step
		} else {
			s.played = 0
		}
		s.last = seq
		if decoded {
			s.played |= 1
		}
	}
}

// conceal appends n invented samples, which fade to silence, and returns n.
func (s *jitterState) conceal(n int) int {
	if n <= 0 {
		return 0
	}
	begin := len(s.pcm)
	if s.dec == nil || s.inRow >= concealGone {
		s.pcm = append(s.pcm, make(Frame, n)...)
		s.inRow += n
		return n
	}
	whole := (n + opusUnit - 1) / opusUnit * opusUnit
	pcm, err := s.dec.Conceal(s.pcm, whole)
	if err != nil || len(pcm) < begin+n {
		pcm = append(pcm[:begin], make(Frame, n)...)
	}
	s.pcm = pcm[:begin+n]
	for i := begin; i < len(s.pcm); i++ {
		if over := s.inRow + i - begin - concealFull; over > 0 {
			s.pcm[i] = int16(int(s.pcm[i]) * max(0, concealGone-concealFull-over) / (concealGone - concealFull))
		}
	}
	s.inRow += n
	return n
}

// catchUp leaves out sound when D is so large that nothing else helps: nobody
// listened for a while, or the network gave all at once.
func (s *jitterState) catchUp() {
	if !s.playing || len(s.queue) < 2 {
		return
	}
	q := s.queue[0]
	if s.now-q.ts-s.delay.base < s.delay.target+skipAbove {
		return
	}
	s.skip()
	if q = s.queue[0]; q.dec != nil && q.ts > s.next {
		s.pcm, s.voiced = s.pcm[:0], 0
		s.ramp = rampLength
		s.jump()
	}
}

// adapt moves D towards the target if the sound allows it.
func (s *jitterState) adapt() {
	if s.rest > 0 {
		s.rest -= s.piece
		return
	}
	if !s.playing || s.waited > 0 || s.inRow > 0 || !s.level.ready() {
		return
	}
	over := s.level.least() - s.delay.base - s.delay.target
	hurry := over > hurryAbove
	switch {
	case over > slackAbove:
		s.ahead(max(workAhead, s.piece+maxPitch))
		if k := shorten(s.pcm, int(over), hurry); k > 0 {
			s.pcm = s.pcm[:len(s.pcm)-k]
			s.voiced = min(s.voiced, len(s.pcm))
			s.stats.Compressed += uint64(k)
			s.level.shift(-int64(k))
			s.relax(hurry)
		}
	case over < -slackBelow:
		s.ahead(maxPitch)
		if k := lengthen(&s.work, s.history, s.pcm); k > 0 {
			s.pcm, s.work = s.work, s.pcm
			s.voiced = len(s.pcm)
			s.stats.Stretched += uint64(k)
			s.level.shift(int64(k))
			s.relax(over < -2*HalfFrame)
		}
	}
	for len(s.pcm) < s.piece { // shortened below what is needed
		s.produce()
	}
}

func (s *jitterState) relax(hurry bool) {
	if s.rest = calmly; hurry {
		s.rest = hurried
	}
}

// ahead decodes packets that are there until pcm has n samples.
func (s *jitterState) ahead(n int) {
	for len(s.pcm) < n && len(s.queue) > 0 {
		if q := &s.queue[0]; q.dec == nil || q.ts != s.next || q.seq != s.last+1 {
			return
		}
		s.decode()
	}
}
