package media

import (
	"slices"
	"strings"

	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
)

// canDecode reports whether a description has a codec of ours.
func (c *Call) canDecode(d *jrtp.Description) bool {
	return slices.ContainsFunc(d.PayloadTypes, func(p jrtp.PayloadType) bool { return codecFits(c.cfg.Video.Codecs, p) })
}

// codecFits reports whether a payload type is one of the codecs, with parameters
// that fit.
func codecFits(codecs []video.Codec, p jrtp.PayloadType) bool {
	return rankPayload(codecs, p) < len(codecs)
}

// rankPayload is the place of a payload type among the codecs, behind all when it
// is none of them or its parameters do not fit.
func rankPayload(codecs []video.Codec, p jrtp.PayloadType) int {
	var ps []video.Parameter
	for _, q := range p.Parameters {
		ps = append(ps, video.Parameter{Name: q.Name, Value: q.Value})
	}
	return rankVideo(codecs, p.Name, ps)
}

func rankVideo(codecs []video.Codec, name string, ps []video.Parameter) int {
	for i, c := range codecs {
		if strings.EqualFold(c.Name, name) && (c.Fits == nil || c.Fits(ps)) {
			return i
		}
	}
	return len(codecs)
}

// preferVideo puts the payload types of an answer in our order, with what is no
// codec last, and what follows the offer where the offer has it first.
//
// interop Dino 0.4: it takes the first payload type of an answer as the codec.
func preferVideo(answer, offer *jrtp.Description, codecs []video.Codec) {
	followed := -1
	for _, p := range offer.PayloadTypes {
		if i := rankPayload(codecs, p); i < len(codecs) {
			if codecs[i].Follows {
				followed = i
			}
			break
		}
	}
	rank := func(p jrtp.PayloadType) int {
		i := rankPayload(codecs, p)
		if i == followed {
			return -1
		}
		return i
	}
	slices.SortStableFunc(answer.PayloadTypes, func(a, b jrtp.PayloadType) int { return rank(a) - rank(b) })
}
