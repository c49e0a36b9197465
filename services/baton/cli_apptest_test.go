package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

// appEndpoint is an app's endpoint; careless ones do not look at signatures.
func appEndpoint(t *testing.T, careless bool) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			challenge, ok := webhook.Challenge(r.URL.Query(), "vt")
			if !ok {
				w.WriteHeader(http.StatusForbidden)
			}
			_, _ = io.WriteString(w, challenge)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if !careless && webhook.Verify([]byte("s3cret"), body, r.Header.Get(webhook.Header256), "") != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hook"
}

// The command needs no running Baton: its admin listener here is nobody's.
func TestAppTestCommand(t *testing.T) {
	t.Parallel()
	test := func(more ...string) answer {
		return baton(t.Context(), append([]string{"--admin", "http://127.0.0.1:1", "app", "test"}, more...)...)
	}
	url := appEndpoint(t, false)
	a := test("--url", url, "--secret", "s3cret", "--verify-token", "vt")
	if a.code != exitDone || !regexp.MustCompile(`(?m)^ok +wrong signature +403 `).MatchString(a.out) || strings.Contains(a.out, "fail") {
		t.Errorf("%+v", a)
	}
	a = test("--url", appEndpoint(t, true), "--secret", "s3cret", "--verify-token", "vt", "-o", "json")
	var out struct {
		Results []struct{ Name, Verdict, Advice string }
	}
	if err := json.Unmarshal([]byte(a.out), &out); err != nil || a.code != exitFailure || len(out.Results) < 40 {
		t.Errorf("%v, %+v", err, a)
	}
	for _, r := range out.Results {
		if (r.Verdict == "fail") != strings.HasSuffix(r.Name, " signature") {
			t.Errorf("%+v", r)
		}
	}
	if a = test("--url", appEndpoint(t, true)); a.code != exitDone || !strings.Contains(a.errors, "without --secret") || strings.Contains(a.out, " signature") {
		t.Errorf("without secrets: %+v", a)
	}
	wantFailure(t, test("--url", "nonsense"), exitUsage, "not an absolute http or https address")
	wantFailure(t, test("--url", url, "--secret", "env:NO_SUCH_VARIABLE_HERE"), exitUsage, "NO_SUCH_VARIABLE_HERE is not set")
	wantFailure(t, test(), exitUsage, "missing flags: --url")
	wantFailure(t, test("--url", "http://127.0.0.1:1/"), exitNotServed, "connect")
}
