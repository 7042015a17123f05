package lab

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A Chromium is a running headless browser with one page, driven by the
// DevTools protocol.
type Chromium struct {
	t    testing.TB
	conn *websocket.Conn
	next int
	*process
}

// StartChromium starts the browser with a profile of its own and further
// flags. Loopback counts as a network, so that WebRTC works where there is no
// other.
func StartChromium(t testing.TB, flags ...string) *Chromium {
	t.Helper()
	Need(t, "chromium")
	dir := tempDir(t)
	args := append([]string{"--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-default-apps", "--allow-loopback-in-peer-connection",
		"--remote-debugging-port=0", "--user-data-dir=" + filepath.Join(dir, "profile")}, flags...)
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	cmd := exec.Command("chromium", append(args, "about:blank")...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir, "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(dir, "no-bus"))
	c := &Chromium{t: t, process: start(t, "chromium", filepath.Join(dir, "log"), cmd)}
	var at string
	c.waitFor("open a page", func() (err error) {
		at, err = pageTarget(filepath.Join(dir, "profile", "DevToolsActivePort"))
		return err
	})
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var err error
	if c.conn, _, err = websocket.Dial(ctx, at, nil); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	c.conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { c.conn.CloseNow() })
	return c
}

// pageTarget is the address of the page, when the browser has written down
// where it listens.
func pageTarget(portFile string) (string, error) {
	b, err := os.ReadFile(portFile)
	if err != nil {
		return "", err
	}
	port, _, _ := strings.Cut(string(b), "\n")
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://127.0.0.1:" + port + "/json/list")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var targets []struct {
		Type string `json:"type"`
		At   string `json:"webSocketDebuggerUrl"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&targets); err != nil {
		return "", err
	}
	for _, t := range targets {
		if t.Type == "page" {
			return t.At, nil
		}
	}
	return "", errors.New("no page yet")
}

// call sends a command of the protocol and decodes its result.
func (c *Chromium) call(method string, params map[string]any, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), browserTimeout)
	defer cancel()
	c.next++
	id := c.next
	b, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	if err := c.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		_, b, err := c.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var m struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != id: // an event
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

const browserTimeout = time.Minute

// Open goes to a page.
func (c *Chromium) Open(url string) {
	c.t.Helper()
	var r struct{ ErrorText string }
	if err := c.call("Page.navigate", map[string]any{"url": url}, &r); err != nil || r.ErrorText != "" {
		c.t.Fatalf("chromium: open %s: %v %s", url, err, r.ErrorText)
	}
}

// Eval returns what an expression of JavaScript, or the promise that it is,
// comes to, as JSON in value.
func (c *Chromium) Eval(expression string, value any) error {
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if err := c.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r); err != nil {
		return err
	}
	if r.Exception != nil {
		return fmt.Errorf("%s %s", r.Exception.Text, r.Exception.Exception.Description)
	}
	if value == nil || len(r.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Result.Value, value)
}

// Await waits until an expression is true.
func (c *Chromium) Await(what, expression string) {
	c.t.Helper()
	c.waitFor(what, func() error {
		var ok bool
		if err := c.Eval(expression, &ok); err != nil {
			return err
		}
		if !ok {
			return errors.New("not yet")
		}
		return nil
	})
}

// Dark makes the page believe that people want it dark, or light.
func (c *Chromium) Dark(dark bool) {
	c.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	if err := c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil); err != nil {
		c.t.Fatalf("chromium: %v", err)
	}
}

// Screenshot returns a PNG of the page.
func (c *Chromium) Screenshot() []byte {
	c.t.Helper()
	var r struct{ Data string }
	err := c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	if err != nil {
		c.t.Fatalf("chromium: %v", err)
	}
	b, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		c.t.Fatalf("chromium: %v", err)
	}
	return b
}
