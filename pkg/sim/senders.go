package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/services/ownership"
)

// send is one call of the Send API by an app: the whole life of a send, through
// the product's graphapi.
type send struct {
	number int
	key    string // Idempotency-Key; repeats share it
	app    control.AppID
	thread control.ThreadKey
	link   *link
	asked  time.Time // when its holder was first asked to accept it
	status int       // of the answer
	body   []byte
	// unforwarded: its caller was told that it was not forwarded.
	unforwarded bool
}

type sendKey struct{}

const openSends = 3

// newSend makes an app send on a random thread, or repeat a send whose end it
// does not know.
func (w *World) newSend() {
	var up []*node
	for _, n := range w.nodes {
		if n.life != nil && !n.life.stopping {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return
	}
	rng := w.scheduler.rng
	w.counts.Sends++
	s := &send{
		number: w.counts.Sends, key: fmt.Sprintf("key-%d", w.counts.Sends), app: []control.AppID{bot, agent}[rng.IntN(2)],
		thread: w.threads[rng.IntN(len(w.threads))], link: up[rng.IntN(len(up))].life.link,
	}
	if len(w.unknown) > 0 && w.scheduler.chance(50) {
		before := w.unknown[rng.IntN(len(w.unknown))]
		s.key, s.app, s.thread = before.key, before.app, before.thread
	}
	w.open++
	graph := s.link.node.life.graph
	w.lives.Go(func() {
		answer := httptest.NewRecorder()
		graph.ServeHTTP(answer, s.request())
		w.scheduler.mu.Lock()
		defer w.scheduler.mu.Unlock()
		s.status, s.body = answer.Code, answer.Body.Bytes()
		w.ended = append(w.ended, s)
	})
}

func (s *send) request() *http.Request {
	body := fmt.Sprintf(`{"messaging_type":"RESPONSE","recipient":{"id":"%d"},"message":{"text":"for %s","metadata":"mine"}}`, s.thread.Person, s.key)
	r := httptest.NewRequestWithContext(context.WithValue(context.Background(), sendKey{}, s), http.MethodPost, "http://graph.invalid/v25.0/me/messages", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+tokenOf(s.app))
	r.Header.Set("Idempotency-Key", s.key)
	return r
}

// takeSends looks at the sends that were answered.
func (w *World) takeSends() {
	w.scheduler.mu.Lock()
	ended := w.ended
	w.ended = nil
	w.scheduler.mu.Unlock()
	slices.SortFunc(ended, func(a, b *send) int { return a.number - b.number })
	for _, s := range ended {
		w.open--
		w.scheduler.note("send %d: %d %.120s", s.number, s.status, s.body)
		if s.link.dead.Load() {
			w.unknown = append(w.unknown, s) // the answer went down with its node
			continue
		}
		w.truth.sendAnswered(s)
	}
	w.unknown = w.unknown[max(0, len(w.unknown)-4):]
}

// question is what a graphapi waits for.
type question struct {
	answers [][]byte // guarded by the scheduler's lock
}

// Ask implements graphapi.Asker: the question goes to everybody who serves its
// partition, and the first answer that arrives is it.
func (l *link) Ask(ctx context.Context, p int, req *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if s, ok := ctx.Value(sendKey{}).(*send); ok && req.GetSend() != nil && s.asked.IsZero() {
		s.asked = time.Now()
	}
	q, none := new(question), false
	key := fmt.Sprintf("ask %d %x", p, req.GetId()[:6])
	if err := l.call(
		ctx, key, nil, nil,
		end{"arrives", 90, func() { none = !l.w.put(q, p, req) }},
		end{"arrives late", 6, func() { l.w.servers.send(l.name+" "+key, func() { l.w.put(q, p, req) }) }},
		end{"lost", 4, func() {}},
	); err != nil {
		return nil, err
	}
	if none {
		return nil, bus.ErrNoHolder
	}
	var answer []byte
	take := func() { answer = q.answers[l.w.scheduler.rng.IntN(len(q.answers))] }
	if err := l.call(ctx, key+" answer", func() bool { return len(q.answers) > 0 }, nil, end{"arrives", 40, take}); err != nil {
		return nil, err
	}
	l.w.truth.replied(l, p, answer)
	response := new(commandv1.Response)
	return response, proto.Unmarshal(answer, response)
}

// put brings a question to the holders; false when there is none.
func (w *World) put(q *question, p int, req *commandv1.Request) (served bool) {
	c := &call{
		id: [16]byte(req.GetId()), req: req, partition: p, asked: q,
		thread: control.ThreadKey{Asset: req.GetAsset(), Person: req.GetPerson()},
	}
	for _, n := range w.nodes {
		if n.life == nil || n.handler(p) == nil {
			continue
		}
		served = true
		if !n.frozen.Load() {
			w.handOver(c, n)
		}
	}
	return served
}

// phone is the platform as a node reaches it. It implements graphapi.Sender.
type phone struct{ link *link }

// SendMessage implements graphapi.Sender.
func (f phone) SendMessage(ctx context.Context, m platform.Message) (answer platform.Answer, err error) {
	s, _ := ctx.Value(sendKey{}).(*send)
	var body struct {
		Message struct {
			Metadata string `json:"metadata"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.JSON, &body); err != nil || s == nil {
		return answer, fmt.Errorf("%w: %w", platform.ErrNotSent, err)
	}
	w, token := f.link.w, body.Message.Metadata
	w.truth.forwarded(s, token, f.link)
	arrive := func() (mid string) { return w.arrived(s, token) }
	late := func() { w.servers.send(f.link.name+" message "+token, func() { arrive() }) }
	slow := false
	ended := f.link.call(
		ctx, "message "+token, nil, late,
		end{"taken", 60, func() {
			mid := arrive()
			answer = platform.Answer{Mid: mid, Body: fmt.Appendf(nil, `{"recipient_id":"%d","message_id":"%s"}`, s.thread.Person, mid)}
		}},
		end{"answer lost", 10, func() { arrive(); err = platform.ErrUnknown }},
		end{"late", 8, func() { late(); err = platform.ErrUnknown }},
		end{"refused", 8, func() {
			err = &platform.RefusedError{Status: http.StatusBadRequest, Body: []byte(`{"error":{"code":551,"message":"gone"}}`)}
		}},
		end{"no connection", 6, func() { err = platform.ErrNotSent }},
		end{"no connection in time", 3, func() { slow, err = true, platform.ErrNotSent }},
	)
	if ended != nil {
		return platform.Answer{}, platform.ErrUnknown
	}
	if slow {
		<-time.After(m.ConnectWithin)
	}
	return answer, err
}

// Pass implements graphapi.Sender; nothing is passed on.
func (phone) Pass(context.Context, platform.Request) (*http.Response, error) {
	return nil, platform.ErrNotSent
}

// arrived is a message at the platform, which sends an echo of it.
func (w *World) arrived(s *send, token string) (mid string) {
	mid = w.truth.atPlatform(s, token)
	w.counts.Webhooks++
	now := w.now()
	e := &event{Event: &inboundv1.Event{
		Asset: s.thread.Asset, Person: s.thread.Person, Kind: uint32(control.KindEcho), TimestampMs: int64(now), Mid: mid,
		EchoApp: uint64(baton), Metadata: token, Dedupe: dedupe(w.counts.Webhooks),
		Raw: fmt.Appendf(nil, `{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":%d,"message":{"is_echo":true,"app_id":%d,"mid":"%s","metadata":"%s","text":"hi"}}`,
			s.thread.Asset, s.thread.Person, now, baton, mid, token),
	}}
	w.events = append(w.events, e)
	w.publish([]*event{e})
	return mid
}

// position is where a token says that its send was accepted.
func position(thread control.ThreadKey, partitions int, token string) (p int, at control.Position, ok bool) {
	p = partition.Of(thread, partitions)
	at, ok = ownership.ParseToken(token, p)
	return p, at, ok
}
