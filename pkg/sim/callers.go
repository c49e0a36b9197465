package sim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/inbound"
	"github.com/baton-router/baton/pkg/partition"
)

// call is a command by a caller, who repeats it until it is answered or gives it
// up.
type call struct {
	number    uint64
	id        [16]byte
	req       *commandv1.Request
	thread    control.ThreadKey
	partition int
	sent      int       // copies on their way or arrived
	asked     *question // of a graphapi; nil for a caller of the simulator's own
}

// reply is an answer that a holder has given.
type reply struct {
	call *call
	from string
	at   arrival
	data []byte
}

// copyOf is a copy of a command at a holder; it takes the answer.
type copyOf struct {
	w    *World
	call *call
	from string
	at   arrival
}

// Respond notes the answer; the scheduler brings it to the caller.
func (c *copyOf) Respond(data []byte) error {
	c.w.scheduler.mu.Lock()
	defer c.w.scheduler.mu.Unlock()
	c.w.replies = append(c.w.replies, reply{c.call, c.from, c.at, slices.Clone(data)})
	return nil
}

const openCalls = 8

// newCall makes a command of a random app on a random thread.
func (w *World) newCall() {
	rng := w.scheduler.rng
	apps := []control.AppID{bot, agent, survey}
	by, other := apps[rng.IntN(3)], apps[rng.IntN(3)]
	req := &commandv1.Request{App: uint64(by)}
	switch n := rng.IntN(20); {
	case n < 4:
		req.Verb = &commandv1.Request_Take{Take: &commandv1.Take{}}
	case n < 8:
		req.Verb = &commandv1.Request_Pass{Pass: &commandv1.Pass{Target: uint64(other), Metadata: "order"}}
	case n < 10:
		req.Verb = &commandv1.Request_Release{Release: &commandv1.Release{}}
	case n < 11:
		req.Verb = &commandv1.Request_RequestControl{RequestControl: &commandv1.RequestControl{}}
	case n < 12:
		req.Verb = &commandv1.Request_Extend{Extend: &commandv1.Extend{DurationMs: int64(control.Hour)}}
	case n < 15:
		req.Verb = &commandv1.Request_Send{Send: &commandv1.Send{}}
	case n < 18:
		req.Verb = &commandv1.Request_ReadOwner{ReadOwner: &commandv1.ReadOwner{}}
	default:
		req.Verb = &commandv1.Request_Show{Show: &commandv1.Show{}}
	}
	w.ask(w.threads[rng.IntN(len(w.threads))], req)
}

func (w *World) ask(thread control.ThreadKey, req *commandv1.Request) {
	w.counts.Calls++
	c := &call{number: uint64(w.counts.Calls), req: req, thread: thread, partition: partition.Of(thread, w.options.Partitions)}
	binary.BigEndian.PutUint32(c.id[:], uint32(c.number))
	c.id[15] = 1
	req.Id, req.Asset, req.Person, req.BudgetMs, req.RosterVersion = c.id[:], thread.Asset, thread.Person, 3000, 1
	w.calls = append(w.calls, c)
	w.attempt(c)
}

// attempt sends a command to everybody who serves its partition.
func (w *World) attempt(c *call) {
	for _, n := range w.nodes {
		if n.life == nil || n.handler(c.partition) == nil {
			continue
		}
		c.sent++
		switch {
		case !n.frozen.Load() && w.scheduler.chance(85):
			w.handOver(c, n)
		case w.scheduler.chance(70):
			w.servers.send(fmt.Sprintf("call %d to %s", c.number, n.name), func() { w.handOver(c, n) })
		}
	}
}

func (n *node) handler(p int) func(bus.CommandCall) {
	n.w.scheduler.mu.Lock()
	defer n.w.scheduler.mu.Unlock()
	return n.life.link.serving[p]
}

// handOver brings a copy of a command to a node, if it still serves.
func (w *World) handOver(c *call, n *node) {
	if n.life == nil {
		return
	}
	handle := n.handler(c.partition)
	if handle == nil {
		return
	}
	data, err := proto.Marshal(c.req)
	if err != nil {
		w.fail("%v", err)
		return
	}
	handle(bus.NewCommandCall(data, &copyOf{w, c, n.life.link.name, w.truth.arrival(c.partition)}))
}

