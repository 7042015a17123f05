package media

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/carillon-im/carillon/internal/relaydial"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// How ICE and DTLS are paced. Both sides of a call wait for them, so they are
// as quick as the RFCs allow.
const (
	// iceChecks bounds how often a pair is tried. pion tries all pairs with
	// every trickled candidate, so its own 7 would be used up in a moment and
	// good pairs given up.
	iceChecks = 60
	// disconnectedAfter and failedAfter are the times without a packet.
	disconnectedAfter = 5 * time.Second
	failedAfter       = 15 * time.Second
	keepaliveEvery    = 2 * time.Second
	// relayWait is how long a relayed path that works already waits for a
	// direct one that is still being tried: three rounds of checks, since pion
	// does not change to a better path later.
	relayWait = 600 * time.Millisecond
	// dtlsResend is the first retransmission timer of DTLS. RFC 9147 §5.8.2
	// allows less than a second where the delay is known to be small; 100 ms is
	// what browsers use.
	dtlsResend = 100 * time.Millisecond
	// resendSize is how many packets of a picture are kept for sending again:
	// some seconds.
	resendSize = 1024
	// receiveMTU is the longest packet taken.
	receiveMTU = 1500
)

// events of a telephone, by clock rate. RFC 4733 §2.4; RFC 7587 §7 wants the
// clock of the codec beside it.
var telephoneEvents = []struct {
	rate        uint32
	payloadType uint8
}{{48000, 110}, {8000, 126}}

// orientationURI is the header extension that tells how a picture is held.
const orientationURI = "urn:3gpp:video-orientation"

// rtxOffset is what is added to the payload type of a codec for that of its
// packets that are sent again. RFC 4588
const rtxOffset = 1

