package platform

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "baton-test-app-secret"

// serve starts a platform that answers with h, and a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return client(t, server.URL)
}

func client(t *testing.T, address string) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: address, Version: "v25.0", AppSecret: secret, Timeout: 300 * time.Millisecond, MaxAnswerBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestSendCarriesTokenProofAndBody(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("X-App-Usage", `{"call_count":1}`)
		w.Header().Set("Set-Cookie", "x=y")
		_, _ = io.WriteString(w, `{"recipient_id":"9001","message_id":"m_1"}`)
	})
	a, err := c.SendMessage(context.Background(), Message{Node: 100, Token: "EAABatonPageToken001", JSON: []byte(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	if a.Mid != "m_1" || a.RecipientID != "9001" || string(a.Body) != `{"recipient_id":"9001","message_id":"m_1"}` {
		t.Errorf("%+v", a)
	}
	if a.Header.Get("X-App-Usage") == "" || a.Header.Get("Set-Cookie") != "" {
		t.Errorf("headers %v", a.Header)
	}
	q := got.URL.Query()
	want := "88303ff8af15ef60ce2fe78ba5c2180e5b2bed1bf30483c4f1f29bc1ea4f2c85"
	if got.URL.Path != "/v25.0/100/messages" || q.Get("access_token") != "EAABatonPageToken001" || q.Get("appsecret_proof") != want {
		t.Errorf("address %s", got.URL)
	}
	if body != `{"a":1}` || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("body %s", body)
	}
}

func TestRefusalComesBackUnchanged(t *testing.T) {
	t.Parallel()
	const body = `{"error":{"message":"(#10) x \u00e9","code":10,"error_subcode":2018278}}`
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, body)
	})
	_, err := c.SendMessage(context.Background(), Message{JSON: []byte("{}")})
	refused, ok := Refused(err)
	if !ok || refused.Status != 400 || string(refused.Body) != body || refused.Header.Get("Content-Type") == "" {
		t.Errorf("%v %+v", err, refused)
	}
}

func TestOutcomesThatCannotBeKnown(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"server error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"time-out":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no ids":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
		"too long": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat(" ", 1001)) },
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			_, _ = w.Write([]byte("{"))
		},
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				answer(w, r)
			})
			_, err := c.SendMessage(context.Background(), Message{Token: "hidden-token", JSON: []byte("{}")})
			if !errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotSent) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "hidden-token") {
				t.Errorf("the error shows the token: %v", err)
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

func TestConnectionThatCannotBeOpenedSendsNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	_ = listener.Close()
	_, err = client(t, address).SendMessage(context.Background(), Message{Token: "hidden-token", JSON: []byte("{}")})
	if !errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "hidden-token") {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestConnectionThatComesTooLateSendsNothing(t *testing.T) {
	t.Parallel()
	arrived, busy := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		close(arrived)
		<-busy
		_, _ = io.WriteString(w, `{"message_id":"m_1"}`)
	}))
	t.Cleanup(server.Close)
	c, err := New(Config{BaseURL: server.URL, MaxConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	first := make(chan error, 1)
	go func() {
		_, err := c.SendMessage(context.Background(), Message{JSON: []byte("{}"), ConnectWithin: time.Minute})
		first <- err
	}()
	<-arrived
	_, err = c.SendMessage(context.Background(), Message{JSON: []byte("{}"), ConnectWithin: time.Millisecond})
	if !errors.Is(err, ErrNotSent) {
		t.Errorf("%v", err)
	}
	close(busy)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestHandoversAreMirrored(t *testing.T) {
	t.Parallel()
	var got []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.Path+" "+string(data))
		_, _ = io.WriteString(w, `{"success":true}`)
	})
	h := Handover{Node: 100, Token: "T", Person: 9001234567890123, Target: 263902037430900, Metadata: "m"}
	if err := c.PassThreadControl(context.Background(), h); err != nil {
		t.Fatal(err)
	}
	if err := c.TakeThreadControl(context.Background(), Handover{Node: 100, Token: "T", Person: 9001}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`/v25.0/100/pass_thread_control {"metadata":"m","recipient":{"id":"9001234567890123"},"target_app_id":"263902037430900"}`,
		`/v25.0/100/take_thread_control {"recipient":{"id":"9001"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCallsArePassedThrough(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Page-Usage", "{}")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("fields")+" "+r.Header.Get("Content-Type")+" "+string(data))
	})
	answer, err := c.Pass(context.Background(), Request{
		Method: http.MethodPut, Path: "100/labels", Query: url.Values{"fields": {"id"}}, Token: "T",
		Body: strings.NewReader("a=b"), ContentType: "application/x-www-form-urlencoded", Length: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if want := "PUT /v25.0/100/labels id application/x-www-form-urlencoded a=b"; string(body) != want || answer.StatusCode != http.StatusTeapot {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestUploadIsStreamed(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != 1<<20 || !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"recipient_id":"1","message_id":"m_2"}`)
	})
	a, err := c.SendMessage(context.Background(), Message{
		Body: io.LimitReader(zeros{}, 1<<20), ContentType: "multipart/form-data; boundary=x",
	})
	if err != nil || a.Mid != "m_2" {
		t.Errorf("%+v %v", a, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBadBaseAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "graph.facebook.com", "ftp://x", "http://"} {
		if _, err := New(Config{BaseURL: address}); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}
