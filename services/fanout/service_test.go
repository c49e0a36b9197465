package fanout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/roster"
)

func TestOwnerGetsMessagingOthersStandby(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	w.start()
	ids := w.say(9001, "caf\u00e9/1", "two")
	w.got(bot, ids...)
	w.got(desk, ids...)
	element := `{"sender":{"id":"9001"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"message":{"mid":"m_caf\u00e9\/1","text":"caf\u00e9\/1"}}`
	if got := bot.elements()[0]; got != "messaging "+element {
		t.Errorf("owner: %s", got)
	}
	if got := desk.elements()[0]; got != "standby "+element {
		t.Errorf("other: %s", got)
	}
}

func TestHandoverWebhooksAreRenderedForTheirApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	numeric := appEntry(agent, desk)
	numeric.Compat.NumericAppIDs = true
	w.adopt(document(appEntry(faq, bot), numeric))
	w.start()
	pass := control.Passed{Change: control.Change{From: control.AppID(faq), To: control.AppID(agent), Metadata: "order 42"}}
	take := control.Taken{Change: control.Change{From: control.AppID(agent), To: control.AppID(faq)}}
	back := control.Taken{Change: control.Change{From: control.AppID(faq), To: control.AppID(agent)}}
	p := partitionOf(9001)
	w.decide(p, w.version(), eventlog.Entry{Thread: thread(9001), Event: pass})
	w.decide(p, w.version(), eventlog.Entry{Thread: thread(9001), Event: take})
	w.decide(p, w.version(), eventlog.Entry{Thread: thread(9001), Event: back})
	w.got(desk, fmt.Sprintf("%d-2", p), fmt.Sprintf("%d-3", p))
	w.got(bot, fmt.Sprintf("%d-4", p))
	for want, got := range map[string]string{
		`"pass_thread_control":{"previous_owner_app_id":700000000000001,"new_owner_app_id":700000000000002,"metadata":"order 42"}`: desk.elements()[0],
		`"take_thread_control":{"previous_owner_app_id":700000000000002,"new_owner_app_id":700000000000001}`:                       desk.elements()[1],
		`"take_thread_control":{"previous_owner_app_id":"700000000000001","new_owner_app_id":"700000000000002"}`:                   bot.elements()[0],
	} {
		if !strings.HasPrefix(got, "messaging ") || !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPayloadIsWithheldFromStandbyAndEchoesAreRewritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	w.start()
	tap := `{"sender":{"id":"9001"},"recipient":{"id":"100200300400500"},"timestamp":1,"postback":{"mid":"m_p1","title":"Go","payload":"GO"}}`
	echo := `{"sender":{"id":"100200300400500"},"recipient":{"id":"9001"},"timestamp":2,"message":{"mid":"m_e","is_echo":true,"app_id":1,"metadata":"baton1:0-1","text":"hi"}}`
	foreign := `{"sender":{"id":"100200300400500"},"recipient":{"id":"9001"},"timestamp":3,"message":{"mid":"m_f","is_echo":true,"app_id":5,"metadata":"theirs","text":"hi"}}`
	refs := w.arrive(9001, tap, echo, foreign)
	owned := func(r control.Routed) eventlog.Entry {
		r.Audience, r.Owner = control.ToOwner, control.AppID(faq)
		return eventlog.Entry{Thread: thread(9001), Event: r}
	}
	w.decide(partitionOf(9001), w.version(),
		owned(control.Routed{Input: refs[0], Kind: control.KindPostback, Creator: control.AppID(faq)}),
		owned(control.Routed{Input: refs[1], Kind: control.KindEcho, Send: 7, Sender: control.AppID(agent), Metadata: "mine"}),
		owned(control.Routed{Input: refs[2], Kind: control.KindEcho}))
	w.until("both have all", func() bool { return len(bot.ids()) == 3 && len(desk.ids()) == 3 })
	check := func(got, want, without string) {
		t.Helper()
		if !strings.Contains(got, want) || without != "" && strings.Contains(got, without) {
			t.Errorf("got %s, want %s without %s", got, want, without)
		}
	}
	check(bot.elements()[0], `"payload":"GO"`, "")
	check(desk.elements()[0], `"title":"Go"`, "payload")
	check(bot.elements()[1], `"app_id":700000000000002,"metadata":"mine"`, "baton1:")
	check(desk.elements()[1], `"app_id":700000000000002,"metadata":"mine"`, "baton1:")
	check(desk.elements()[2], `"app_id":5,"metadata":"theirs"`, "")
}

func TestEmptyMessagingProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	botkit := appEntry(agent, desk)
	botkit.Compat.EmptyMessaging = true
	w.adopt(document(appEntry(faq, bot), botkit))
	w.start()
	w.got(desk, w.say(9001, "a")...)
	if body := string(desk.all()[0].body); !strings.Contains(body, `"messaging":[]`) {
		t.Errorf("body %s", body)
	}
}

func TestReceiversAreThoseOfTheRosterInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	before := w.say(9001, "before")
	w.got(bot, before...)
	// The log changes version in the midst of a record, and before this node
	// has heard of it.
	w.rosters.mu.Lock()
	w.rosters.hidden = 1
	w.rosters.mu.Unlock()
	v := w.rosters.put(document(appEntry(faq, bot), appEntry(agent, desk)))
	refs := w.arrive(9001, text(9001, "old"), text(9001, "new"))
	routed := func(ref control.Ref) eventlog.Entry {
		return eventlog.Entry{Thread: thread(9001), Event: control.Routed{
			Input: ref, Kind: control.KindMessage, Audience: control.ToOwner, Owner: control.AppID(faq),
		}}
	}
	p := partitionOf(9001)
	first := w.decide(p, v, routed(refs[0]), eventlog.Entry{Event: control.RosterApplied{Version: v}}, routed(refs[1]))
	w.got(desk, fmt.Sprintf("%d-%d", p, first+2))
	w.got(bot, before[0], fmt.Sprintf("%d-%d", p, first), fmt.Sprintf("%d-%d", p, first+2))
}

func TestSettingsAreThoseOfToday(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, moved := w.hook("s1"), w.hook("s1-rotated")
	w.adopt(document(appEntry(faq, old)))
	n := w.start()
	w.got(old, w.say(9001, "a")...)
	old.respond(func(posted) int { return 500 })
	ids := w.say(9001, "b")
	w.until("it failed", func() bool { return len(old.all()) > 1 })
	moved.silence(true)
	w.rosters.put(document(appEntry(faq, moved))) // not in the log yet: still today's
	w.until("a wrong answer to the challenge", func() bool { st, _ := n.Status(control.AppID(faq)); return !st.Verified })
	ids = append(ids, w.say(9002, "c")...)
	moved.silence(false)
	w.until("both came to the new callback", func() bool { return len(moved.ids()) == 2 })
	if got := moved.ids(); !strings.Contains(fmt.Sprint(got), ids[0]) || !strings.Contains(fmt.Sprint(got), ids[1]) {
		t.Errorf("got %v, want %v", got, ids)
	}
}

func TestSecretsAndLimitsChangeWithoutRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	app := appEntry(faq, bot)
	w.adopt(document(app))
	n := w.start()
	ids := w.say(9001, "a")
	w.got(bot, ids...)
	bot.mu.Lock()
	bot.secret = "rotated" // the hook refuses any other signature
	bot.mu.Unlock()
	app.Secret, app.Delivery.MaxInFlight = roster.NewSecret("rotated"), 9
	w.rosters.put(document(app))
	w.until("applied", func() bool {
		e, _ := n.receiver(control.AppID(faq), 0)
		return e.settings().MaxInFlight == 9
	})
	w.got(bot, append(ids, w.say(9001, "b")...)...)
	if w.count(&w.shaken) != 1 {
		t.Errorf("%d handshakes, want 1: the callback stayed", w.count(&w.shaken))
	}
}

func TestEventsWaitForTheHandshakeInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.silence(true) // 200 "OK", as a popular adapter answers a wrong token
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	n := w.start()
	ids := w.say(9001, "a", "b", "c")
	w.got(desk, ids...)
	if st, _ := n.Status(control.AppID(faq)); st.Verified || len(bot.ids()) != 0 {
		t.Fatalf("verified %v, %d deliveries", st.Verified, len(bot.ids()))
	}
	bot.silence(false)
	w.got(bot, ids...)
}

func TestRemovedAppIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.respond(func(posted) int { return 500 })
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	n := w.start()
	w.got(desk, w.say(9001, "a", "b")...)
	w.until("it failed", func() bool { return len(bot.all()) > 0 })
	w.adopt(document(appEntry(agent, desk)))
	w.until("its deliveries are dropped", func() bool { return w.outcomes(OutcomeAppGone) == 2 })
	if _, ok := n.Status(control.AppID(faq)); ok {
		t.Error("still there")
	}
	// Connected again, it gets what comes from then on.
	again := w.hook("s3")
	w.adopt(document(appEntry(faq, again), appEntry(agent, desk)))
	w.got(again, w.say(9001, "c")...)
}

func TestDisconnectedAppStillGetsWhatWasDecidedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.silence(true)
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	w.start()
	ids := w.say(9001, "a", "b")
	w.got(desk, ids...)
	d := document(appEntry(faq, bot), appEntry(agent, desk))
	d.Pages[0].Apps[0].Disconnected = true
	w.adopt(d)
	after := w.say(9001, "c")
	w.got(desk, append(ids, after...)...)
	bot.silence(false)
	w.got(bot, ids...)
}

func TestAppWithoutCallbackGetsNothingAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	desk := w.hook("s2")
	w.adopt(document(appEntry(faq, nil), appEntry(agent, desk)))
	n := w.start()
	w.got(desk, w.say(9001, "a")...)
	if _, ok := n.Status(control.AppID(faq)); ok {
		t.Error("an app without callback has an engine")
	}
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	w.got(bot, w.say(9001, "b")...)
}

func TestTrimmedPayloadBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	lost := w.say(9001, "a")
	if err := w.conn.TrimInbound(t.Context(), w.heads[partitionOf(9001)].input); err != nil {
		t.Fatal(err)
	}
	kept := w.say(9001, "b")
	w.start()
	w.got(bot, kept...)
	if w.outcomes(OutcomeRetention) != 1 {
		t.Errorf("%s was not counted", lost)
	}
}

func TestDamagedLogHaltsItsPartitionAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.garbage(0)
	n := w.start()
	w.got(bot, w.say(personIn(1, 0), "a")...)
	w.until("halted", func() bool { return w.count(&w.halted) == 1 && len(n.Partitions()) == testPartitions })
	if st := n.Partitions(); len(st) != testPartitions || st[0].Halted == nil || st[1].Halted != nil {
		t.Errorf("partitions %+v", st)
	}
}

func TestForeignRecordsAreNotDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.id.BatonID[0] ^= 1
	w.say(personIn(0, 0), "a")
	w.id.BatonID[0] ^= 1
	w.start()
	w.until("halted", func() bool { return w.count(&w.halted) == 1 })
	if len(bot.ids()) != 0 {
		t.Error("delivered")
	}
}

func TestRecordOfAnOldEpochIsSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	person := personIn(0, 0)
	w.heads[0].epoch = 3
	first := w.say(person, "a")
	zombie := w.heads[0]
	w.heads[0].epoch = 2
	w.say(person, "zombie")
	w.heads[0].epoch, w.heads[0].next, w.heads[0].hash = 3, zombie.next, zombie.hash
	w.got(bot, append(first, w.say(person, "b")...)...)
	if strings.Contains(fmt.Sprint(bot.elements()), "zombie") {
		t.Error("the zombie was delivered")
	}
}

func TestClaimsInTheLogAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	person := personIn(0, 0)
	ids := w.say(person, "a")
	w.heads[0].epoch = 2
	w.decide(0, w.version()) // a claim: no entries
	w.got(bot, append(ids, w.say(person, "b")...)...)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := New(Config{SaveEvery: 5, LeaseFor: 1}, Deps{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"user agent", "save_every", "save_together", "save_timeout", "drain_for", "app_letters", "app_bytes", "cache_bytes", "Log, Inbound"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not named in: %v", part, err)
		}
	}
}
