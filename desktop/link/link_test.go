package link

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in, to, account string
		action          Action
		video           bool
	}{
		{in: "bob@example.org", to: "bob@example.org"},
		{in: "  bob@example.org\n", to: "bob@example.org"},
		{in: "bob@example.org/phone", to: "bob@example.org/phone"},
		{in: "xmpp:bob@example.org", to: "bob@example.org"},
		{in: "XMPP:bob@example.org?call", to: "bob@example.org", action: Call},
		{in: "xmpp:bob@example.org?call;type=video", to: "bob@example.org", action: Call, video: true},
		{in: "xmpp:bob@example.org?CALL;type=audio", to: "bob@example.org", action: Call},
		{in: "xmpp:bob@example.org?message;body=Hi%20there;subject=x", to: "bob@example.org", action: Message},
		{in: "xmpp:example.org?register", to: "example.org", action: Register},
		{in: "xmpp:bob@example.org?pubsub;action=subscribe", to: "bob@example.org", action: "pubsub"},
		// RFC 5122 §2.3 and §2.5
		{in: "xmpp://guest@example.com/support@example.com?message", to: "support@example.com", account: "guest@example.com", action: Message},
		{in: "xmpp:nasty!%23$%25()*+,-.;=%3F%5B%5C%5D%5E_%60%7B%7C%7D~node@example.com", to: "nasty!#$%()*+,-.;=?[\\]^_`{|}~node@example.com"},
		{in: "xmpp:node@example.com/repulsive%20!%23%22$%25&'()*+,-.%2F:;%3C=%3E%3F%40%5B%5C%5D%5E_%60%7B%7C%7D~resource",
			to: "node@example.com/repulsive !#\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~resource"},
		{in: "xmpp:ji%C5%99i@%C4%8Dechy.example/v%20Praze", to: "jiři@čechy.example/v Praze"},
		{in: "xmpp://bob@example.org?call", to: "bob@example.org", action: Call},
		{in: "xmpp:bob@example.org#here", to: "bob@example.org"},
	} {
		l, err := Parse(test.in)
		if err != nil {
			t.Errorf("%s: %v", test.in, err)
			continue
		}
		if l.To.String() != test.to || l.Account.String() != test.account || l.Action != test.action || l.Video() != test.video {
			t.Errorf("%s = to %q, account %q, %q, video %v", test.in, l.To, l.Account, l.Action, l.Video())
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() || !again.To.Equal(l.To) {
			t.Errorf("%s is written %s, which is read as %s, %v", test.in, l, again, err)
		}
	}
	l, err := Parse("xmpp:bob@example.org?message;body=Hi%3B%20there;body=second;;=x;empty=")
	if err != nil || l.Param("body") != "Hi; there" || l.Param("empty") != "" || l.Param("Body") != "" {
		t.Errorf("parameters %+v, %v", l.params, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "bob", "example.org", "https://example.org/", "mailto:bob@example.org", "xmpp:", "xmpp:?call", "xmpp:///", "xmpp:%zz@example.org",
		"xmpp:@example.org", "xmpp:bob@", "xmpp:bob@example.org/", "xmpp:bob@example.org?a=b", "xmpp:bob@example.org?call;%zz=1",
		"two words@example.org", "--call=bob@exa mple.org", "xmpp:bob@example.org?" + strings.Repeat("a", maxLink),
		"xmpp:bob@example.org?x" + strings.Repeat(";a=b", maxParams+1), "xmpp:bob%00@example.org", "xmpp:bo%40b@example.org",
	} {
		if l, err := Parse(in); !errors.Is(err, ErrLink) {
			t.Errorf("%.40q is read as %s, %v", in, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"bob@example.org", "0@..", "xmpp:bob@example.org?call;type=video", "xmpp://guest@example.com/support@example.com?message;body=%20", "xmpp:a%2Fb@c/d%40e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Errorf("%q: %v is not %v", s, err, ErrLink)
			}
			return
		}
		again, err := Parse(l.String())
		if err != nil || !again.To.Equal(l.To) || again.Action != l.Action || !again.Account.Equal(l.Account) || len(again.params) != len(l.params) && l.Action != Open {
			t.Errorf("%q is written %q, which is read as %+v, %v", s, l.String(), again, err)
		}
	})
}
