package graphapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// outcomes are the ends of sends in the log.
func (w *world) outcomes() (kinds []control.OutcomeKind) {
	for _, e := range w.holder.logged() {
		if _, ok := e.(control.SendConfirmed); ok {
			kinds = append(kinds, control.OutcomeConfirmed)
		}
		if failed, ok := e.(control.SendFailed); ok {
			kinds = append(kinds, failed.Outcome)
		}
	}
	return kinds
}

func (w *world) wantOutcomes(want ...control.OutcomeKind) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.outcomes()); diff != "" {
		w.t.Error(diff)
	}
}

func TestSendIsForwardedWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		if len(w.holder.logged()) != 1 {
			t.Error("forwarded before it was accepted")
		}
		rw.Header().Set("X-Page-Usage", `{"call_count":3}`)
		_, _ = io.WriteString(rw, `{"recipient_id":"`+person+`","message_id":"m_77","attachment_id":"9"}`)
	})
	g := w.ok(w.post("messages", "TA", `{`+to(person)+`,"access_token":"TA","messaging_type":"UPDATE","persona_id":7,
		"message":{"text":"caf\u00e9","metadata":"mine","attachment":null}}`))
	if g.body != `{"recipient_id":"`+person+`","message_id":"m_77","attachment_id":"9"}` || g.header.Get("X-Page-Usage") == "" {
		t.Errorf("%s %v", g.body, g.header)
	}
	w.wantOutcomes(control.OutcomeConfirmed)
	accepted, ok := w.holder.logged()[0].(control.SendAccepted)
	if !ok || accepted.Metadata != "mine" {
		t.Fatalf("logged %#v", w.holder.logged()[0])
	}
	call := w.platform.calls()[0]
	message, _ := call.fields["message"].(map[string]any)
	token, _ := message["metadata"].(string)
	if !strings.HasPrefix(token, "baton1:") || !strings.HasSuffix(token, "-1") || message["text"] != "café" {
		t.Errorf("message %v", message)
	}
	if call.path != "/"+acme+"/messages" || call.token != "PAGE" || call.fields["messaging_type"] != "UPDATE" || call.fields["persona_id"] != "7" {
		t.Errorf("%+v", call)
	}
	if strings.Contains(call.raw, `"TA"`) {
		t.Error("the app's token reached the platform")
	}
}

func TestFormSendIsForwarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.call(http.MethodPost, "/me/messages", "application/x-www-form-urlencoded",
		"access_token=TA&recipient=%7B%22id%22%3A%22"+person+"%22%7D&message=%7B%22text%22%3A%22hi%22%7D&notification_type=NO_PUSH"))
	call := w.platform.calls()[0]
	message, _ := call.fields["message"].(map[string]any)
	if message["text"] != "hi" || call.fields["notification_type"] != "NO_PUSH" {
		t.Errorf("%s", call.raw)
	}
}

func TestSenderActionIsForwardedAndNotLoggedAsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.ok(w.post("messages", "TA", `{`+to(person)+`,"sender_action":"TYPING_ON"}`))
	if g.body != `{"recipient_id":"`+person+`"}` {
		t.Errorf("%s", g.body)
	}
	if call := w.platform.calls()[0]; call.fields["sender_action"] != "TYPING_ON" || call.fields["message"] != nil {
		t.Errorf("%s", call.raw)
	}
	w.wantOutcomes()
}

func TestThreadControlIsExecutedAfterTheSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("take_thread_control", "IA", `{`+to(person)+`}`))
	send := `{` + to(person) + `,"message":{"text":"x"},"thread_control":{"control_type":"pass","app_id":"700000000000002"}}`
	w.ok(w.post("messages", "IA", send)) // row 70
	if call := w.platform.calls()[0]; call.fields["thread_control"] != nil {
		t.Errorf("the platform was told: %s", call.raw)
	}
	events := w.holder.logged()
	passed, ok := events[len(events)-1].(control.Passed)
	if !ok || passed.To != 700000000000002 || passed.Why != control.WhySend {
		t.Errorf("logged %#v", events[len(events)-1])
	}
}

func TestPlatformRefusalIsPassedThroughUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"error":{"message":"(#551) gone \u00e9","type":"OAuthException","code":551,"error_subcode":1545041,"fbtrace_id":"X"}}`
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json; charset=UTF-8")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, body)
	})
	g := w.post("messages", "TA", text(person))
	if g.status != http.StatusForbidden || g.body != body {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.wantOutcomes(control.OutcomeRefused)
}

func TestUnknownOutcomeIs400AndNeverForwardedTwice(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]http.HandlerFunc{
		"server error": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) },
		"time-out":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no id":        func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{"recipient_id":"1"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if name == "time-out" {
				w.service.deps.Platform = w.client(time.Second)
			}
			w.platform.answers(script)
			g := w.post("messages", "TA", text(person))
			e := w.refused(g, 2, 0)
			if g.status != 400 || e.Error.Transient || !strings.Contains(e.Error.Data, `"outcome":"unknown"`) {
				t.Errorf("%d %s", g.status, g.body)
			}
			w.wantOutcomes() // it stays open for its echo
			if len(w.platform.calls()) != 1 {
				t.Errorf("forwarded %d times", len(w.platform.calls()))
			}
		})
	}
}

func TestSendThatCannotLeaveIsAbandoned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.ForwardWithin = 150 * time.Millisecond })
	w.platform.server.Close()
	g := w.post("messages", "TA", text(person))
	e := w.refused(g, 2, 0)
	if g.status != http.StatusServiceUnavailable || !e.Error.Transient || g.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.wantOutcomes(control.OutcomeAbandoned)
}

func TestOutcomeThatCannotBeLoggedIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.OutcomeWithin, c.AttemptWithin = 200*time.Millisecond, 50*time.Millisecond })
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		return nil, q.GetSendOutcome() != nil
	})
	w.refused(w.post("messages", "TA", text(person)), 2, 0)
	if len(w.platform.calls()) != 1 {
		t.Errorf("forwarded %d times", len(w.platform.calls()))
	}
}

func TestClientThatGoesAwayDoesNotStopItsSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, leave := context.WithCancel(t.Context())
	arrived, logged := make(chan struct{}), make(chan struct{})
	w.platform.answers(func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-ctx.Done()
		_, _ = io.WriteString(rw, `{"recipient_id":"1","message_id":"m_1"}`)
	})
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		if q.GetSendOutcome().GetMid() == "m_1" {
			close(logged)
		}
		return nil, false
	})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.api.URL+"/me/messages?access_token=TA", strings.NewReader(text(person)))
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	}()
	<-arrived
	leave()
	<-gone
	<-logged
}

func TestSendsOfOneAppOnOneThreadGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := make(chan struct{}), make(chan struct{})
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		calls := w.platform.calls()
		if len(calls) == 1 {
			close(first)
			<-second
		}
		_, _ = io.WriteString(rw, `{"recipient_id":"1","message_id":"m"}`)
	})
	done := make(chan got, 3)
	go func() { done <- w.post("messages", "TA", text(person)) }()
	<-first
	go func() { done <- w.post("messages", "TA", text(person)) }()
	w.ok(w.post("messages", "TA", text("77"))) // another thread does not wait
	w.ok(w.post("messages", "TB", text(person)))
	if n := len(w.platform.calls()); n != 3 {
		t.Errorf("%d calls while the first is under way", n)
	}
	close(second)
	w.ok(<-done)
	w.ok(<-done)
}

func TestSurveyToAnOwnedThreadIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("take_thread_control", "TB", `{`+to(person)+`}`))
	survey := `{` + to(person) + `,"message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback","title":"How?",
		"feedback_screens":[{"questions":[{"id":"q1","type":"csat"}]}],"business_privacy":{"url":"https://x.test"},"expires_in_days":3}}}}`
	g := w.ok(w.post("messages", "TA", survey)) // row 84
	if !strings.Contains(g.body, `"message_id":"m_baton`) || len(w.platform.calls()) != 0 {
		t.Errorf("%s, forwarded %v", g.body, w.platform.calls())
	}
	events := w.holder.logged()
	held, ok := events[len(events)-1].(control.SurveyHeld)
	if !ok || len(held.Questions) != 1 || held.Questions[0] != control.PayloadHash("q1") || held.ExpiresAt-held.At != 3*control.Day {
		t.Errorf("%#v", events[len(events)-1])
	}
}

func TestRecipientsWithoutThreadAreForwardedAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("messages", "TA", `{"recipient":{"user_ref":"ref-1"},"message":{"text":"x","metadata":"mine"}}`))
	if call := w.platform.calls()[0]; !strings.Contains(call.raw, `"user_ref":"ref-1"`) || !strings.Contains(call.raw, `"metadata":"mine"`) {
		t.Errorf("%s", call.raw)
	}
	w.refused(w.post("messages", "IB", `{"recipient":{"comment_id":"1"},"message":{"text":"x"}}`), 10, 2018300)
	w.refused(w.post("take_thread_control", "TA", `{"recipient":{"user_ref":"r"}}`), 100, 2018001)
}
