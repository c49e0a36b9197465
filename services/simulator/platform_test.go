package simulator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/services/simulator"
)

// Baton's own client of the platform, against the simulator: each way in which
// a call can end.
func TestBatonsClientTellsTheOutcomesApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	c, err := platform.New(platform.Config{
		BaseURL: w.sim.URL(), Version: "v25.0", AppSecret: secret, Timeout: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	send := func() (platform.Answer, error) {
		body := fmt.Sprintf(`{"recipient":{"id":"%d"},"message":{"text":"hi","metadata":"baton1:3-9"}}`, person)
		return c.SendMessage(t.Context(), platform.Message{Node: page, Token: token, JSON: []byte(body), ContentType: "application/json"})
	}
	if a, err := send(); err != nil || a.Mid == "" || a.RecipientID != "9001234567890123" {
		t.Errorf("sent: %+v, %v", a, err)
	}
	w.switches(simulator.Switches{Refuse: &simulator.Refusal{Code: 10, Subcode: 2018278}, Calls: 1})
	_, err = send()
	if refused, ok := platform.Refused(err); !ok || refused.Status != 400 {
		t.Errorf("refused: %v", err)
	}
	for name, s := range map[string]simulator.Switches{
		"sent, answered 500":    {FailAfterSend: true, Calls: 1},
		"sent, answered late":   {AnswerDelay: time.Minute, Calls: 1},
		"sent, echo before 500": {EchoFirst: true, FailAfterSend: true, Calls: 1},
	} {
		w.switches(s)
		if _, err := send(); !errors.Is(err, platform.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := platform.Handover{Node: page, Token: token, Person: person, Target: uint64(control.PageInbox), Metadata: "m"}
	if err := c.PassThreadControl(t.Context(), h); err != nil {
		t.Error(err)
	}
	if _, err := send(); err == nil {
		t.Error("a send went out although the inbox has control")
	}
	if err := c.TakeThreadControl(t.Context(), h); err != nil {
		t.Error(err)
	}
	if _, err := send(); err != nil {
		t.Error(err)
	}
}
