package stream

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// A splitter cuts what a server sends into whole elements without keeping
// more of any than its limits allow. It looks at angle brackets and quotes
// only; whether an element is well-formed is decided by the parser, which gets
// one element at a time and so cannot lose its place in the stream. That is
// why a strange stanza costs that stanza and not the stream.
type splitter struct {
	r        io.Reader
	max      int          // bytes of one element
	rootless bool         // no root element around the elements: WebSocket messages
	received atomic.Int64 // nanoseconds from start to when bytes last arrived
	begun    atomic.Int64 // the same for the first byte of the unfinished element, 0 when there is none

	start time.Time // what received and begun count from
	in    []byte    // read and not yet looked at
	mem   []byte
	rerr  error

	state   splitState
	quote   byte
	prev    byte // the byte before the current one, inside a tag
	match   int  // how much of a terminator was seen, inside a comment, CDATA or PI
	bang    []byte
	depth   int
	rooted  bool // the root element is open
	keep    bool // inside what is kept: an element, or the root's start tag
	size    int  // bytes of the element so far
	buf     []byte
	problem error
}

type splitState uint8

const (
	inText splitState = iota
	afterLess
	inStartTag
	inQuotes
	inEndTag
	afterBang
	inComment
	inCDATA
	inPI
)

type pieceKind uint8

const (
	pieceHeader  pieceKind = iota // the root's start tag
	pieceElement                  // an element inside the root
	pieceEnd                      // the root's end tag
)

// A piece is valid until the next call of next.
type piece struct {
	kind    pieceKind
	data    []byte
	problem error // why the element cannot be used; then data is its beginning
}

const (
	keepHead       = 4 << 10  // bytes kept of what is too large, to see whose it was
	maxSkip        = 16 << 20 // bytes of one element skipped before the stream is given up
	maxElementTime = 2 * time.Minute
)

var (
	errNotXMPP   = errors.New("what answers does not speak XMPP")
	errDTD       = errors.New("document type declaration in the stream")
	errEndless   = errors.New("endless stanza")
	errTooDeep   = &malformedError{what: "too many elements inside each other"}
	errTooBig    = &malformedError{what: "too large"}
	errForbidden = &malformedError{what: "comment or processing instruction inside"}
)

func newSplitter(r io.Reader, max int, rootless bool) *splitter {
	return &splitter{r: r, max: max, rootless: rootless, start: time.Now()}
}

// restart expects a new stream on r. Bytes already read are dropped: nothing
// that arrived before a security layer may be taken for what came through it.
func (s *splitter) restart(r io.Reader) {
	s.r, s.in, s.rerr = r, nil, nil
	s.state, s.depth, s.rooted = inText, 0, false
	s.forget()
}

