package history

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling"
	"github.com/google/go-cmp/cmp"
	"mellium.im/xmpp/jid"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func record(sid string, after time.Duration, o signaling.Outcome) signaling.CallRecord {
	return signaling.CallRecord{
		SID: sid, Peer: jid.MustParse("bob@example.org"), Direction: signaling.In, Outcome: o,
		Reason: jingle.Reason{Condition: jingle.Success}, Media: []rtp.Media{rtp.Audio}, Start: start.Add(after), Duration: 90 * time.Second,
	}
}

func write(t *testing.T, f *File, records ...signaling.CallRecord) {
	t.Helper()
	for _, r := range records {
		if err := f.Record(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func sids(t *testing.T, f *File, limit int) (out []string) {
	t.Helper()
	calls, err := f.Calls(limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		out = append(out, c.SID)
	}
	return out
}

func TestRecordsComeBack(t *testing.T) {
	dir := t.TempDir()
	want := record("a", 0, signaling.Answered)
	write(t, Open(dir, "alice@example.org"), want)
	got, err := Open(dir, "alice@example.org").Calls(0)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b jid.JID) bool { return a.Equal(b) })
	if d := cmp.Diff([]signaling.CallRecord{want}, got, same); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
	if other := sids(t, Open(dir, "bob@example.org"), 0); len(other) != 0 {
		t.Errorf("another account sees %v", other)
	}
}

func TestLaterRecordReplacesTheEarlier(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	write(t, f, record("a", 0, signaling.MissedCall), record("b", time.Minute, signaling.MissedCall), record("a", 0, signaling.AnsweredElsewhere))
	calls, err := f.Calls(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || calls[0].Outcome != signaling.AnsweredElsewhere {
		t.Errorf("calls = %+v, want two, the first answered elsewhere", calls)
	}
}

func TestCallsAreOrderedByTheirBeginningAndLimited(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	write(t, f, record("c", 3*time.Hour, signaling.Answered), record("a", time.Hour, signaling.Answered), record("b", 2*time.Hour, signaling.Answered))
	if got, want := fmt.Sprint(sids(t, f, 2)), "[b c]"; got != want {
		t.Errorf("the last two = %s, want %s", got, want)
	}
}

func TestDamagedLinesAreLeftOut(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	write(t, f, record("a", 0, signaling.Answered))
	w, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, `{"sid":"cut off`)
	fmt.Fprintln(w, `{"sid":"x","peer":"@@"}`)
	w.Close()
	write(t, f, record("b", time.Hour, signaling.Answered))
	if got, want := fmt.Sprint(sids(t, f, 0)), "[a b]"; got != want {
		t.Errorf("calls = %s, want %s", got, want)
	}
}

func TestOldCallsAreForgotten(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	var b strings.Builder
	for i := range maxLines + maxLines/2 + 1 {
		fmt.Fprintf(&b, `{"sid":"s%d","peer":"bob@example.org","start":%q}`+"\n", i, start.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	if err := f.append([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
	sids(t, f, 1)
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "\n"); got != maxLines {
		t.Errorf("the file has %d lines, want %d", got, maxLines)
	}
	if got, want := sids(t, f, 1)[0], fmt.Sprintf("s%d", maxLines+maxLines/2); got != want {
		t.Errorf("the newest = %s, want %s", got, want)
	}
}

func TestMark(t *testing.T) {
	f := Open(t.TempDir(), "we/ird@example.org")
	if m, err := f.Mark(context.Background()); m != "" || err != nil {
		t.Errorf("at first: %q, %v", m, err)
	}
	if err := f.SetMark(context.Background(), "id-7"); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Mark(context.Background()); m != "id-7" || err != nil {
		t.Errorf("got %q, %v, want id-7", m, err)
	}
	if got := filepath.Base(f.mark); got != "we%2Fird@example.org.mark" {
		t.Errorf("file name = %q", got)
	}
}

// A history that nobody lists is shortened while it grows, and one that is too
// long already can be read.
func TestHistoryThatNobodyListsStaysShort(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	long := strings.Repeat("x", 3000)
	var b strings.Builder
	for i := 0; b.Len() <= maxFile+maxFile/8; i++ {
		fmt.Fprintf(&b, `{"sid":"s%d","peer":"%s@example.org","start":%q}`+"\n", i, long, start.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Calls(1); err != nil {
		t.Errorf("a file that is too long: %v", err)
	}
	newest := signaling.CallRecord{SID: "newest", Peer: jid.MustParse("bob@example.org"), Start: start.Add(1000 * time.Hour)}
	if err := f.Record(context.Background(), newest); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.path)
	if err != nil || info.Size() > maxKept {
		t.Errorf("the file has %v bytes, %v, want at most %d", info.Size(), err, maxKept)
	}
	if got := sids(t, f, 1)[0]; got != "newest" {
		t.Errorf("the newest = %s", got)
	}
}

// After the program began anew the archive speaks of calls of its device of
// last time as of another one's.
func TestTheArchiveKnowsLessThanWhoHadTheCall(t *testing.T) {
	f := Open(t.TempDir(), "alice@example.org")
	had, missed := record("had", 0, signaling.AnsweredElsewhere), record("missed", time.Minute, signaling.AnsweredElsewhere)
	had.Archived, missed.Archived = true, true
	write(t, f, record("had", 0, signaling.Answered), record("missed", time.Minute, signaling.MissedCall), had, missed)
	calls, err := f.Calls(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || calls[0].Outcome != signaling.Answered || calls[1].Outcome != signaling.AnsweredElsewhere {
		t.Errorf("calls = %+v, want one answered, then one answered elsewhere", calls)
	}
}
