package s5b

import (
	"encoding/xml"
	"testing"

	"github.com/google/go-cmp/cmp"
	"mellium.im/xmpp/jid"
)

func TestTransport(t *testing.T) {
	const ns = `xmlns="urn:xmpp:jingle:transports:s5b:1"`
	for _, tt := range []struct {
		name, xml string
		want      Transport
	}{
		{
			name: "Dino 0.4.2 offers a direct candidate and a proxy",
			xml: `<transport ` + ns + ` sid="7e2688b5" mode="tcp" dstaddr="2546f02c"><candidate cid="cba2e8e7" host="192.0.2.2" jid="alice@xmpp.test/dino" port="33019" priority="8290304" type="direct"></candidate>` +
				`<candidate cid="07e5791d" host="127.0.0.1" jid="proxy.xmpp.test" port="5000" priority="688128" type="proxy"></candidate></transport>`,
			want: Transport{SID: "7e2688b5", Mode: "tcp", DstAddr: "2546f02c", Candidates: []Candidate{
				{CID: "cba2e8e7", Host: "192.0.2.2", JID: "alice@xmpp.test/dino", Port: 33019, Priority: 8290304, Type: Direct},
				{CID: "07e5791d", Host: "127.0.0.1", JID: "proxy.xmpp.test", Port: 5000, Priority: 688128, Type: Proxy},
			}},
		},
		{
			name: "a candidate is used",
			xml:  `<transport ` + ns + ` sid="s"><candidate-used cid="c1"></candidate-used></transport>`,
			want: Transport{SID: "s", Used: &CID{"c1"}},
		},
		{
			name: "no candidate works",
			xml:  `<transport ` + ns + ` sid="s"><candidate-error></candidate-error></transport>`,
			want: Transport{SID: "s", NoneUsed: &Empty{}},
		},
		{
			name: "a proxy is activated",
			xml:  `<transport ` + ns + ` sid="s"><activated cid="c2"></activated></transport>`,
			want: Transport{SID: "s", Activated: &CID{"c2"}},
		},
		{
			name: "a proxy is not activated",
			xml:  `<transport ` + ns + ` sid="s"><proxy-error></proxy-error></transport>`,
			want: Transport{SID: "s", ProxyError: &Empty{}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Transport
			if err := xml.Unmarshal([]byte(tt.xml), &got); err != nil {
				t.Fatal(err)
			}
			tt.want.XMLName = got.XMLName
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("decoded (-got +want):\n%s", diff)
			}
			if out, err := xml.Marshal(&got); err != nil || string(out) != tt.xml {
				t.Errorf("encoded %s, %v", out, err)
			}
		})
	}
}

// The values stand in Dino's capture: both sides' dstaddr of one stream.
func TestDstAddrOfARealTransfer(t *testing.T) {
	const sid = "7e2688b5-889d-4570-ba18-b47d6a01e582"
	alice, bob := jid.MustParse("alice@xmpp.test/dino.522b276a"), jid.MustParse("bob@xmpp.test/dino.48181acd")
	if got, want := DstAddr(sid, alice, bob), "2546f02cfafbff7a4ba71224673ed4c679390d94"; got != want {
		t.Errorf("alice's candidates: %s, want %s", got, want)
	}
	if got, want := DstAddr(sid, bob, alice), "e5a32d362f930db0d45fe7b72e4fbe52ae462713"; got != want {
		t.Errorf("bob's candidates: %s, want %s", got, want)
	}
}

func TestPriority(t *testing.T) {
	if got := Direct.Priority(32768); got != 8290304 {
		t.Errorf("direct = %d, want Dino's 8290304", got)
	}
	if got := Proxy.Priority(32768); got != 688128 {
		t.Errorf("proxy = %d, want Dino's 688128", got)
	}
}
