package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// up is the line that serve logs, with the addresses of its listeners.
const up = `msg="baton is up" .*public=(\S+) admin=(\S+)`

// serveFile starts serve with a configuration and returns where it listens.
func serveFile(t *testing.T, text string, more ...string) (r *running, public, admin string) {
	t.Helper()
	file := write(t, t.TempDir(), "baton.yaml", text)
	r = start(t, append([]string{"serve", "--config", file}, more...)...)
	found := r.prints(up)
	return r, found[1], found[2]
}

// ready waits until /readyz says so.
func ready(t *testing.T, client *http.Client, admin string) {
	t.Helper()
	var body string
	await(t, func() bool {
		var status int
		status, body = get(t, client, admin+"/readyz")
		return status == http.StatusOK
	}, func() string { return "not ready: " + body })
}

func TestServeEndsCleanlyAndGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	text := minimal(t.TempDir(), "")
	r, _, admin := serveFile(t, text)
	ready(t, http.DefaultClient, admin)
	if status, body := get(t, http.DefaultClient, admin+"/healthz"); status != http.StatusOK {
		t.Error(status, body)
	}
	d := &desk{t: t, admin: admin}
	d.ok("sim message", "hello")
	d.until(`owner +faq-bot`, "thread show "+devThread)
	began := time.Now()
	if code := r.stop(); code != exitDone {
		t.Errorf("exit code %d: %s", code, r.errors.String())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %s", took)
	}
	_, _, admin = serveFile(t, text)
	d.admin = admin
	d.until(`owner +faq-bot`, "thread show "+devThread)
	if out := d.ok("replay"); !strings.Contains(out, "true") {
		t.Error(out)
	}
}

func TestReadyzSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, _, admin := serveFile(t, minimal(t.TempDir(), ""))
	status, body := get(t, http.DefaultClient, admin+"/readyz")
	if status == http.StatusServiceUnavailable && !regexp.MustCompile(`\d of 4 held`).MatchString(body) {
		t.Error("not ready without a reason:", body)
	}
	ready(t, http.DefaultClient, admin)
	if _, body := get(t, http.DefaultClient, admin+"/readyz"); !strings.Contains(body, "4 held") || !strings.Contains(body, `"durability": "node"`) {
		t.Error(body)
	}
}

func TestServeWithSomeRoles(t *testing.T) {
	t.Parallel()
	text := minimal(t.TempDir(), "")
	_, public, admin := serveFile(t, text, "--roles", "console,graphapi")
	d := &desk{t: t, admin: admin}
	if out := d.ok("app ls"); !strings.Contains(out, "faq-bot") || !strings.Contains(out, "unknown") {
		t.Error(out)
	}
	d.fails(exitFailure, `nobody delivers for the partition at the moment`, "app pause faq-bot")
	d.fails(exitFailure, `nobody delivers for the partition at the moment`, "app resume faq-bot")
	d.fails(exitFailure, `nobody delivers for the partition at the moment`, "app rewind faq-bot --position 1")
	if status, _ := get(t, http.DefaultClient, public+"/webhook"); status == http.StatusOK {
		t.Error("no ingress, yet a webhook is taken")
	}
}

func TestAdminTokens(t *testing.T) {
	t.Parallel()
	_, _, admin := serveFile(t, minimal(t.TempDir(), `admin: {tokens: [{name: eve, token: viewer-token, role: viewer}, {name: ops, token: ops-token, role: operator}, {name: root, token: root-token, role: admin}]}`))
	ready(t, http.DefaultClient, admin) // needs no token
	d := &desk{t: t, admin: admin}
	for _, line := range []string{"thread ls", "log tail", "sim message x", "app pause faq-bot"} {
		d.fails(exitFailure, `wants an admin token`, line)
		d.fails(exitFailure, `wants an admin token`, "--token wrong "+line)
	}
	d.ok("--token viewer-token thread ls")
	d.fails(exitFailure, `needs the role operator; "eve" is viewer`, "--token viewer-token thread release "+devThread)
	d.fails(exitFailure, `needs the role admin; "ops" is operator`, "--token ops-token apply -f "+write(t, t.TempDir(), "b.yaml", minimal(t.TempDir(), "")))
	d.ok("--token ops-token thread take " + devThread + " faq-bot")
	d.until(`by operator ops \(operator\)`, "--token viewer-token thread show "+devThread)
	if status, body := get(t, http.DefaultClient, admin+"/metrics"); status != http.StatusOK || !regexp.MustCompile(`baton_unauthenticated_calls_total\{surface="admin"\} [1-9]`).MatchString(body) {
		t.Error("refused calls are not counted")
	}
}

