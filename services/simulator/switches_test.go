package simulator_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/baton-router/baton/services/simulator"
)

func TestWithoutSwitchesEchoDeliveryAndReadFollowTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("where is my order?")
	mid := w.sent("On its way / é")
	echo := w.ingress.next()
	m := echo.part("message")
	if echo.kind() != "echo" || m["mid"] != mid || m["app_id"] != float64(appID) || m["metadata"] != "baton1:3-9" || m["text"] != "On its way / é" {
		t.Errorf("echo %s", echo.body)
	}
	if got := w.ingress.kinds(2); !slices.Equal(got, []string{"delivery", "read"}) {
		t.Errorf("receipts %v", got)
	}
}

func TestEchoFirstIsAcceptedBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{EchoFirst: true})
	answer := w.send("hi")
	// The echo was recorded before the call returned: nothing to wait for.
	select {
	case echo := <-w.ingress.hits:
		if echo.kind() != "echo" || echo.part("message")["mid"] != answer.body["message_id"] {
			t.Errorf("got %s", echo.body)
		}
	default:
		t.Fatal("the answer came before the echo")
	}
}

func TestEchoTwiceIsTheSameToTheByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{EchoTwice: true, DropDeliveries: true, DropReads: true})
	w.sent("hi")
	first, second := w.ingress.next(), w.ingress.next()
	if first.kind() != "echo" || string(first.body) != string(second.body) {
		t.Errorf("%s\n%s", first.body, second.body)
	}
}

func TestEchoNeverLeavesTheReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{EchoNever: true})
	w.sent("hi")
	if got := w.ingress.kinds(2); !slices.Equal(got, []string{"delivery", "read"}) {
		t.Errorf("got %v", got)
	}
}

func TestLateEchoIsOvertakenByWhatComesAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	const late = 1000 * time.Millisecond
	w.switches(simulator.Switches{EchoLate: late})
	began := time.Now()
	w.sent("hi")
	if got := w.ingress.kinds(2); !slices.Equal(got, []string{"delivery", "read"}) {
		t.Errorf("got %v before the echo", got)
	}
	echo := w.ingress.next()
	if echo.kind() != "echo" || echo.at.Sub(began) < late {
		t.Errorf("%s after %v", echo.kind(), echo.at.Sub(began))
	}
}

func TestFailAfterSendAnswers500AndTheMessageIsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{FailAfterSend: true})
	a := w.send("hi")
	if code, _ := a.code(); a.status != 500 || code != 2 {
		t.Errorf("answer %d %v", a.status, a.body)
	}
	if echo := w.ingress.next(); echo.kind() != "echo" || echo.part("message")["text"] != "hi" {
		t.Errorf("got %s", echo.body)
	}
	lines, err := w.sim.Transcript(page, person)
	if err != nil || len(lines) != 2 || lines[1].Text != "hi" {
		t.Errorf("transcript %v, %v", lines, err)
	}
}

func TestLostMetadataIsMissingInTheEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{LoseMetadata: true})
	w.sent("hi")
	if _, there := w.ingress.next().part("message")["metadata"]; there {
		t.Error("the echo has metadata")
	}
}

func TestOutOfOrderSwapsNeighbours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.switches(simulator.Switches{OutOfOrder: true})
	for _, text := range []string{"one", "two"} {
		if _, err := w.sim.Message(page, person, text, simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := w.ingress.next().part("message")["text"], w.ingress.next().part("message")["text"]
	if first != "two" || second != "one" {
		t.Errorf("got %v, %v", first, second)
	}
}

func TestRefusalIsAnsweredAndNothingIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{Refuse: &simulator.Refusal{Edge: "messages", Code: 10, Subcode: 2018278, Message: "(#10) no"}})
	a := w.send("hi")
	if code, sub := a.code(); a.status != 400 || code != 10 || sub != 2018278 {
		t.Errorf("answer %d %v", a.status, a.body)
	}
	if a := w.graph("POST", "/me/pass_thread_control", `{"recipient":{"id":"9001234567890123"},"target_app_id":"263902037430900"}`); a.status != 200 {
		t.Errorf("another edge: %d %v", a.status, a.body)
	}
	if lines, _ := w.sim.Transcript(page, person); len(lines) != 1 {
		t.Errorf("transcript %v", lines)
	}
}

