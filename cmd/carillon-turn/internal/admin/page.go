package admin

import (
	_ "embed"
	"net/http"
)

var (
	//go:embed page/index.html
	index []byte
	//go:embed page/page.css
	style []byte
	//go:embed page/page.js
	script []byte
)

type file struct {
	kind string
	text *[]byte
}

var pages = map[string]file{
	"/{$}":      {"text/html; charset=utf-8", &index},
	"/page.css": {"text/css; charset=utf-8", &style},
	"/page.js":  {"text/javascript; charset=utf-8", &script},
}

func (f file) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// The page shows names that clients have chosen; whatever they are, nothing
	// but our own script runs, and nothing is fetched from elsewhere.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	// The client has gone when this does not work.
	_, _ = w.Write(*f.text)
}
