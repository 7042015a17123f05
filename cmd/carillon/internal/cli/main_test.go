package cli

import (
	"slices"
	"testing"
)

// Names of files on Unix are bytes, not text.
func TestArgumentsAreTakenAsTheyAre(t *testing.T) {
	flags := new(tree)
	parser, err := newParser(flags, Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"send", "a\xe9.txt", `b\,c "d"`, "bob@example.org", "--limit", "5MB/s"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a\xe9.txt", `b\,c "d"`, "bob@example.org"}; !slices.Equal(flags.Send.What, want) {
		t.Errorf("arguments = %q, want %q", flags.Send.What, want)
	}
	if flags.Send.Limit != "5MB/s" {
		t.Errorf("--limit = %q", flags.Send.Limit)
	}
}

func TestEverybodyIsSentToOnce(t *testing.T) {
	_, to, err := split([]string{"a.txt", "bob@example.org", "carol@example.org", "BOB@example.org"})
	if err != nil || len(to) != 2 {
		t.Errorf("recipients = %v, %v; want bob and carol", to, err)
	}
}
