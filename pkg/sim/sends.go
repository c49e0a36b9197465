package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/services/graphapi"
)

// sent is an accepted send, as the log, the platform and its caller know it.
type sent struct {
	accepted decidedAt
	until    control.Millis // how long its key is remembered
	mid      string         // at the platform; empty while it has not arrived
	from     *link          // who forwarded it
	outcome  control.OutcomeKind
	ended    decidedAt // zero while it is open
	logged   string    // the mid that the log has
}

// unknownAfter is how long the log waits for the outcome of a send by itself.
const unknownAfter = 30 * control.Second

// send takes an entry in that concerns a send.
func (t *truth) send(p int, e control.Event, timer bool, now decidedAt) {
	sends := t.parts[p].sends
	end := func(id control.Position, o control.OutcomeKind, mid string) {
		s := sends[id]
		switch {
		case s == nil:
			t.w.fail("the end of a send that was not accepted, in partition %d: %s", p, now.what)
		case s.ended.record != 0 && s.outcome != control.OutcomeUnknown:
			t.w.fail("a send ends twice in partition %d: %s; %s", p, s.ended.what, now.what)
		case s.mid != "" && (o == control.OutcomeAbandoned || o == control.OutcomeRefused):
			t.w.fail("the log says of a send that it came to nothing, and the platform has it, in partition %d: %s; %s", p, s.accepted.what, now.what)
		case o == control.OutcomeUnknown && timer && now.at-s.accepted.at < unknownAfter:
			t.w.fail("a send is given up too early in partition %d: %s; %s", p, s.accepted.what, now.what)
		case o == control.OutcomeConfirmed && s.from != nil && mid != s.mid:
			t.w.fail("the log has message %q for a send of which the platform has %q: %s", mid, s.mid, now.what)
		default:
			s.outcome, s.ended, s.logged = o, now, mid
		}
	}
	switch e := e.(type) {
	case control.SendAccepted:
		if !e.Action {
			sends[e.ID] = &sent{accepted: now, until: e.Call.KeyUntil}
		}
	case control.SendConfirmed:
		end(e.ID, control.OutcomeConfirmed, e.Mid)
	case control.SendFailed:
		end(e.ID, e.Outcome, "")
	default:
	}
}

// replied looks at an answer that a graphapi has taken off the network: of an
// epoch that is over for it, nothing may come of it, unless the holder of the newest
// one says the same, before or after.
func (t *truth) replied(l *link, p int, answer []byte) {
	r := new(commandv1.Response)
	if err := proto.Unmarshal(answer, r); err != nil {
		t.w.fail("an answer to node %s: %v", l.name, err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := r.GetPosition(); at != 0 {
		token := fmt.Sprintf("baton1:%d-%d", p, at)
		if _, heard := l.stale[token]; !heard || r.GetEpoch() >= l.highest[p] {
			l.stale[token] = r.GetEpoch() < l.highest[p]
		}
	}
	l.highest[p] = max(l.highest[p], r.GetEpoch())
}

// forwarded looks at a send that leaves for the platform.
func (t *truth) forwarded(s *send, token string, from *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if late := time.Since(s.asked); late > graphapi.Default(1).ForwardWithin {
		t.w.fail("send %d leaves %v after its holder was first asked", s.number, late)
	}
	if from.stale[token] {
		t.w.fail("send %d leaves on an answer of an epoch that was over for its node: %s", s.number, token)
	}
}

// atPlatform takes a message in that has come to the platform.
func (t *truth) atPlatform(s *send, token string) (mid string) {
	mid = "m_" + token
	p, at, ok := position(s.thread, t.w.options.Partitions, token)
	accepted := t.parts[p].sends[at]
	switch {
	case t.parts[p].loss != nil:
		return mid
	case !ok || accepted == nil:
		t.w.fail("send %d came to the platform as %q, which the log has not accepted", s.number, token)
		return mid
	case accepted.outcome == control.OutcomeAbandoned || accepted.outcome == control.OutcomeRefused:
		t.w.fail("send %d came to the platform after it came to nothing: %s", s.number, accepted.ended.what)
	case accepted.mid != "":
		t.w.fail("send %d came to the platform twice: %s", s.number, accepted.accepted.what)
	case t.again(s, accepted.accepted.at):
		t.w.fail("send %d came to the platform as %s, and under the same key as %s", s.number, token, t.keys[s.key])
	case s.unforwarded:
		t.w.fail("send %d came to the platform after its caller was told that it was not forwarded: %s", s.number, token)
	}
	accepted.mid, accepted.from, t.keys[s.key] = mid, s.link, token
	t.w.counts.Forwarded++
	return mid
}

// again reports whether a send's key brought a message to the platform before, and
// is still remembered.
func (t *truth) again(s *send, now control.Millis) bool {
	p, at, ok := position(s.thread, t.w.options.Partitions, t.keys[s.key])
	return ok && now < t.parts[p].sends[at].until
}

// sendAnswered looks at what the caller of a send was told.
func (t *truth) sendAnswered(s *send) {
	var body struct {
		MessageID string `json:"message_id"`
		Error     struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(s.body, &body); err != nil {
		t.w.fail("send %d was answered %d %s: %v", s.number, s.status, s.body, err)
		return
	}
	switch {
	case t.parts[t.w.partitionOf(s.thread)].loss != nil:
	case s.status == 200:
		_, at, ok := position(s.thread, t.w.options.Partitions, t.keys[s.key])
		sent := t.parts[t.w.partitionOf(s.thread)].sends[at]
		if !ok || sent == nil || sent.ended.record == 0 || sent.outcome == control.OutcomeRefused || sent.outcome == control.OutcomeAbandoned || sent.mid != body.MessageID {
			t.w.fail("send %d was told %s, and the log has not how it ended: %s", s.number, body.MessageID, t.keys[s.key])
		}
		t.w.counts.Sent++
	case s.status == 503:
		s.unforwarded = true
		t.w.unknown = append(t.w.unknown, s) // and may be repeated
	case body.Error.Code == 2:
		t.w.unknown = append(t.w.unknown, s)
	}
}
