package ingress_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/webhook"
	"github.com/baton-router/baton/services/ingress"
)

func TestHandshakeEchoesTheChallenge(t *testing.T) {
	t.Parallel()
	var c tally
	d := deps(newGate(nil))
	d.Observer = c.observer()
	s := service(t, ingress.Config{}, d)
	for _, test := range []struct {
		query string
		code  int
		body  string
	}{
		{"hub.mode=subscribe&hub.verify_token=verify&hub.challenge=1158201444", 200, "1158201444"},
		{"hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1158201444", 403, ""},
		{"", 403, ""},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/webhook?"+test.query, nil))
		if w.Code != test.code || test.body != "" && w.Body.String() != test.body {
			t.Errorf("%s: %d %s", test.query, w.Code, w.Body)
		}
	}
	if diff := cmp.Diff(map[string]int{ingress.ResultChallenge: 1, ingress.ResultBadToken: 2}, c.results); diff != "" {
		t.Error(diff)
	}
}

func TestEventsAreDurableWhenTheAnswerIs200(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, true, 0)
	var c tally
	d := deps(conn)
	d.Observer = c.observer()
	s := service(t, ingress.Config{}, d)
	run(t, s)
	echo := `{"sender":{"id":"100200300400500"},"recipient":{"id":"7"},"timestamp":1790000000046,"message":{"mid":"m_e","is_echo":true,"app_id":5,"metadata":"baton1:1-2"}}`
	foreign := strings.Replace(message(1, "m_f", "x"), "100200300400500", "42", 1)
	body := post(message(7, "m_1", "café"), echo, `{"recipient":{"id":"100200300400500"},"policy_enforcement":{}}`)
	body = append(body[:len(body)-2], []byte(`,{"id":"42","messaging":[`+foreign+`]}]}`)...)
	r := signed(t, body)
	r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "EVENT_RECEIVED" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	batches, at := stored(t, conn)
	parsed, err := webhook.Parse(body, webhook.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	byDedupe := map[string]webhook.Event{}
	for _, e := range parsed.Events {
		byDedupe[string(e.Dedupe[:])] = e
	}
	count := 0
	for i, b := range batches {
		if b.GetReceivedAtMs() == 0 {
			t.Error("no time of receipt")
		}
		for _, e := range b.GetEvents() {
			count++
			want := byDedupe[string(e.GetDedupe())]
			got := webhook.Event{
				Asset: e.GetAsset(), Person: e.GetPerson(), Object: control.Object(e.GetObject()), Kind: control.Kind(e.GetKind()),
				At: control.Millis(e.GetTimestampMs()), EntryTime: control.Millis(e.GetEntryTimeMs()), Dedupe: want.Dedupe, Raw: e.GetRaw(),
				Mid: e.GetMid(), EchoApp: control.AppID(e.GetEchoApp()), Metadata: e.GetMetadata(),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if p := partition.Of(control.ThreadKey{Asset: got.Asset, Person: got.Person}, partitions); p != at[i] {
				t.Errorf("on partition %d, want %d", at[i], p)
			}
			if e.GetTrace()[0] != 0x01 || e.GetTrace()[15] != 0xef {
				t.Errorf("trace = %x", e.GetTrace())
			}
		}
	}
	if count != 3 || c.unknown != 1 || c.results[ingress.ResultOK] != 1 {
		t.Errorf("%d events, %d unknown, %v", count, c.unknown, c.results)
	}
	if diff := cmp.Diff(map[control.Kind]int{control.KindMessage: 1, control.KindEcho: 1, control.KindPolicy: 1}, c.events); diff != "" {
		t.Error(diff)
	}
}

func TestRequestsAreRefusedWithAReason(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	s := service(t, ingress.Config{MaxBodyBytes: 1000}, deps(conn))
	good := post(message(7, "m_1", "x"))
	sign := func(r *http.Request, body []byte) {
		r.Header.Set(webhook.Header256, webhook.Sign256([]byte(secret), body))
	}
	tests := []struct {
		name   string
		method string
		body   []byte
		change func(*http.Request, []byte)
		code   int
		reason string
	}{
		{"no signature", "POST", good, func(*http.Request, []byte) {}, 403, "the request has no signature"},
		{"bad signature", "POST", good, func(r *http.Request, _ []byte) { sign(r, []byte("other")) }, 403, "the signature does not fit the body"},
		{"good sha1 beside a bad sha256", "POST", good, func(r *http.Request, b []byte) {
			r.Header.Set(webhook.Header1, webhook.Sign1([]byte(secret), b))
			r.Header.Set(webhook.Header256, "sha256=00")
		}, 403, "the signature does not fit the body"},
		{"malformed", "POST", []byte(`{"object":"page","entry":[{]}`), sign, 400, "webhook: a key was expected (offset 27)"},
		{"empty", "POST", nil, sign, 400, "webhook: JSON ends early (offset 0)"},
		{"bad person", "POST", post(`{"sender":{"id":"bob"}}`), sign, 400, `webhook: entry[0].messaging[0].sender.id is not a decimal id: "bob" (offset 100)`},
		{"object", "POST", []byte(`{"object":"user","entry":[]}`), sign, 404, `webhook: object is neither page nor instagram: "user"`},
		{"too large", "POST", post(message(7, "m", xs(1000))), sign, 413, "the request is larger than Baton takes"},
		{"too large, length unknown", "POST", post(message(7, "m", xs(1000))), func(r *http.Request, b []byte) { sign(r, b); r.ContentLength = -1 }, 413, "the request is larger than Baton takes"},
		{"broken off", "POST", good, func(r *http.Request, b []byte) {
			sign(r, b)
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(b[:9]), brokenReader{}))
		}, 400, "the request body ended early"},
		{"method", "PUT", good, sign, 405, "only GET and POST are answered here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), test.method, "/webhook", bytes.NewReader(test.body))
			test.change(r, test.body)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%q: %v", w.Body, err)
			}
			if w.Code != test.code || body["error"] != test.reason {
				t.Errorf("%d %s", w.Code, body["error"])
			}
		})
	}
	t.Cleanup(func() { // runs after the parallel ones, before the connection closes
		first, last, _, err := conn.InboundRange(context.Background())
		if err != nil || last >= max(first, 1) {
			t.Errorf("messages %d to %d were stored, %v", first, last, err)
		}
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAcceptedForms(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	s := service(t, ingress.Config{}, deps(conn))
	body := post(message(7, "m_1", "x"))
	for name, header := range map[string]http.Header{
		"sha1 alone":    {webhook.Header1: {webhook.Sign1([]byte(secret), body)}},
		"older secret":  {webhook.Header256: {webhook.Sign256([]byte("older"), body)}},
		"content type":  {webhook.Header256: {webhook.Sign256([]byte(secret), body)}, "Content-Type": {"text/html; x"}},
		"upper-case":    {webhook.Header256: {"sha256=" + strings.ToUpper(webhook.Sign256([]byte(secret), body)[7:])}},
		"unknown pages": {webhook.Header256: {webhook.Sign256([]byte(secret), body)}},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhook", bytes.NewReader(body))
		r.Header = header
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := send(t, s, []byte(strings.ReplaceAll(string(body), "100200300400500", "42"))); w.Code != 200 {
		t.Errorf("unknown page: %d", w.Code)
	}
	if w := send(t, s, []byte(`{"object":"instagram","entry":[]}`)); w.Code != 200 {
		t.Errorf("no events: %d", w.Code)
	}
}

func TestNewListsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := ingress.New(ingress.Config{MaxBodyBytes: 100, MaxPendingBytes: 10, AnswerWithin: -1}, ingress.Deps{})
	for _, want := range []string{"partitions is 0", "max_pending_bytes is 10", "answer_within"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	_, err = ingress.New(ingress.Config{Partitions: 1}, ingress.Deps{})
	if err == nil || strings.Count(err.Error(), "missing") != 6 {
		t.Errorf("%v", err)
	}
}

func TestRunRefusesNewRequestsAndWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	g := newGate(conn)
	s := service(t, ingress.Config{}, deps(g))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var a answers
	a.send(t, s, post(message(7, "m_1", "x")))
	<-g.arrived
	cancel()
	// The message under way holds Run; new requests are refused at once. Until
	// Run has seen the end of ctx they would wait, so ask with one that is
	// given up.
	for refused := false; !refused; {
		given, giveUp := context.WithCancel(t.Context())
		giveUp()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, signed(t, []byte(`{"object":"page","entry":[]}`)).WithContext(given))
		refused = w.Code == 503
	}
	select {
	case err := <-done:
		t.Fatalf("Run returned before its message was stored: %v", err)
	default:
	}
	g.verdict <- nil
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int{200}, a.wait()); diff != "" {
		t.Error(diff)
	}
	if w := send(t, s, post(message(7, "m_2", "x"))); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if s.Name() != "ingress" || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("another name, or out of time")
	}
}
