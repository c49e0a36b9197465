package ingress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/pkg/webhook"
)

// ServeHTTP answers the platform: GET is its handshake, POST brings events.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.challenge(w, r)
	case http.MethodPost:
		err := s.receive(r)
		a := answerTo(err)
		s.deps.Observer.request(a.result)
		s.write(w, a)
	default:
		s.deps.Observer.request(ResultMethod)
		w.Header().Set("Allow", "GET, POST")
		s.write(w, answer{status: http.StatusMethodNotAllowed, reason: "only GET and POST are answered here"})
	}
}

func (s *Service) challenge(w http.ResponseWriter, r *http.Request) {
	challenge, ok := webhook.Challenge(r.URL.Query(), s.deps.VerifyToken())
	if !ok {
		s.deps.Observer.request(ResultBadToken)
		s.write(w, answer{status: http.StatusForbidden, reason: "not a subscription handshake with the right verify token"})
		return
	}
	s.deps.Observer.request(ResultChallenge)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(challenge)) //nolint:gosec // plain text, behind the right token
}

// receive returns nil when every event of the request is durable.
func (s *Service) receive(r *http.Request) error {
	if r.ContentLength > int64(s.config.MaxBodyBytes) {
		return errTooLarge
	}
	b, err := readBody(&s.budget, r.Body, s.config.MaxBodyBytes)
	if err != nil {
		return err
	}
	defer b.free()
	if err := s.verify(b.data, r.Header); err != nil {
		return err
	}
	received, err := webhook.Parse(b.data, webhook.Limits{MaxBytes: s.config.MaxBodyBytes})
	if err != nil {
		return err
	}
	events := slices.DeleteFunc(received.Events, s.isForeign)
	if err := s.store(r, events); err != nil {
		return err
	}
	for i := range events {
		s.deps.Observer.event(events[i].Object, events[i].Kind)
	}
	return nil
}

// isForeign reports whether e is of a page that is not this installation's.
func (s *Service) isForeign(e webhook.Event) bool {
	if s.deps.KnowsPage(e.Asset) {
		return false
	}
	s.deps.Observer.unknownPage(e.Asset)
	return true
}

// verify accepts a signature by any of the secrets.
func (s *Service) verify(body []byte, h http.Header) error {
	v, _ := verifiers.Get().(*verifier)
	defer verifiers.Put(v)
	return v.verify(s.deps.Secrets(), body, h.Get(webhook.Header256), h.Get(webhook.Header1))
}

// store makes events durable, or returns why not; some may be durable then.
func (s *Service) store(r *http.Request, events []webhook.Event) error {
	trace := telemetry.TraceOf(r.Header).ID
	p := s.pack(events, trace[:])
	groups, err := s.enqueue(p)
	p.free()
	if err != nil {
		return err
	}
	return s.await(r, groups)
}

// enqueue hands a parcel to the lanes of its partitions.
func (s *Service) enqueue(p *parcel) ([]*group, error) {
	s.stop.RLock()
	defer s.stop.RUnlock()
	if s.stop.stopped {
		return nil, errStopping
	}
	if !s.budget.take(len(p.data)) {
		return nil, errFull
	}
	var groups []*group
	for from := 0; from < len(p.pieces); {
		to := from + 1
		for to < len(p.pieces) && p.pieces[to].partition == p.pieces[from].partition {
			to++
		}
		groups = s.lanes[p.pieces[from].partition].add(p, p.pieces[from:to], groups)
		from = to
	}
	return groups, nil
}

var (
	errStopping = errors.New("ingress: stopping")
	errSlow     = errors.New("ingress: not stored in time")
)

// await waits until all groups are durable or one has failed.
func (s *Service) await(r *http.Request, groups []*group) error {
	if len(groups) == 0 {
		return nil
	}
	late, ok := s.timers.Get().(*time.Timer)
	if !ok {
		late = time.NewTimer(s.config.AnswerWithin)
	}
	late.Reset(s.config.AnswerWithin)
	defer func() { late.Stop(); s.timers.Put(late) }()
	for _, g := range groups {
		select {
		case <-g.done:
		case <-late.C:
			return errSlow
		case <-r.Context().Done():
			return fmt.Errorf("%w: %w", errSlow, r.Context().Err())
		}
		if g.err != nil {
			return g.err
		}
	}
	return nil
}

// answer is what a request is told.
type answer struct {
	status int
	result string
	reason string
}

// answerTo maps what became of a request to its answer.
func answerTo(err error) answer {
	parse, malformed := errors.AsType[*webhook.ParseError](err)
	switch {
	case err == nil:
		return answer{status: http.StatusOK, result: ResultOK}
	case errors.Is(err, webhook.ErrNoSignature):
		return answer{http.StatusForbidden, ResultSignature, "the request has no signature"}
	case errors.Is(err, webhook.ErrSignature):
		return answer{http.StatusForbidden, ResultSignature, "the signature does not fit the body"}
	case errors.Is(err, webhook.ErrObject):
		return answer{http.StatusNotFound, ResultObject, err.Error()}
	case malformed:
		return answer{http.StatusBadRequest, ResultMalformed, parse.Error()}
	case errors.Is(err, errTooLarge), errors.Is(err, bus.ErrTooLarge):
		return answer{http.StatusRequestEntityTooLarge, ResultTooLarge, "the request is larger than Baton takes"}
	case errors.Is(err, errFull), errors.Is(err, bus.ErrStreamFull):
		return answer{http.StatusServiceUnavailable, ResultFull, "no room for more events; send the request again"}
	case errors.Is(err, errBroken):
		return answer{http.StatusBadRequest, ResultMalformed, "the request body ended early"}
	}
	return answer{http.StatusServiceUnavailable, ResultUnavailable, "not every event could be stored; send the request again"}
}

func (s *Service) write(w http.ResponseWriter, a answer) {
	switch a.status {
	case http.StatusOK: // without headers: net/http names the type, plain text
		_, _ = io.WriteString(w, "EVENT_RECEIVED") // a client that has gone sends it again
		return
	case http.StatusServiceUnavailable:
		seconds := int((s.config.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": a.reason}) // as above
}