func (s *splitter) forget() {
	s.keep, s.size, s.problem = false, 0, nil
	if cap(s.buf) > 32<<10 {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	s.begun.Store(0)
}

// buffered returns how many bytes were read and not looked at.
func (s *splitter) buffered() int { return len(s.in) }

// next returns the next piece. In a framed stream io.EOF is the end of a
// message; otherwise it is the end of the connection.
func (s *splitter) next() (piece, error) {
	if s.size > 0 && !s.keep { // what was returned last time is over
		s.forget()
	}
	for {
		for len(s.in) > 0 {
			done, kind, err := s.step()
			if err != nil {
				return piece{}, err
			}
			if done {
				p := piece{kind: kind, data: s.buf, problem: s.problem}
				s.keep = false
				s.begun.Store(0)
				return p, nil
			}
		}
		if s.rerr != nil {
			return piece{}, s.rerr
		}
		if s.mem == nil {
			s.mem = make([]byte, 16<<10)
		}
		n, err := s.r.Read(s.mem)
		s.in, s.rerr = s.mem[:n], err
		if n > 0 {
			now := int64(time.Since(s.start))
			s.received.Store(now)
			if s.keep && s.begun.Load() == 0 {
				s.begun.Store(now)
			}
		}
	}
}

// base is the depth of the elements we cut out.
func (s *splitter) base() int {
	if s.rootless {
		return 0
	}
	return 1
}

// take moves n bytes from the input to the element.
func (s *splitter) take(n int) error {
	p := s.in[:n]
	s.in = s.in[n:]
	if !s.keep {
		return nil
	}
	s.size += n
	max := s.max
	if !s.rooted && !s.rootless {
		max = maxHeader
	}
	switch {
	case s.problem == nil && s.size <= max:
		s.buf = append(s.buf, p...)
		return nil
	case s.problem == nil:
		s.buf = append(s.buf, p...)
		s.spoil(errTooBig)
	case len(s.buf) < keepHead:
		s.buf = append(s.buf, p[:min(len(p), keepHead-len(s.buf))]...)
	}
	if s.size > maxSkip+s.max {
		return errEndless
	}
	return nil
}

// spoil gives up on the current element, keeping its beginning.
func (s *splitter) spoil(why error) {
	if s.problem != nil || !s.keep {
		return
	}
	s.problem = why
	if len(s.buf) > keepHead {
		s.buf = append([]byte(nil), s.buf[:keepHead]...)
	}
}

// until takes input up to and including the first c, and reports whether there was one.
func (s *splitter) until(c byte) (bool, error) {
	i := bytes.IndexByte(s.in, c)
	if i < 0 {
		return false, s.take(len(s.in))
	}
	return true, s.take(i + 1)
}

// step looks at some input. It reports whether a piece is complete.
func (s *splitter) step() (done bool, kind pieceKind, err error) {
	switch s.state {
	case inText:
		if !s.keep {
			return false, 0, s.between()
		}
		// The text ends before the '<', which may begin the end of the element.
		found, err := s.until('<')
		if found {
			s.state = afterLess
		}
		return false, 0, err

	case afterLess:
		c := s.in[0]
		switch c {
		case '/':
			s.state = inEndTag
			if !s.rootless && s.depth == 1 || s.depth == 0 {
				if s.depth == 0 {
					return false, 0, errNotXMPP
				}
				s.begin() // of the end of the root
			}
		case '!':
			s.state, s.bang = afterBang, s.bang[:0]
		case '?':
			s.state, s.match = inPI, 0
		default:
			s.state, s.prev = inStartTag, 0
			if !s.keep {
				s.begin()
			}
			return false, 0, nil // the name is part of the tag
		}
		return false, 0, s.take(1)

	case inStartTag:
		i := bytes.IndexAny(s.in, `>"'`)
		if i < 0 {
			s.prev = s.in[len(s.in)-1]
			return false, 0, s.take(len(s.in))
		}
		if i > 0 {
			s.prev = s.in[i-1]
		}
		c := s.in[i]
		if err := s.take(i + 1); err != nil {
			return false, 0, err
		}
		if c != '>' {
			s.state, s.quote = inQuotes, c
			return false, 0, nil
		}
		s.state = inText
		empty := s.prev == '/'
		if !s.rooted && !s.rootless {
			if empty || s.problem != nil {
				return false, 0, errNotXMPP
			}
			s.rooted, s.depth = true, 1
			return true, pieceHeader, nil
		}
		if !empty {
			if s.depth++; s.depth-s.base() > maxDepth {
				s.spoil(errTooDeep)
			}
		}
		return s.depth == s.base(), pieceElement, nil

	case inQuotes:
		found, err := s.until(s.quote)
		if found {
			s.state, s.prev = inStartTag, s.quote
		}
		return false, 0, err

	case inEndTag:
		found, err := s.until('>')
		if !found || err != nil {
			return false, 0, err
		}
		s.state = inText
		if s.depth--; s.depth < s.base() {
			s.rooted = false
			return true, pieceEnd, nil
		}
		return s.depth == s.base(), pieceElement, nil

	case afterBang:
		s.bang = append(s.bang, s.in[0])
		if err := s.take(1); err != nil {
			return false, 0, err
		}
		switch b := string(s.bang); {
		case b == "--":
			s.spoil(errForbidden)
			s.state, s.match = inComment, 0
		case b == "[CDATA[" && s.keep:
			s.state, s.match = inCDATA, 0
		case b != "-" && (len(b) > 6 || b != "[CDATA["[:len(b)]):
			return false, 0, errDTD
		}
		return false, 0, nil

	case inComment:
		return false, 0, s.terminator("-->")
	case inCDATA:
		return false, 0, s.terminator("]]>")
	default: // inPI
		s.spoil(errForbidden)
		return false, 0, s.terminator("?>")
	}
}

// begin starts to keep what comes, with the '<' that is already consumed.
func (s *splitter) begin() {
	s.forget()
	s.keep, s.size = true, 1
	s.buf = append(s.buf, '<')
	s.begun.Store(max(1, s.received.Load()))
}

// between passes over what is between elements.
func (s *splitter) between() error {
	i := bytes.IndexByte(s.in, '<')
	text := s.in
	if i >= 0 {
		text = s.in[:i]
	}
	if !s.rooted && !s.rootless && len(bytes.TrimLeft(text, "\ufeff \t\r\n")) > 0 {
		return errNotXMPP // before the stream has begun, as an HTTP or TLS server would answer
	}
	if i < 0 {
		s.in = nil
		return nil
	}
	s.in = s.in[i+1:]
	s.state = afterLess
	return nil
}

// terminator takes input up to the end of a comment, CDATA or PI.
func (s *splitter) terminator(end string) error {
	c := s.in[0]
	switch {
	case c == end[s.match]:
		s.match++
	case s.match == 2 && len(end) == 3 && c == end[1]:
		// "]]]>" and "--->": the terminator may begin one later
	case c == end[0]:
		s.match = 1
	default:
		s.match = 0
	}
	if s.match == len(end) {
		s.state = inText
	} else if s.match == 0 { // go on quickly to where it may begin
		if i := bytes.IndexByte(s.in[1:], end[0]); i > 0 {
			return s.take(1 + i)
		} else if i < 0 {
			return s.take(len(s.in))
		}
	}
	return s.take(1)
}
