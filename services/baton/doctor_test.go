package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// graphStub is a platform as doctor sees it: everything is well but what a test
// spoils.
type graphStub struct {
	subscriptions, debugToken, subscribedApps, receivers string
	status                                               int // of every answer; zero means 200
	date                                                 time.Time
}

const allFields = `"messages","messaging_postbacks","message_echoes","messaging_handovers"`

func healthyGraph() *graphStub {
	named := strings.ReplaceAll(strings.ReplaceAll(allFields, `",`, `"},`), `"m`, `{"name":"m`) + "}"
	return &graphStub{
		subscriptions:  `{"data":[{"object":"page","callback_url":"https://baton.example/webhook","active":true,"fields":[` + named + `]}]}`,
		debugToken:     `{"data":{"app_id":"700000000009999","type":"PAGE","profile_id":"100200300400500","is_valid":true,"expires_at":0,"scopes":["pages_messaging","pages_manage_metadata"]}}`,
		subscribedApps: `{"data":[{"id":"1"},{"id":"700000000009999","subscribed_fields":[` + allFields + `]}]}`,
		receivers:      `{"data":[]}`,
		date:           time.Now(),
	}
}

func (g *graphStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", g.date.UTC().Format(http.TimeFormat))
	appToken := r.URL.Query().Get("access_token") == "700000000009999|platform-secret"
	answers := map[string]string{
		"/debug_token": g.debugToken, "/700000000009999/subscriptions": g.subscriptions,
		"/100200300400500/subscribed_apps": g.subscribedApps, "/100200300400500/secondary_receivers": g.receivers,
	}
	body, known := answers[r.URL.Path]
	switch {
	case g.status != 0:
		w.WriteHeader(g.status)
	case !known || appToken != strings.Contains(r.URL.Path+"x", "debug_token") && appToken != strings.HasSuffix(r.URL.Path, "subscriptions"):
		w.WriteHeader(http.StatusTeapot)
	case strings.HasPrefix(body, `{"error"`):
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write([]byte(body))
}

// examined runs doctor on a configuration against a platform, without a server.
func examined(t *testing.T, graphURL string, change ...string) answer {
	t.Helper()
	text := strings.Replace(minimal(t.TempDir(), ""), "graph_url: simulator", "graph_url: \""+graphURL+"\"", 1)
	text = strings.ReplaceAll(text, "verify_token: v}", "verify_token: v, fields: [messages, standby]}")
	text = strings.NewReplacer(change...).Replace(text)
	return baton(t.Context(), "doctor", "--config", write(t, t.TempDir(), "baton.yaml", text))
}

func TestDoctorFindsWhatThePlatformLacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(*graphStub)
		change []string
		finds  string // "" for nothing
	}{
		"all well":        {func(*graphStub) {}, nil, ""},
		"the secret":      {func(g *graphStub) { g.subscriptions = `{"error":{"message":"Invalid app secret","code":101}}` }, nil, "refuses Baton's app 700000000009999 and its secret: Invalid app secret"},
		"no subscription": {func(g *graphStub) { g.subscriptions = `{"data":[]}` }, nil, "no active webhook subscription for page"},
		"an inactive one": {func(g *graphStub) { g.subscriptions = strings.Replace(g.subscriptions, "true", "false", 1) }, nil, "no active webhook subscription for page"},
		"a field":         {func(g *graphStub) { g.subscriptions = strings.Replace(g.subscriptions, "message_echoes", "calls", 1) }, nil, "subscription for page lacks the fields message_echoes"},
		"an app's field":  {func(*graphStub) {}, []string{"fields: [messages, standby]", "fields: [messages, message_reads, standby]"}, "lacks the fields message_reads"},
		"the address":     {func(g *graphStub) { g.subscriptions = strings.Replace(g.subscriptions, "/webhook", "/other", 1) }, nil, "webhooks for page go to https://baton.example/other"},
		"the token": {func(g *graphStub) {
			g.debugToken = `{"data":{"is_valid":false,"error":{"message":"Session has expired"}}}`
		}, nil, "page 100200300400500: its access_token is not valid: Session has expired"},
		"another app's":  {func(g *graphStub) { g.debugToken = strings.Replace(g.debugToken, "700000000009999", "5", 1) }, nil, "belongs to app 5, not to Baton's"},
		"another page's": {func(g *graphStub) { g.debugToken = strings.Replace(g.debugToken, "100200300400500", "6", 1) }, nil, "belongs to page 6"},
		"a permission":   {func(g *graphStub) { g.debugToken = strings.Replace(g.debugToken, "pages_messaging", "email", 1) }, nil, "lacks the permission pages_messaging"},
		"a token that ends": {func(g *graphStub) {
			g.debugToken = strings.Replace(g.debugToken, `"expires_at":0`, fmt.Sprintf(`"expires_at":%d`, time.Now().Add(time.Hour).Unix()), 1)
		}, nil, "its access_token ends 20"},
		"the page":          {func(g *graphStub) { g.subscribedApps = `{"data":[{"id":"1"}]}` }, nil, "Baton's app is not subscribed to it"},
		"the page's fields": {func(g *graphStub) { g.subscribedApps = strings.Replace(g.subscribedApps, `"messages",`, "", 1) }, nil, "its subscription lacks the fields messages"},
		"an answer":         {func(g *graphStub) { g.subscribedApps = `{"error":{"message":"no","code":200}}` }, nil, "subscribed_apps was not answered: no"},
		"nonsense":          {func(g *graphStub) { g.subscribedApps = `<html>` }, nil, "subscribed_apps was not answered"},
		"the clock":         {func(g *graphStub) { g.date = time.Now().Add(-10 * time.Minute) }, nil, "clock differs from the platform's by 10m"},
		"apps on the page":  {func(*graphStub) {}, []string{"fields: [messages, standby]", "fields: []"}, "app faq-bot: it is subscribed to no fields"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := healthyGraph()
			c.spoil(g)
			server := httptest.NewServer(g)
			defer server.Close()
			a := examined(t, server.URL, c.change...)
			if !strings.Contains(a.out, "that this is reached from outside cannot be proven from here") && c.finds == "" {
				t.Errorf("nothing is said of the callback:\n%s", a.out)
			}
			if c.finds == "" {
				if a.code != exitDone || strings.Contains(a.out, problem) || !strings.Contains(a.out, "Baton's app is the primary receiver") {
					t.Errorf("%+v", a)
				}
				return
			}
			if a.code != exitFailure || !strings.Contains(a.out, c.finds) || !strings.Contains(a.out, "way out: ") || !strings.Contains(a.out, "why: ") {
				t.Errorf("want %q: exit code %d\n%s%s", c.finds, a.code, a.out, a.errors)
			}
			if strings.Contains(a.out+a.errors, "page-token") || strings.Contains(a.out+a.errors, "platform-secret") {
				t.Error("it tells a secret")
			}
		})
	}
}

