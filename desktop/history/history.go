// Package history keeps the calls and transfers of all accounts in one SQLite
// file, with what was missed and not looked at yet.
//
//	db, err := history.Open(ctx, path)
//	client, err := signaling.Dial(ctx, signaling.Config{..., History: db.Account("alice@example.org")})
//	calls, err := db.Calls(ctx, history.Query{Text: "bob", Limit: 50})
//
// The newest [MaxCalls] and [MaxTransfers] of each account are kept. A file
// that is broken is put aside and a new one begun; see [DB.PutAside].
package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mellium.im/xmpp/jid"
	_ "modernc.org/sqlite" // the driver

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling"
)

// Limits on what is kept of each account, and on an answer.
const (
	MaxCalls     = 10000
	MaxTransfers = 5000
	maxLimit     = 1000
	maxNames     = 100 // of the files of a transfer
	maxText      = 500 // bytes of a name
	maxPeers     = 500 // of a Query
)

// ErrNewer says that a later version of the app wrote the file.
var ErrNewer = errors.New("the history was written by a later version of Carillon; update this one")

// migrations bring a file from one version to the next. What stands here has
// been run on people's machines and is not changed any more.
var migrations = []string{
	`CREATE TABLE calls (
		id INTEGER PRIMARY KEY,
		account TEXT NOT NULL,
		sid TEXT NOT NULL,
		peer TEXT NOT NULL,      -- bare
		resource TEXT NOT NULL,
		incoming INTEGER NOT NULL,
		outcome TEXT NOT NULL,
		reason TEXT NOT NULL,
		media TEXT NOT NULL,     -- comma-separated
		start INTEGER NOT NULL,  -- milliseconds since 1970
		duration INTEGER NOT NULL, -- milliseconds
		archived INTEGER NOT NULL,
		seen INTEGER NOT NULL,
		UNIQUE (account, peer, sid)
	);
	CREATE INDEX calls_start ON calls (start);
	CREATE INDEX calls_new ON calls (account) WHERE seen = 0;
	CREATE TABLE marks (account TEXT PRIMARY KEY, mark TEXT NOT NULL) WITHOUT ROWID;
	CREATE TABLE transfers (
		id INTEGER PRIMARY KEY,
		account TEXT NOT NULL,
		name TEXT NOT NULL,      -- the transfer's own id
		peer TEXT NOT NULL,      -- bare
		incoming INTEGER NOT NULL,
		names TEXT NOT NULL,     -- JSON array
		files INTEGER NOT NULL,
		size INTEGER NOT NULL,
		done INTEGER NOT NULL,
		state TEXT NOT NULL,
		path TEXT NOT NULL,
		place TEXT NOT NULL,
		verified INTEGER NOT NULL,
		start INTEGER NOT NULL,
		UNIQUE (account, name)
	);
	CREATE INDEX transfers_start ON transfers (start);`,
}

// A DB is an open history. Its methods may be called by any goroutine.
type DB struct {
	db *sql.DB
	// PutAside is where a broken file was moved when this one was opened, ""
	// when it was whole.
	PutAside string
}

// Open opens the file, and creates it and its folder where they are not there.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the history: %w", err)
	}
	d, err := open(ctx, path)
	if err == nil || errors.Is(err, ErrNewer) || ctx.Err() != nil || !broken(err) {
		return d, err
	}
	aside := path + ".broken"
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("put a broken history aside: %w", err)
	}
	for _, rest := range []string{"-wal", "-shm"} { // they belong to the broken one
		if err := os.Remove(path + rest); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("put a broken history aside: %w", err)
		}
	}
	if d, err = open(ctx, path); err != nil {
		return nil, err
	}
	d.PutAside = aside
	return d, nil
}

// errBroken is what a file is whose pages do not fit together.
var errBroken = errors.New("the file is damaged")

// broken reports whether SQLite takes the file for one that it cannot read.
func broken(err error) bool {
	const corrupt, notADatabase = 11, 26 // https://sqlite.org/rescode.html
	var e interface{ Code() int }
	return errors.Is(err, errBroken) || errors.As(err, &e) && (e.Code()&0xff == corrupt || e.Code() == notADatabase)
}

func open(ctx context.Context, path string) (*DB, error) {
	// SQLite would make a file that others can read.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)"}, "_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	db.SetMaxOpenConns(1) // it is one file, and small
	d := &DB{db: db}
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open history: %w", err), db.Close())
	}
	return d, nil
}

func (d *DB) migrate(ctx context.Context) error {
	var state string
	if err := d.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&state); err != nil {
		return err
	}
	if state != "ok" {
		return fmt.Errorf("%w: %s", errBroken, state)
	}
	return d.change(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return ErrNewer
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return fmt.Errorf("to version %d: %w", version+1, err)
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
}

