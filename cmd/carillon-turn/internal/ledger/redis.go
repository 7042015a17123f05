// Package ledger counts the allocations and bytes of users together with other
// relays, in Redis.
//
// Each account has a hash of what every relay holds for it, with the time until
// which that is believed, and a counter of bytes for each day of UTC, both by the
// clock of Redis:
//
//	PREFIX:a:ACCOUNT        n:RELAY -> allocations, t:RELAY -> milliseconds since 1970
//	PREFIX:b:DAY:ACCOUNT    bytes
//
// A relay that ends without a word is forgotten after [Config.Forget]. Names of
// people do not stand in Redis, only hashes of them; whoever can guess a name
// can find it.
package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-im/carillon/turn"
)

// A Config says where the ledger is.
type Config struct {
	URL    string // redis://[USER:PASSWORD@]HOST:PORT/DB, rediss: for TLS, unix:///PATH
	Prefix string // of keys; default "carillon-turn"
	// Limit is how many allocations an account may have at all relays; negative
	// is no limit. It is asked each time.
	Limit func(turn.Account) int
	// Forget is after how long a relay that reports nothing counts for nothing;
	// default 35 seconds, three reports.
	Forget time.Duration
}

// Redis is a turn.Ledger.
type Redis struct {
	config Config
	relay  string // this one, until it ends
	client *redis.Client
}

// Open prepares a ledger. Redis need not be there yet.
func Open(c Config) (*Redis, error) {
	if c.Prefix == "" {
		c.Prefix = "carillon-turn"
	}
	if c.Forget == 0 {
		c.Forget = 35 * time.Second
	}
	options, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, errors.New("the URL of Redis is not redis://HOST:PORT/DB, rediss:// or unix:///PATH") // it may hold a password
	}
	options.ContextTimeoutEnabled = true
	options.DialTimeout = dialTimeout
	options.MaxRetries = 1
	options.PoolSize = poolSize
	options.ClientName = "carillon-turn"
	options.DisableIdentity = true // older servers do not know it
	return &Redis{config: c, relay: rand.Text(), client: redis.NewClient(options)}, nil
}

const (
	dialTimeout = time.Second
	poolSize    = 8
	// batch is how many accounts are reported in one round trip.
	batch = 500
)

// Close forgets what this relay holds no sooner than others do; its allocations
// should have been released.
func (r *Redis) Close() error { return r.client.Close() }

// account is the part of a key that stands for a.
func account(a turn.Account) string {
	sum := sha256.Sum256([]byte(a.Realm + "\x00" + a.User))
	return hex.EncodeToString(sum[:16])
}

func (r *Redis) held(a turn.Account) string { return r.config.Prefix + ":a:" + account(a) }

func (r *Redis) bytes(a turn.Account, day time.Time) string {
	return r.config.Prefix + ":b:" + day.UTC().Format("20060102") + ":" + account(a)
}

// Scripts run in Redis as a whole, by its clock: those of relays may differ.
var (
	// acquire KEYS account ARGV relay, milliseconds, limit: 1 when granted.
	acquire = redis.NewScript(`
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local count, sum = {}, 0
for i = 1, #all, 2 do count[all[i]] = tonumber(all[i + 1]) end
for field, n in pairs(count) do
	if field:sub(1, 2) == 'n:' then
		local relay = field:sub(3)
		if (count['t:' .. relay] or 0) > now then
			sum = sum + n
		else
			redis.call('HDEL', KEYS[1], field, 't:' .. relay)
		end
	end
end
local limit = tonumber(ARGV[3])
if limit >= 0 and sum >= limit then return 0 end
redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[1], 1)
redis.call('HSET', KEYS[1], 't:' .. ARGV[1], now + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)
	// release KEYS account ARGV relay.
	release = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], 'n:' .. ARGV[1]) == 1 and redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[1], -1) <= 0 then
	redis.call('HDEL', KEYS[1], 'n:' .. ARGV[1], 't:' .. ARGV[1])
end
return 1`)
	// report KEYS account, bytes ARGV relay, milliseconds, allocations, bytes:
	// the bytes of all relays today.
	report = redis.NewScript(`
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(ARGV[3]) > 0 then
	redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], ARGV[3], 't:' .. ARGV[1], now + ARGV[2])
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
	redis.call('HDEL', KEYS[1], 'n:' .. ARGV[1], 't:' .. ARGV[1])
end
if ARGV[4] == '0' then return tonumber(redis.call('GET', KEYS[2]) or '0') end
redis.call('EXPIRE', KEYS[2], 172800)
local total = redis.call('INCRBY', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[2], 172800)
return total`)
)

// Acquire implements turn.Ledger.
func (r *Redis) Acquire(ctx context.Context, a turn.Account) error {
	granted, err := acquire.Run(ctx, r.client, []string{r.held(a)}, r.relay, r.config.Forget.Milliseconds(), r.config.Limit(a)).Int()
	switch {
	case err != nil:
		return fmt.Errorf("redis: %w", err)
	case granted == 0:
		return turn.ErrQuota
	}
	return nil
}

// Release implements turn.Ledger.
func (r *Redis) Release(ctx context.Context, a turn.Account) error {
	if err := release.Run(ctx, r.client, []string{r.held(a)}, r.relay).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Report implements turn.Ledger. An Acquire that is under way may be counted
// only by the next one, ten seconds later.
func (r *Redis) Report(ctx context.Context, usage []turn.Usage) error {
	if len(usage) == 0 {
		return nil
	}
	now, err := r.client.Time(ctx).Result() // clocks of relays may differ
	if err == nil {
		// So that the pipeline may call it by its hash.
		err = report.Load(ctx, r.client).Err()
	}
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for len(usage) > 0 {
		n := min(batch, len(usage))
		pipe := r.client.Pipeline()
		totals := make([]*redis.Cmd, n)
		for i, u := range usage[:n] {
			totals[i] = report.EvalSha(ctx, pipe, []string{r.held(u.Account), r.bytes(u.Account, now)}, r.relay, r.config.Forget.Milliseconds(), u.Allocations, u.Bytes)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		for i, total := range totals {
			today, err := total.Uint64()
			if err != nil {
				return fmt.Errorf("redis: %w", err)
			}
			usage[i].Today = today
		}
		usage = usage[n:]
	}
	return nil
}
