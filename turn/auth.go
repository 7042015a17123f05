package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A keyring knows who may use the relay. It does not change.
type keyring struct {
	realms   map[string]*realm
	byServer map[string]*realm // by the name that TLS clients ask for, in lower case
	first    *realm
	nonces   nonces
}

// A realm is a [Realm], ready for requests.
type realm struct {
	name    string
	users   map[string]Secret
	secrets []Secret
	hashes  map[[sha256.Size]byte]string // users by USERHASH, RFC 8489#section-14.4
	// features are what nonces of this realm say that it takes.
	features byte
}

// Features that a nonce names, RFC 8489#section-18.1: bit 0, the most
// significant of 24, and bit 1.
const (
	featureAlgorithms = 0x80
	featureAnonymity  = 0x40
)

// newKeyring makes the keyring of a complete Config. The old one, which may be
// nil, lends its random nonce secret.
func newKeyring(c *Config, old *keyring) *keyring {
	k := &keyring{realms: map[string]*realm{}, byServer: map[string]*realm{}}
	for i, r := range append([]Realm{{Name: c.Realm, Users: c.Users, Secrets: c.Secrets}}, c.Realms...) {
		entry := &realm{name: r.Name, users: r.Users, secrets: r.Secrets, hashes: map[[sha256.Size]byte]string{}, features: featureAlgorithms}
		for user := range r.Users {
			entry.hashes[sha256.Sum256([]byte(user+":"+r.Name))] = user
		}
		// The user name of time-limited credentials is not known beforehand, so
		// its hash says nothing.
		if len(r.Secrets) == 0 {
			entry.features |= featureAnonymity
		}
		k.realms[r.Name] = entry
		if i == 0 {
			k.first = entry
		}
		for _, name := range r.ServerNames {
			k.byServer[strings.ToLower(name)] = entry
		}
	}
	secret := []byte(c.NonceSecret)
	switch {
	case len(secret) > 0:
	case len(c.Secrets) > 0:
		secret = []byte(c.Secrets[0])
	case old != nil && old.nonces.random:
		k.nonces = old.nonces
		k.nonces.lifetime = c.NonceLifetime
		return k
	default:
		secret = make([]byte, sha256.Size)
		rand.Read(secret) // never fails
		k.nonces.random = true
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("nonces of a TURN relay"))
	k.nonces.key, k.nonces.lifetime = mac.Sum(nil), c.NonceLifetime
	return k
}

// realm is the one that clients of a listener and a server name shall log in to.
func (k *keyring) realm(listener, serverName string) *realm {
	if r := k.byServer[strings.ToLower(serverName)]; r != nil && serverName != "" {
		return r
	}
	if r := k.realms[listener]; r != nil {
		return r
	}
	return k.first
}

// nonces makes and checks nonces without remembering them. Each is good for one
// address, so that one which was overheard is of no use elsewhere. The port is
// left out: a connection of RFC 6062 has another, and so has who a NAT has
// forgotten; neither shall have to ask again.
type nonces struct {
	key      []byte
	random   bool
	lifetime time.Duration
}

const (
	// nonceCookie begins nonces of servers that know RFC 8489#section-9.2; the
	// features follow, four characters for three bytes.
	nonceCookie = "obMatJos2"
	nonceTag    = 8 // bytes of the authentication code: a forger has an hour
	nonceLength = len(nonceCookie) + 4 + (4+nonceTag)*4/3
	// nonceSkew is how far the clock of another relay may be ahead.
	nonceSkew = time.Minute
)

func (n *nonces) append(to []byte, at uint32, client netip.Addr, features byte) []byte {
	var head [5]byte
	head[0] = features
	binary.BigEndian.PutUint32(head[1:], at)
	address := client.As16() // of IPv4 the v4-mapped one
	mac := hmac.New(sha256.New, n.key)
	mac.Write(head[:])
	mac.Write(address[:])
	var sum [sha256.Size]byte
	to = append(to, nonceCookie...)
	to = base64.StdEncoding.AppendEncode(to, []byte{features, 0, 0})
	return base64.URLEncoding.AppendEncode(to, append(head[1:5:5], mac.Sum(sum[:0])[:nonceTag]...))
}

// make returns a nonce for a client that says what a realm takes.
func (n *nonces) make(now time.Time, client netip.Addr, features byte) []byte {
	return n.append(make([]byte, 0, nonceLength), uint32(now.Unix()), client, features)
}

// good says whether a nonce is one of ours or of a relay with our secret, for
// this client and a realm with these features, and not too old.
func (n *nonces) good(nonce []byte, now time.Time, client netip.Addr, features byte) bool {
	if len(nonce) != nonceLength {
		return false
	}
	var b [4 + nonceTag]byte
	if _, err := base64.URLEncoding.Decode(b[:], nonce[len(nonceCookie)+4:]); err != nil {
		return false
	}
	at := binary.BigEndian.Uint32(b[:])
	age := now.Sub(time.Unix(int64(at), 0))
	return age <= n.lifetime && age >= -nonceSkew && hmac.Equal(nonce, n.append(nil, at, client, features))
}