// videoFeedback is what is said about pictures. RFC 4585, RFC 5104
var videoFeedback = []webrtc.RTCPFeedback{
	{Type: webrtc.TypeRTCPFBGoogREMB}, {Type: webrtc.TypeRTCPFBTransportCC},
	{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
	{Type: webrtc.TypeRTCPFBNACK}, {Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"},
}

// registerVideo tells pion of the codecs and what belongs to them.
func registerVideo(m *webrtc.MediaEngine, codecs []video.Codec) error {
	for _, c := range codecs {
		for _, p := range []webrtc.RTPCodecParameters{
			{
				RTPCodecCapability: webrtc.RTPCodecCapability{
					MimeType: "video/" + c.Name, ClockRate: video.ClockRate, SDPFmtpLine: c.Fmtp(), RTCPFeedback: videoFeedback,
				},
				PayloadType: webrtc.PayloadType(c.PayloadType),
			},
			{
				RTPCodecCapability: webrtc.RTPCodecCapability{
					MimeType: webrtc.MimeTypeRTX, ClockRate: video.ClockRate, SDPFmtpLine: fmt.Sprintf("apt=%d", c.PayloadType),
				},
				PayloadType: webrtc.PayloadType(c.PayloadType + rtxOffset),
			},
		} {
			if err := m.RegisterCodec(p, webrtc.RTPCodecTypeVideo); err != nil {
				return fmt.Errorf("register codec %s: %w", p.MimeType, err)
			}
		}
	}
	for _, uri := range []string{sdp.TransportCCURI, orientationURI} {
		ext := webrtc.RTPHeaderExtensionCapability{URI: uri}
		if err := m.RegisterHeaderExtension(ext, webrtc.RTPCodecTypeVideo); err != nil {
			return fmt.Errorf("register header extension: %w", err)
		}
	}
	return nil
}

// newAPI sets pion up for one link, from which pictures leave by f. Relays are
// reached until ctx ends.
func newAPI(ctx context.Context, cfg Config, f *flow) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range cfg.Audio.Codecs {
		if err := registerAudio(m, c.Name, c.ClockRate, c.Channels, c.Fmtp(), c.PayloadType); err != nil {
			return nil, err
		}
	}
	for _, e := range telephoneEvents {
		if err := registerAudio(m, audio.TelephoneEvent, e.rate, 1, audio.TelephoneEvents, e.payloadType); err != nil {
			return nil, err
		}
	}
	m.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, webrtc.RTPCodecTypeAudio)
	ext := webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}
	if err := m.RegisterHeaderExtension(ext, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, fmt.Errorf("register header extension: %w", err)
	}

	if err := registerVideo(m, cfg.Video.Codecs); err != nil {
		return nil, err
	}

	r := &interceptor.Registry{}
	logs := pionLog{cfg.Logger}
	receive, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("set up receiver reports: %w", err)
	}
	send, err := report.NewSenderInterceptor(report.WithSenderLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("set up sender reports: %w", err)
	}
	numbers, err := twcc.NewHeaderExtensionInterceptor()
	if err != nil {
		return nil, fmt.Errorf("set up transport-wide numbers: %w", err)
	}
	feedback, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("set up transport-wide feedback: %w", err)
	}
	again, err := nack.NewResponderInterceptor(nack.ResponderSize(resendSize), nack.WithResponderLoggerFactory(logs))
	if err != nil {
		return nil, fmt.Errorf("set up retransmission: %w", err)
	}
	// From the network outwards: a packet is numbered and measured when it
	// leaves, and what is sent again is paced like the rest. Sender reports come
	// last, so that they tell when a picture was taken: not when it left, and not
	// what was sent again.
	r.Add(receive)
	r.Add(&estimator{flow: f})
	r.Add(numbers)
	r.Add(feedback)
	r.Add(&pacer{flow: f})
	r.Add(again)
	r.Add(send)

	s := webrtc.SettingEngine{LoggerFactory: logs}
	s.SetHandleUndeclaredSSRCWithoutAnswer(true) // Dino declares none
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.DisableActiveTCP(true)
	if cfg.Net == nil && onlyLoopback() {
		s.SetIncludeLoopbackCandidate(true)
	}
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveEvery)
	s.SetICEMaxBindingRequests(iceChecks)
	s.SetHostAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	if cfg.RelayOnly {
		s.SetRelayAcceptanceMinWait(0)
	} else {
		s.SetRelayAcceptanceMinWait(relayWait)
	}
	s.SetDTLSRetransmissionInterval(dtlsResend)
	// The cookie proves that the client can be reached, which ICE has done.
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.SetReceiveMTU(receiveMTU)
	// A peer that closes DTLS will end the session as well; until then pion
	// must not close what the call owns.
	s.DisableCloseByDTLS(true)
	switch {
	case cfg.Net != nil:
		s.SetNet(cfg.Net)
	case cfg.RootCAs != nil:
		var urls []string
		for _, i := range cfg.ICEServers {
			urls = append(urls, i.URL)
		}
		s.SetICEProxyDialer(relaydial.New(ctx, urls, cfg.RootCAs))
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)), nil
}

func registerAudio(m *webrtc.MediaEngine, name string, rate uint32, channels uint8, fmtp string, pt uint8) error {
	n := uint16(channels)
	if n == 1 {
		n = 0 // as absent in rtpmap
	}
	err := m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: "audio/" + name, ClockRate: rate, Channels: n, SDPFmtpLine: fmtp,
		},
		PayloadType: webrtc.PayloadType(pt),
	}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		return fmt.Errorf("register codec %s: %w", name, err)
	}
	return nil
}

// onlyLoopback reports whether this machine has no other address, as in some
// containers, where a call can only be with oneself.
func onlyLoopback() bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return false
		}
	}
	return true
}

func iceServers(in []ICEServer) []webrtc.ICEServer {
	var out []webrtc.ICEServer
	for _, s := range in {
		w := webrtc.ICEServer{URLs: []string{s.URL}}
		if strings.HasPrefix(s.URL, "turn") {
			if s.Username == "" || s.Password == "" {
				continue // pion would give up all servers after it
			}
			w.Username, w.Credential = s.Username, string(s.Password)
		}
		out = append(out, w)
	}
	return out
}
