package control

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyEvent has one zero value of each kind of event.
func everyEvent() []Event {
	return []Event{
		Assigned{},
		Passed{},
		Taken{},
		Released{},
		Expired{},
		Captured{},
		InboxTaken{},
		InboxDone{},
		DoneMarked{},
		Requested{},
		Extended{},
		MetadataPassed{},
		RoleChanged{},
		RosterApplied{},
		Routed{},
		EchoWaits{},
		SendAccepted{},
		SendConfirmed{},
		SendFailed{},
		SurveyHeld{},
		SurveyDelivered{},
		SurveyDropped{},
		SideConfirmed{},
		SideRefused{},
		UserMenuSet{},
		Refused{},
	}
}

// source makes values out of fuzzed bytes; zeros when they run out.
type source struct{ rest []byte }

func (s *source) number() uint64 {
	n, size := binary.Uvarint(s.rest)
	if size <= 0 {
		s.rest = nil
		return 0
	}
	s.rest = s.rest[size:]
	return n
}

func (s *source) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			s.fill(field)
		}
	case reflect.Array:
		for i := range v.Len() {
			s.fill(v.Index(i))
		}
	case reflect.Slice:
		n := int(s.number() % 4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			s.fill(v.Index(i))
		}
	case reflect.Pointer:
		if s.number()%2 == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem())
		}
	case reflect.String:
		v.SetString(string(rune('a' + s.number()%3)))
	case reflect.Bool:
		v.SetBool(s.number()%2 == 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(s.number()))
	default:
		v.SetUint(s.number() & (math.MaxUint64 >> (64 - v.Type().Bits())))
	}
}

func (s *source) event() Event {
	all := everyEvent()
	e := reflect.New(reflect.TypeOf(all[s.number()%uint64(len(all))])).Elem()
	s.fill(e)
	made, _ := reflect.TypeAssert[Event](e)
	return made
}

// FuzzEvolve: any events on any state give a state that has one encoding, and
// never change an earlier snapshot.
func FuzzEvolve(f *testing.F) {
	for i := range everyEvent() {
		f.Add(bytes.Repeat([]byte{byte(i), 1, 2, 3, 1, 1}, 40))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		from := &source{rest: data}
		s := fullState()
		for range 16 {
			before := s.AppendCanonical(nil)
			next := Evolve(s, from.event())
			if !bytes.Equal(before, s.AppendCanonical(nil)) {
				t.Fatal("Evolve changed the state it was given")
			}
			checkBounds(t, next)
			s = next
		}
	})
}

func checkBounds(t *testing.T, s State) {
	t.Helper()
	b := s.AppendCanonical(nil)
	parsed, err := ParseState(b)
	if err != nil || !bytes.Equal(b, parsed.AppendCanonical(nil)) {
		t.Fatalf("%+v does not read back: %v", s, err)
	}
	if s.Rare == nil {
		return
	}
	if s.Rare.empty() {
		t.Fatal("an empty Rare was kept")
	}
	if len(s.Rare.Requests) > MaxRequests || len(s.Rare.Held) > MaxSurveys || len(s.Rare.Answerable) > MaxSurveys ||
		len(s.Rare.HeldEcho) > MaxHeldEchoes {
		t.Fatalf("beyond the bounds: %+v", s.Rare)
	}
}

func TestListsOfAThreadAreBounded(t *testing.T) {
	t.Parallel()
	var s State
	for n := range Position(100) {
		s = Evolve(s, Requested{App: AppID(n + 1)})
		s = Evolve(s, SurveyHeld{ID: n + 1})
		s = Evolve(s, SendAccepted{ID: 1000 + n, Answers: &Answerable{App: AppID(n)}})
		s = Evolve(s, SendConfirmed{ID: 1000 + n})
		s = Evolve(s, EchoWaits{Input: Ref{Sequence: uint64(n)}})
	}
	checkBounds(t, s)
	if got := s.Rare.Answerable[0].App; got != 92 {
		t.Errorf("the oldest survey that may be answered is that of %d", got)
	}
}

func TestSnapshotsShareNothingThatChanges(t *testing.T) {
	t.Parallel()
	queue := Replay(Taken{Change{To: 1}}, Requested{App: 2}, Requested{App: 3})
	left, right := Evolve(queue, Requested{App: 4}), Evolve(queue, Requested{App: 5})
	if left.Rare.Requests[2].App != 4 || right.Rare.Requests[2].App != 5 || len(queue.Rare.Requests) != 2 {
		t.Errorf("%+v and %+v grew out of %+v", left.Rare, right.Rare, queue.Rare)
	}
}

func TestReplayOfTheSameEventsIsTheSameThread(t *testing.T) {
	t.Parallel()
	events := []Event{
		Assigned{Change{To: 1, At: 10, ExpiresAt: 20, Why: WhyLead}},
		Routed{UserAt: 10, At: 10},
		Requested{App: 2, At: 11, Metadata: "m", Print: 7},
		SurveyHeld{ID: 4, App: 3, At: 12},
		Released{Change{From: 1, At: 15}},
		SurveyDelivered{ID: 6, Survey: 4, App: 3, At: 15},
	}
	want := State{
		Since: 15, LastUserAt: 10, LastChangeAt: 15, Revision: 2,
		Rare: &Rare{
			Answerable: []DeliveredSurvey{{ID: 6, Answerable: Answerable{App: 3}}},
			Effects:    []Effect{{Kind: EffectSurvey, ID: 6, App: 3, Since: 15, Survey: 4}},
		},
	}
	if diff := cmp.Diff(want, Replay(events...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Replay(events...).AppendCanonical(nil), Replay(events...).AppendCanonical(nil)); diff != "" {
		t.Error(diff)
	}
}

func TestRevisionCountsChangesOfOwner(t *testing.T) {
	t.Parallel()
	s := Replay(Taken{Change{To: 1}}, Extended{App: 1, ExpiresAt: 5}, Passed{Change{From: 1, To: 1}}, Released{Change{From: 1}})
	if s.Revision != 2 {
		t.Errorf("revision %d", s.Revision)
	}
}

//nolint:paralleltest // allocations are counted for the whole process
func TestCommonEventsDoNotAllocate(t *testing.T) {
	s := State{Owner: 1, ExpiresAt: 100}
	for _, e := range []Event{
		Event(Routed{UserAt: 50, ExpiresAt: 150}),
		Passed{Change{From: 1, To: 2, ExpiresAt: 200}},
		Extended{ExpiresAt: 300},
		SendConfirmed{ID: 5},
		Expired{Change{From: 2}},
	} {
		if n := testing.AllocsPerRun(100, func() { s = Evolve(s, e) }); n != 0 {
			t.Errorf("%T: %v allocations", e, n)
		}
	}
}
