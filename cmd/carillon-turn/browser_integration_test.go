//go:build integration

package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"image"
	_ "image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/turn"
)

// The status page in a real browser shows live allocations, follows by itself,
// and is as light or dark as its reader.
func TestIntegrationStatusPageInChromium(t *testing.T) {
	r := startRelay(t, "--listen", on, "--relay-ip", "127.0.0.1", "--realm", "page.test", "--user", "<i>u</i>:p", "--allow-peer", "127.0.0.0/8", "--admin", on)
	at, admin := r.wait(`transport=udp address=(\S+)`), r.wait(`status and metrics" address=(\S+)`)
	browser := lab.StartChromium(t)
	browser.Open("http://" + admin + "/")
	browser.Await("the page", `document.getElementById("state").textContent === "serving" && document.getElementById("realm").textContent === "page.test"`)
	browser.Await("no allocation", `document.getElementById("allocations").textContent === "0" && !document.getElementById("none").hidden`)

	hold := holdAllocation(t, at, "<i>u</i>", "p")
	browser.Await("the allocation, by itself", `document.getElementById("allocations").textContent === "1" && document.querySelectorAll("#busiest tr").length === 1`)
	var user string
	if err := browser.Eval(`document.querySelector("#busiest .user").textContent`, &user); err != nil || user != "<i>u</i>" {
		t.Errorf("the user is shown as %q, %v", user, err)
	}
	output(t, 3, "check", "turn:"+at+"?transport=udp", "--user", "nobody")
	browser.Await("the failed login", `document.getElementById("logins").textContent.startsWith("1 ")`)

	brightness := func(dark bool) float64 {
		browser.Dark(dark)
		var shade float64
		browser.Await("a shade", `getComputedStyle(document.body).backgroundColor !== ""`)
		img, _, err := image.Decode(bytes.NewReader(browser.Screenshot()))
		if err != nil {
			t.Fatal(err)
		}
		red, _, _, _ := img.At(2, 2).RGBA()
		shade = float64(red) / 0xffff
		return shade
	}
	if light, dark := brightness(false), brightness(true); light < 0.8 || dark > 0.2 {
		t.Errorf("brightness %.2f in light and %.2f in dark", light, dark)
	}
	hold.Close()
	browser.Await("the end of the allocation", `document.getElementById("allocations").textContent === "0"`)
	r.cmd.Process.Kill()
	r.cmd.Wait()
	browser.Await("the relay gone", `document.getElementById("state").textContent === "no answer"`)
}

// Two peer connections of a browser reach each other through the relay alone,
// over turns: with a certificate, and credentials of the shared secret.
func TestIntegrationChromiumCallsThroughTURNS(t *testing.T) {
	cert, key, spki := certificateFiles(t)
	r := startRelay(t, "--listen", "tls:"+on, "--listen", on, "--relay-ip", "127.0.0.1", "--realm", "r", "--secret", "s", "--allow-peer", "127.0.0.0/8", "--cert", cert, "--key", key)
	at := r.wait(`transport=tls address=(\S+)`)
	user, password := turn.Credentials("s", "chromium", time.Now().Add(time.Hour))
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>call</title>") }))
	defer page.Close()
	browser := lab.StartChromium(t, "--ignore-certificate-errors-spki-list="+spki)
	browser.Open(page.URL)
	browser.Await("the page", `document.title === "call"`)
	var got struct {
		Said, Local, Protocol string
	}
	err := browser.Eval(fmt.Sprintf(`(async () => {
		const config = {iceTransportPolicy: "relay", iceServers: [{urls: "turns:%s?transport=tcp", username: %q, credential: %q}]};
		const a = new RTCPeerConnection(config), b = new RTCPeerConnection(config);
		for (const [x, y] of [[a, b], [b, a]]) x.onicecandidate = (e) => e.candidate && y.addIceCandidate(e.candidate);
		const said = new Promise((resolve, reject) => {
			b.ondatachannel = (e) => { e.channel.onmessage = (m) => resolve(m.data); };
			a.onicecandidateerror = (e) => reject(new Error(e.errorCode + " " + e.errorText + " " + e.url));
			setTimeout(() => reject(new Error("no message: " + a.iceConnectionState)), 20000);
		});
		const channel = a.createDataChannel("x");
		channel.onopen = () => channel.send("hello through the relay");
		await a.setLocalDescription();
		await b.setRemoteDescription(a.localDescription);
		await b.setLocalDescription();
		await a.setRemoteDescription(b.localDescription);
		const text = await said;
		const pair = a.sctp.transport.iceTransport.getSelectedCandidatePair();
		const stats = [...(await a.getStats()).values()].find((s) => s.type === "local-candidate" && s.candidateType === "relay");
		return {Said: text, Local: pair.local.type, Protocol: stats.relayProtocol};
	})()`, at, user, string(password)), &got)
	if err != nil || got.Said != "hello through the relay" || got.Local != "relay" || got.Protocol != "tls" {
		t.Fatalf("chromium: %+v, %v\n%s", got, err, r.log.String())
	}
	r.wait(`msg="allocation made" user=(chromium) .* transport=tls`)
}

// certificateFiles are a certificate for 127.0.0.1, its key, and the hash of
// its public key by which Chromium is told to trust it.
func certificateFiles(t *testing.T) (cert, key, spki string) {
	t.Helper()
	c := lab.NewCertificate(t, "localhost")
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string]string{cert: c.Cert, key: c.Key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block, _ := pem.Decode([]byte(c.Cert))
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	return cert, key, base64.StdEncoding.EncodeToString(sum[:])
}
