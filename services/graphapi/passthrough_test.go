package graphapi

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// answersWith lets the platform answer with a body from now on.
func (w *world) answersWith(body string) {
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Business-Use-Case-Usage", `{"1":[]}`)
		_, _ = io.WriteString(rw, body)
	})
}

// last is the latest call that reached the platform.
func (w *world) last() sent {
	w.t.Helper()
	calls := w.platform.calls()
	if len(calls) == 0 {
		w.t.Fatal("nothing reached the platform")
	}
	return calls[len(calls)-1]
}

func TestCallsArePassedThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const answer = `{"first_name":"Ada","id":"9001234567890123"}`
	w.answersWith(answer)
	for name, c := range map[string]struct{ method, path, want string }{ //nolint:paralleltest // one world, asked in turn
		"a person":         {"GET", "/v25.0/" + person + "?fields=first_name,id", "GET /" + person},
		"a message":        {"GET", "/m_AbC-_?fields=to", "GET /m_AbC-_"},
		"a conversation":   {"GET", "/t_123/messages?fields=message", "GET /t_123/messages"},
		"labels":           {"POST", "/me/custom_labels?name=vip", "POST /" + acme + "/custom_labels"},
		"personas":         {"GET", "/" + acme + "/personas", "GET /" + acme + "/personas"},
		"a person's label": {"GET", "/" + person + "/custom_labels", "GET /" + person + "/custom_labels"},
	} {
		t.Run(name, func(t *testing.T) {
			sep := map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")]
			g := w.call(c.method, c.path+sep+"access_token=TA", "", "")
			w.is(g, answer)
			if g.header.Get("X-Business-Use-Case-Usage") == "" {
				t.Error("no rate-limit header")
			}
			last := w.last()
			if got := last.method + " " + last.path; got != c.want || last.token != "PAGE" || len(last.query["access_token"]) != 1 {
				t.Errorf("%s with %s", got, last.token)
			}
			if c.method == "POST" && last.raw != "name=vip" || c.path == "/m_AbC-_?fields=to" && last.query.Get("fields") != "to" {
				t.Errorf("%s %v", last.raw, last.query)
			}
		})
	}
	const refusal = `{"error":{"message":"(#200) no","type":"OAuthException","code":200,"fbtrace_id":"X"}}`
	w.refuses(403, refusal)
	if g := w.get("/me/insights?metric=x&access_token=TA"); g.status != 403 || g.body != refusal || g.header.Get("X-Page-Usage") == "" {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.platform.server.CloseClientConnections()
	w.platform.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if g := w.get("/me/insights?access_token=TA"); g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.refused(w.post("personas", "TA", `{"name":"x"}`), 2, 0)
}

func TestNothingElseIsPassedThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, err := w.snapshot.Load().Document().ChangeApp("700000000000002", func(a *roster.App) error {
		a.PassThrough = []string{"insights", "take_thread_control", "subscriptions"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := roster.Compile(d, 4)
	if err != nil {
		t.Fatal(err)
	}
	w.use(s)
	for name, c := range map[string]struct{ method, path string }{ //nolint:paralleltest // one world, asked in turn
		"an edge off the list":   {"GET", "/me/feed?access_token=TA"},
		"a root edge":            {"GET", "/oauth?access_token=TA"},
		"a page's name":          {"GET", "/cocacola?access_token=TA"},
		"another page":           {"GET", "/100200300400501?access_token=TA"},
		"another page's labels":  {"GET", "/100200300400501/custom_labels?access_token=TA"},
		"an app":                 {"GET", "/" + appA + "?access_token=TA"},
		"dots":                   {"GET", "/....................?access_token=TA"},
		"a change of the page":   {"POST", "/me?about=x&access_token=TA"},
		"a removal off the list": {"DELETE", "/" + person + "?access_token=TB"},
		"a removal by a word":    {"DELETE", "/some_persona_of_mine?access_token=TA"},
		"a page's removal":       {"DELETE", "/" + acme + "?access_token=TA"},
		"a reply by the thread":  {"POST", "/t_123/messages?message=x&access_token=TA"},
		"PUT":                    {"PUT", "/me/personas?access_token=TA"},
		"control, though listed": {"POST", "/" + person + "/take_thread_control?access_token=TB"},
		"off its own list":       {"GET", "/" + person + "?access_token=TB"},
		"the page, not listed":   {"GET", "/me?fields=name&access_token=TB"},
		"conversations likewise": {"GET", "/me/conversations?access_token=TB"},
	} {
		t.Run(name, func(t *testing.T) {
			w.refused(w.call(c.method, c.path, "", ""), 100, 33)
		})
	}
	w.refused(w.get("/me/personas?access_token=TD"), 200, 0)
	w.refused(w.get("/me/insights?access_token=nope"), 190, 0)
	if calls := w.platform.calls(); len(calls) != 0 {
		t.Errorf("reached the platform: %+v", calls)
	}
	w.ok(w.get("/me/insights?access_token=TB"))
}

func TestFieldsDoNotReachRoundTheList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, fields := range []string{
		"name,access_token", "name,leadgen_forms{leads}", "feed.limit(1)", "conversations{is_owner}", "subscribed_apps", "name,messages{id}",
	} {
		w.refused(w.get("/me?fields="+url.QueryEscape(fields)+"&access_token=TA"), 100, 0)
	}
	if calls := w.platform.calls(); len(calls) != 0 {
		t.Errorf("reached the platform: %+v", calls)
	}
	w.ok(w.get("/me?fields=" + url.QueryEscape("name,picture{url},personas.limit(3){id}") + "&access_token=TA"))
}

func TestTokensOfThePlatformStayInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	base := w.platform.server.URL
	w.answersWith(`{"data":[],"x":"PAG","paging":{"next":"` + strings.ReplaceAll(base, "/", `\/`) + `\/v25.0\/1\/personas?access_token=PAGE&after=x",` +
		`"previous":"` + base + `/1?access_token=PAGE"},"end":"PAGE`)
	body := w.ok(w.get("/me/personas?access_token=TA")).body
	want := `{"data":[],"x":"PAG","paging":{"next":"` + strings.ReplaceAll(w.api.URL, "/", `\/`) + `\/v25.0\/1\/personas?access_token=TA&after=x",` +
		`"previous":"` + w.api.URL + `/1?access_token=TA"},"end":"TA`
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	r := w.ok(w.call(http.MethodPost, "/?access_token=TA", "application/json", `{"batch":[{"method":"GET","relative_url":"me/personas"}]}`))
	if strings.Contains(r.body, "PAGE") || !strings.Contains(r.body, "access_token=TA") {
		t.Error(r.body)
	}
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Encoding", "br") })
	if g := w.get("/me/personas?access_token=TA"); g.status != http.StatusServiceUnavailable {
		t.Errorf("an answer that cannot be read: %d", g.status)
	}
}

