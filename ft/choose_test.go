package ft_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/race"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

func TestChoose(t *testing.T) {
	all := []ft.Carrier{tcp.Carrier{}, quic.Carrier{}, datachannel.Carrier{}, datachannel.XEP0343{}, s5b.Carrier{}, ibb.Carrier{}}
	const s5bNS, ibbNS, iceNS = "urn:xmpp:jingle:transports:s5b:1", "urn:xmpp:jingle:transports:ibb:1", "urn:xmpp:jingle:transports:ice-udp:1"
	for _, tt := range []struct {
		name     string
		features []string
		carriers []ft.Carrier
		want     string
		ours     bool
	}{
		{"ours", append(ft.Features(all...), ft.NS, filetransfer.NS), all, "tcp/0 quic/0 webrtc-datachannel:1 ice-udp:1 s5b:1 ibb:1", true},
		{"ours, asked for one way", append(ft.Features(all...), ft.NS), all[2:4], "webrtc-datachannel:1 ice-udp:1", true},
		{"ours, before there was a race", append(ft.Features(all...), ft.NS), append([]ft.Carrier{race.Carrier{}}, all[:2]...), "tcp/0 quic/0", true},
		{"Conversations", []string{filetransfer.NS, s5bNS, ibbNS, iceNS, "urn:xmpp:jingle:transports:webrtc-datachannel:1"}, all, "webrtc-datachannel:1 s5b:1 ibb:1", false},
		{"stanza.js", []string{filetransfer.NS, ibbNS, iceNS, "urn:xmpp:jingle:transports:dtls-sctp:1"}, all, "ice-udp:1 ibb:1", false},
		{"Dino", []string{filetransfer.NS, s5bNS, ibbNS, iceNS}, all, "s5b:1 ibb:1", false},
		{"no files", []string{s5bNS, ibbNS}, all, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usable, ours := ft.Choose(tt.features, tt.carriers...)
			var got []string
			for _, c := range usable {
				ns := c.Namespace()
				ns = strings.TrimPrefix(ns, "https://carillon.im/protocol/jingle/")
				got = append(got, strings.TrimPrefix(ns, "urn:xmpp:jingle:transports:"))
			}
			if s := strings.Join(got, " "); s != tt.want || ours != tt.ours {
				t.Errorf("got %q, ours %t, want %q, %t", s, ours, tt.want, tt.ours)
			}
		})
	}
	if f := ft.Features(all...); !slices.Contains(f, "urn:xmpp:jingle:transports:dtls-sctp:1") {
		t.Errorf("features %q lack data channels of XEP-0343", f)
	}
	want := []string{"urn:xmpp:hashes:2", "urn:xmpp:hash-function-text-names:sha-256", "urn:xmpp:hash-function-text-names:id-blake2b512"}
	for _, f := range want {
		if !slices.Contains(ft.HashFeatures(), f) {
			t.Errorf("features %q lack %s", ft.HashFeatures(), f)
		}
	}
}
