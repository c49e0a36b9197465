package simulator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/services/simulator"
)

const inbox = "263902037430900"

func TestAReplyInTheInboxTakesControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	r, err := w.sim.Reply(page, person, "Lena here")
	if err != nil || !r.Moved || !r.InboxOwns || r.Mid == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	take := w.ingress.next()
	want := map[string]any{"previous_owner_app_id": "700000000009999", "new_owner_app_id": inbox}
	if d := cmp.Diff(want, take.part("take_thread_control")); d != "" || take.channel != "messaging" {
		t.Errorf("%s %s", take.channel, d)
	}
	echo := w.ingress.next()
	if m := echo.part("message"); m["mid"] != r.Mid || m["app_id"] != float64(263902037430900) || echo.channel != "standby" {
		t.Errorf("echo %s", echo.body)
	}
	// A second reply moves nothing.
	if r, err := w.sim.Reply(page, person, "Still here"); err != nil || r.Moved || !r.InboxOwns {
		t.Errorf("%+v, %v", r, err)
	}
	if got := w.ingress.next().kind(); got != "echo" {
		t.Errorf("then %s", got)
	}
}

func TestWhileTheInboxHasControlBatonHearsStandbyAndCannotSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	if _, err := w.sim.Main(page, person); err != nil {
		t.Fatal(err)
	}
	if got := w.ingress.next().kind(); got != "take_thread_control" {
		t.Errorf("got %s", got)
	}
	if _, err := w.sim.Message(page, person, "a human please", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if g := w.ingress.next(); g.channel != "standby" {
		t.Errorf("got %s", g.body)
	}
	a := w.send("hi")
	if code, sub := a.code(); code != 10 || sub != 2018300 {
		t.Errorf("send: %v", a.body)
	}
	if a := w.graph("GET", "/me/thread_owner?recipient=9001234567890123", ""); ownerOf(a) != inbox {
		t.Errorf("owner %v", a.body)
	}
	if a := w.graph("POST", "/me/take_thread_control", `{"recipient":{"id":"9001234567890123"}}`); a.status != 200 || a.body["success"] != true {
		t.Errorf("take: %v", a.body)
	}
	if a := w.graph("GET", "/me/thread_owner?recipient=9001234567890123", ""); ownerOf(a) != "700000000009999" {
		t.Errorf("owner %v", a.body)
	}
	w.sent("hi")
}

func ownerOf(a answered) any {
	list, _ := a.body["data"].([]any)
	if len(list) == 0 {
		return nil
	}
	first, _ := list[0].(map[string]any)
	owner, _ := first["thread_owner"].(map[string]any)
	return owner["app_id"]
}

func TestDoneGivesControlBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	if _, err := w.sim.Main(page, person); err != nil {
		t.Fatal(err)
	}
	w.ingress.next()
	r, err := w.sim.Done(page, person)
	if err != nil || !r.Moved || r.InboxOwns {
		t.Fatalf("%+v, %v", r, err)
	}
	want := map[string]any{"previous_owner_app_id": inbox, "new_owner_app_id": "700000000009999"}
	if d := cmp.Diff(want, w.ingress.next().part("pass_thread_control")); d != "" {
		t.Error(d)
	}
	// Row 80: a reply on a thread marked done takes no control.
	if r, err := w.sim.Reply(page, person, "one more thing"); err != nil || r.Moved || r.InboxOwns {
		t.Errorf("%+v, %v", r, err)
	}
	if g := w.ingress.next(); g.kind() != "echo" || g.channel != "messaging" {
		t.Errorf("got %s", g.body)
	}
	// A new message of the person clears it.
	w.writes("thanks")
	if r, err := w.sim.Reply(page, person, "welcome"); err != nil || !r.Moved {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDoneOnAThreadOfBatonTellsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	if r, err := w.sim.Done(page, person); err != nil || r.Moved || r.InboxOwns {
		t.Fatalf("%+v, %v", r, err)
	}
	w.writes("the next webhook")
}

func TestPassToTheInboxIsKeptOnThePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{StrictPeople: true})
	for body, want := range map[string]int{
		`{"recipient":{"id":"9001234567890123"},"target_app_id":"700000000000001"}`: 2018164,
		`{"recipient":{"id":"9001234567890123"},"target_app_id":"x"}`:               2018164,
		`{"recipient":{"id":"9001234567890123"}}`:                                   2018164,
		`{"recipient":{"id":"9001234567890199"},"target_app_id":263902037430900}`:   2018001,
	} {
		if _, sub := w.graph("POST", "/me/pass_thread_control", body).code(); sub != want {
			t.Errorf("%s: subcode %d", body, sub)
		}
	}
	a := w.graph("POST", "/100200300400500/pass_thread_control", `{"recipient":{"id":"9001234567890123"},"target_app_id":263902037430900,"metadata":"m"}`)
	if a.status != 200 || a.body["success"] != true {
		t.Fatalf("%v", a.body)
	}
	if r, err := w.sim.Reply(page, person, "Lena here"); err != nil || r.Moved || !r.InboxOwns {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestATapGivesBatonControlBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	if _, err := w.sim.Main(page, person); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sim.Postback(page, person, "HELP", "Help"); err != nil {
		t.Fatal(err)
	}
	w.ingress.next()
	if g := w.ingress.next(); g.channel != "messaging" || g.part("postback")["payload"] != "HELP" {
		t.Errorf("got %s", g.body)
	}
}

func TestTheInboxLosesAThreadAfter24HoursWithoutThePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	if _, err := w.sim.Main(page, person); err != nil {
		t.Fatal(err)
	}
	w.ingress.next()
	var channels []string
	for _, step := range []time.Duration{23 * time.Hour, 23 * time.Hour, 24 * time.Hour} {
		if _, err := w.sim.Clock(step); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sim.Message(page, person, "still there?", simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
		channels = append(channels, w.ingress.next().channel)
	}
	if !slices.Equal(channels, []string{"standby", "standby", "messaging"}) {
		t.Errorf("got %v", channels)
	}
}
