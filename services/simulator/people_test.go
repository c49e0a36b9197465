package simulator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/services/simulator"
)

// event strips what every event has and returns the rest.
func (g got) rest() map[string]any {
	out := map[string]any{}
	for k, v := range g.event {
		if k != "sender" && k != "recipient" && k != "timestamp" {
			out[k] = v
		}
	}
	return out
}

func TestPeopleWriteAsThePlatformReportsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mid, err := w.sim.Message(0+page, 0, "yes", simulator.MessageOptions{
		QuickReply: "COLOR_BLUE", ReplyTo: "m_b0",
		Attachments: []simulator.Attachment{{Type: "image", URL: "https://cdn.test/1.jpg"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := w.ingress.next()
	want := map[string]any{"message": map[string]any{
		"mid": mid, "text": "yes", "quick_reply": map[string]any{"payload": "COLOR_BLUE"}, "reply_to": map[string]any{"mid": "m_b0"},
		"attachments": []any{map[string]any{"type": "image", "payload": map[string]any{"url": "https://cdn.test/1.jpg"}}},
	}}
	if d := cmp.Diff(want, g.rest()); d != "" {
		t.Error(d)
	}
	if g.object != "page" || g.channel != "messaging" || g.part("sender")["id"] != "9001234567890123" || g.part("recipient")["id"] != "100200300400500" {
		t.Errorf("envelope %s", g.body)
	}
	if !strings.HasPrefix(mid, "m_") || len(mid) < 20 {
		t.Errorf("message id %q", mid)
	}
}

func TestInstagramThreadsAreTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.sim.Message(insta, person, "hi", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if g := w.ingress.next(); g.object != "instagram" || g.part("recipient")["id"] != "17841400000000001" {
		t.Errorf("got %s", g.body)
	}
	// Through the linked Page's id, with the Instagram account's token.
	a := w.graph("POST", "/v24.0/100200300400500/messages?access_token="+token+"IG",
		`{"recipient":{"id":"9001234567890123"},"message":{"text":"hello"}}`)
	if a.status != 200 {
		t.Fatalf("send: %v", a.body)
	}
	if g := w.ingress.next(); g.kind() != "echo" || g.object != "instagram" {
		t.Errorf("got %s", g.body)
	}
	g := w.ingress.next()
	if g.kind() != "read" || g.part("read")["mid"] != a.body["message_id"] {
		t.Errorf("seen %s", g.body)
	}
}

func TestATapFindsTheLatestButton(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{DropDeliveries: true, DropReads: true})
	for _, title := range []string{"Track", "Agent"} {
		a := w.graph("POST", "/me/messages", `{"recipient":{"id":"9001234567890123"},"message":{"attachment":{"type":"template","payload":
			{"template_type":"button","text":"Choose","buttons":[{"type":"postback","title":"`+title+`","payload":"`+strings.ToUpper(title)+`"}]}}}}`)
		if a.status != 200 {
			t.Fatalf("%v", a.body)
		}
		w.ingress.next()
	}
	for _, c := range []struct{ payload, title, wantPayload, wantTitle string }{
		{"", "", "AGENT", "Agent"},
		{"", "Track", "TRACK", "Track"},
		{"TRACK", "", "TRACK", "Track"},
		{"UNSEEN", "", "UNSEEN", "UNSEEN"},
		{"UNSEEN", "Menu", "UNSEEN", "Menu"},
	} {
		tap, err := w.sim.Postback(page, person, c.payload, c.title)
		if err != nil || tap.Payload != c.wantPayload || tap.Title != c.wantTitle {
			t.Errorf("%+v: %+v, %v", c, tap, err)
		}
		p := w.ingress.next().part("postback")
		if p["mid"] != tap.Mid || p["payload"] != c.wantPayload || p["title"] != c.wantTitle {
			t.Errorf("%+v: webhook %v", c, p)
		}
	}
	if _, err := w.sim.Postback(page, person, "", "No such"); !errors.Is(err, simulator.ErrNotFound) {
		t.Errorf("unknown title: %v", err)
	}
}

func TestMenuItemsCanBeTapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	a := w.graph("POST", "/me/messenger_profile", `{"get_started":{"payload":"START"},
		"persistent_menu":[{"locale":"default","call_to_actions":[{"type":"postback","title":"Help","payload":"HELP"}]}],
		"ice_breakers":[{"locale":"default","call_to_actions":[{"question":"Where is my order?","payload":"ORDER"}]}]}`)
	if a.status != 200 || a.body["result"] != "success" {
		t.Fatalf("%v", a.body)
	}
	for title, payload := range map[string]string{"Help": "HELP", "Get Started": "START", "Where is my order?": "ORDER"} {
		if tap, err := w.sim.Postback(page, person, "", title); err != nil || tap.Payload != payload {
			t.Errorf("%s: %+v, %v", title, tap, err)
		}
		w.ingress.next()
	}
}

func TestAdsAndLinksComeAsReferrals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.sim.Ad(page, person, 6001, "hi", simulator.AdOptions{ReceivingApp: 700000000000002, ReceivingDays: 4}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"ad_id": "6001", "source": "ADS", "type": "OPEN_THREAD", "ads_context_data": map[string]any{"ad_title": "Ad 6001"},
		"receiving_app_id": float64(700000000000002), "receiving_app_control_expiration": float64(4),
	}
	m := w.ingress.next().part("message")
	if d := cmp.Diff(any(want), m["referral"]); d != "" || m["text"] != "hi" {
		t.Errorf("%v %s", m, d)
	}
	if mid, err := w.sim.Ad(page, person, 6001, "", simulator.AdOptions{Ref: "r1"}); err != nil || mid != "" {
		t.Fatalf("%q, %v", mid, err)
	}
	if r := w.ingress.next().part("referral"); r["ad_id"] != "6001" || r["ref"] != "r1" {
		t.Errorf("%v", r)
	}
	if err := w.sim.Referral(page, person, "campaign7"); err != nil {
		t.Fatal(err)
	}
	if r := w.ingress.next().part("referral"); r["ref"] != "campaign7" || r["source"] != "SHORTLINK" {
		t.Errorf("%v", r)
	}
	if err := w.sim.Optin(page, person, "offers"); err != nil {
		t.Fatal(err)
	}
	if o := w.ingress.next().part("optin"); o["payload"] != "offers" || o["type"] != "notification_messages" {
		t.Errorf("%v", o)
	}
}

func TestReactionsEditsAndUnsendsNameTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.writes("Blue")
	w.switches(simulator.Switches{DropDeliveries: true, DropReads: true})
	said := w.sent("Blue it is")
	w.ingress.next()
	if err := w.sim.React(page, person, "", "love"); err != nil {
		t.Fatal(err)
	}
	if r := w.ingress.next().part("reaction"); r["mid"] != said || r["reaction"] != "love" || r["emoji"] != "❤️" || r["action"] != "react" {
		t.Errorf("%v", r)
	}
	if err := w.sim.React(page, person, "", ""); err != nil {
		t.Fatal(err)
	}
	if r := w.ingress.next().part("reaction"); r["action"] != "unreact" {
		t.Errorf("%v", r)
	}
	for i := 1; i <= 5; i++ {
		if mid, err := w.sim.Edit(page, person, "Blue!"); err != nil || mid != own {
			t.Fatalf("%q, %v", mid, err)
		}
		if e := w.ingress.next().part("message_edit"); e["mid"] != own || e["num_edit"] != float64(i) {
			t.Errorf("%v", e)
		}
	}
	if _, err := w.sim.Edit(page, person, "too often"); !errors.Is(err, simulator.ErrInvalid) {
		t.Errorf("sixth edit: %v", err)
	}
	if mid, err := w.sim.Unsend(page, person); err != nil || mid != own {
		t.Fatalf("%q, %v", mid, err)
	}
	if m := w.ingress.next().part("message"); m["mid"] != own || m["is_deleted"] != true {
		t.Errorf("%v", m)
	}
	if err := w.sim.Read(page, person); err != nil {
		t.Fatal(err)
	}
	if got := w.ingress.next().kind(); got != "read" {
		t.Errorf("got %s", got)
	}
}

func TestASurveyCanBeAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("bye")
	w.switches(simulator.Switches{DropDeliveries: true, DropReads: true})
	a := w.graph("POST", "/me/messages", `{"recipient":{"id":"9001234567890123"},"message":{"attachment":{"type":"template","payload":{
		"template_type":"customer_feedback","title":"How was it?","button_title":"Rate",
		"feedback_screens":[{"questions":[{"id":"q1","type":"csat","title":"Rate us","follow_up":{"type":"free_form"}}]}],
		"business_privacy":{"url":"https://acme.test/privacy"}}}}}`)
	if a.status != 200 {
		t.Fatalf("%v", a.body)
	}
	w.ingress.next()
	if err := w.sim.Feedback(page, person, "5", "great"); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"messaging_feedback": map[string]any{"feedback_screens": []any{map[string]any{
		"screen_id": float64(0),
		"questions": map[string]any{"q1": map[string]any{
			"type": "csat", "payload": "5", "follow_up": map[string]any{"type": "free_form", "payload": "great"},
		}},
	}}}}
	if d := cmp.Diff(want, w.ingress.next().rest()); d != "" {
		t.Error(d)
	}
	if err := w.sim.Feedback(page, person, "4", ""); !errors.Is(err, simulator.ErrNotFound) {
		t.Errorf("second answer: %v", err)
	}
}

func TestBadInputOfPeopleIsRefusedAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 2001)
	var no simulator.MessageOptions
	for name, c := range map[string]struct {
		want error
		do   func() error
	}{
		"no page of several": {simulator.ErrInvalid, func() error { _, err := w.sim.Message(0, person, "x", no); return err }},
		"unknown page":       {simulator.ErrNotFound, func() error { _, err := w.sim.Message(1, person, "x", no); return err }},
		"nothing said":       {simulator.ErrInvalid, func() error { _, err := w.sim.Message(page, person, "", no); return err }},
		"too long":           {simulator.ErrInvalid, func() error { _, err := w.sim.Message(page, person, long, no); return err }},
		"not UTF-8":          {simulator.ErrInvalid, func() error { _, err := w.sim.Message(page, person, "\xff", no); return err }},
		"attachment type": {simulator.ErrInvalid, func() error {
			_, err := w.sim.Message(page, person, "", simulator.MessageOptions{Attachments: []simulator.Attachment{{}}})
			return err
		}},
		"no ad":           {simulator.ErrInvalid, func() error { _, err := w.sim.Ad(page, person, 0, "x", simulator.AdOptions{}); return err }},
		"no ref":          {simulator.ErrInvalid, func() error { return w.sim.Referral(page, person, "") }},
		"nothing to read": {simulator.ErrNotFound, func() error { return w.sim.Read(page, person) }},
		"no message":      {simulator.ErrNotFound, func() error { _, err := w.sim.Edit(page, person, "x"); return err }},
		"nothing sent":    {simulator.ErrNotFound, func() error { _, err := w.sim.Unsend(page, person); return err }},
		"nothing said to": {simulator.ErrNotFound, func() error { return w.sim.React(page, person, "", "love") }},
		"odd reaction":    {simulator.ErrInvalid, func() error { return w.sim.React(page, person, "m_1", "hate") }},
		"no button":       {simulator.ErrNotFound, func() error { _, err := w.sim.Postback(page, person, "", ""); return err }},
		"no survey":       {simulator.ErrNotFound, func() error { return w.sim.Feedback(page, person, "5", "") }},
		"empty inbox":     {simulator.ErrNotFound, func() error { _, err := w.sim.Main(page, person); return err }},
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if lines, err := w.sim.Transcript(page, person); err != nil || len(lines) != 0 {
		t.Errorf("transcript %v, %v", lines, err)
	}
	w.writes("the first webhook")
}

func TestTheTranscriptIsWhatThePersonSees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := make(chan simulator.Line, 16)
	stopped := make(chan error, 1)
	go func() {
		stopped <- w.sim.Watch(t.Context(), simulator.Filter{Page: page}, func(l simulator.Line) error {
			seen <- l
			return nil
		})
	}()
	w.writes("hello")
	w.sent("How can I help?")
	if _, err := w.sim.Reply(page, person, "Lena here"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"person: hello", "page: How can I help?", "inbox: Lena here"} {
		select {
		case l := <-seen:
			if got := string(l.Speaker) + ": " + l.Text; got != want || l.Number != uint64(i+1) {
				t.Errorf("line %d: %s", l.Number, got)
			}
		case <-time.After(waited):
			t.Fatalf("no line %d", i)
		}
	}
	w.stop()
	if err := <-stopped; err != nil {
		t.Errorf("watch: %v", err)
	}
}
