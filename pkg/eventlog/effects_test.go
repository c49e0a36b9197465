package eventlog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// spoken writes down what Project says, without histories.
type spoken []string

func (s *spoken) say(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s *spoken) Remember(id [16]byte, at control.Millis) { s.say("seen %d at %d", id[15], at) }
func (s *spoken) Sent(mid string, p control.Position)     { s.say("mid %s of %d", mid, p) }
func (s *spoken) Happened(control.ThreadKey, control.Position) {
}

func (s *spoken) Button(_ control.ThreadKey, payload uint64, app control.AppID) {
	s.say("button %d of %d", payload, app)
}

func (s *spoken) Answer(id [16]byte, a eventlog.Answer) {
	how := map[bool]string{a.Open: "open"}[true] + map[bool]string{a.Done: "done"}[true] + map[bool]string{a.Held: " held"}[true]
	s.say("answer %d: position %d %s outcome %d mid %q digest %d until %d", id[15], a.Position, how, a.Outcome, a.Mid, a.Digest, a.Until)
}

func id(n byte) [16]byte { return [16]byte{15: n} }

func TestWhatEventsMean(t *testing.T) {
	t.Parallel()
	const now, minutes10 = 1000, 601000
	call := control.Call{ID: id(1), Key: id(2), KeyUntil: 5000, Digest: 7}
	tests := []struct {
		name   string
		events []control.Event
		want   spoken
	}{
		{"a routed event is remembered", []control.Event{control.Routed{Dedupe: id(9)}}, spoken{"seen 9 at 1000"}},
		{"one without key is not", []control.Event{control.Routed{}}, nil},
		{"a waiting echo is remembered when it comes", []control.Event{control.EchoWaits{Dedupe: id(9)}}, spoken{"seen 9 at 1000"}},
		{"and not again when it is routed", []control.Event{control.Routed{Dedupe: id(9), WasHeld: true}}, nil},
		{
			"a change answers its call",
			[]control.Event{control.Passed{Change: control.Change{Call: call}}},
			spoken{
				fmt.Sprintf(`answer 1: position 50 done outcome 0 mid "" digest 7 until %d`, minutes10),
				`answer 2: position 50 done outcome 0 mid "" digest 7 until 5000`,
			},
		},
		{
			"a send is open, and its buttons are known",
			[]control.Event{control.SendAccepted{App: 4, Buttons: []uint64{8, 9}, Call: call}},
			spoken{
				"button 8 of 4", "button 9 of 4",
				fmt.Sprintf(`answer 1: position 50 open outcome 0 mid "" digest 7 until %d`, minutes10),
				`answer 2: position 50 open outcome 0 mid "" digest 7 until 5000`,
			},
		},
		{
			"a sender action is done at once",
			[]control.Event{control.SendAccepted{Action: true, Call: control.Call{Key: id(2), KeyUntil: 5000}}},
			spoken{`answer 2: position 50 done outcome 0 mid "" digest 0 until 5000`},
		},
		{
			"a send that takes control first is answered by the send",
			[]control.Event{control.Taken{Change: control.Change{Call: control.Call{ID: id(1)}}}, control.SendAccepted{Call: control.Call{ID: id(1)}}},
			spoken{
				fmt.Sprintf(`answer 1: position 50 done outcome 0 mid "" digest 0 until %d`, minutes10),
				fmt.Sprintf(`answer 1: position 51 open outcome 0 mid "" digest 0 until %d`, minutes10),
			},
		},
		{
			"a change after the send of the same call leaves its answer",
			[]control.Event{control.SendAccepted{Call: call}, control.Passed{Change: control.Change{Call: call}}},
			spoken{
				fmt.Sprintf(`answer 1: position 50 open outcome 0 mid "" digest 7 until %d`, minutes10),
				`answer 2: position 50 open outcome 0 mid "" digest 7 until 5000`,
			},
		},
		{
			"a confirmed send answers its key, and its mid is known",
			[]control.Event{control.SendConfirmed{ID: 33, Mid: "m", Key: id(2), KeyUntil: 5000, Digest: 7}},
			spoken{
				"mid m of 33",
				fmt.Sprintf(`answer 3: position 33 done outcome 1 mid "m" digest 7 until %d`, minutes10),
				`answer 2: position 33 done outcome 1 mid "m" digest 7 until 5000`,
			},
		},
		{
			"a key lives two days at most",
			[]control.Event{control.Taken{Change: control.Change{Call: control.Call{Key: id(2), KeyUntil: 1 << 60}}}},
			spoken{fmt.Sprintf(`answer 2: position 50 done outcome 0 mid "" digest 0 until %d`, now+eventlog.MaxKeyFor)},
		},
		{"a held survey is done", []control.Event{control.SurveyHeld{Call: control.Call{Key: id(2), KeyUntil: 5000}}}, spoken{
			`answer 2: position 50 done held outcome 0 mid "" digest 0 until 5000`,
		}},
		{"a refusal says nothing", []control.Event{control.Refused{App: 3}}, nil},
	}
	for _, test := range tests {
		r := eventlog.Record{First: 50, DecidedAt: now}
		for _, e := range test.events {
			entry := eventlog.Entry{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: e}
			if _, outcome := e.(control.SendConfirmed); outcome {
				entry.Cause = id(3)
			}
			r.Entries = append(r.Entries, entry)
		}
		var got spoken
		eventlog.Project(&r, &got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
	}
}

func TestWhoHasAState(t *testing.T) {
	t.Parallel()
	thread, page := control.ThreadKey{Asset: 1, Person: 2}, control.ThreadKey{Asset: 1}
	tests := []struct {
		entry          eventlog.Entry
		evolves, filed bool
	}{
		{eventlog.Entry{Thread: thread, Event: control.Routed{}}, true, true},
		{eventlog.Entry{Thread: page, Event: control.Routed{}}, true, true},
		{eventlog.Entry{Thread: thread, Event: control.Refused{}}, false, true},
		{eventlog.Entry{Thread: page, Event: control.RoleChanged{}}, false, true},
		{eventlog.Entry{Event: control.RosterApplied{}}, false, false},
	}
	for _, test := range tests {
		if got := test.entry.Evolves(); got != test.evolves {
			t.Errorf("%+v evolves: %v", test.entry, got)
		}
		if got := test.entry.Filed(); got != test.filed {
			t.Errorf("%+v filed: %v", test.entry, got)
		}
	}
}

func TestAnswersSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(4, 4))
	for range 500 {
		want := eventlog.Answer{
			Position: control.Position(c.Uint64() >> c.IntN(64)), Open: c.IntN(2) > 0, Done: c.IntN(2) > 0, Held: c.IntN(2) > 0,
			Outcome: control.OutcomeKind(c.IntN(5)), Mid: []string{"", "m_1"}[c.IntN(2)], Digest: c.Uint64(),
			Until: control.Millis(c.Int64() - c.Int64()),
		}
		if c.IntN(2) > 0 {
			want.Error = []byte(`{"error":{}}`)
		}
		encoded := eventlog.AppendAnswer(nil, &want)
		got, err := eventlog.ParseAnswer(encoded)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		for i := range len(encoded) - len(want.Error) {
			if _, err := eventlog.ParseAnswer(encoded[:i]); err == nil {
				t.Fatalf("%x cut at %d is accepted", encoded, i)
			}
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(eventlog.AppendAnswer(nil, &eventlog.Answer{Mid: "m", Error: []byte("e")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := eventlog.ParseAnswer(data); err == nil {
			if _, err := eventlog.ParseAnswer(eventlog.AppendAnswer(nil, &a)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFoldForgetsAndAnswers: what lapses is not answered and not digested, and
// two folds of the same records agree.
func TestFoldForgetsAndAnswers(t *testing.T) {
	t.Parallel()
	var once, again eventlog.Fold
	h := eventlogtest.NewHistory(rand.New(rand.NewPCG(11, 11)), 6)
	seen := map[eventlog.Digest]bool{}
	for range 50 {
		r, raw := h.Next()
		copied, err := eventlog.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := once.Apply(r); err != nil {
			t.Fatal(err)
		}
		if err := again.Apply(&copied); err != nil {
			t.Fatal(err)
		}
		if once.Digest() != again.Digest() {
			t.Fatalf("two folds differ at %d", r.Last())
		}
		seen[once.Digest()] = true
	}
	if len(seen) < 30 {
		t.Errorf("only %d digests after 50 records", len(seen))
	}
	p, now := once.Partition(6), once.Partition(6).Head().DecidedAt
	for n := range byte(24) {
		if at, ok := p.Seen(id(n), now); ok && now-at >= eventlog.DedupeFor {
			t.Errorf("key %d of %d is remembered at %d", n, at, now)
		}
		if _, ok := p.Seen(id(n), now+eventlog.DedupeFor); ok {
			t.Errorf("key %d is remembered for ever", n)
		}
		if a, ok := p.Answer(id(n), now+eventlog.MaxKeyFor); ok {
			t.Errorf("answer %d lives for ever: %+v", n, a)
		}
	}
}
