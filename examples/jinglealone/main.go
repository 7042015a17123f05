// Jinglealone negotiates a session with package jingle and nothing else: no
// network, no XMPP client, no media. What is negotiated here is a game of
// chess over in-band bytestreams; a gateway or another media stack would put
// its own descriptions and transports in their place.
//
//	go run ./examples/jinglealone
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/ibb"
	"mellium.im/xmpp/jid"
)

// A game is our own kind of content.
type game struct {
	XMLName xml.Name `xml:"https://example.org/chess description"`
	Color   string   `xml:"color,attr"` // of the initiator
}

func (*game) Namespace() string { return "https://example.org/chess" }

// registry says how to read it, and which transports we know.
var registry = &jingle.Registry{
	Descriptions: map[string]func() jingle.Description{"https://example.org/chess": func() jingle.Description { return new(game) }},
	Transports:   map[string]func() jingle.Transport{ibb.NS: func() jingle.Transport { return new(ibb.Transport) }},
}

// A player is one side.
type player struct {
	name    string
	session *jingle.Session
	peer    *player
	out     io.Writer
	// offered is what to do with an offer: the decision of a person.
	offered func(*jingle.Jingle) ([]jingle.Effect, error)
}

// carryOut does what the engine wants done, and says what it tells.
func (p *player) carryOut(effects []jingle.Effect) error {
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			text, err := xml.Marshal(e.Jingle)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%s -> %s\n", p.name, text)
			// In XMPP this is an IQ, and its answer comes later.
			refused, err := p.peer.receive(string(text))
			if err != nil {
				return err
			}
			if err := p.carryOut(p.session.Sent(e.ID, refused)); err != nil {
				return err
			}
		case jingle.Offered:
			answer, err := p.offered(e.Jingle)
			if err != nil {
				return err
			}
			if err := p.carryOut(answer); err != nil {
				return err
			}
		case jingle.Accepted:
			fmt.Fprintf(p.out, "%s: the game is on\n", p.name)
		case jingle.Ended:
			fmt.Fprintf(p.out, "%s: the game is over (%s)\n", p.name, e.Reason.Condition)
		case jingle.StartTimer, jingle.StopTimer: // nobody is slow here
		}
	}
	return nil
}

// receive takes an element of the peer. refused is the answer: nil acknowledges.
func (p *player) receive(text string) (refused, err error) {
	j, err := registry.Decode(xml.NewDecoder(strings.NewReader(text)))
	if err != nil {
		return nil, err
	}
	reply, effects := p.session.Receive(j)
	if reply.Err != nil { // a typed nil would not be nil
		refused = reply.Err
	}
	return refused, p.carryOut(effects)
}

// play lets juliet propose a game to romeo, who takes it and gives up.
func play(out io.Writer) error {
	config := jingle.Config{
		SID: "game-1", Role: jingle.Initiator,
		Local: jid.MustParse("juliet@capulet.example/balcony"), Peer: jid.MustParse("romeo@montague.example/orchard"),
	}
	juliet := &player{name: "juliet", out: out, session: jingle.NewSession(config)}
	config.Role, config.Local, config.Peer = jingle.Responder, config.Peer, config.Local
	romeo := &player{name: "romeo", out: out, session: jingle.NewSession(config)}
	juliet.peer, romeo.peer = romeo, juliet

	romeo.offered = func(j *jingle.Jingle) ([]jingle.Effect, error) {
		fmt.Fprintf(out, "romeo: she wants %s\n", j.Contents[0].Description.(*game).Color)
		return romeo.session.Accept(&jingle.Jingle{Contents: j.Contents})
	}
	effects, err := juliet.session.Initiate(&jingle.Jingle{Contents: []jingle.Content{{
		Name: "chess", Description: &game{Color: "white"}, Transport: &ibb.Transport{BlockSize: 4096, SID: "moves"},
	}}})
	if err == nil {
		err = juliet.carryOut(effects)
	}
	if err == nil {
		err = romeo.carryOut(romeo.session.Terminate(jingle.Reason{Condition: jingle.Success, Text: "well played"}))
	}
	return err
}

func main() {
	if err := play(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