// Password algorithms, RFC 8489#section-18.5.
const (
	algorithmMD5    = 1
	algorithmSHA256 = 2
)

// algorithms is the PASSWORD-ALGORITHMS that we offer: the better one first,
// without parameters.
var algorithms = []byte{0, algorithmSHA256, 0, 0, 0, algorithmMD5, 0, 0}

// longTermKey makes the key of RFC 8489#section-9.2.2 with a password algorithm.
func longTermKey(algorithm int, username, realm string, password Secret) []byte {
	text := fmt.Appendf(nil, "%s:%s:%s", username, realm, string(password))
	if algorithm == algorithmSHA256 {
		sum := sha256.Sum256(text)
		return sum[:]
	}
	sum := md5.Sum(text)
	return sum[:]
}

// passwords returns those that username may have, and who it is counted for.
// Several are several secrets. An empty reason means that there are some.
func (r *realm) passwords(username string, now time.Time) (user string, passwords []Secret, reason string) {
	if len(username) > maxUsername {
		return "", nil, reasonUnknownUser
	}
	if password, ok := r.users[username]; ok {
		return username, []Secret{password}, ""
	}
	expires, user, ok := expiry(username)
	switch {
	case len(r.secrets) == 0 || !ok:
		return "", nil, reasonUnknownUser
	case now.After(expires):
		return "", nil, reasonExpired
	}
	for _, s := range r.secrets {
		passwords = append(passwords, restPassword(s, username))
	}
	return user, passwords, ""
}

// A login is what a request has shown.
type login struct {
	Account
	key    []byte
	sha256 bool // answers are signed with MESSAGE-INTEGRITY-SHA256
}

// sign signs an answer, which is not signed for those who showed nothing.
func (l *login) sign(a *answer) {
	if l.key != nil {
		a.sign(l.key, l.sha256)
	}
}

// named is who a request says that it is of, with the whole user name. The name
// is empty where a USERHASH is nobody's.
func (k *keyring) named(m *message) (who Account) {
	realm, _ := m.get(attrRealm)
	who.Realm = string(realm)
	if name, ok := m.get(attrUsername); ok {
		who.User = string(name)
	} else if r := k.realms[who.Realm]; r != nil {
		if hash, _ := m.get(attrUserHash); len(hash) == sha256.Size {
			who.User = r.hashes[[sha256.Size]byte(hash)]
		}
	}
	return who
}

// check follows RFC 8489#section-9.2.4. A code that is not 0 is the answer; a
// reason says that it is a failed login of user.
func (k *keyring) check(m *message, now time.Time, client netip.Addr, announced *realm) (l login, c code, user, reason string) {
	if m.integrity == 0 && m.integrity256 == 0 {
		return l, codeUnauthenticated, "", ""
	}
	username, named := m.get(attrUsername)
	hash, hashed := m.get(attrUserHash)
	name, hasRealm := m.get(attrRealm)
	nonce, hasNonce := m.get(attrNonce)
	if !named && !hashed || !hasRealm || !hasNonce {
		return l, codeBadRequest, "", ""
	}
	r := k.realms[string(name)]
	if r == nil {
		return l, codeUnauthenticated, "", reasonUnknownRealm
	}
	if !k.nonces.good(nonce, now, client, r.features) && !k.nonces.good(nonce, now, client, announced.features) {
		return l, codeStaleNonce, "", ""
	}
	// Whoever removes algorithms from our offer shows it here: the nonce says
	// that we made one, so both attributes are there, or none for an old client.
	algorithm := algorithmMD5
	offered, hasOffered := m.get(attrPasswordAlgorithms)
	chosen, hasChosen := m.get(attrPasswordAlgorithm)
	if hasOffered || hasChosen {
		if !hasOffered || !hasChosen || string(offered) != string(algorithms) || len(chosen) < 4 {
			return l, codeBadRequest, "", ""
		}
		if algorithm = int(binary.BigEndian.Uint16(chosen)); algorithm != algorithmMD5 && algorithm != algorithmSHA256 {
			return l, codeBadRequest, "", ""
		}
	}
	if !named {
		known, ok := "", false
		if len(hash) == sha256.Size {
			known, ok = r.hashes[[sha256.Size]byte(hash)]
		}
		if !ok {
			return l, codeUnauthenticated, "", reasonUnknownUser
		}
		username = []byte(known)
	}
	user, passwords, reason := r.passwords(string(username), now)
	if reason != "" {
		return l, codeUnauthenticated, string(username), reason
	}
	for _, p := range passwords {
		if key := longTermKey(algorithm, string(username), r.name, p); m.signedBy(key) {
			return login{Account{r.name, user}, key, m.integrity256 != 0}, 0, user, ""
		}
	}
	return l, codeUnauthenticated, string(username), reasonWrongPassword
}
