package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/contract"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "the app's secret"
	token  = "the app's token"
)

// body is what the endpoints look at.
type body struct {
	Object string `json:"object"`
	Entry  []struct {
		ID        string            `json:"id"`
		Messaging []json.RawMessage `json:"messaging"`
		Standby   []json.RawMessage `json:"standby"`
	} `json:"entry"`
}

// good is an endpoint as it should be; answer may change what it does with a
// genuine event.
func good(answer func(w http.ResponseWriter, b body, raw string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			challenge, ok := webhook.Challenge(r.URL.Query(), token)
			if !ok {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = io.WriteString(w, challenge)
			return
		}
		raw, _ := io.ReadAll(r.Body)
		if webhook.Verify([]byte(secret), raw, r.Header.Get(webhook.Header256), r.Header.Get(webhook.Header1)) != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var b body
		if err := json.Unmarshal(raw, &b); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if answer != nil {
			answer(w, b, string(raw))
		}
	}
}

// run tests an endpoint and returns the results by name.
func run(t *testing.T, h http.Handler, change func(*contract.Config)) (map[string]contract.Result, []string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	allow, err := egress.ParseAllow([]string{"127.0.0.1/32"})
	if err != nil {
		t.Fatal(err)
	}
	via := egress.Transport(egress.Policy{Allow: allow})
	t.Cleanup(via.CloseIdleConnections)
	c := contract.Config{URL: s.URL + "/webhook", Secret: secret, VerifyToken: token, Via: via, Agent: "test"}
	if change != nil {
		change(&c)
	}
	results := map[string]contract.Result{}
	var order []string
	if err := contract.Run(t.Context(), c, func(r contract.Result) {
		results[r.Name] = r
		order = append(order, r.Name)
	}); err != nil {
		t.Fatal(err)
	}
	return results, order
}

func TestGoodEndpointPassesEverything(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []body
	results, order := run(t, good(func(_ http.ResponseWriter, b body, _ string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, b)
	}), nil)
	for name, r := range results {
		if r.Verdict != contract.OK {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, name := range []string{
		"verification", "verification with a wrong token", "message", "quick reply", "postback on standby", "echo", "reaction on standby",
		"pass_thread_control", "take_thread_control", "request_thread_control", "app_roles", "instagram: seen", "batch of 3",
		"unknown fields", "unknown kind", "duplicate", "slow request", "wrong signature", "no signature",
	} {
		if !slices.Contains(order, name) {
			t.Errorf("%q was not tried", name)
		}
	}
	if len(order) != len(results) || len(order) < 40 {
		t.Errorf("%d tries, %d names", len(order), len(results))
	}
	standby, batches, instagram := 0, 0, 0
	for _, b := range seen {
		if len(b.Entry[0].Standby) == 1 && len(b.Entry[0].Messaging) == 0 {
			standby++
		}
		if len(b.Entry) == 3 {
			batches++
		}
		if b.Object == "instagram" {
			instagram++
		}
	}
	if standby < 10 || batches != 2 || instagram < 5 {
		t.Errorf("%d on standby, %d batches, %d of Instagram", standby, batches, instagram)
	}
}

func TestBadEndpointsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve http.Handler
		fails []string // exactly these
		warns []string // among others
	}{
		"takes everything": {
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }),
			[]string{"no signature", "verification", "wrong signature"},
			[]string{"verification with a wrong token", "verification with a wrong mode"},
		},
		"echoes any challenge": {
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
					return
				}
				good(nil)(w, r)
			}),
			[]string{"verification with a wrong mode", "verification with a wrong token"},
			nil,
		},
		"fails without a sender": {
			good(func(w http.ResponseWriter, _ body, raw string) {
				if !strings.Contains(raw, `"sender"`) {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}),
			[]string{"app_roles"},
			nil,
		},
		"knows one entry and one object": {
			good(func(w http.ResponseWriter, b body, _ string) {
				if len(b.Entry) > 1 || b.Object != "page" {
					w.WriteHeader(http.StatusNotFound)
				}
			}),
			[]string{"batch of 3", "batch of 3, standby"},
			[]string{"instagram: message", "instagram: seen"},
		},
		"redirects": {
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
			}),
			nil,
			[]string{"wrong signature", "instagram: message"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, _ := run(t, c.serve, nil)
			var fails []string
			for name, r := range results {
				if r.Verdict == contract.Fail {
					fails = append(fails, name)
				}
				if r.Verdict != contract.OK && r.Advice == "" {
					t.Errorf("%s: no advice: %+v", name, r)
				}
			}
			slices.Sort(fails)
			if c.fails != nil && !slices.Equal(fails, c.fails) {
				t.Errorf("fails %q, want %q", fails, c.fails)
			}
			if c.fails == nil && len(fails) < 30 {
				t.Errorf("only %d fail", len(fails))
			}
			for _, w := range c.warns {
				if results[w].Verdict != contract.Warn {
					t.Errorf("%s: %+v, want a warning", w, results[w])
				}
			}
		})
	}
}

func TestSlowEndpointsAreToldSo(t *testing.T) {
	t.Parallel()
	results, _ := run(t, good(func(_ http.ResponseWriter, _ body, raw string) {
		switch {
		case strings.Contains(raw, "m_test_image"):
			<-time.After(1200 * time.Millisecond)
		case strings.Contains(raw, "m_test_quick"):
			<-time.After(3 * time.Second)
		}
	}), func(c *contract.Config) { c.Timeout = 2 * time.Second })
	if r := results["attachment"]; r.Verdict != contract.Warn || !strings.Contains(r.Advice, "answer first") {
		t.Errorf("slow: %+v", r)
	}
	if r := results["quick reply"]; r.Verdict != contract.Fail || r.Failure != egress.ClassTimeout {
		t.Errorf("never: %+v", r)
	}
}

func TestWithoutSecretsLessIsTested(t *testing.T) {
	t.Parallel()
	results, _ := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(webhook.Header256) != "" {
			w.WriteHeader(http.StatusTeapot)
		}
	}), func(c *contract.Config) { c.Secret, c.VerifyToken = "", "" })
	for name, r := range results {
		if r.Verdict != contract.OK || strings.Contains(name, "signature") || strings.Contains(name, "verification") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestNothingThereIsAnError(t *testing.T) {
	t.Parallel()
	via := egress.Transport(egress.Policy{})
	none := func(contract.Result) { t.Error("a result") }
	for url, want := range map[string]error{
		"app.test/hook": contract.ErrConfig, "ftp://app.test": contract.ErrConfig, "http://10.0.0.1/": contract.ErrUnreachable,
	} {
		if err := contract.Run(t.Context(), contract.Config{URL: url, Via: via}, none); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", url, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := contract.Run(ended, contract.Config{URL: "http://10.0.0.1/", Via: via}, none); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}
