package audio

import "time"

// jitterState is a JitterBuffer without its lock.
type jitterState struct {
	cfg   JitterConfig
	stats JitterStats
	queue []Frame
	dec   map[uint8]Decoder
}

func (s *jitterState) init(cfg JitterConfig) { s.cfg = cfg; s.dec = map[uint8]Decoder{} }

func (s *jitterState) put(p Packet, arrival time.Time) {
	d := s.dec[p.PayloadType]
	if d == nil {
		c, ok := s.cfg.Decoders[p.PayloadType]
		if !ok {
			return
		}
		var err error
		if d, err = c.NewDecoder(); err != nil {
			return
		}
		s.dec[p.PayloadType] = d
	}
	f, err := d.Decode(nil, p.Payload)
	if err != nil || len(s.queue) > 20 {
		s.stats.Discarded++
		return
	}
	s.stats.Received++
	s.queue = append(s.queue, f)
}

func (s *jitterState) get(dst Frame, now time.Time) (voiced bool) {
	clear(dst)
	for n := 0; n < len(dst) && len(s.queue) > 0; {
		k := copy(dst[n:], s.queue[0])
		n += k
		if s.queue[0] = s.queue[0][k:]; len(s.queue[0]) == 0 {
			s.queue = s.queue[1:]
		}
		voiced = true
	}
	s.stats.Samples += uint64(len(dst))
	return voiced
}

func (s *jitterState) report() JitterStats { return s.stats }

func (s *jitterState) close() {
	for _, d := range s.dec {
		d.Close()
	}
	s.dec, s.queue = nil, nil
}