func TestCallsLimitTheSwitches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{Refuse: &simulator.Refusal{Code: 2, Status: 503}, Calls: 2})
	for i, want := range []int{503, 503, 200} {
		if i == 1 { // a sender action is not counted
			if a := w.graph("POST", "/me/messages", `{"recipient":{"id":"9001234567890123"},"sender_action":"typing_on"}`); a.status != 503 {
				t.Errorf("sender action: %d", a.status)
			}
		}
		if a := w.send("hi"); a.status != want {
			t.Errorf("call %d: %d, want %d", i, a.status, want)
		}
	}
}

func TestDelaysHoldWebhooksAndAnswersBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	const delay = 200 * time.Millisecond
	w.switches(simulator.Switches{WebhookDelay: delay, AnswerDelay: delay})
	began := time.Now()
	a := w.send("hi")
	if a.at.Sub(began) < delay {
		t.Errorf("answered after %v", a.at.Sub(began))
	}
	if echo := w.ingress.next(); echo.kind() != "echo" || echo.at.Sub(began) < 2*delay {
		t.Errorf("%s after %v", echo.kind(), echo.at.Sub(began))
	}
}

func TestReceiptsCanBeDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{DropDeliveries: true})
	w.sent("one")
	w.switches(simulator.Switches{DropReads: true})
	w.sent("two")
	if got := w.ingress.kinds(4); !slices.Equal(got, []string{"echo", "read", "echo", "delivery"}) {
		t.Errorf("got %v", got)
	}
}

func TestStrictControlRefusesWhatIsAlreadySo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	const pass = `{"recipient":{"id":"9001234567890123"},"target_app_id":263902037430900}`
	for range 2 {
		if a := w.graph("POST", "/me/pass_thread_control", pass); a.status != 200 {
			t.Errorf("pass: %v", a.body)
		}
	}
	w.switches(simulator.Switches{StrictControl: true})
	a := w.graph("POST", "/me/pass_thread_control", pass)
	if code, sub := a.code(); code != 100 || sub != 2534037 {
		t.Errorf("pass again: %v", a.body)
	}
}

func TestAPagesOwnSwitchesWinUntilCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.switches(simulator.Switches{EchoNever: true})
	if err := w.sim.SetSwitches(page, simulator.Switches{EchoTwice: true}); err != nil {
		t.Fatal(err)
	}
	if s := w.sim.SwitchesOf(page); !s.EchoTwice || s.EchoNever {
		t.Errorf("page: %+v", s)
	}
	if s := w.sim.SwitchesOf(insta); !s.EchoNever {
		t.Errorf("other page: %+v", s)
	}
	if err := w.sim.ClearSwitches(page); err != nil {
		t.Fatal(err)
	}
	if s := w.sim.SwitchesOf(page); !s.EchoNever {
		t.Errorf("cleared: %+v", s)
	}
}

func TestImpossibleSwitchesAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, s := range map[string]simulator.Switches{
		"never and twice":  {EchoNever: true, EchoTwice: true},
		"first and late":   {EchoFirst: true, EchoLate: time.Second},
		"first, all late":  {EchoFirst: true, WebhookDelay: time.Second},
		"negative delay":   {AnswerDelay: -1},
		"endless delay":    {EchoLate: time.Hour},
		"negative calls":   {Calls: -1},
		"refusal, no code": {Refuse: &simulator.Refusal{}},
		"refusal with 200": {Refuse: &simulator.Refusal{Code: 2, Status: 200}},
	} {
		if err := w.sim.SetSwitches(0, s); !errors.Is(err, simulator.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.sim.SetSwitches(1, simulator.Switches{}); !errors.Is(err, simulator.ErrNotFound) {
		t.Errorf("unknown page: %v", err)
	}
	if s := w.sim.SwitchesOf(0); s != (simulator.Switches{}) {
		t.Errorf("switches %+v", s)
	}
}
