package stream

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// findWebSocket asks the domain's web server where its WebSocket is, and
// connects to it. XEP-0156
func (d *dialer) findWebSocket(ctx context.Context) (*link, *Element, error) {
	addrs, err := d.lookupWebSockets(ctx)
	if err != nil {
		return nil, nil, err
	}
	return d.tryWebSockets(ctx, addrs)
}

func (d *dialer) tryWebSockets(ctx context.Context, addrs []string) (*link, *Element, error) {
	var attempts []Attempt
	for _, addr := range addrs[:min(len(addrs), maxEndpoints)] {
		l, err := d.dialWebSocket(ctx, addr)
		if err == nil {
			var features *Element
			stop := context.AfterFunc(ctx, l.abort)
			features, err = l.openStream(d.cfg)
			if !stop() && err == nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				return l, features, nil
			}
			l.abort()
		}
		attempts = append(attempts, Attempt{Addr: addr, How: overWebSocket.String(), Err: err})
	}
	return nil, nil, d.worst(attempts)
}

// lookupWebSockets asks for both forms of host-meta at once.
func (d *dialer) lookupWebSockets(ctx context.Context) ([]string, error) {
	domain, err := toASCII(d.cfg.JID.Domainpart())
	if err != nil {
		return nil, &HostNotFoundError{Host: d.cfg.JID.Domainpart(), Err: err}
	}
	tr := d.httpTransport()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: sameSecurity}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type answer struct {
		addrs []string
		err   error
	}
	answers := make(chan answer, 2)
	for name, parse := range map[string]func([]byte) ([]string, error){
		"host-meta.json": parseHostMetaJSON, "host-meta": parseHostMetaXRD,
	} {
		go func() {
			addrs, err := getHostMeta(ctx, client, "https://"+domain+"/.well-known/"+name, parse)
			answers <- answer{addrs, err}
		}()
	}
	var found []string
	var errs []error
	for range 2 {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
		}
		if len(found) == 0 && len(a.addrs) > 0 {
			found = a.addrs
			cancel() // the other says the same
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find the WebSocket of %s: %w", domain, errors.Join(append(errs, errNoWebSocket)...))
	}
	return found, nil
}

var errNoWebSocket = errors.New("the domain names none")

func getHostMeta(ctx context.Context, client *http.Client, url string, parse func([]byte) ([]string, error)) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHostMeta))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	addrs, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return addrs, nil
}

func parseHostMetaJSON(b []byte) ([]string, error) {
	var doc struct {
		Links []struct{ Rel, Href string }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	var addrs []string
	for _, l := range doc.Links {
		addrs = addWebSocket(addrs, l.Rel, l.Href)
	}
	return addrs, nil
}

func parseHostMetaXRD(b []byte) ([]string, error) {
	var doc struct {
		XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
		Links   []struct {
			Rel  string `xml:"rel,attr"`
			Href string `xml:"href,attr"`
		} `xml:"Link"`
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	var addrs []string
	for _, l := range doc.Links {
		addrs = addWebSocket(addrs, l.Rel, l.Href)
	}
	return addrs, nil
}

// addWebSocket adds href if it is what we look for. Without encryption it is not.
func addWebSocket(addrs []string, rel, href string) []string {
	if rel != nsWebSocket || !strings.HasPrefix(href, "wss://") || slices.Contains(addrs, href) || len(addrs) == maxEndpoints {
		return addrs
	}
	return append(addrs, href)
}