// change runs f as a whole or not at all.
func (d *DB) change(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close ends it.
func (d *DB) Close() error { return d.db.Close() }

// A Call is a line of the history.
type Call struct {
	Account string // bare
	signaling.CallRecord
	Seen bool // missed calls are new until somebody looked at them
}

// An Account is the history of one account, as signaling fills it.
type Account struct {
	d   *DB
	jid string
}

var _ signaling.History = (*Account)(nil)

// Account returns the part of an account, given by its bare JID.
func (d *DB) Account(jid string) *Account { return &Account{d, jid} }

// Record stores a call in place of the one with the same session ID and peer.
// What was looked at stays so. What the archive says of a call that we had
// ourselves is less than we know, unless we missed it: it does not know our
// device of last time.
func (a *Account) Record(ctx context.Context, r signaling.CallRecord) error {
	var media []string
	for _, m := range r.Media {
		media = append(media, string(m))
	}
	missed := r.Outcome == signaling.MissedCall
	err := a.d.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO calls
			(account, sid, peer, resource, incoming, outcome, reason, media, start, duration, archived, seen) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (account, peer, sid) DO UPDATE SET resource = excluded.resource, incoming = excluded.incoming, outcome = excluded.outcome,
			reason = excluded.reason, media = excluded.media, start = excluded.start, duration = excluded.duration, archived = excluded.archived,
			seen = max(seen, excluded.seen)
			WHERE archived OR NOT excluded.archived OR outcome = 'missed'`,
			a.jid, r.SID, r.Peer.Bare().String(), r.Peer.Resourcepart(), r.Direction == signaling.In, string(r.Outcome), string(r.Reason.Condition),
			strings.Join(media, ","), r.Start.UnixMilli(), r.Duration.Milliseconds(), r.Archived, !missed)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE account = ? ORDER BY start DESC, id DESC LIMIT -1 OFFSET ?)`, a.jid, MaxCalls)
		return err
	})
	if err != nil {
		return fmt.Errorf("record call: %w", err)
	}
	return nil
}

// Mark returns up to where the archive of the server was read.
func (a *Account) Mark(ctx context.Context) (mark string, err error) {
	err = a.d.db.QueryRowContext(ctx, "SELECT mark FROM marks WHERE account = ?", a.jid).Scan(&mark)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read history: %w", err)
	}
	return mark, nil
}

// SetMark stores up to where the archive of the server was read.
func (a *Account) SetMark(ctx context.Context, mark string) error {
	_, err := a.d.db.ExecContext(ctx, "INSERT INTO marks (account, mark) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET mark = excluded.mark", a.jid, mark)
	if err != nil {
		return fmt.Errorf("record call: %w", err)
	}
	return nil
}

// Forget removes all that is known of the account.
func (a *Account) Forget(ctx context.Context) error {
	err := a.d.change(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"calls", "marks", "transfers"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE account = ?", a.jid); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget the history of %s: %w", a.jid, err)
	}
	return nil
}

// A Query says which lines are wanted. The zero Query means the newest.
type Query struct {
	Account string // bare; empty means all
	Peer    string // bare; empty means all
	// Text is looked for in addresses, and in the names of files. People are
	// found by name with Peers.
	Text string
	// Peers are addresses that match as well as Text: those whose name in the
	// contacts has it.
	Peers []string
	// Missed leaves only calls that were missed.
	Missed bool
	// Before leaves what is older, for the next page. Zero means now.
	Before time.Time
	// Limit is how many; zero or too many mean 1000.
	Limit int
}

// where writes the conditions that calls and transfers have in common. text is
// what Text is looked for in.
func (q Query) where(text ...string) (cond string, args []any) {
	conds := []string{"1"}
	add := func(c string, a ...any) {
		conds = append(conds, c)
		args = append(args, a...)
	}
	if q.Account != "" {
		add("account = ?", q.Account)
	}
	if q.Peer != "" {
		add("peer = ?", q.Peer)
	}
	if q.Text != "" {
		var any []string
		pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q.Text) + "%"
		for _, column := range text {
			any = append(any, column+` LIKE ? ESCAPE '\'`)
			args = append(args, pattern)
		}
		for _, p := range q.Peers[:min(len(q.Peers), maxPeers)] {
			any = append(any, "peer = ?")
			args = append(args, p)
		}
		conds = append(conds, "("+strings.Join(any, " OR ")+")")
	}
	if !q.Before.IsZero() {
		add("start < ?", q.Before.UnixMilli())
	}
	return strings.Join(conds, " AND "), args
}

func (q Query) limit() int {
	if q.Limit <= 0 || q.Limit > maxLimit {
		return maxLimit
	}
	return q.Limit
}

