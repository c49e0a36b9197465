package graphapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/roster"
)

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const proof = "88303ff8af15ef60ce2fe78ba5c2180e5b2bed1bf30483c4f1f29bc1ea4f2c85"
	for name, c := range map[string]struct { //nolint:paralleltest // one world, asked in turn
		path          string
		code, subcode int
		text          string
	}{
		"no token":              {"/v25.0/me/thread_owner?recipient=1", 190, 0, "access token is required"},
		"unknown token":         {"/v25.0/me/thread_owner?recipient=1&access_token=nope", 190, 0, "Invalid OAuth access token"},
		"app token":             {"/v25.0/me/thread_owner?recipient=1&access_token=700000000000001|s1", 190, 0, ""},
		"foreign node":          {"/v25.0/100200300400501/thread_owner?recipient=1&access_token=TA", 100, 33, "100200300400501"},
		"node is no id":         {"/v25.0/app/thread_owner?recipient=1&access_token=TA", 100, 33, ""},
		"account behind a page": {"/v25.0/" + insta + "/thread_owner?recipient=1&access_token=TA", 100, 33, ""},
		"unknown edge":          {"/v25.0/me/subscribed_things?access_token=TA", 100, 33, "the edge subscribed_things"},
		"another page":          {"/v25.0/100200300400501?access_token=TA", 100, 33, "100200300400501"},
		"too long a path":       {"/v25.0/me/thread_owner/more?access_token=TA", 2500, 0, "/more"},
		"wrong method":          {"/v25.0/me/take_thread_control?access_token=TA", 100, 33, "called with POST"},
		"no task":               {"/v25.0/me/thread_owner?recipient=1&access_token=TD", 200, 0, "MODERATE"},
		"wrong proof":           {"/v25.0/me/thread_owner?recipient=1&access_token=TA&appsecret_proof=00", 100, 0, "Invalid appsecret_proof"},
		"missing proof":         {"/v25.0/me/thread_owner?recipient=1&access_token=EAABatonPageToken001", 100, 0, "require an appsecret_proof"},
		"foreign proof":         {"/v25.0/me/thread_owner?recipient=1&access_token=TA&appsecret_proof=" + proof, 100, 0, "Invalid appsecret_proof"},
	} {
		t.Run(name, func(t *testing.T) {
			g := w.get(c.path)
			w.refused(g, c.code, c.subcode)
			if g.status != 400 || !strings.Contains(g.body, c.text) {
				t.Errorf("%d %s", g.status, g.body)
			}
			if c.code == 190 && !strings.Contains(g.header.Get("WWW-Authenticate"), `"invalid_token"`) {
				t.Error("no WWW-Authenticate")
			}
		})
	}
	w.ok(w.get("/v25.0/me/thread_owner?recipient=1&access_token=EAABatonPageToken001&appsecret_proof=" + proof))
	w.refused(w.post("messages", "TD", text(person)), 200, 0) // has the task, not the permission
	w.refused(w.call(http.MethodPut, "/v25.0/me/messages?access_token=TA", "application/json", text(person)), 100, 33)
	w.ok(w.call(http.MethodPost, "/v25.0/me/thread_owner?access_token=TA", "application/x-www-form-urlencoded", "method=GET&recipient=1"))
}

func TestInstagramTokenReachesItsAccountUnderEitherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, node := range []string{"me", insta, acme} {
		w.ok(w.get("/v25.0/" + node + "/thread_owner?recipient=1&access_token=IA"))
	}
	w.ok(w.call(http.MethodPost, "/v25.0/"+acme+"/messages?access_token=IA", "application/json", text(person)))
	if calls := w.platform.calls(); len(calls) != 1 || calls[0].path != "/"+acme+"/messages" || calls[0].token != "IGPAGE" {
		t.Errorf("forwarded to %+v", calls)
	}
}

func TestTokensThatWereTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, err := w.snapshot.Load().Document().RevokeToken(roster.HashToken("TA"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err = d.Disconnect(acme, "700000000000002"); err != nil {
		t.Fatal(err)
	}
	s, err := roster.Compile(d, 4)
	if err != nil {
		t.Fatal(err)
	}
	w.use(s)
	w.refused(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TA"), 190, 460)
	w.refused(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TB"), 100, 2018171) // row 101
	w.use(nil)
	if g := w.get("/v25.0/me/thread_owner?recipient=1&access_token=TB"); g.status != http.StatusServiceUnavailable {
		t.Errorf("without a roster: %d", g.status)
	}
}

func TestRateLimitIsPerApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ok(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TF"))
	if got := first.header.Get("X-App-Usage"); got != `{"call_count":100,"total_cputime":0,"total_time":0}` {
		t.Errorf("X-App-Usage %s", got)
	}
	g := w.get("/v25.0/me/thread_owner?recipient=1&access_token=TF")
	w.refused(g, 4, 0)
	if g.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %s", g.header.Get("Retry-After"))
	}
	w.ok(w.get("/v25.0/me/thread_owner?recipient=1&access_token=TA"))
}

func TestBadBodiesChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.RequestBytes, c.UploadBytes = 2000, 3000 })
	take := "/v25.0/me/take_thread_control?access_token=TA"
	for name, c := range map[string]struct{ path, contentType, body string }{ //nolint:paralleltest // one world, asked in turn
		"broken JSON":       {take, "application/json", `{"recipient":`},
		"JSON array":        {take, "application/json", `[1]`},
		"deep JSON":         {take, "application/json", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)},
		"broken form":       {take, "application/x-www-form-urlencoded", `recipient=%zz`},
		"unknown type":      {take, "application/xml", `<a/>`},
		"no boundary":       {take, "multipart/form-data", `x`},
		"broken multipart":  {"/v25.0/me/messages?access_token=TA", "multipart/form-data; boundary=b", `--x`},
		"float id":          {take, "application/json", `{"recipient":{"id":1.5}}`},
		"id with a sign":    {take, "application/json", `{"recipient":{"id":"-5"}}`},
		"id beyond 2^64":    {take, "application/json", `{"recipient":{"id":"99999999999999999999"}}`},
		"not UTF-8":         {take, "application/json", "{\"recipient\":{\"id\":\"\xff\"}}"},
		"batch of nonsense": {"/v25.0/?access_token=TA", "application/json", `{"batch":"x"}`},
		"no batch":          {"/v25.0/?access_token=TA", "application/json", `{}`},
		"long key":          {take, "application/json", `{` + to(person) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.api.URL+c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			if name == "long key" {
				r.Header.Set("Idempotency-Key", strings.Repeat("k", 256))
			}
			g := w.do(r)
			if e := g.graphError(t); g.status != 400 || e.Error.Code != 100 {
				t.Errorf("%d %s", g.status, g.body)
			}
		})
	}
	large := w.call(http.MethodPost, take, "application/json", `{`+to(person)+`,"metadata":"`+strings.Repeat("x", 2000)+`"}`)
	if large.graphError(t); large.status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d", large.status)
	}
	if len(w.holder.logged()) != 0 {
		t.Errorf("decided %v", w.holder.logged())
	}
}