// takeReplies looks at what holders have answered, and brings the answers home.
func (w *World) takeReplies() {
	w.scheduler.mu.Lock()
	replies := w.replies
	w.replies = nil
	w.scheduler.mu.Unlock()
	slices.SortStableFunc(replies, func(a, b reply) int {
		return cmp.Or(cmp.Compare(a.call.number, b.call.number), cmp.Compare(a.from, b.from))
	})
	for _, r := range replies {
		response := new(commandv1.Response)
		if err := proto.Unmarshal(r.data, response); err != nil {
			w.fail("the answer to command %d: %v", r.call.number, err)
			return
		}
		w.scheduler.note("%s answers call %d: %v at %d %s", r.from, r.call.number, response.GetStatus(), response.GetPosition(), response.GetDetail())
		w.truth.told(r.call, r.from, r.at, response)
		switch {
		case !w.calm && !w.scheduler.chance(92):
		case r.call.asked != nil:
			take := func() { r.call.asked.answers = append(r.call.asked.answers, r.data) }
			if w.calm || w.scheduler.chance(80) {
				take()
			} else {
				w.servers.send(fmt.Sprintf("answer of %s to %x", r.from, r.call.id[:6]), take)
			}
		default:
			w.answered(r.call, response)
		}
	}
}

// answered ends a call, unless the answer says that it may be asked again.
func (w *World) answered(c *call, r *commandv1.Response) {
	i := slices.Index(w.calls, c)
	if i < 0 {
		return
	}
	switch r.GetStatus() {
	case commandv1.Status_STATUS_UNAVAILABLE, commandv1.Status_STATUS_BUSY, commandv1.Status_STATUS_INTERNAL:
		if c.sent > 1 || w.scheduler.chance(50) {
			return // asked again; of another copy nothing is known
		}
		w.truth.denied[c.id] = true
	case commandv1.Status_STATUS_OK:
		if c.req.GetSend() != nil && r.GetPosition() != 0 && w.scheduler.chance(80) {
			// The caller forwards the message, and tells how that ended.
			defer w.ask(c.thread, &commandv1.Request{App: c.req.GetApp(), Verb: &commandv1.Request_SendOutcome{SendOutcome: &commandv1.SendOutcome{
				Send: r.GetPosition(), Outcome: uint32(control.OutcomeConfirmed), Mid: fmt.Sprintf("m_sent_%d", c.number),
			}}})
		}
	default:
	}
	w.calls = slices.Delete(w.calls, i, i+1)
}

// event is a webhook event of the platform, which sends it until it is taken.
type event struct {
	*inboundv1.Event
	taken bool
}

// newWebhook makes a person write.
func (w *World) newWebhook() {
	thread := w.threads[w.scheduler.rng.IntN(len(w.threads))]
	var batch []*event
	for range 1 + w.scheduler.rng.IntN(3) {
		w.counts.Webhooks++
		mid, now := fmt.Sprintf("m_%d", w.counts.Webhooks), int64(w.now())
		e := &event{Event: &inboundv1.Event{
			Asset: thread.Asset, Person: thread.Person, Kind: uint32(control.KindMessage), TimestampMs: now, Mid: mid,
			Dedupe: dedupe(w.counts.Webhooks),
			Raw: fmt.Appendf(nil, `{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":%d,"message":{"mid":"%s","text":"hello"}}`,
				thread.Person, thread.Asset, now, mid),
		}}
		batch = append(batch, e)
	}
	w.events = append(w.events, batch...)
	w.publish(batch)
}

func dedupe(number int) []byte { return binary.BigEndian.AppendUint64(make([]byte, 8), uint64(number)) }

// publish is what ingress does with events of one thread: when they are durable
// the platform is told so.
func (w *World) publish(batch []*event) {
	message := new(inboundv1.Batch)
	for _, e := range batch {
		message.Events = append(message.Events, e.Event)
	}
	data, err := proto.Marshal(message)
	if err != nil {
		w.fail("%v", err)
		return
	}
	data = inbound.Seal(data)
	p := partition.Of(control.ThreadKey{Asset: batch[0].GetAsset(), Person: batch[0].GetPerson()}, w.options.Partitions)
	store := func() { w.servers.in.add(p, data, w.now()) }
	taken := false
	switch {
	case w.calm || w.scheduler.chance(80):
		store()
		taken = true
	case w.scheduler.chance(40):
		store() // and the answer is lost
	case w.scheduler.chance(60):
		w.servers.send(fmt.Sprintf("webhook %d", w.counts.Webhooks), store)
	}
	for _, e := range batch {
		e.taken = e.taken || taken
	}
	if !taken {
		w.unacked = append(w.unacked, batch)
	}
}

// repeatWebhook is the platform's retry.
func (w *World) repeatWebhook() {
	batch := w.unacked[0]
	w.unacked = w.unacked[1:]
	w.publish(batch)
}