// TestDoctorTellsARoleThatIsNotLeading as a note: routing still works.
func TestDoctorTellsARoleThatIsNotLeading(t *testing.T) {
	t.Parallel()
	g := healthyGraph()
	g.receivers = `{"error":{"message":"(#100) Only available to Primary and Secondary Receivers.","code":100,"error_subcode":2018171}}`
	server := httptest.NewServer(g)
	defer server.Close()
	if a := examined(t, server.URL); a.code != exitDone || !strings.Contains(a.out, "does not show Baton's app as the primary receiver") {
		t.Errorf("%+v", a)
	}
}

func TestDoctorOfAPlatformThatIsAway(t *testing.T) {
	t.Parallel()
	if a := examined(t, nowhere); a.code != exitNotServed || !strings.Contains(a.out, "it does not answer at "+nowhere) {
		t.Errorf("%+v", a)
	}
	server := httptest.NewServer(&graphStub{status: http.StatusBadGateway})
	defer server.Close()
	if a := examined(t, server.URL); a.code != exitNotServed || !strings.Contains(a.out, "status 502") {
		t.Errorf("%+v", a)
	}
	if a := baton(t.Context(), "--admin", nowhere, "doctor"); a.code != exitNotServed {
		t.Errorf("%+v", a)
	}
	if a := examined(t, "simulator"); a.code != exitDone || !strings.Contains(a.out, "the simulator of a server") {
		t.Errorf("%+v", a)
	}
}

// TestDoctorOfARunningServer looks at the server's own side too.
func TestDoctorOfARunningServer(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.until(`survey +active +0 `, "app ls")
	out := d.ok("doctor")
	for _, line := range []string{
		"data directory", "streams: all present", "partitions: 64 held", "roster: version", "app survey: active",
		"the platform answers", "clock: within", "page 100200300400500: subscribed with all fields",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	var r struct {
		Findings []struct {
			Severity string
			Way_out  string
		}
	}
	if err := json.Unmarshal([]byte(d.ok("-o json doctor")), &r); err != nil || len(r.Findings) == 0 || r.Findings[0].Way_out == "" {
		t.Error(r, err)
	}
	d.ok("app pause survey")
	a := d.run("doctor")
	if a.code != exitFailure || !strings.Contains(a.out, "app survey: its deliveries are paused by an operator") || !strings.Contains(a.errors, "problems found: 1") {
		t.Errorf("%+v", a)
	}
}
