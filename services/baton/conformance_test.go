package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/baton-router/baton/pkg/conformance"
)

// bench is a Baton under test: the node that `baton conformance` would start,
// in this process, and the description of it.
type bench struct {
	t             *testing.T
	public, admin string
	dir           string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	cfg, err := loadConfig(write(t, dir, "baton.yaml", ownConfig(filepath.Join(dir, "data"))), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	n, err := openNode(t.Context(), cfg, log, nodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("the end:", err)
		}
	})
	b := &bench{t: t, public: n.publicURL(), admin: n.adminURL(), dir: dir}
	if err := awaitReady(t.Context(), b.admin); err != nil {
		t.Fatal(err)
	}
	return b
}

// describe writes a description of the server; lines are added to it.
func (b *bench) describe(url string, more ...string) string {
	b.t.Helper()
	text := ownDescription(url, b.admin) + strings.Join(more, "\n") + "\ndeadline: 3s\n"
	file, err := os.CreateTemp(b.dir, "kit-*.yaml")
	if err == nil {
		_, err = file.WriteString(text)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		b.t.Fatal(err)
	}
	return file.Name()
}

// proxy stands in front of a server and may bend what passes. The address of
// the server may be told later.
type proxy struct {
	*httptest.Server
	mu      sync.Mutex
	target  *url.URL
	request func(*http.Request, []byte) (drop bool)
	answer  func(*http.Request, []byte) []byte
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := new(proxy)
	p.aim(t, target)
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(p.target)
		},
		ModifyResponse: p.bend,
		ErrorLog:       slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelDebug),
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || p.request != nil && p.request(r, body) {
			return // answered 200, and that was all
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		reverse.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) aim(t *testing.T, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u
}

func (p *proxy) bend(r *http.Response) error {
	if p.answer == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	body = p.answer(r.Request, body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

// kit runs the kit on some rows and returns its verdict as a machine reads it.
func (b *bench) kit(file string, more ...string) (answer, *conformance.Report) {
	b.t.Helper()
	a := baton(b.t.Context(), append([]string{"-o", "json", "conformance", "--config", file}, more...)...)
	report := new(conformance.Report)
	if a.out != "" {
		if err := json.Unmarshal([]byte(a.out), report); err != nil {
			b.t.Fatalf("%v in %s", err, a.out)
		}
	}
	return a, report
}

// found checks that the kit has found a fault, and says so.
func (b *bench) found(what, difference string, a answer, report *conformance.Report) {
	b.t.Helper()
	if a.code != exitFailure || !strings.Contains(a.errors, "does not conform") {
		b.t.Errorf("%s: exit code %d\n%s%s", what, a.code, a.out, a.errors)
	}
	if !strings.Contains(a.out, strings.ReplaceAll(strings.ReplaceAll(difference, `"`, `\"`), ">", `\u003e`)) {
		b.t.Errorf("%s: want %q in\n%s", what, difference, a.out)
	}
	for _, r := range report.Results {
		if r.Verdict == conformance.Failed {
			return
		}
	}
	if len(report.Faults) == 0 {
		b.t.Errorf("%s: nothing failed: %s", what, a.out)
	}
}

func TestConformanceOfRowsAndStories(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := b.describe(b.public)
	for _, c := range []struct {
		args []string
		rows int
	}{
		{[]string{"--row", "36"}, 4},
		{[]string{"--row", "17b", "--mode", "h"}, 2},
		{[]string{"--row", "64"}, 4}, // waits
		{[]string{"--row", "93"}, 1}, // changes the roster
		{[]string{"--row", "85-expiry", "--mode", "z"}, 1},
		{[]string{"--story", "support-bot"}, 1},
	} {
		a, report := b.kit(file, c.args...)
		if a.code != exitDone || len(report.Results) != c.rows {
			t.Errorf("%v: exit code %d, %d results\n%s%s", c.args, a.code, len(report.Results), a.out, a.errors)
		}
	}
	if a := baton(t.Context(), "conformance", "--config", file, "--row", "39", "--mode", "h"); a.code != exitDone ||
		!strings.Contains(a.out, "39   h     passed *  The owner cannot pass to itself.") || !strings.Contains(a.out, "1 passed, 0 failed") {
		t.Errorf("exit code %d\n%s%s", a.code, a.out, a.errors)
	}
}

// TestConformanceFindsAWrongServer bends what passes between the kit and Baton,
// one thing at a time.
func TestConformanceFindsAWrongServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	graph := newProxy(t, b.public)

	graph.answer = func(_ *http.Request, body []byte) []byte {
		return bytes.ReplaceAll(body, []byte("2018300"), []byte("2534037"))
	}
	a, report := b.kit(b.describe(graph.URL), "--row", "22", "--mode", "h")
	b.found("another subcode", "subcode 2018300", a, report)

	graph.answer = func(_ *http.Request, body []byte) []byte {
		return bytes.ReplaceAll(body, []byte("thread now."), []byte("thread."))
	}
	a, report = b.kit(b.describe(graph.URL), "--row", "22", "--mode", "h")
	b.found("another text", "controlling this thread now.", a, report)

	graph.answer = func(r *http.Request, body []byte) []byte {
		if strings.HasSuffix(r.URL.Path, "/thread_owner") {
			return []byte(`{"data":[{"thread_owner":null}]}`)
		}
		return body
	}
	a, report = b.kit(b.describe(graph.URL), "--row", "45")
	b.found("an owner that is not told", "thread_owner by A: want A", a, report)

	graph.answer = nil
	graph.request = func(r *http.Request, _ []byte) bool { return strings.HasSuffix(r.URL.Path, "/pass_thread_control") }
	a, report = b.kit(b.describe(graph.URL), "--row", "36", "--mode", "h")
	b.found("a call that does nothing", "want success", a, report)
}

// TestConformanceFindsWrongDeliveries bends what passes between Baton and the
// fake apps.
func TestConformanceFindsWrongDeliveries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	apps := newProxy(t, "http://127.0.0.1:1")
	listen := freePort(t)
	apps.aim(t, "http://"+listen)
	file := b.describe(b.public, fmt.Sprintf("callbacks: {listen: %q, url: %q}", listen, apps.URL))
	if a, _ := b.kit(file, "--row", "45"); a.code != exitDone {
		t.Fatalf("with nothing bent: %s%s", a.out, a.errors)
	}
	take := []byte("take_thread_control")

	apps.request = func(_ *http.Request, body []byte) bool { return bytes.Contains(body, take) }
	a, report := b.kit(file, "--row", "45")
	b.found("a delivery is dropped", "B: want messaging take B>A escalated\\n   got  nothing", a, report)

	apps.request = func(r *http.Request, body []byte) bool {
		if bytes.Contains(body, take) {
			again, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+listen+r.URL.Path, bytes.NewReader(body))
			if err == nil {
				again.Header = r.Header.Clone()
				if resp, err := http.DefaultClient.Do(again); err == nil {
					_ = resp.Body.Close()
				}
			}
		}
		return false
	}
	a, report = b.kit(file, "--row", "45")
	b.found("a delivery comes twice", "B: want nothing more", a, report)

	apps.request = func(r *http.Request, _ []byte) bool {
		r.Header.Set("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000")
		return false
	}
	a, report = b.kit(file, "--row", "45")
	b.found("a wrong signature", "X-Hub-Signature is not the signature of the body", a, report)
}

