package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling"
)

const alice, carol = "alice@example.org", "carol@example.com"

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "a folder #1?", "history.db") }

func openTest(t *testing.T, path string) *DB {
	t.Helper()
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func call(sid, peer string, outcome signaling.Outcome, at int64) signaling.CallRecord {
	return signaling.CallRecord{SID: sid, Peer: jid.MustParse(peer), Direction: signaling.In, Outcome: outcome, Start: time.UnixMilli(at)}
}

func record(t *testing.T, a *Account, r signaling.CallRecord) {
	t.Helper()
	if err := a.Record(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func sids(t *testing.T, d *DB, q Query) string {
	t.Helper()
	list, err := d.Calls(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, c := range list {
		s = append(s, c.SID)
	}
	return strings.Join(s, " ")
}

func TestCalls(t *testing.T) {
	path := file(t)
	d := openTest(t, path)
	a, c := d.Account(alice), d.Account(carol)
	whole := signaling.CallRecord{
		SID: "1", Peer: jid.MustParse("bob@example.org/phone"), Direction: signaling.Out, Outcome: signaling.Answered,
		Reason: jingle.Reason{Condition: jingle.Success}, Media: []rtp.Media{rtp.Audio, rtp.Video}, Start: time.UnixMilli(1000), Duration: 61 * time.Second, Archived: true,
	}
	record(t, a, whole)
	record(t, a, call("2", "bob@example.org", signaling.MissedCall, 3000))
	record(t, a, call("3", "eve_1@example.org", signaling.MissedCall, 2000))
	record(t, c, call("2", "bob@example.org", signaling.Declined, 4000)) // the same id, in another account
	record(t, a, call("2", "mallory@example.org", signaling.Failed, 500))

	list, err := d.Calls(t.Context(), Query{Account: alice, Peer: "bob@example.org", Before: time.UnixMilli(3000)})
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], Call{Account: alice, CallRecord: whole, Seen: true}) {
		t.Errorf("calls %+v, %v, want %+v", list, err, whole)
	}
	for _, test := range []struct {
		q    Query
		want string
	}{
		{Query{}, "2 2 3 1 2"},
		{Query{Limit: 2}, "2 2"},
		{Query{Account: alice}, "2 3 1 2"},
		{Query{Missed: true}, "2 3"},
		{Query{Text: "EVE"}, "3"},
		{Query{Text: "e_1"}, "3"},
		{Query{Text: "e%1"}, ""},
		{Query{Text: `\`}, ""},
		{Query{Text: "' OR 1 --"}, ""},
		{Query{Text: "Robert", Peers: []string{"bob@example.org"}, Account: alice}, "2 1"},
		{Query{Before: time.UnixMilli(2000)}, "1 2"},
	} {
		if got := sids(t, d, test.q); got != test.want {
			t.Errorf("%+v = %q, want %q", test.q, got, test.want)
		}
	}

	// Missed calls are new until they are looked at, also when they are
	// recorded again, as from the archive.
	fresh := func(account string, want int) {
		t.Helper()
		if n, err := d.New(t.Context(), account); n != want || err != nil {
			t.Errorf("%d new calls of %q, %v, want %d", n, account, err, want)
		}
	}
	fresh("", 2)
	fresh(carol, 0)
	if err := d.See(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	record(t, a, call("3", "eve_1@example.org/home", signaling.MissedCall, 2000))
	fresh("", 0)
	record(t, a, call("4", "bob@example.org", signaling.MissedCall, 9000))
	fresh(alice, 1)
	// Answered on another device, as the archive tells later.
	record(t, a, call("4", "bob@example.org", signaling.AnsweredElsewhere, 9000))
	fresh(alice, 0)

	if err := d.Remove(t.Context(), alice, jid.MustParse("bob@example.org/x"), "4"); err != nil || strings.HasPrefix(sids(t, d, Query{Account: alice}), "4") {
		t.Errorf("after it was removed: %s, %v", sids(t, d, Query{Account: alice}), err)
	}
	if mark, err := a.Mark(t.Context()); mark != "" || err != nil {
		t.Errorf("mark %q, %v", mark, err)
	}
	for _, m := range []string{"one", "two"} {
		if err := a.SetMark(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = openTest(t, path)
	if mark, err := d.Account(alice).Mark(t.Context()); mark != "two" || err != nil || sids(t, d, Query{}) != "2 2 3 1 2" || d.PutAside != "" {
		t.Errorf("opened again: mark %q, %v, calls %s", mark, err, sids(t, d, Query{}))
	}
	if err := d.Account(alice).Forget(t.Context()); err != nil || sids(t, d, Query{}) != "2" {
		t.Errorf("after alice was forgotten: %s, %v", sids(t, d, Query{}), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

func TestTransfers(t *testing.T) {
	d := openTest(t, file(t))
	one := Transfer{ID: "x", Account: alice, Peer: "bob@example.org", Incoming: true, Names: []string{"Report \"1\".pdf", "photos"}, Files: 12,
		Size: 1 << 40, Done: 5, State: "moves", Path: "direct", Place: "/home/alice/inbox", Start: time.UnixMilli(1000)}
	many := Transfer{ID: "y", Account: alice, Peer: "eve@example.org", Files: 3000, Size: -1, State: "offered", Start: time.UnixMilli(2000)}
	for i := range 3000 {
		many.Names = append(many.Names, fmt.Sprint(i, strings.Repeat("ä", 1000)))
	}
	for _, x := range []Transfer{one, many} {
		if err := d.PutTransfer(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	one.Done, one.State, one.Verified = 1<<40, "arrived", true
	if err := d.PutTransfer(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	list, err := d.Transfers(t.Context(), Query{Text: "report"})
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], one) {
		t.Errorf("found %+v, %v, want %+v", list, err, one)
	}
	list, err = d.Transfers(t.Context(), Query{})
	if err != nil || len(list) != 2 || list[0].ID != "y" || len(list[0].Names) != maxNames || len(list[0].Names[5]) > maxText {
		t.Errorf("%d transfers, %v", len(list), err)
	}
	if err := d.RemoveTransfer(t.Context(), alice, "y"); err != nil {
		t.Error(err)
	}
	if list, err = d.Transfers(t.Context(), Query{}); err != nil || len(list) != 1 {
		t.Errorf("%d transfers after one was removed, %v", len(list), err)
	}
}

// The oldest go when there are too many, of each account for itself.
func TestBounded(t *testing.T) {
	d := openTest(t, file(t))
	record(t, d.Account(carol), call("old", "bob@example.org", signaling.Answered, 1))
	_, err := d.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		INSERT INTO calls (account, sid, peer, resource, incoming, outcome, reason, media, start, duration, archived, seen)
		SELECT ?, i, 'bob@example.org', '', 1, 'answered', '', '', i*10, 0, 0, 1 FROM n`, MaxCalls+50, alice)
	if err != nil {
		t.Fatal(err)
	}
	record(t, d.Account(alice), call("new", "bob@example.org", signaling.Answered, 1e9))
	var n, least int
	if err := d.db.QueryRow("SELECT count(*), min(start) FROM calls WHERE account = ?", alice).Scan(&n, &least); err != nil || n != MaxCalls || least != 520 {
		t.Errorf("%d calls from %d on, %v, want %d from 520 on", n, least, err, MaxCalls)
	}
	if sids(t, d, Query{Account: carol}) != "old" {
		t.Error("the calls of another account went")
	}
	if list, err := d.Calls(t.Context(), Query{Limit: 1 << 30}); err != nil || len(list) != maxLimit {
		t.Errorf("%d calls in one answer, %v, want %d", len(list), err, maxLimit)
	}
}

func TestNewerFile(t *testing.T) {
	path := file(t)
	d := openTest(t, path)
	if _, err := d.db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Errorf("a file of a later version: %v, want %v", err, ErrNewer)
	}
}

// A broken file is put aside, and calls are recorded in a new one.
func TestBrokenFile(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"no database": func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 500)) },
		"overwritten": func(b []byte) []byte {
			for i := 4096; i < len(b); i++ {
				b[i] = 0xa5
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			d := openTest(t, path)
			for i := range 500 {
				record(t, d.Account(alice), call(fmt.Sprint(i), "bob@example.org", signaling.Answered, int64(i)))
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(b), 0o600); err != nil {
				t.Fatal(err)
			}
			d = openTest(t, path)
			if _, err := os.Stat(d.PutAside); err != nil {
				t.Errorf("put aside at %q: %v", d.PutAside, err)
			}
			record(t, d.Account(alice), call("1", "bob@example.org", signaling.Answered, 1))
			if got := sids(t, d, Query{}); got != "1" {
				t.Errorf("calls %q", got)
			}
		})
	}
	// What is not broken but cannot be opened stays where it is.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := file(t)
	openTest(t, path).Close()
	if _, err := Open(ctx, path); err == nil {
		t.Error("opened with a context that has ended")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Several accounts record at once, in two programs.
func TestConcurrent(t *testing.T) {
	path := file(t)
	one, two := openTest(t, path), openTest(t, path)
	var wg sync.WaitGroup
	for i, d := range []*DB{one, two, one, two} {
		wg.Go(func() {
			for k := range 20 {
				if err := d.Account(fmt.Sprintf("a%d@example.org", i)).Record(t.Context(), call(fmt.Sprint(k), "bob@example.org", signaling.MissedCall, int64(k))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := one.New(t.Context(), ""); n != 80 || err != nil {
		t.Errorf("%d calls, %v, want 80", n, err)
	}
}

// After the app began anew the archive speaks of calls of its device of last
// time as of another one's.
func TestTheArchiveKnowsLessThanWhoHadTheCall(t *testing.T) {
	d := openTest(t, file(t))
	a := d.Account("alice@example.org")
	for _, tt := range []struct {
		sid      string
		live     bool // the first is
		is, says signaling.Outcome
		want     signaling.Outcome
	}{
		{"had", true, signaling.Answered, signaling.AnsweredElsewhere, signaling.Answered},
		{"missed", true, signaling.MissedCall, signaling.AnsweredElsewhere, signaling.AnsweredElsewhere},
		{"read before", false, signaling.Answered, signaling.Declined, signaling.Declined},
	} {
		first, second := call(tt.sid, "bob@example.org", tt.is, 1000), call(tt.sid, "bob@example.org", tt.says, 1000)
		first.Archived, second.Archived, first.Duration = !tt.live, true, time.Minute
		record(t, a, first)
		record(t, a, second)
		list, err := d.Calls(t.Context(), Query{})
		if err != nil {
			t.Fatal(err)
		}
		got := list[slices.IndexFunc(list, func(c Call) bool { return c.SID == tt.sid })]
		if got.Outcome != tt.want || tt.sid == "had" && got.Duration != time.Minute {
			t.Errorf("%s: %v for %v, want %v", tt.sid, got.Outcome, got.Duration, tt.want)
		}
	}
}