// Calls returns calls, the newest first.
func (d *DB) Calls(ctx context.Context, q Query) ([]Call, error) {
	where, args := q.where("peer")
	if q.Missed {
		where += " AND outcome = ?"
		args = append(args, string(signaling.MissedCall))
	}
	rows, err := d.db.QueryContext(ctx, `SELECT account, sid, peer, resource, incoming, outcome, reason, media, start, duration, archived, seen
		FROM calls WHERE `+where+" ORDER BY start DESC, id DESC LIMIT ?", append(args, q.limit())...)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer rows.Close()
	var list []Call
	for rows.Next() {
		var c Call
		var peer, resource, outcome, reason, media string
		var incoming bool
		var start, duration int64
		if err := rows.Scan(&c.Account, &c.SID, &peer, &resource, &incoming, &outcome, &reason, &media, &start, &duration, &c.Archived, &c.Seen); err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		if c.Peer, err = jid.Parse(peer); err != nil {
			continue // from a version that took other addresses
		}
		if with, err := c.Peer.WithResource(resource); err == nil {
			c.Peer = with
		}
		c.Direction = signaling.Out
		if incoming {
			c.Direction = signaling.In
		}
		c.Outcome, c.Reason = signaling.Outcome(outcome), jingle.Reason{Condition: jingle.Condition(reason)}
		for m := range strings.SplitSeq(media, ",") {
			if m != "" {
				c.Media = append(c.Media, rtp.Media(m))
			}
		}
		c.Start, c.Duration = time.UnixMilli(start), time.Duration(duration)*time.Millisecond
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return list, nil
}

// New returns how many missed calls nobody looked at, of an account or, with
// "", of all.
func (d *DB) New(ctx context.Context, account string) (n int, err error) {
	err = d.db.QueryRowContext(ctx, "SELECT count(*) FROM calls WHERE seen = 0 AND (account = ? OR ? = '')", account, account).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read history: %w", err)
	}
	return n, nil
}

// See says that somebody looked at the missed calls of an account or, with "",
// of all.
func (d *DB) See(ctx context.Context, account string) error {
	if _, err := d.db.ExecContext(ctx, "UPDATE calls SET seen = 1 WHERE seen = 0 AND (account = ? OR ? = '')", account, account); err != nil {
		return fmt.Errorf("change history: %w", err)
	}
	return nil
}

// Remove removes a call. One that is not there is no error.
func (d *DB) Remove(ctx context.Context, account string, peer jid.JID, sid string) error {
	if _, err := d.db.ExecContext(ctx, "DELETE FROM calls WHERE account = ? AND peer = ? AND sid = ?", account, peer.Bare().String(), sid); err != nil {
		return fmt.Errorf("change history: %w", err)
	}
	return nil
}

// A Transfer is files and folders that were sent or received, or are on their
// way.
type Transfer struct {
	ID       string // unique in its account
	Account  string // bare
	Peer     string // bare
	Incoming bool
	Names    []string // of files and folders; the first 100 are kept
	Files    int
	Size     int64 // bytes; -1 when unknown
	Done     int64
	State    string // in the words of the caller
	Path     string // how the bytes traveled, in the words of the caller
	Place    string // where it lies
	Verified bool
	Start    time.Time
}

// PutTransfer stores a transfer in place of the one with the same ID.
func (d *DB) PutTransfer(ctx context.Context, t Transfer) error {
	kept := make([]string, 0, min(len(t.Names), maxNames))
	for _, n := range t.Names[:min(len(t.Names), maxNames)] {
		kept = append(kept, strings.ToValidUTF8(n[:min(len(n), maxText)], ""))
	}
	names, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("record transfer: %w", err)
	}
	err = d.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO transfers
			(account, name, peer, incoming, names, files, size, done, state, path, place, verified, start) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (account, name) DO UPDATE SET peer = excluded.peer, incoming = excluded.incoming, names = excluded.names, files = excluded.files,
			size = excluded.size, done = excluded.done, state = excluded.state, path = excluded.path, place = excluded.place,
			verified = excluded.verified, start = excluded.start`,
			t.Account, t.ID, t.Peer, t.Incoming, string(names), t.Files, t.Size, t.Done, t.State, t.Path, t.Place, t.Verified, t.Start.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM transfers WHERE id IN (SELECT id FROM transfers WHERE account = ? ORDER BY start DESC, id DESC LIMIT -1 OFFSET ?)`, t.Account, MaxTransfers)
		return err
	})
	if err != nil {
		return fmt.Errorf("record transfer: %w", err)
	}
	return nil
}

// Transfers returns transfers, the newest first.
func (d *DB) Transfers(ctx context.Context, q Query) ([]Transfer, error) {
	where, args := q.where("peer", "names")
	rows, err := d.db.QueryContext(ctx, `SELECT account, name, peer, incoming, names, files, size, done, state, path, place, verified, start
		FROM transfers WHERE `+where+" ORDER BY start DESC, id DESC LIMIT ?", append(args, q.limit())...)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer rows.Close()
	var list []Transfer
	for rows.Next() {
		var t Transfer
		var names string
		var start int64
		err := rows.Scan(&t.Account, &t.ID, &t.Peer, &t.Incoming, &names, &t.Files, &t.Size, &t.Done, &t.State, &t.Path, &t.Place, &t.Verified, &start)
		if err == nil {
			err = json.Unmarshal([]byte(names), &t.Names)
		}
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		t.Start = time.UnixMilli(start)
		list = append(list, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return list, nil
}

// RemoveTransfer removes a transfer from the list. One that is not there is no
// error.
func (d *DB) RemoveTransfer(ctx context.Context, account, id string) error {
	if _, err := d.db.ExecContext(ctx, "DELETE FROM transfers WHERE account = ? AND name = ?", account, id); err != nil {
		return fmt.Errorf("change history: %w", err)
	}
	return nil
}
