package graphapi

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

const appA = "700000000000001"

// is fails the test unless the call succeeded with this body.
func (w *world) is(g got, body string) {
	w.t.Helper()
	if diff := cmp.Diff(body, w.ok(g).body); diff != "" {
		w.t.Error(diff)
	}
}

// form posts parameters in a form.
func (w *world) form(path string, form url.Values) got {
	w.t.Helper()
	return w.call(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

func TestAppsConnectAndDisconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := "/v25.0/" + acme + "/subscribed_apps"
	listed := func(fields string) string {
		return `{"data":[{"category":"Business","link":"","name":"agent","id":"700000000000002","subscribed_fields":` + fields +
			`}],"paging":{"cursors":{"before":"NzAwMDAwMDAwMDAwMDAy","after":"NzAwMDAwMDAwMDAwMDAy"}}}`
	}
	w.is(w.get(edge+"?access_token=TB"), listed(`[]`))
	// Only in the query, with a comma and a space, as a published sample does.
	w.is(w.call(http.MethodPost, edge+"?access_token=TB&subscribed_fields=messages,%20messaging_postbacks,+messages", "", ""), `{"success":true}`)
	w.is(w.get(edge+"?access_token=TB"), listed(`["messages","messaging_postbacks"]`))
	// As a JSON list in a body that carries the token too.
	w.is(w.call(http.MethodPost, "/me/subscribed_apps", "application/json", `{"access_token":"TB","subscribed_fields":["standby","message_edit"]}`), `{"success":true}`)
	w.is(w.get(edge+"?access_token=TB"), listed(`["standby","message_edit"]`))
	w.is(w.call(http.MethodDelete, edge+"?access_token=TB", "", ""), `{"success":true}`)
	w.is(w.get(edge+"?access_token=TB"), `{"data":[]}`)
	if w.snapshot.Load().Page(100200300400500).Connected(700000000000002) {
		t.Error("still connected")
	}
	w.refused(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TB"), 100, 2018171)
	w.is(w.form(edge, url.Values{"access_token": {"TB"}, "method": {"DELETE"}}), `{"success":true}`) // again
	// The token still works for coming back, with the fields of before.
	w.is(w.call(http.MethodPost, edge+"?access_token=TB", "", ""), `{"success":true}`)
	w.is(w.get(edge+"?access_token=TB"), listed(`["standby","message_edit"]`))
	w.ok(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TB"))
	if data, _, err := w.bus.Roster(t.Context()); err != nil || !strings.Contains(string(data), "message_edit") {
		t.Errorf("stored %s, %v", data, err)
	}
}

func TestConnectingNeedsARight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot.Load()
	e := w.refused(w.call(http.MethodPost, "/me/subscribed_apps?access_token=TB&subscribed_fields=messages,nothing", "", ""), 100, 0)
	if !strings.HasPrefix(e.Error.Message, "(#100) Param subscribed_fields[1] must be one of {MESSAGES, MESSAGE_ECHOES, ") ||
		!strings.HasSuffix(e.Error.Message, ` - got "nothing".`) {
		t.Error(e.Error.Message)
	}
	w.refused(w.call(http.MethodPost, "/me/subscribed_apps?access_token=TD&subscribed_fields=messages", "", ""), 200, 0)
	w.refused(w.call(http.MethodDelete, "/100200300400501/subscribed_apps?access_token=TB", "", ""), 100, 33)
	w.refused(w.call(http.MethodPut, "/me/subscribed_apps?access_token=TB", "", ""), 100, 33)
	w.refused(w.call(http.MethodPost, "/me/subscribed_apps?access_token=nope", "", ""), 190, 0)
	if w.snapshot.Load() != before {
		t.Error("the roster has changed")
	}
}

// receiver is a callback that answers challenges for one verify token.
func receiver(t *testing.T, verify string) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Query().Get("hub.verify_token") != verify {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hook", asked
}

func TestAppsSubscribe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, asked := receiver(t, "vt")
	edge, token := "/v25.0/"+appA+"/subscriptions", url.QueryEscape(appA+"|s1")
	w.is(w.get(edge+"?access_token="+token), `{"data":[]}`)
	subscribe := func(object, fields string) url.Values {
		return url.Values{
			"access_token": {appA + "|s1"}, "object": {object}, "callback_url": {hook}, "fields": {fields}, "verify_token": {"vt"}, "include_values": {"true"},
		}
	}
	w.is(w.form(edge, subscribe("page", "messages, messaging_postbacks")), `{"success":true}`)
	w.is(w.form("/app/subscriptions", subscribe("instagram", `["messages"]`)), `{"success":true}`)
	if asked.Load() != 2 {
		t.Errorf("challenged %d times", asked.Load())
	}
	field := func(name string) string { return `{"name":"` + name + `","version":"v25.0"}` }
	entry := func(object string, fields ...string) string {
		return `{"object":"` + object + `","callback_url":"` + hook + `","active":true,"fields":[` + strings.Join(fields, ",") + `]}`
	}
	w.is(w.get(edge+"?access_token="+token),
		`{"data":[`+entry("page", field("messages"), field("messaging_postbacks"))+`,`+entry("instagram", field("messages"))+`]}`)
	w.is(w.call(http.MethodDelete, edge+"?object=page&fields=messages&access_token="+token, "", ""), `{"success":true}`)
	w.is(w.call(http.MethodDelete, edge+"?object=instagram&access_token="+token, "", ""), `{"success":true}`)
	w.is(w.get(edge+"?access_token="+token), `{"data":[`+entry("page", field("messaging_postbacks"))+`]}`)
	app, _ := w.snapshot.Load().App(700000000000001)
	if app.CallbackURL != hook || app.VerifyToken.Value() != "vt" {
		t.Errorf("callback %s", app.CallbackURL)
	}
	w.is(w.call(http.MethodDelete, edge+"?access_token="+token, "", ""), `{"success":true}`)
	w.is(w.get(edge+"?access_token="+token), `{"data":[]}`)
}

// TestChallengeBearsTheAppsToken gives app A an authorization server and a
// callback that wants its token: the handshake must bring it, and app B's must
// not.
func TestChallengeBearsTheAppsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"of-a","token_type":"bearer","expires_in":60}`)
		case r.Header.Get("Authorization") != "Bearer of-a":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
		}
	}))
	t.Cleanup(server.Close)
	_, err := w.Change(t.Context(), func(d roster.Document) (roster.Document, bool, error) {
		for i := range d.Apps {
			if d.Apps[i].ID == appA {
				d.Apps[i].OAuth = roster.OAuth{TokenURL: server.URL + "/token", ClientID: "a", ClientSecret: roster.NewSecret("secret")}
			}
		}
		return d, true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	values := url.Values{
		"access_token": {appA + "|s1"}, "object": {"page"}, "callback_url": {server.URL + "/hook"}, "fields": {"messages"}, "verify_token": {"vt"},
	}
	w.is(w.form("/app/subscriptions", values), `{"success":true}`)
	values.Set("access_token", "700000000000002|s2")
	if got := w.form("/app/subscriptions", values); !strings.Contains(got.body, "the challenge was not answered") {
		t.Errorf("another app: %s", got.body)
	}
}

func TestBadSubscriptionsChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, _ := receiver(t, "vt")
	good := url.Values{
		"access_token": {appA + "|s1"}, "object": {"page"}, "callback_url": {hook}, "fields": {"messages"}, "verify_token": {"vt"},
	}
	before := w.snapshot.Load()
	for name, c := range map[string]struct { //nolint:paralleltest // one world, asked in turn
		param, value string
		code         int
		message      string
	}{
		"no object":         {"object", "", 100, "(#100) The parameter object is required"},
		"unknown object":    {"object", "user", 100, `(#100) Param object must be one of {PAGE, INSTAGRAM} - got "user".`},
		"no callback":       {"callback_url", "", 100, "(#100) The parameter callback_url is required"},
		"no address":        {"callback_url", "nonsense", 100, "(#100) Param callback_url must be an absolute http or https URL without user and fragment"},
		"a password":        {"callback_url", "https://u:p@x.test/", 100, "(#100) Param callback_url must be an absolute http or https URL without user and fragment"},
		"long callback":     {"callback_url", "https://x.test/" + strings.Repeat("x", 2048), 100, "(#100) Length of params callback_url and verify_token must be less than or equal to 2048"},
		"private address":   {"callback_url", "http://10.0.0.1/", 2200, "(#2200) Callback verification failed with the following errors: the address may not be reached"},
		"nobody there":      {"callback_url", "http://127.0.0.1:1/", 2200, "(#2200) Callback verification failed with the following errors: no answer"},
		"wrong verify":      {"verify_token", "other", 2200, "(#2200) Callback verification failed with the following errors: the challenge was not answered with status 200 and its text"},
		"no verify token":   {"verify_token", "", 100, "(#100) The parameter verify_token is required"},
		"no fields":         {"fields", "", 100, "(#100) The parameter fields is required"},
		"empty fields":      {"fields", "[]", 100, "(#100) The parameter fields is required"},
		"unknown field":     {"fields", "nothing", 100, ""},
		"no token":          {"access_token", "", 190, "An access token is required to request this resource."},
		"wrong secret":      {"access_token", appA + "|s2", 190, "Invalid OAuth access token - Cannot parse access token"},
		"unknown app":       {"access_token", "5|s1", 190, "Invalid OAuth access token - Cannot parse access token"},
		"another app":       {"access_token", "700000000000002|s2", 100, ""},
		"a page's token":    {"access_token", "TA", 15, "(#15) This method must be called with an app access_token."},
		"nobody's token":    {"access_token", "nope", 190, "Invalid OAuth access token - Cannot parse access token"},
		"wrong proof":       {"appsecret_proof", "00", 100, "Invalid appsecret_proof provided in the API argument"},
		"object of removal": {"method", "PUT", 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			form := maps.Clone(good)
			form.Set(c.param, c.value)
			e := w.form("/v25.0/"+appA+"/subscriptions", form).graphError(t)
			if e.Error.Code != c.code || c.message != "" && e.Error.Message != c.message {
				t.Errorf("%+v", e.Error)
			}
		})
	}
	w.refused(w.get("/v25.0/"+acme+"/subscriptions?access_token="+url.QueryEscape(appA+"|s1")), 100, 33)
	w.refused(w.call(http.MethodDelete, "/v25.0/"+appA+"/subscriptions?object=x&access_token="+url.QueryEscape(appA+"|s1"), "", ""), 100, 0)
	w.refused(w.call(http.MethodDelete, "/v25.0/"+appA+"/subscriptions?fields=x&access_token="+url.QueryEscape(appA+"|s1"), "", ""), 100, 0)
	if w.snapshot.Load() != before {
		t.Error("the roster has changed")
	}
}

func TestDebugToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(input, token string) got {
		return w.get("/debug_token?input_token=" + url.QueryEscape(input) + "&access_token=" + url.QueryEscape(token))
	}
	page := `{"data":{"app_id":"700000000000001","type":"PAGE","application":"faq-bot","expires_at":0,"is_valid":true,"profile_id":"` + acme +
		`","scopes":["pages_messaging","instagram_manage_messages","pages_manage_metadata"],"granular_scopes":[` +
		`{"scope":"pages_messaging","target_ids":["` + acme + `"]},{"scope":"instagram_manage_messages","target_ids":["` + acme +
		`"]},{"scope":"pages_manage_metadata","target_ids":["` + acme + `"]}]}}`
	w.is(ask("TA", appA+"|s1"), page)
	w.is(ask("TA", "TA"), page)
	w.is(ask("TA", "ZA"), page) // the same app, on another page
	w.is(ask(appA+"|s1", appA+"|s1"), `{"data":{"app_id":"700000000000001","type":"APP","application":"faq-bot","expires_at":0,"is_valid":true,"scopes":[]}}`)
	t.Log("a client that proves every call proves this one by the token it asks about")
	proof := "&appsecret_proof=" + platform.Proof("s1", "TA")
	w.is(w.get("/debug_token?input_token=TA&access_token="+url.QueryEscape(appA+"|s1")+proof), page)
	w.refused(w.get("/debug_token?input_token=TB&access_token="+url.QueryEscape(appA+"|s1")+proof), 100, 0)
	unknown := `{"data":{"error":{"code":190,"message":"Invalid OAuth access token - Cannot parse access token"},"is_valid":false,"scopes":[]}}`
	w.is(ask("nope", appA+"|s1"), unknown)
	w.is(ask(appA+"|wrong", appA+"|s1"), unknown)
	for _, foreign := range []string{"TB", "700000000000002|s2"} {
		e := w.refused(ask(foreign, appA+"|s1"), 100, 0)
		if e.Error.Message != "(#100) The App_id in the input_token did not match the Viewing App" {
			t.Error(e.Error.Message)
		}
	}
	w.refused(w.get("/debug_token?access_token="+url.QueryEscape(appA+"|s1")), 100, 0)
	w.refused(w.get("/debug_token?input_token=TA"), 190, 0)
	w.refused(ask("TA", "nope"), 190, 0)
	w.refused(w.call(http.MethodPost, "/debug_token?input_token=TA&access_token=TA", "", ""), 100, 33)
	w.refused(w.get("/me/debug_token?input_token=TA&access_token=TA"), 100, 33)
}

func TestRevokedTokensEndAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	_, err := w.Change(t.Context(), func(d roster.Document) (roster.Document, bool, error) {
		d, err := d.RevokeToken(roster.HashToken("TA"))
		return d, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.refused(w.post("messages", "TA", text(person)), 190, 460)
	w.refused(w.call(http.MethodPost, "/me/subscribed_apps?access_token=TA", "", ""), 190, 460)
	w.is(w.get("/debug_token?input_token=TA&access_token="+url.QueryEscape(appA+"|s1")),
		`{"data":{"error":{"code":190,"message":"Error validating access token: The session has been invalidated.","subcode":460},"is_valid":false,"scopes":[]}}`)
	w.ok(w.get("/v25.0/me/thread_owner?recipient=1&access_token=ZA")) // its others stay
	if owner := w.owner(9001234567890123); owner != control.AppID(700000000000001) {
		t.Errorf("owner %d", owner)
	}
	if len(w.platform.calls()) != 0 {
		t.Error("forwarded")
	}
}