func TestDisguiseHoldsAcrossReads(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("ab", 5000) + "SECRET" + strings.Repeat("SECRE", 2000) + "SECRET"
	for _, source := range []io.Reader{iotest.OneByteReader(strings.NewReader(text)), strings.NewReader(text), iotest.DataErrReader(strings.NewReader(text))} {
		d := &disguise{source: io.NopCloser(source), cancel: func() {}}
		d.swap("SECRET", "mine")
		d.swap("", "nothing")
		got, err := io.ReadAll(d)
		if err != nil || string(got) != strings.ReplaceAll(text, "SECRET", "mine") {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAttachmentsAreStreamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answersWith(`{"attachment_id":"5"}`)
	file := bytes.Repeat([]byte("x"), 2<<20)
	for _, fieldsFirst := range []bool{true, false} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		fields := func() {
			_ = form.WriteField("message", `{"attachment":{"type":"image"}}`)
			_ = form.WriteField("access_token", "TA")
		}
		if fieldsFirst {
			fields()
		}
		part, _ := form.CreateFormFile("filedata", "a.png")
		_, _ = part.Write(file)
		if !fieldsFirst {
			fields()
		}
		_ = form.Close()
		w.is(w.call(http.MethodPost, "/me/message_attachments", form.FormDataContentType(), body.String()), `{"attachment_id":"5"}`)
		last := w.last()
		if last.path != "/"+acme+"/message_attachments" || last.token != "PAGE" || !strings.Contains(last.raw, string(file)) ||
			!strings.Contains(last.raw, `name="message"`) || strings.Contains(last.raw, "TA\r\n") {
			t.Errorf("%s with %d bytes", last.path, len(last.raw))
		}
	}
}

func TestFeatureStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	is := func(path, status, id string) {
		t.Helper()
		w.is(w.get(path), `{"id":"`+id+`","messaging_feature_status":`+status+`}`)
	}
	handover := `{"hop_v2":true,"msgr_multi_app":false,"ig_multi_app":true}`
	is("/v25.0/me?fields=messaging_feature_status&access_token=TA", handover, acme)
	is("/"+acme+"?fields=messaging_feature_status,id&access_token=TA", handover, acme)
	is("/me?fields=messaging_feature_status&access_token=IA", `{"hop_v2":false,"msgr_multi_app":false,"ig_multi_app":true}`, acme)
	is("/me?fields=messaging_feature_status&access_token=ZA", `{"hop_v2":false,"msgr_multi_app":false,"ig_multi_app":false}`, "100200300400501")
	if len(w.platform.calls()) != 0 {
		t.Error("the platform was asked")
	}
	w.answersWith(`{"name":"Acme","id":"` + acme + `"}`)
	w.is(w.get("/me?fields=name,messaging_feature_status&access_token=TA"), `{"id":"`+acme+`","messaging_feature_status":`+handover+`,"name":"Acme"}`)
	if got := w.last().query.Get("fields"); got != "name" {
		t.Errorf("asked for %s", got)
	}
	w.is(w.get("/me?fields=name&access_token=TA"), `{"name":"Acme","id":"`+acme+`"}`)
	w.answersWith(`["Acme"]`)
	w.is(w.get("/me?fields=name,messaging_feature_status&access_token=TA"), `["Acme"]`)
	w.refuses(400, `{"error":{"code":100}}`)
	if g := w.get("/me?fields=name,messaging_feature_status&access_token=TA"); g.status != 400 || g.body != `{"error":{"code":100}}` {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.refused(w.get("/me?fields=messaging_feature_status&access_token=TD"), 200, 0)
}

func TestConversationsSayWhoOwnsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	if w.owner(9001234567890123) != control.AppID(700000000000001) {
		t.Fatal("A has no control")
	}
	const participants = `"participants":{"data":[{"id":"` + acme + `","name":"Acme"},{"id":"` + person + `","name":"Ada"}]}`
	w.answersWith(`{"data":[{"id":"t_1","is_owner":true,` + participants + `},{"id":"t_2","participants":{"data":[{"id":"42"}]}}],"paging":{"cursors":{}}}`)
	w.is(w.get("/me/conversations?fields=is_owner,id&access_token=TA"),
		`{"data":[{"id":"t_1","is_owner":true},{"id":"t_2","is_owner":false}],"paging":{"cursors":{}}}`)
	if got := w.last().query.Get("fields"); got != "id,participants" {
		t.Errorf("asked for %s", got)
	}
	w.is(w.get("/me/conversations?fields=is_owner,participants{id,name}&access_token=TB&platform=messenger"),
		`{"data":[{"id":"t_1","is_owner":false,`+participants+`},{"id":"t_2","is_owner":false,"participants":{"data":[{"id":"42"}]}}],"paging":{"cursors":{}}}`)
	w.answersWith(`{"data":[null,{"id":"t_1"}]}`)
	w.is(w.get("/me/conversations?fields=is_owner&access_token=TA"), `{"data":[null,{"id":"t_1","is_owner":false}]}`)
	w.answersWith(`{"data":[{"id":"t_1"}]}`)
	w.is(w.get("/me/conversations?user_id="+person+"&fields=is_owner&access_token=TA"), `{"data":[{"id":"t_1","is_owner":true}]}`)
	w.is(w.get("/me/conversations?access_token=TA"), `{"data":[{"id":"t_1"}]}`)
	w.is(w.get("/me/conversations?fields=is_owner&access_token=IA"), `{"data":[{"id":"t_1","is_owner":false}]}`)
	if q := w.last().query; q.Get("platform") != "instagram" || w.last().token != "IGPAGE" {
		t.Errorf("asked with %v", q)
	}
	w.refused(w.get("/me/conversations?platform=instagram&access_token=TA"), 100, 2534013)
	w.refused(w.post("conversations", "TA", `{}`), 100, 33)
	w.answersWith(`{"id":"t_1","is_owner":true,` + participants + `}`)
	w.is(w.get("/t_1?fields=id,is_owner&access_token=TB"), `{"id":"t_1","is_owner":false}`)
	w.is(w.get("/t_1?fields=is_owner,participants{id}&access_token=TA"), `{"id":"t_1","is_owner":true,`+participants+`}`)
	if got := w.last().query.Get("fields"); got != "participants{id}" {
		t.Errorf("asked for %s", got)
	}
	w.answersWith(`[]`)
	if g := w.get("/me/conversations?fields=is_owner&access_token=TA"); g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.refuses(400, `{"error":{"code":100}}`)
	if g := w.get("/me/conversations?fields=is_owner&access_token=TA"); g.status != 400 || g.body != `{"error":{"code":100}}` {
		t.Errorf("%d %s", g.status, g.body)
	}
}

func TestEdgesHaveNames(t *testing.T) {
	t.Parallel()
	s, err := New(Default(partitions), Deps{Holder: yes{}, Platform: yes{}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/me": "node", "/v25.0/debug_token": "debug_token", "/app/subscriptions": "subscriptions", "/me/personas": "other",
		"/me/thread_owner": "thread_owner", "/" + person: "node", "/me/debug_token": "other", "/subscriptions": "node",
	} {
		p, err := graph.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.edgeName(&call{path: p}); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