func TestTheEnvironmentNamesServerAndToken(t *testing.T) {
	_, _, admin := serveFile(t, minimal(t.TempDir(), `admin: {tokens: [{name: ops, token: ops-token, role: operator}]}`))
	t.Setenv("BATON_ADMIN", admin)
	t.Setenv("BATON_ADMIN_TOKEN", "ops-token")
	if a := baton(t.Context(), "app", "ls"); a.code != exitDone || !strings.Contains(a.out, "faq-bot") {
		t.Errorf("%+v", a)
	}
	if a := baton(t.Context(), "--admin", nowhere, "app", "ls"); a.code != exitNotServed {
		t.Errorf("a flag overrides the environment: %+v", a)
	}
}

// certificate writes a self-signed certificate for 127.0.0.1, good for server
// and client.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "baton"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private))
	pkcs := must(x509.MarshalPKCS8PrivateKey(private))
	cert = write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return cert, write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})))
}

func TestBothListenersSpeakTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	text := strings.Replace(minimal(dir, ""), `admin: "127.0.0.1:0"}`, `admin: "127.0.0.1:0", tls: {cert: `+cert+`, key: `+key+`, client_ca: `+cert+`}}`, 1)
	_, public, admin := serveFile(t, text)
	if !strings.HasPrefix(public, "https://") || !strings.HasPrefix(admin, "https://") {
		t.Fatal(public, admin)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(cert)))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(cert, key))}, MinVersion: tls.VersionTLS12,
	}}}
	t.Cleanup(client.CloseIdleConnections)
	ready(t, client, admin)
	if status, body := get(t, client, public+"/webhook?hub.mode=subscribe&hub.verify_token=platform-verify&hub.challenge=42"); status != http.StatusOK || body != "42" {
		t.Error(status, body)
	}
	d := &desk{t: t, admin: admin}
	trusted := "--ca " + cert + " --cert " + cert + " --key " + key + " "
	d.ok(trusted + "app ls")
	d.fails(exitNotServed, `certificate`, "app ls")
	d.fails(exitNotServed, `cannot be reached`, "--ca "+cert+" app ls")
	t.Log("the simulator reaches the listener as well")
	d.ok(trusted+"sim message", "hello")
	d.until(`owner +faq-bot`, trusted+"thread show "+devThread)
}

func TestTheConfigurationOfTheDesignIsServed(t *testing.T) {
	for _, name := range []string{"ADMIN_TOKEN", "PLATFORM_APP_SECRET", "PLATFORM_VERIFY_TOKEN", "FAQ_SECRET", "ACME_PAGE_TOKEN", "FAQ_ACME_TOKEN"} {
		t.Setenv(name, "value-of-"+name)
	}
	text := string(must(os.ReadFile(filepath.Join("testdata", "design.yaml"))))
	file := write(t, t.TempDir(), "baton.yaml", text)
	if a := baton(t.Context(), "check", "--config", file); a.code != exitDone {
		t.Fatalf("%+v", a)
	}
	text = strings.Replace(text, "https://graph.facebook.com", "simulator", 1)
	_, _, admin := serveFile(t, text, "--set", "data_dir="+t.TempDir(), "--set", "listen.public=127.0.0.1:0",
		"--set", "listen.admin=127.0.0.1:0", "--set", "nats.listen=127.0.0.1:0")
	t.Setenv("BATON_ADMIN_TOKEN", "value-of-ADMIN_TOKEN")
	ready(t, http.DefaultClient, admin)
	d := &desk{t: t, admin: admin}
	d.ok("sim message", "hello")
	d.until(`owner +faq-bot`, "thread show "+devThread)
}

func TestABadStartIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := minimal(dir, "")
	r, _, admin := serveFile(t, text)
	ready(t, http.DefaultClient, admin)
	file := write(t, t.TempDir(), "baton.yaml", text)
	serve := func(more ...string) answer {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		a := baton(ctx, append([]string{"serve", "--log-level", "error", "--config", file}, more...)...)
		if ctx.Err() != nil {
			t.Fatal("it started")
		}
		return a
	}
	t.Log("another process has it")
	wantFailure(t, serve(), exitUsage, regexp.QuoteMeta(dir)+`.*(in use|locked|another)`)
	if code := r.stop(); code != exitDone {
		t.Fatal(code, r.errors.String())
	}
	t.Log("another number of partitions")
	wantFailure(t, serve("--set", "partitions=8"), exitUsage, `partitions.*4.*`)
	t.Log("the ports are taken")
	ln := must(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	defer func() { _ = ln.Close() }()
	wantFailure(t, serve("--set", "listen.public="+ln.Addr().String()), exitFailure, `public listener: .*in use`)
	t.Log("still as it was")
	again, _, admin := serveFile(t, text)
	ready(t, http.DefaultClient, admin)
	again.stop()
}
