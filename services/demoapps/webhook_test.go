package demoapps_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-router/baton/services/demoapps"
)

func TestChallengeIsAnsweredForTheRightTokenOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app(demoapps.Survey)
	for query, want := range map[string]string{
		"hub.mode=subscribe&hub.challenge=123&hub.verify_token=" + a.VerifyToken: "200 123",
		"hub.mode=subscribe&hub.challenge=123&hub.verify_token=wrong":            "403 ",
		"hub.challenge=123&hub.verify_token=" + a.VerifyToken:                    "403 ",
	} {
		res, err := w.client.Get(w.apps.CallbackURL(a.ID) + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := fmt.Sprint(res.StatusCode, " ", string(body)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestWebhooksAreCheckedBeforeTheyCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := `{"object":"page","entry":[{"messaging":[` + says("where is my order?") + `]}]}`
	secret := w.app(demoapps.FAQBot).Secret
	sign := func(body string) string { return "sha256=" + hexMAC(secret, []byte(body)) }
	large := `{"object":"` + strings.Repeat("x", 8<<20) + `"}`
	for name, c := range map[string]struct {
		body, signature string
		want            int
	}{
		"no signature":    {good, "", 403},
		"another secret":  {good, "sha256=" + hexMAC("other", []byte(good)), 403},
		"not hex":         {good, "sha256=zz", 403},
		"changed body":    {good + " ", sign(good), 403},
		"not JSON":        {"{", sign("{"), 400},
		"too large":       {large, sign(large), 413},
		"nothing in it":   {"{}", sign("{}"), 200},
		"unknown event":   {`{"entry":[{"messaging":[{"odd":1}]}]}`, sign(`{"entry":[{"messaging":[{"odd":1}]}]}`), 200},
		"page-level kind": {`{"entry":[{"messaging":[{"app_roles":{}}]}]}`, sign(`{"entry":[{"messaging":[{"app_roles":{}}]}]}`), 200},
	} {
		if got := w.posts(demoapps.FAQBot, c.body, c.signature, ""); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	w.silent(demoapps.FAQBot)
	req, _ := http.NewRequest(http.MethodPut, w.apps.CallbackURL(demoapps.FAQBot), nil)
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 405 {
		t.Errorf("PUT: %d", res.StatusCode)
	}
}

func TestRepeatedDeliveriesAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := says("where is my order?")
	w.deliversAs(demoapps.FAQBot, "messaging", order, "7-100")
	w.calling()
	w.deliversAs(demoapps.FAQBot, "messaging", order, "7-100")
	w.deliversAs(demoapps.FAQBot, "messaging", order, "7-99")
	w.next = 100
	w.silent(demoapps.FAQBot)
	w.deliversAs(demoapps.FAQBot, "messaging", order, "7-102")
	w.calling()
	// One position may bring two kinds of events.
	w.deliversAs(demoapps.FAQBot, "messaging", from(`"take_thread_control":{"new_owner_app_id":"1"}`), "7-103")
	w.deliversAs(demoapps.FAQBot, "messaging", order, "7-103")
	w.calling()
}

func TestEntriesOfOneWebhookHaveTheirIDsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{"object":"page","entry":[{"standby":[` + says("one") + `]},{"standby":[` + says("two") + `]}]}`
	if got := w.posts(demoapps.FAQBot, body, "sha256="+hexMAC(w.app(demoapps.FAQBot).Secret, []byte(body)), "7-1, 7-2"); got != 200 {
		t.Fatal(got)
	}
	for i, want := range []string{"one", "two"} {
		if d := <-w.told; d.Text != want || d.ID != fmt.Sprintf("7-%d", i+1) || d.Person != person || d.Attempt != "1" {
			t.Errorf("%+v", d)
		}
	}
}

func TestADeliveryIsOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.FAQBot, "messaging", says("where is my order?"))
	w.delivers(demoapps.LiveAgent, "standby", says("where is my order?"))
	w.delivers(demoapps.LiveAgent, "messaging", from(`"pass_thread_control":{"new_owner_app_id":"1","metadata":"order 42"}`))
	w.delivers(demoapps.Survey, "standby", echo(demoapps.LiveAgent, "m_e", "hi"))
	w.delivers(demoapps.Survey, "messaging", from(`"read":{"watermark":1}`))
	want := map[string]bool{
		`→ faq-bot messaging "where is my order?"`:         true,
		`→ agent standby`:                                  true,
		`→ agent messaging pass_thread_control "order 42"`: true,
		`→ survey standby echo`:                            true,
		`→ survey messaging read`:                          true,
	}
	for range len(want) {
		if line := (<-w.told).String(); !want[line] {
			t.Errorf("line %q", line)
		}
	}
}

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := demoapps.New(demoapps.Config{
		GraphURL: "graph", ReleaseAfter: -1,
		Roster: demoapps.Roster{Apps: []demoapps.App{{ID: demoapps.FAQBot, Name: "faq-bot"}}},
	}, demoapps.Deps{})
	for _, want := range []string{"absolute URL", "negative", "all three secrets", "700000000000002", "700000000000003"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestATakenPortIsReportedAndNothingIsLeftBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := strings.TrimSuffix(strings.TrimPrefix(w.apps.CallbackURL(demoapps.FAQBot), "http://"), "/webhook")
	_, err := demoapps.New(demoapps.Config{GraphURL: "http://127.0.0.1:1", Listen: taken, Roster: w.roster},
		demoapps.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "faq-bot") {
		t.Errorf("%v", err)
	}
	if got := w.apps.CallbackURL(5); got != "" {
		t.Errorf("callback of an unknown app: %s", got)
	}
}

func TestDevRosterKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := demoapps.DevRoster(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := demoapps.DevRoster(dir)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("%v, %v", again, err)
	}
	seen := map[string]bool{}
	for _, a := range first.Apps {
		for _, s := range []string{a.Secret, a.VerifyToken, a.AccessToken} {
			if s == "" || seen[s] {
				t.Errorf("%s: secret %q", a.Name, s)
			}
			seen[s] = true
		}
		if a.Primary != (a.ID == demoapps.FAQBot) || len(a.Fields) == 0 {
			t.Errorf("%+v", a)
		}
	}
	path := filepath.Join(dir, "demoapps-secrets.json")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := demoapps.DevRoster(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("damaged: %v", err)
	}
}

func TestStoppingEndsCallsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers(func(called) (int, string) { return 503, `{"error":{"message":"later","code":2}}` })
	w.delivers(demoapps.FAQBot, "messaging", says("where is my order?"))
	w.calling() // it waits for its next attempt now, or is making it
	w.stop()
}
