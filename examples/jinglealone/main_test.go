package main

import "os"

func Example() {
	if err := play(os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// juliet -> <jingle xmlns="urn:xmpp:jingle:1" action="session-initiate" initiator="juliet@capulet.example/balcony" sid="game-1"><content creator="initiator" name="chess" senders="both"><description xmlns="https://example.org/chess" color="white"></description><transport xmlns="urn:xmpp:jingle:transports:ibb:1" block-size="4096" sid="moves"></transport></content></jingle>
	// romeo: she wants white
	// romeo -> <jingle xmlns="urn:xmpp:jingle:1" action="session-accept" responder="romeo@montague.example/orchard" sid="game-1"><content creator="initiator" name="chess" senders="both"><description xmlns="https://example.org/chess" color="white"></description><transport xmlns="urn:xmpp:jingle:transports:ibb:1" block-size="4096" sid="moves"></transport></content></jingle>
	// juliet: the game is on
	// romeo -> <jingle xmlns="urn:xmpp:jingle:1" action="session-terminate" sid="game-1"><reason xmlns="urn:xmpp:jingle:1"><success></success><text>well played</text></reason></jingle>
	// juliet: the game is over (success)
	// romeo: the game is over (success)
}
