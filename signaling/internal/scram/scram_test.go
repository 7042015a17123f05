package scram

import (
	"strings"
	"testing"
)

// The examples of RFC 5802 §5 and RFC 7677 §3.
func TestConversationsOfTheRFCs(t *testing.T) {
	for _, tt := range []struct {
		hash                                     Hash
		nonce, first, serverFirst, final, verify string
	}{
		{SHA1, "fyko+d2lbbFgONRv9qkxdawL",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{SHA256, "rOprNGfwEbeRWgbNEkqO",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		t.Run(string(tt.hash), func(t *testing.T) {
			var keys Keys
			for range 2 { // the second time with the keys of the first
				c := &Client{Hash: tt.hash, User: "user", Password: "pencil", nonce: tt.nonce, Keys: &keys}
				if got := string(c.First()); got != tt.first {
					t.Errorf("first = %q, want %q", got, tt.first)
				}
				final, err := c.Final([]byte(tt.serverFirst))
				if err != nil || string(final) != tt.final {
					t.Errorf("final = %q, %v, want %q", final, err, tt.final)
				}
				if err := c.Verify([]byte(tt.verify)); err != nil {
					t.Errorf("verify: %v", err)
				}
			}
		})
	}
}

func TestServerFirstMessagesThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "too few"},
		{"short last field", "r=nonceX,s=QSXCR+Q6sek8bf92,x", "no iteration"},
		{"one letter", "a", "too few"},
		{"mandatory extension", "m=x,r=nonceX,s=QSXCR+Q6sek8bf92,i=4096", "no nonce"},
		{"our nonce only", "r=nonce,s=QSXCR+Q6sek8bf92,i=4096", "does not continue"},
		{"other nonce", "r=other,s=QSXCR+Q6sek8bf92,i=4096", "does not continue"},
		{"no salt", "r=nonceX,s=,i=4096", "no salt"},
		{"bad salt", "r=nonceX,s=!!,i=4096", "not base64"},
		{"few iterations", "r=nonceX,s=QSXCR+Q6sek8bf92,i=1", "not between"},
		{"endless iterations", "r=nonceX,s=QSXCR+Q6sek8bf92,i=999999999", "not between"},
		{"overflow", "r=nonceX,s=QSXCR+Q6sek8bf92,i=99999999999999999999", "no iteration"},
		{"negative", "r=nonceX,s=QSXCR+Q6sek8bf92,i=-4096", "not between"},
		{"long", "r=nonceX,s=" + strings.Repeat("A", maxMessage) + ",i=4096", "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{Hash: SHA256, User: "u", Password: "p", nonce: "nonce"}
			c.First()
			if _, err := c.Final([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestServerThatDoesNotKnowThePasswordIsRefused(t *testing.T) {
	c := &Client{Hash: SHA1, User: "user", Password: "pencil", nonce: "fyko+d2lbbFgONRv9qkxdawL"}
	c.First()
	if err := c.Verify([]byte("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")); err == nil {
		t.Error("signature accepted before the server's first message")
	}
	if _, err := c.Final([]byte("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"", "v=", "v=AAAA", "e=other-error", "x"} {
		if err := c.Verify([]byte(in)); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func TestBindingAndNamesInTheFirstMessage(t *testing.T) {
	for _, tt := range []struct {
		c    Client
		want string
	}{
		{Client{User: "a,b=c", Flag: NotOffered}, "y,,n=a=2Cb=3Dc,r=N"},
		{Client{User: "u", Binding: &Binding{Type: "tls-exporter"}, Flag: NotOffered}, "p=tls-exporter,,n=u,r=N"},
	} {
		tt.c.nonce = "N"
		if got := string(tt.c.First()); got != tt.want {
			t.Errorf("first = %q, want %q", got, tt.want)
		}
	}
}

func TestPrepare(t *testing.T) {
	for in, want := range map[string]string{
		"pencil":    "pencil",
		"I\u00adX":  "IX", // the examples of RFC 4013 §3
		"\u00aa":    "a",
		"\u2168":    "IX",
		"a\u00a0b":  "a b",
		"e\u0301":   "\u00e9",
		"\ufeffpw":  "pw",
		"USER name": "USER name",
	} {
		if got := Prepare(in); got != want {
			t.Errorf("Prepare(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzServer(f *testing.F) {
	f.Add("r=nonceX,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
	f.Add("a", "e=x")
	f.Add("r=nonceX,s=QSXCR+Q6sek8bf92,", "")
	f.Fuzz(func(t *testing.T, first, final string) {
		if strings.Contains(first, "i=") && !strings.HasSuffix(first, "i=4096") {
			t.Skip() // only slow
		}
		c := &Client{Hash: SHA256, User: "u", Password: "p", nonce: "nonce"}
		c.First()
		if _, err := c.Final([]byte(first)); err != nil && c.signature != nil {
			t.Error("a refused message left something to verify")
		}
		if c.Verify([]byte(final)) == nil {
			t.Errorf("guessed the signature: %q", final)
		}
	})
}