// TestConformanceFindsWrongVectors plants one wrong expectation after the other
// into a vector that Baton passes.
func TestConformanceFindsWrongVectors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const right = `
- row: "15"
  in: [h]
  says: a tap gives control
  source: protocol 6.9
  given:
    - button: {by: C, payload: CARE}
    - own: B
    - {call: request, by: T}
  when:
    - {event: postback, payload: CARE, heard: {B: [take B>C, standby it bare], C: it, rest: standby it bare}, owner: C, until: 24h, pending: [T]}
    - {call: send, by: B, answer: refused send_not_owner, owner: C, until: unchanged}
    - {call: send, by: C, metadata: m, answer: sent, heard: {C: echo C m, rest: standby echo C m}, owner: C}
`
	server, err := conformance.ParseServer("kit.yaml", []byte(ownDescription(b.public, b.admin)+"deadline: 3s\n"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(text string) *conformance.Report {
		list, err := conformance.Parse("planted.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		in := &steward{&Global{Admin: b.admin}}
		report, err := conformance.Run(t.Context(), &server, in, list, conformance.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := try(right); !report.Passed() {
		t.Fatalf("%+v", report.Results)
	}
	for _, c := range []struct{ old, planted string }{
		{"C: it,", ""},
		{"C: it,", "C: [it, it],"},
		{"C: it,", "C: standby it,"},
		{"C: it,", "C: it bare,"},
		{"take B>C", "take B>A"},
		{"take B>C", "pass B>C"},
		{"take B>C", "take B>C because"},
		{"[take B>C, standby it bare]", "[standby it bare, take B>C]"},
		{"rest: standby it bare", "rest: standby it"},
		{", rest: standby it bare", ""},
		{"owner: C, until: 24h, pending: [T]", "owner: B, until: 24h, pending: [T]"},
		{"until: 24h", "until: 25h"},
		{"pending: [T]", "pending: []"},
		{"pending: [T]", "pending: [T, A]"},
		{"refused send_not_owner", "refused not_owner"},
		{"refused send_not_owner", "sent"},
		{"owner: C, until: unchanged", "owner: idle"},
		{"answer: sent", "answer: success"},
		{"C: echo C m", "C: echo C"},
		{"C: echo C m", "C: echo B m"},
	} {
		text := strings.Replace(right, c.old, c.planted, 1)
		if text == right {
			t.Fatalf("%q is not in the vector", c.old)
		}
		if report := try(text); report.Passed() || report.Results[0].Difference == "" {
			t.Errorf("%s instead of %s was not found", c.planted, c.old)
		}
	}
}

func TestConformanceExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nobody := write(t, dir, "nobody.yaml", ownDescription("http://127.0.0.1:1", "http://127.0.0.1:1"))
	foreign := write(t, dir, "foreign.yaml", "url: http://127.0.0.1:1\nplatform: {app_id: '1', app_secret: s}\n"+
		"pages: [{id: '2', mode: h}]\n")
	typo := write(t, dir, "typo.yaml", "ulr: x\n")
	for _, c := range []struct {
		code    int
		pattern string
		args    []string
	}{
		{exitNotServed, "cannot be reached", []string{"--config", nobody, "--row", "45"}},
		{exitNotServed, "cannot be reached", []string{"--config", foreign, "--row", "45"}},
		{exitUsage, `typo.yaml:1: unknown field "ulr"`, []string{"--config", typo}},
		{exitUsage, "no such file", []string{"--config", filepath.Join(dir, "none.yaml")}},
		{exitUsage, "no vector matches", []string{"--config", nobody, "--row", "104"}},
		{exitUsage, "no vector matches", []string{"--config", nobody, "--row", "45", "--mode", "d"}},
		{exitUsage, "--url needs --config", []string{"--url", "http://127.0.0.1:1"}},
	} {
		wantFailure(t, baton(t.Context(), append([]string{"conformance"}, c.args...)...), c.code, c.pattern)
	}
}

// TestConformanceOfAnotherServer runs the kit without Baton's admin listener on
// pages that are set up already: what needs more is not provable there.
func TestConformanceOfAnotherServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	listen := freePort(t)
	var apps, pages configText
	for i, letter := range []string{"A", "B", "C", "T", "H"} {
		id := fmt.Sprint(700000000000001 + i)
		apps.line(1, "- {id: %q, secret: secret-%s, callback_url: %q, verify_token: verify, fields: [%s]}", id, letter, "http://"+listen+"/"+id,
			"messages, message_echoes, message_deliveries, messaging_postbacks, messaging_handovers, standby")
		pages.line(3, "- {app: %q, access_token: token-%s}", id, letter)
	}
	roster := "apps:\n" + apps.String() + "pages:\n  - id: \"100200300400500\"\n    access_token: page\n" +
		"    routing: {mode: handover, primary: \"700000000000001\"}\n    apps:\n" + pages.String()
	if a := baton(t.Context(), "--admin", b.admin, "apply", "-f", write(t, b.dir, "roster.yaml", roster)); a.code != exitDone {
		t.Fatalf("%s%s", a.out, a.errors)
	}
	foreign := strings.Split(ownDescription(b.public, b.admin), "\nbaton:")[0] + "\nsettle: 1s\n" + "callbacks: {listen: \"" + listen + "\"}\napps:\n"
	tokens := ""
	for i, letter := range []string{"A", "B", "C", "T", "H"} {
		foreign += fmt.Sprintf("  %s: {id: \"%d\", secret: secret-%s, verify_token: verify}\n", letter, 700000000000001+i, letter)
		tokens += fmt.Sprintf("%s: token-%s, ", letter, letter)
	}
	foreign += "pages: [{id: \"100200300400500\", mode: h, tokens: {" + tokens + "}}]\n"
	a, report := b.kit(write(t, b.dir, "foreign.yaml", foreign), "--mode", "h", "--row", "01")
	if a.code != exitDone || report.Results[0].Verdict != conformance.Passed {
		t.Errorf("exit code %d\n%s%s", a.code, a.out, a.errors)
	}
	for row, reason := range map[string]string{"11": "needs clock", "93": "needs Baton's admin listener", "07": "needs a page"} {
		a, report := b.kit(filepath.Join(b.dir, "foreign.yaml"), "--mode", "h", "--row", row)
		if len(report.Results) == 0 || report.Results[0].Verdict != conformance.NotProvable || !strings.Contains(report.Results[0].Reason, reason) {
			t.Errorf("row %s: %s%s", row, a.out, a.errors)
		}
	}
}
