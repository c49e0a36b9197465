package demoapps_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/services/demoapps"
)

const goodbye = "Thank you for flying with ACME Air. Goodbye!"

func TestFAQBotAnswersWhatItKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for question, want := range map[string]string{
		"where is my order?":      "4711",
		"What are your hours":     "8 am to 8 pm",
		"how much BAGGAGE?":       "23 kg",
		"can I cancel":            "refund",
		"what does a ticket cost": "49 euros",
		"thanks!":                 "welcome",
	} {
		w.delivers(demoapps.FAQBot, "messaging", says(question))
		c := w.calling()
		if c.app != demoapps.FAQBot || c.edge != "messages" || !strings.Contains(c.text(), want) {
			t.Errorf("%s: %+v", question, c)
		}
		if d := cmp.Diff(any(map[string]any{"id": person}), c.body["recipient"]); d != "" {
			t.Error(d)
		}
	}
}

func TestFAQBotGreetsWithButtonsThatItUnderstands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.FAQBot, "messaging", says("hello"))
	if got := fmt.Sprint(w.calling().body["message"]); !strings.Contains(got, "ORDER") || !strings.Contains(got, "AGENT") {
		t.Errorf("greeting %s", got)
	}
	w.delivers(demoapps.FAQBot, "messaging", from(`"postback":{"mid":"m_p","title":"Where is my order?","payload":"ORDER"}`))
	if c := w.calling(); !strings.Contains(c.text(), "4711") {
		t.Errorf("postback: %+v", c)
	}
	w.delivers(demoapps.FAQBot, "messaging", from(`"message":{"mid":"m_q","text":"Hours?","quick_reply":{"payload":"HOURS"}}`))
	if c := w.calling(); !strings.Contains(c.text(), "8 am") {
		t.Errorf("quick reply: %+v", c)
	}
}

func TestFAQBotPassesToLiveAgentWhenAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, event := range []string{
		says("I want to talk to a human"), says("Agent!"),
		from(`"postback":{"mid":"m_p","title":"Talk to an agent","payload":"AGENT"}`),
	} {
		w.delivers(demoapps.FAQBot, "messaging", event)
		w.passed("asked for an agent")
	}
}

func (w *world) passed(metadata string) {
	w.t.Helper()
	if c := w.calling(); c.edge != "messages" || !strings.Contains(c.text(), "passing you") {
		w.t.Errorf("first %+v", c)
	}
	c := w.calling()
	target, _ := c.body["target_app_id"].(float64)
	if c.app != demoapps.FAQBot || c.edge != "pass_thread_control" || uint64(target) != demoapps.LiveAgent {
		w.t.Errorf("then %+v", c)
	}
	if m, _ := c.body["metadata"].(string); !strings.Contains(m, metadata) {
		w.t.Errorf("metadata %q", m)
	}
}

func TestFAQBotPassesWhenItDoesNotUnderstandTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(text string) { w.delivers(demoapps.FAQBot, "messaging", says(text)) }
	sorry := func() {
		t.Helper()
		if c := w.calling(); !strings.Contains(c.text(), "did not get that") {
			t.Errorf("got %+v", c)
		}
	}
	ask("qwertz")
	sorry()
	ask("where is my order") // understood: the count starts again
	w.calling()
	ask("qwertz")
	sorry()
	ask("qwertz " + strings.Repeat("é", 1000))
	w.passed("not understood twice")
}

func TestFAQBotIsSilentOnStandby(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.FAQBot, "standby", says("where is my order?"))
	w.delivers(demoapps.FAQBot, "messaging", echo(demoapps.FAQBot, "m_e", "order"))
	w.delivers(demoapps.FAQBot, "messaging", from(`"read":{"watermark":1}`))
	w.delivers(demoapps.FAQBot, "messaging", from(`"take_thread_control":{"new_owner_app_id":"1"}`))
	w.silent(demoapps.FAQBot)
}

func TestLiveAgentGreetsWhenItIsGivenControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{`"700000000000002"`, `700000000000002`} {
		w.delivers(demoapps.LiveAgent, "messaging",
			from(`"pass_thread_control":{"previous_owner_app_id":"700000000000001","new_owner_app_id":`+id+`,"metadata":"order 42"}`))
		if c := w.calling(); c.app != demoapps.LiveAgent || !strings.Contains(c.text(), "Lena") {
			t.Errorf("got %+v", c)
		}
	}
	w.delivers(demoapps.LiveAgent, "messaging", from(`"pass_thread_control":{"new_owner_app_id":"700000000000001"}`))
	w.silent(demoapps.LiveAgent)
}

