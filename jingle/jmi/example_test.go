package jmi_test

import (
	"encoding/xml"
	"fmt"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// A caller rings all devices of the callee; one of them answers.
func ExampleCall() {
	audio := jmi.Description{XMLName: xml.Name{Space: rtp.NS, Local: "description"}, Media: "audio"}
	call := jmi.NewCaller(jmi.Config{
		SID:          "ca3cf894-5325-482f-a412-a6e9f832298d",
		Local:        jid.MustParse("romeo@montague.example/orchard"),
		Peer:         jid.MustParse("juliet@capulet.example"),
		Descriptions: []jmi.Description{audio},
	})
	carryOut := func(effects []jmi.Effect) {
		for _, e := range effects {
			switch e := e.(type) {
			case jmi.Send:
				fmt.Println("send", e.Message.Kind, "to", e.To)
			case jmi.Ringing:
				fmt.Println("it rings at the", e.From.Resourcepart())
			case jmi.Proceeded:
				fmt.Println("initiate a session with the", e.From.Resourcepart())
			case jmi.Ended:
				fmt.Println("ended:", e.Outcome)
			}
		}
	}
	phone, laptop := jid.MustParse("juliet@capulet.example/phone"), jid.MustParse("juliet@capulet.example/laptop")
	hear := func(from jid.JID, kind jmi.Kind) {
		carryOut(call.Receive(from, false, &jmi.Message{Kind: kind, SID: call.SID()}))
	}

	carryOut(call.Propose())
	hear(phone, jmi.KindRinging)
	hear(laptop, jmi.KindRinging)
	hear(laptop, jmi.KindProceed)
	hear(phone, jmi.KindReject) // too late
	// Output:
	// send propose to juliet@capulet.example
	// it rings at the phone
	// it rings at the laptop
	// initiate a session with the laptop
}
