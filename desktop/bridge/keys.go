package bridge

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/media"
)

// maxIdentity bounds the file of an identity.
const maxIdentity = 16 << 10

// keysPath is the file of the keys that people used in calls.
func keysPath(p config.Paths) string { return filepath.Join(p.Data, "keys.json") }

// identityPath is the file of the key of an account of ours.
func identityPath(p config.Paths, account string) string {
	return filepath.Join(p.Data, "identities", url.PathEscape(account)+".pem")
}

// identity is what contacts recognise an account by from call to call. It is
// made at the first call, and kept like a password.
func (b *Bridge) identity(account string) (*media.Identity, error) {
	path := identityPath(b.cfg.Paths, account)
	text, err := safefile.Read(path, maxIdentity)
	if err != nil {
		return nil, fmt.Errorf("read the key of %s for calls: %w", account, err)
	}
	if text != nil {
		if id, err := media.ParseIdentity(text); err == nil {
			return id, nil
		} // else it has expired or is broken: another one takes its place
	}
	id, err := media.NewIdentity()
	if err != nil {
		return nil, err
	}
	pem, err := id.MarshalPEM()
	if err != nil {
		return nil, err
	}
	if err := safefile.Write(path, []byte(pem)); err != nil {
		return nil, fmt.Errorf("keep the key of %s for calls: %w", account, err)
	}
	return id, nil
}

// recognise says what is known of the key of the other side.
func (k *call) recognise(e media.Connected) {
	seen := state.CallSecured{ID: k.id, Verification: e.Verification}
	if k.b.keys != nil && e.Fingerprint != "" {
		if k.fingerprint != e.Fingerprint { // once in a call, not after each new path
			known, err := k.b.keys.See(k.key.Account, k.key.JID, e.Fingerprint, time.Now())
			if err != nil {
				k.b.log.Warn("the key is not remembered", "err", err)
			}
			k.fingerprint, k.trust = e.Fingerprint, state.Trust(known)
		}
		seen.Trust = k.trust
	}
	k.tell(seen)
}

// verified remembers that the user compared the words. Owner only.
func (b *Bridge) verified(id string) {
	k := b.calls[id]
	if k == nil || b.keys == nil {
		return
	}
	k.wish(func(k *call) {
		if err := b.keys.Verify(k.key.Account, k.key.JID, k.fingerprint, true); err != nil {
			b.wrong(err, "")
			return
		}
		k.trust = state.TrustVerified
		b.await(func() {
			if c, ok := b.app.Call(id); ok {
				b.apply(state.CallSecured{ID: id, Verification: c.Verification, Trust: state.TrustVerified})
			}
		})
	})
}
