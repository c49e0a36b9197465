package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/services/demoapps"
)

// graphCall makes a Graph call with a token and returns status and body.
func (d *desk) graphCall(method, path, token, body string) (status int, answer string) {
	d.t.Helper()
	return request(d.t, method, d.dev.node.publicURL()+path, token, body)
}

// TestTokensAreAddedAndRevoked: several are valid at once, a revoked one is
// refused by the very next call, which changes nothing, and for good.
func TestTokensAreAddedAndRevoked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	d.greet()
	demo := must(demoapps.DevRoster(dir))
	old := ""
	for _, a := range demo.Apps {
		if a.Primary {
			old = a.AccessToken
		}
	}
	if out := d.ok("token ls"); !strings.Contains(out, roster.HashToken(old).String()[:16]) || strings.Contains(out, old) {
		t.Error(out)
	}
	if out := d.ok("token add " + devPage + " faq-bot --dry-run"); strings.Contains(out, "BATON") || !strings.Contains(out, "faq-bot") {
		t.Error(out)
	}
	fresh := strings.TrimSpace(d.ok("token add " + devPage + " faq-bot"))
	path := "/me/release_thread_control"
	body := `{"recipient":{"id":"` + devPerson + `"},"metadata":"x"}`
	for _, token := range []string{old, fresh} {
		if status, answer := d.graphCall("GET", "/me/thread_owner?recipient="+devPerson, token, ""); status != http.StatusOK {
			t.Fatal(status, answer)
		}
	}
	before := d.ok("thread show " + devThread)
	fingerprint := roster.HashToken(old).String()
	d.ok("token revoke " + fingerprint[:12] + " --dry-run")
	if status, _ := d.graphCall("GET", "/me/thread_owner?recipient="+devPerson, old, ""); status != http.StatusOK {
		t.Error("the dry run revoked")
	}
	d.ok("token revoke " + fingerprint[:12])
	status, answer := d.graphCall("POST", path, old, body)
	var e struct {
		Error struct {
			Message       string
			Type          string
			Code          int
			Error_subcode int
		}
	}
	if err := json.Unmarshal([]byte(answer), &e); err != nil || status != 400 || e.Error.Code != 190 || e.Error.Error_subcode != 460 {
		t.Error(status, answer)
	}
	if after := d.ok("thread show " + devThread); after != before {
		t.Errorf("a refused call changed\n%s\ninto\n%s", before, after)
	}
	if status, answer := d.graphCall("POST", path, fresh, body); status != http.StatusOK {
		t.Error("the other token:", status, answer)
	}
	d.until(`owner +idle`, "thread show "+devThread)

	t.Log("for good: neither a file nor an operator brings it back")
	d.ok("apply -f " + d.dev.file)
	if status, answer := d.graphCall("GET", "/me/thread_owner?recipient="+devPerson, old, ""); status != http.StatusBadRequest {
		t.Error(status, answer)
	}
	file := write(t, dir, "token", old+"\n")
	d.fails(exitUsage, `was revoked`, "token add "+devPage+" faq-bot --file "+file)
	d.fails(exitUsage, `unknown token`, "token revoke --file "+file)
}

func TestTokenCommandsRefuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	before := d.ok("token ls")
	mine := write(t, dir, "token", "my-own-token-of-some-length\n")
	for line, pattern := range map[string]string{
		"token add " + devPage + " nobody":                                        `unknown app "nobody"`,
		"token add 42 faq-bot":                                                    `unknown page`,
		"token add " + devPage + " page-inbox":                                    `not connected`,
		"token add " + devPage + " survey --file " + write(t, dir, "empty", "\n"): `no token`,
		"token add " + devPage + " survey --file " + dir + "/none":                `no such file`,
		"token revoke":                         `FINGERPRINT or --file`,
		"token revoke 1234":                    `at least 8 hex digits`,
		"token revoke xyzxyzxyz":               `at least 8 hex digits`,
		"token revoke 00000000ab":              `unknown token`,
		"token revoke 12345678 --file " + mine: `FINGERPRINT or --file`,
	} {
		d.fails(exitUsage, pattern, line)
	}
	if after := d.ok("token ls"); after != before {
		t.Errorf("changed: %s", after)
	}
	d.ok("token add " + devPage + " survey --file " + mine)
	d.fails(exitUsage, `in use: page `+devPage, "token add "+devPage+" faq-bot --file "+mine)
	if !regexp.MustCompile(`survey +` + roster.HashToken("my-own-token-of-some-length").String()[:16]).MatchString(d.ok("token ls")) {
		t.Error(d.ok("token ls"))
	}
}
