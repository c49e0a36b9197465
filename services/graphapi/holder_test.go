package graphapi

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// holder answers commands as the holder of all partitions would, with the real
// rules and no log.
type holder struct {
	t        *testing.T
	snapshot func() *roster.Snapshot
	mu       struct {
		sync.Mutex
		threads  map[control.ThreadKey]control.State
		answers  map[string]*commandv1.Response
		keys     map[string]*commandv1.Earlier
		digests  map[string]uint64
		position uint64
		events   []control.Event
		epoch    uint64
		// fault may answer instead of the rules; nil data drops the command.
		fault func(*commandv1.Request) (*commandv1.Response, bool)
	}
}

func newHolder(t *testing.T, snapshot func() *roster.Snapshot) *holder {
	t.Helper()
	h := &holder{t: t, snapshot: snapshot}
	h.mu.threads = map[control.ThreadKey]control.State{}
	h.mu.answers = map[string]*commandv1.Response{}
	h.mu.keys = map[string]*commandv1.Earlier{}
	h.mu.digests = map[string]uint64{}
	h.mu.epoch = 7
	return h
}

// serve answers commands from the bus until the test ends.
func (h *holder) serve(c *bus.Conn, partitions int) (stop func()) {
	h.t.Helper()
	var stops []func()
	for p := range partitions {
		stop, err := c.ServeCommands(p, func(call bus.CommandCall) {
			q, err := call.Request()
			if err != nil {
				h.t.Error(err)
				return
			}
			if a := h.answer(q, p); a != nil {
				if err := call.Reply(a); err != nil {
					h.t.Log(err)
				}
			}
		})
		if err != nil {
			h.t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (h *holder) answer(q *commandv1.Request, p int) *commandv1.Response {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.fault != nil {
		if a, handled := h.mu.fault(q); handled {
			return a
		}
	}
	if a, ok := h.mu.answers[string(q.GetId())]; ok {
		return a
	}
	a := h.decide(q)
	a.Epoch, a.Partition = h.mu.epoch, uint32(p)
	if a.GetStatus() == commandv1.Status_STATUS_OK {
		h.mu.answers[string(q.GetId())] = a
	}
	return a
}

func (h *holder) decide(q *commandv1.Request) *commandv1.Response {
	key := control.ThreadKey{Asset: q.GetAsset(), Person: q.GetPerson()}
	if e, ok := h.mu.keys[string(q.GetIdempotencyKey())]; ok && control.OutcomeKind(e.GetOutcome()) != control.OutcomeAbandoned {
		e.OtherCall = h.mu.digests[string(q.GetIdempotencyKey())] != q.GetDigest()
		return &commandv1.Response{Status: commandv1.Status_STATUS_REPEAT, Earlier: e}
	}
	state := h.mu.threads[key]
	env := control.Env{
		Now: control.Millis(time.Now().UnixMilli()), Position: control.Position(h.mu.position + 1),
		Page: h.snapshot().Page(key.Asset), Person: key.Person,
	}
	events, refusal := control.Decide(state, env, commandOf(q))
	a := &commandv1.Response{Status: commandv1.Status_STATUS_OK}
	if q.GetSetUserMenu().GetCheckOnly() {
		events = nil
	}
	for _, e := range events {
		h.mu.position++
		state = control.Evolve(state, e)
		h.mu.events = append(h.mu.events, e)
		a.Position = h.mu.position
		_, a.Held = e.(control.SurveyHeld)
		h.remember(q, e)
	}
	h.mu.threads[key] = state
	a.Thread = threadOf(state)
	if refusal.Refused() {
		a.Status = commandv1.Status_STATUS_REFUSED
		a.Refusal = &commandv1.Refusal{
			Reason: uint32(refusal.Reason), Verb: uint32(refusal.Verb), Owner: uint64(refusal.Owner),
			SinceMs: int64(refusal.Since), UntilMs: int64(refusal.Until), Next: uint32(refusal.Next),
		}
	}
	return a
}

// remember keeps what a repeat with the same Idempotency-Key is answered.
func (h *holder) remember(q *commandv1.Request, e control.Event) {
	put := func(key [16]byte, earlier *commandv1.Earlier) {
		if key != ([16]byte{}) {
			h.mu.keys[string(key[:])] = earlier
		}
	}
	if e, ok := e.(control.SendConfirmed); ok {
		put(e.Key, &commandv1.Earlier{Outcome: uint32(control.OutcomeConfirmed), Mid: e.Mid})
		return
	}
	if e, ok := e.(control.SendFailed); ok {
		put(e.Key, &commandv1.Earlier{Outcome: uint32(e.Outcome), Error: e.Error})
		return
	}
	if len(q.GetIdempotencyKey()) > 0 {
		h.mu.keys[string(q.GetIdempotencyKey())] = &commandv1.Earlier{Done: true}
		h.mu.digests[string(q.GetIdempotencyKey())] = q.GetDigest()
	}
}

func threadOf(s control.State) *commandv1.Thread {
	t := &commandv1.Thread{
		Owner: uint64(s.Owner), ExpiresAtMs: int64(s.ExpiresAt), SinceMs: int64(s.Since), LastUserAtMs: int64(s.LastUserAt),
	}
	if s.Rare != nil {
		for _, r := range s.Rare.Requests {
			t.Requests = append(t.Requests, &commandv1.PendingRequest{App: uint64(r.App), SinceMs: int64(r.Since), Metadata: r.Metadata})
		}
	}
	return t
}

func commandOf(q *commandv1.Request) control.Command {
	by := control.AppID(q.GetApp())
	call := control.Call{ID: [16]byte(q.GetId()), Digest: q.GetDigest()}
	if k := q.GetIdempotencyKey(); len(k) == 16 {
		call.Key, call.KeyUntil = [16]byte(k), 1<<50
	}
	switch v := q.GetVerb().(type) {
	case *commandv1.Request_Pass:
		return control.Pass{By: by, Target: control.AppID(v.Pass.GetTarget()), Metadata: v.Pass.GetMetadata(), Call: call}
	case *commandv1.Request_Take:
		return control.Take{By: by, Metadata: v.Take.GetMetadata(), Call: call}
	case *commandv1.Request_RequestControl:
		return control.RequestControl{By: by, Metadata: v.RequestControl.GetMetadata(), Call: call}
	case *commandv1.Request_Release:
		return control.Release{By: by, Metadata: v.Release.GetMetadata(), Call: call}
	case *commandv1.Request_Extend:
		return control.Extend{By: by, Duration: control.Millis(v.Extend.GetDurationMs()), Call: call}
	case *commandv1.Request_PassMetadata:
		return control.PassMetadata{By: by, Target: control.AppID(v.PassMetadata.GetTarget()), Metadata: v.PassMetadata.GetMetadata(), Call: call}
	case *commandv1.Request_SetUserMenu:
		return control.SetUserMenu{By: by, Items: v.SetUserMenu.GetItems(), Call: call}
	case *commandv1.Request_ReadOwner:
		return control.ReadOwner{By: by}
	case *commandv1.Request_SendOutcome:
		o := v.SendOutcome
		return control.SendOutcome{ID: control.Position(o.GetSend()), Outcome: control.OutcomeKind(o.GetOutcome()), Mid: o.GetMid(), Error: o.GetError()}
	case *commandv1.Request_Send:
		return sendOf(by, v.Send, call)
	}
	return nil
}

func sendOf(by control.AppID, v *commandv1.Send, call control.Call) control.Send {
	s := control.Send{
		By: by, Action: v.GetAction(), MarkSeen: v.GetMarkSeen(), Tag: control.Tag(v.GetTag()), Metadata: v.GetMetadata(),
		Control: control.SendControl{Type: control.ControlType(v.GetControlType()), Target: control.AppID(v.GetControlTarget())},
		Buttons: v.GetButtons(), Call: call,
	}
	if t := v.GetSurvey(); t != nil {
		s.Survey = &control.SurveyTemplate{Days: int(t.GetDays()), Questions: t.GetQuestions(), Message: t.GetMessage()}
	}
	return s
}

// faulty lets fault answer instead of the rules; nil ends it.
func (h *holder) faulty(fault func(*commandv1.Request) (*commandv1.Response, bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.fault = fault
}

// logged are the events so far.
func (h *holder) logged() []control.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mu.events)
}
