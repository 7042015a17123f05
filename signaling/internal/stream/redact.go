package stream

import (
	"bytes"
	"regexp"
)

var (
	// What only logging in sends: the whole content is secret.
	saslElement = regexp.MustCompile(`(?s)(<(?:auth|challenge|response|success)\b[^>]*[^/>]>)[^<]*`)
	// Passwords of registration, of relays (XEP-0215) and of ICE.
	passwordElement   = regexp.MustCompile(`(?s)(<(?:\w+:)?password\b[^>]*>)[^<]*`)
	passwordField     = regexp.MustCompile(`(?s)(<field\b[^>]*\bvar\s*=\s*["']password["'][^>]*>\s*<value>)[^<]*`)
	passwordAttribute = regexp.MustCompile(`(?s)(\b(?:password|pwd)\s*=\s*)(?:"[^"]*"|'[^']*')`)
)

// redact returns what may be logged of an element.
func redact(p []byte) []byte {
	if bytes.Contains(p, []byte(nsSASL)) {
		p = saslElement.ReplaceAll(p, []byte("${1}"+redacted))
	}
	if bytes.Contains(p, []byte("password")) || bytes.Contains(p, []byte("pwd")) {
		p = passwordElement.ReplaceAll(p, []byte("${1}"+redacted))
		p = passwordField.ReplaceAll(p, []byte("${1}"+redacted))
		p = passwordAttribute.ReplaceAll(p, []byte(`${1}"`+redacted+`"`))
	}
	return p
}