func TestLiveAgentAnswersAndReleasesOnGoodbye(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.LiveAgent, "messaging", says("my bag is lost"))
	if c := w.calling(); !strings.Contains(c.text(), "found your bag") {
		t.Errorf("got %+v", c)
	}
	for _, end := range []string{"Thanks!", "ok, bye"} {
		w.delivers(demoapps.LiveAgent, "messaging", says(end))
		if c := w.calling(); c.text() != goodbye {
			t.Errorf("%s: %+v", end, c)
		}
		if c := w.calling(); c.edge != "release_thread_control" || c.app != demoapps.LiveAgent {
			t.Errorf("%s: %+v", end, c)
		}
	}
	w.delivers(demoapps.LiveAgent, "standby", says("thanks"))
	w.silent(demoapps.LiveAgent)
}

func TestLiveAgentKeepsControlWhenGoodbyeWasRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers(func(called) (int, string) { return 400, `{"error":{"message":"no","code":10,"error_subcode":2018278}}` })
	w.delivers(demoapps.LiveAgent, "messaging", says("bye"))
	w.calling()
	w.silent(demoapps.LiveAgent)
}

func TestSurveyIsSentWhenLiveAgentSaysGoodbyeOnStandby(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.Survey, "standby", says(goodbye))
	w.delivers(demoapps.Survey, "standby", echo(demoapps.FAQBot, "m_1", goodbye))
	w.delivers(demoapps.Survey, "standby", echo(demoapps.LiveAgent, "m_2", "Let me look"))
	w.silent(demoapps.Survey)
	w.delivers(demoapps.Survey, "standby", echo(demoapps.LiveAgent, "m_3", goodbye))
	c := w.calling()
	if got := fmt.Sprint(c.body["message"]); c.app != demoapps.Survey || !strings.Contains(got, "customer_feedback") {
		t.Errorf("got %+v", c)
	}
	w.delivers(demoapps.Survey, "standby", echo(demoapps.LiveAgent, "m_3", goodbye))
	w.silent(demoapps.Survey)
}

func TestSurveyThanksForTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.delivers(demoapps.Survey, "messaging", from(`"messaging_feedback":{"feedback_screens":[]}`))
	if c := w.calling(); c.app != demoapps.Survey || c.text() != "Thank you for your feedback!" {
		t.Errorf("got %+v", c)
	}
}

func TestCallsNotAcceptedAreRepeatedAndUnknownOutcomesAreNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	w.answers(func(called) (int, string) {
		if n++; n < 3 {
			return 503, `{"error":{"message":"later","code":2,"is_transient":true}}`
		}
		return 200, `{"message_id":"m_7"}`
	})
	if mid, err := w.apps.Send(t.Context(), demoapps.FAQBot, 9001234567890123, "hi"); err != nil || mid != "m_7" || n != 3 {
		t.Errorf("%q, %v after %d calls", mid, err, n)
	}
	n = 0
	w.answers(func(called) (int, string) {
		n++
		return 400, `{"error":{"message":"(#2) unknown","code":2,"error_data":"{\"outcome\":\"unknown\"}"}}`
	})
	_, err := w.apps.Send(t.Context(), demoapps.FAQBot, 9001234567890123, "hi")
	var refused *demoapps.GraphError
	if !errors.As(err, &refused) || refused.Code != 2 || refused.Data == "" || n != 1 {
		t.Errorf("%v after %d calls", err, n)
	}
}

func TestARefusedSendSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers(func(called) (int, string) {
		return 400, `{"error":{"message":"(#10) another app is controlling this thread now.","code":10,"error_subcode":2018300}}`
	})
	_, err := w.apps.Send(t.Context(), demoapps.FAQBot, 9001234567890123, "hi")
	var refused *demoapps.GraphError
	if !errors.As(err, &refused) || refused.Subcode != 2018300 || strings.Contains(err.Error(), "access_token") {
		t.Errorf("%v", err)
	}
	if _, err := w.apps.Send(t.Context(), 5, 1, "hi"); err == nil {
		t.Error("an unknown app sends")
	}
	w.answers(func(called) (int, string) { return 502, "<html>" })
	if _, err := w.apps.Send(t.Context(), demoapps.FAQBot, 1, "hi"); !errors.As(err, &refused) || refused.Status != 502 {
		t.Errorf("%v", err)
	}
}
