package extdisco

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValid(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{ // want is the URL, "" when refused
		{"stun", `type='stun' host='stun.example.org' port='3478' transport='udp'`, "stun:stun.example.org:3478"},
		{"defaults", `type='turn' host='turn.example.org'`, "turn:turn.example.org:3478?transport=udp"},
		{"turns defaults", `type='turns' host='turn.example.org'`, "turns:turn.example.org:5349?transport=tcp"},
		{"tcp", `type='turn' host='turn.example.org' transport='TCP' port='80'`, "turn:turn.example.org:80?transport=tcp"},
		{"IPv6", `type='turn' host='2001:db8::1' port='3478'`, "turn:[2001:db8::1]:3478?transport=udp"},
		{"IPv6 in brackets", `type='turn' host='[2001:db8::1]' port='3478'`, "turn:[2001:db8::1]:3478?transport=udp"},
		{"trailing dot", `type='stun' host='stun.example.org.'`, "stun:stun.example.org:3478"},
		{"other service", `type='ftp' host='ftp.example.org' port='21'`, ""},
		{"no host", `type='stun' port='3478'`, ""},
		{"port zero", `type='stun' host='a' port='0'`, ""},
		{"port too large", `type='stun' host='a' port='65536'`, ""},
		{"port of words", `type='stun' host='a' port='x'`, ""},
		{"unknown transport", `type='turn' host='a' transport='sctp'`, ""},
		{"host with a path", `type='turn' host='a/b'`, ""},
		{"host with a question", `type='turn' host='a?transport=udp'`, ""},
		{"host with a port", `type='turn' host='a:1'`, ""},
		{"host with spaces", `type='turn' host='a b'`, ""},
		{"host too long", `type='turn' host='` + strings.Repeat("a.", 130) + `a'`, ""},
		{"empty label", `type='turn' host='a..b'`, ""},
		{"unspecified address", `type='turn' host='0.0.0.0'`, ""},
		{"address with zone", `type='turn' host='fe80::1%eth0'`, ""},
		{"broken expiry", `type='turn' host='a' expires='tomorrow'`, ""},
		{"huge username", `type='turn' host='a' username='` + strings.Repeat("u", 600) + `'`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Valid(decode(t, `<service `+tc.in+`/>`))
			switch {
			case tc.want == "" && len(got) > 0:
				t.Errorf("accepted: %+v", got)
			case tc.want != "" && (len(got) != 1 || got[0].URL() != tc.want):
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

func decode(t testing.TB, items string) []Item {
	t.Helper()
	var s Services
	if err := xml.Unmarshal([]byte(`<services xmlns='urn:xmpp:extdisco:2'>`+items+`</services>`), &s); err != nil {
		t.Fatal(err)
	}
	return s.Items
}

func TestDuplicatesAndBounds(t *testing.T) {
	var b strings.Builder
	for i := range 3 * maxServices {
		fmt.Fprintf(&b, `<service type='stun' host='s%d.example.org'/>`, i/2)
	}
	got := Valid(decode(t, b.String()))
	if len(got) != maxServices || got[0].Host == got[1].Host {
		t.Errorf("%d services, the first are %+v", len(got), got[:2])
	}
}

func TestUsable(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, in string
		want     bool
	}{
		{"stun", `type='stun' host='a'`, true},
		{"restricted stun", `type='stun' host='a' restricted='1'`, false},
		{"turn without credentials", `type='turn' host='a'`, false},
		{"turn", `type='turn' host='a' username='u' password='p'`, true},
		{"expired", `type='turn' host='a' username='u' password='p' expires='2026-11-21T11:59:59Z'`, false},
		{"not yet expired", `type='turn' host='a' username='u' password='p' expires='2026-11-21T13:00:01+01:00'`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Valid(decode(t, `<service `+tc.in+`/>`))
			if len(got) != 1 || got[0].Usable(now) != tc.want {
				t.Errorf("%+v: want usable %v", got, tc.want)
			}
		})
	}
}

func TestMergeFindsTheService(t *testing.T) {
	list := Valid(decode(t, `<service type='turn' host='a' port='1' transport='udp'/><service type='turn' host='a' port='2' transport='tcp'/><service type='turn' host='b'/>`))
	Merge(list, decode(t, `<service type='turn' host='a' port='2' username='u' password='p'/><service type='turn' host='c' username='x' password='y'/><service type='turn' host='b' username='z'/>`))
	var got []string
	for _, s := range list {
		got = append(got, s.Username+":"+string(s.Password))
	}
	if diff := cmp.Diff([]string{":", "u:p", ":"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPasswordsDoNotShow(t *testing.T) {
	s := Service{Type: "turn", Host: "a", Username: "u", Password: "hunter2"}
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s.Password); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

func FuzzServices(f *testing.F) {
	f.Add(`<service type='turn' host='a' port='1' transport='udp' username='u' password='p' expires='2026-11-21T11:59:59Z' restricted='true'/>`)
	f.Add(`<service type='stun' host='[::1]'/>`)
	f.Fuzz(func(t *testing.T, items string) {
		var s Services
		if xml.Unmarshal([]byte(`<services xmlns='urn:xmpp:extdisco:2'>`+items+`</services>`), &s) != nil {
			return
		}
		list := Valid(s.Items)
		Merge(list, s.Items)
		for _, s := range list {
			if s.Host == "" || s.Port == 0 || strings.ContainsAny(s.URL(), " /\r\n\t#") || strings.Count(s.URL(), "?") > 1 {
				t.Errorf("URL %q of %+v", s.URL(), s)
			}
		}
	})
}
