package jingle_test

import (
	"encoding/xml"
	"fmt"
	"log"
	"strings"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// audio returns the content of a call: what is sent and how it travels.
func audio() *jingle.Jingle {
	return &jingle.Jingle{Contents: []jingle.Content{{
		Name: "0",
		Description: &rtp.Description{
			Media:        rtp.Audio,
			PayloadTypes: []rtp.PayloadType{{ID: 111, Name: "opus", ClockRate: 48000, Channels: 2}},
			RTCPMux:      new(rtp.Flag),
		},
		Transport: &iceudp.Transport{Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg"},
	}}}
}

// An initiator offers a call, hears the answer and hangs up. A real driver sends
// what Send asks for in IQ stanzas and reports each answer with Sent.
func ExampleSession() {
	s := jingle.NewSession(jingle.Config{
		SID:   "a73sjjvkla37jfea",
		Role:  jingle.Initiator,
		Local: jid.MustParse("romeo@montague.example/orchard"),
		Peer:  jid.MustParse("juliet@capulet.example/balcony"),
	})
	carryOut := func(effects []jingle.Effect) {
		for _, e := range effects {
			switch e := e.(type) {
			case jingle.Send:
				fmt.Println("send:", e.Jingle.Action)
			case jingle.StartTimer:
				fmt.Println("start a timer of", e.After)
			case jingle.StopTimer:
				fmt.Println("stop the timer")
			case jingle.Accepted:
				fmt.Println("accepted:", e.Jingle.Contents[0].Name)
			case jingle.Ended:
				fmt.Println("ended:", e.Reason)
			}
		}
	}

	effects, err := s.Initiate(audio())
	if err != nil {
		log.Fatal(err)
	}
	carryOut(effects)
	carryOut(s.Sent(1, nil)) // the peer acknowledged action 1

	answer := audio()
	answer.Action, answer.SID = jingle.ActionSessionAccept, s.SID()
	reply, effects := s.Receive(answer)
	fmt.Println("acknowledge:", reply.Err == nil) // before the effects
	carryOut(effects)
	fmt.Println("session is", s.State())

	carryOut(s.Terminate(jingle.Reason{Condition: jingle.Success}))
	// Output:
	// send: session-initiate
	// start a timer of 1m0s
	// acknowledge: true
	// stop the timer
	// accepted: 0
	// session is active
	// send: session-terminate
	// ended: success
}

// A registry says which elements are understood; others decode to *Unknown.
func ExampleRegistry() {
	var reg jingle.Registry
	rtp.Register(&reg)
	iceudp.Register(&reg)

	j, err := reg.Decode(xml.NewDecoder(strings.NewReader(`
		<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='a73sjjvkla37jfea'>
		  <content creator='initiator' name='voice'>
		    <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
		      <payload-type id='111' name='opus' clockrate='48000' channels='2'/>
		    </description>
		    <transport xmlns='urn:example:carrier-pigeon'/>
		  </content>
		</jingle>`)))
	if err != nil {
		log.Fatal(err)
	}
	c := j.Contents[0]
	fmt.Println(c.Description.(*rtp.Description).PayloadTypes[0].Name)
	fmt.Println(c.Transport.(*jingle.Unknown).Namespace())
	// Output:
	// opus
	// urn:example:carrier-pigeon
}

// What cannot occur now is refused with the error that the specification wants.
func ExampleSession_Receive() {
	s := jingle.NewSession(jingle.Config{SID: "a73sjjvkla37jfea", Role: jingle.Responder})
	reply, _ := s.Receive(&jingle.Jingle{Action: jingle.ActionTransportInfo, SID: "a73sjjvkla37jfea"})
	data, err := xml.Marshal(reply.Err)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Err)
	fmt.Println(strings.ReplaceAll(string(data), "><", ">\n<"))
	// Output:
	// unexpected-request (out-of-order)
	// <error type="wait">
	// <unexpected-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">
	// </unexpected-request>
	// <out-of-order xmlns="urn:xmpp:jingle:errors:1">
	// </out-of-order>
	// </error>
}
