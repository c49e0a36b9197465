package graphapi

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// keyed posts with an Idempotency-Key, always the same.
func (w *world) keyed(edge, token, body string) got {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.api.URL+"/v25.0/me/"+edge+"?access_token="+token, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", "k1")
	r.Header.Set("Content-Type", "application/json")
	return w.do(r)
}

func TestRepeatOfAConfirmedSendGetsItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		if g := w.ok(w.keyed("messages", "TA", text(person))); !strings.Contains(g.body, `"message_id":"m_1"`) {
			t.Errorf("%s", g.body)
		}
	}
	if len(w.platform.calls()) != 1 {
		t.Errorf("forwarded %d times", len(w.platform.calls()))
	}
	w.refused(w.keyed("messages", "TA", text("77")), 100, 0)
	w.ok(w.keyed("messages", "TB", text(person))) // another app's key
}

func TestRepeatOfARefusedSendGetsItsError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"error":{"code":551,"message":"gone","type":"OAuthException","fbtrace_id":"X"}}`)
	})
	first := w.keyed("messages", "TA", text(person))
	second := w.keyed("messages", "TA", text(person))
	if first.body != second.body || second.status != 400 || len(w.platform.calls()) != 1 {
		t.Errorf("%s / %s", first.body, second.body)
	}
}

func TestRepeatOfAnUnknownSendIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	for range 2 {
		g := w.keyed("messages", "TA", text(person))
		if e := w.refused(g, 2, 0); g.status != 400 || !strings.Contains(e.Error.Data, "unknown") {
			t.Errorf("%d %s", g.status, g.body)
		}
	}
	if len(w.platform.calls()) != 1 {
		t.Errorf("forwarded %d times", len(w.platform.calls()))
	}
}

func TestRepeatOfAnAbandonedSendIsFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.ForwardWithin = 400 * time.Millisecond })
	var slow atomic.Bool
	slow.Store(true)
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		if q.GetSend() != nil && slow.Load() {
			return &commandv1.Response{Status: commandv1.Status_STATUS_UNAVAILABLE, Epoch: 7}, true
		}
		return nil, false
	})
	if g := w.keyed("messages", "TA", text(person)); g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", g.status, g.body)
	}
	slow.Store(false)
	w.ok(w.keyed("messages", "TA", text(person)))
	if len(w.platform.calls()) != 1 {
		t.Errorf("forwarded %d times", len(w.platform.calls()))
	}
}

func TestRepeatOfAControlCallIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{` + to(person) + `,"target_app_id":"700000000000002"}`
	w.ok(w.keyed("pass_thread_control", "TA", body))
	w.ok(w.post("release_thread_control", "TB", `{`+to(person)+`}`))
	w.ok(w.keyed("pass_thread_control", "TA", body))
	if o := w.owner(9001234567890123); o != 0 {
		t.Errorf("the repeat was decided again: owner %d", o)
	}
	w.refused(w.keyed("take_thread_control", "TA", `{`+to(person)+`}`), 100, 0)
}

func TestQuestionWithoutAnswerIsAskedAgainUnderItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.AttemptWithin = 50 * time.Millisecond })
	ids := map[string]int{}
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		ids[string(q.GetId())]++
		return nil, ids[string(q.GetId())] < 3
	})
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	w.holder.faulty(nil)
	if len(ids) != 1 || len(w.holder.logged()) != 1 {
		t.Errorf("%d ids, %d events", len(ids), len(w.holder.logged()))
	}
}

func TestAnswersOfADeposedHolderAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	calls := 0
	w.holder.faulty(func(*commandv1.Request) (*commandv1.Response, bool) {
		calls++
		return &commandv1.Response{Status: commandv1.Status_STATUS_OK, Epoch: 6}, calls == 1
	})
	w.ok(w.post("release_thread_control", "TA", `{`+to(person)+`}`))
	w.holder.faulty(nil)
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

func TestWithoutHolderNothingHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.AnswerWithin = 200 * time.Millisecond })
	w.stop()
	for _, edge := range []string{"take_thread_control", "messages"} {
		g := w.post(edge, "TA", text(person))
		if e := w.refused(g, 2, 0); g.status != http.StatusServiceUnavailable || !e.Error.Transient || g.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s", edge, g.status, g.body)
		}
	}
	if len(w.platform.calls()) != 0 {
		t.Error("forwarded without having been accepted")
	}
}

func TestFullPartitionIsARateError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.holder.faulty(func(*commandv1.Request) (*commandv1.Response, bool) {
		return &commandv1.Response{Status: commandv1.Status_STATUS_BUSY, Epoch: 7, RetryAfterMs: 1500}, true
	})
	g := w.post("take_thread_control", "TA", `{`+to(person)+`}`)
	if w.refused(g, 613, 0); g.header.Get("Retry-After") != "2" {
		t.Errorf("%v", g.header)
	}
	w.holder.faulty(func(*commandv1.Request) (*commandv1.Response, bool) {
		return &commandv1.Response{Status: commandv1.Status_STATUS_INTERNAL, Epoch: 7, Detail: "private"}, true
	})
	g = w.post("take_thread_control", "TA", `{`+to(person)+`}`)
	if w.refused(g, 1, 0); g.status != http.StatusServiceUnavailable || strings.Contains(g.body, "private") {
		t.Errorf("%d %s", g.status, g.body)
	}
}

// A question names the tenure that may decide it and when it is too late, by
// that one's clock; a holder of another tenure is asked again at once.
func TestQuestionIsForOneTenure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked []*commandv1.Request
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		asked = append(asked, q)
		return &commandv1.Response{Status: commandv1.Status_STATUS_UNAVAILABLE, Epoch: 7, NowMs: 90_000}, q.GetEpoch() != 7
	})
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	w.ok(w.post("release_thread_control", "TA", `{`+to(person)+`}`))
	w.holder.faulty(nil)
	if len(asked) != 3 {
		t.Fatalf("asked %d times, want one of an unknown tenure and one for each call", len(asked))
	}
	for i, want := range []struct {
		epoch   uint64
		attempt uint32
	}{{unknownEpoch, 0}, {7, 1}, {7, 0}} {
		if q := asked[i]; q.GetEpoch() != want.epoch || q.GetAttempt() != want.attempt {
			t.Errorf("question %d is for epoch %d, attempt %d", i, q.GetEpoch(), q.GetAttempt())
		}
	}
	if d := asked[1].GetDeadlineMs(); d <= 90_000 || d > 95_000 {
		t.Errorf("the deadline is %d, want within 5 s of 90,000", d)
	}
}
