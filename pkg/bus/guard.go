package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	subjectGuard = "baton.guard."
	guardInfo    = "STREAM.INFO." + StreamControl
	guardCreate  = "CONSUMER.CREATE." + StreamControl + "."
	// maxReaderConsumers bounds the consumers of BATON_CONTROL: each costs the
	// server some 30 KiB, idle or not.
	maxReaderConsumers = 256
)

// Error codes that readers get.
const (
	codeBadRequest       = 10003
	codeTooManyConsumers = 10026
)

// ServeReaders stands between the readers of the control-change topic, who are
// strangers, and the two requests of the embedded server that cannot be judged
// by their subject: the creation of a consumer, and information about the
// stream. access holds the pages that each reader may read; none means all. A
// reader gets pull consumers on subjects of its pages. Without a running
// ServeReaders nobody can create a consumer. stop ends it.
func (c *Conn) ServeReaders(access map[string][]uint64) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for name, pages := range access {
		g := guard{conn: c, name: name, pages: pages}
		one, err := c.subscribe(subjectGuard+name+".>", g.handle)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, one)
	}
	return stop, nil
}

// guard judges the requests of one reader.
type guard struct {
	conn  *Conn
	name  string
	pages []uint64
}

func (g guard) handle(m *nats.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), g.conn.timeout)
	defer cancel()
	answer, err := g.answer(ctx, strings.TrimPrefix(m.Subject, subjectGuard+g.name+"."), m.Data)
	if err != nil {
		g.conn.logger.Info("reader refused", "reader", g.name, "err", err)
		answer = refusal(err)
	}
	if err := m.Respond(answer); err != nil {
		g.conn.logger.Debug("reader not answered", "reader", g.name, "err", err)
	}
}

func (g guard) answer(ctx context.Context, api string, body []byte) ([]byte, error) {
	if api == guardInfo {
		if len(g.pages) > 0 {
			body = nil // it may ask for the subjects of all pages
		}
		return g.forward(ctx, api, body)
	}
	create, err := g.judge(api, body)
	if err != nil {
		return nil, err
	}
	if err := g.room(ctx, create); err != nil {
		return nil, err
	}
	if body, err = json.Marshal(create); err != nil {
		return nil, err
	}
	return g.forward(ctx, api, body)
}

// consumerRequest is the body of CONSUMER.CREATE. What it does not name is left
// out of what is forwarded.
type consumerRequest struct {
	Stream string                   `json:"stream_name"`
	Config jetstream.ConsumerConfig `json:"config"`
	Action string                   `json:"action,omitempty"`
}

// judge returns the request as it may be forwarded.
func (g guard) judge(api string, body []byte) (*consumerRequest, error) {
	name, filter, filtered := strings.Cut(strings.TrimPrefix(api, guardCreate), ".")
	var r consumerRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("%w: consumer request: %w", ErrInvalid, err)
	}
	cfg := &r.Config
	switch {
	case !strings.HasPrefix(api, guardCreate) || name == "":
		return nil, fmt.Errorf("%w: request %s", ErrInvalid, api)
	case r.Stream != StreamControl:
		return nil, fmt.Errorf("%w: stream %q", ErrInvalid, r.Stream)
	case cfg.DeliverSubject != "" || cfg.DeliverGroup != "" || cfg.FlowControl || cfg.IdleHeartbeat != 0:
		return nil, fmt.Errorf("%w: only pull consumers", ErrInvalid)
	case cfg.Name != name && cfg.Durable != name, cfg.Name != "" && cfg.Name != name:
		return nil, fmt.Errorf("%w: consumer %q under the name %q", ErrInvalid, cfg.Name, name)
	case filtered && (cfg.FilterSubject != filter || len(cfg.FilterSubjects) > 0):
		return nil, fmt.Errorf("%w: filter %q under the name %q", ErrInvalid, cfg.FilterSubject, filter)
	}
	if len(g.pages) == 0 {
		return &r, nil
	}
	return &r, g.judgePages(name, cfg)
}

// judgePages: a reader with pages has names of its own and stays on its pages.
func (g guard) judgePages(name string, cfg *jetstream.ConsumerConfig) error {
	if !g.owns(name) {
		return fmt.Errorf("%w: consumer %q, wanted %s, %s-1 … or %s_1 …", ErrInvalid, name, g.name, g.name, g.name)
	}
	filters := cfg.FilterSubjects
	if cfg.FilterSubject != "" {
		filters = append(slices.Clone(filters), cfg.FilterSubject)
	}
	if len(filters) == 0 {
		return fmt.Errorf("%w: a consumer of all pages", ErrInvalid)
	}
	for _, f := range filters {
		if !g.covers(f) {
			return fmt.Errorf("%w: subject %q is not of the reader's pages", ErrInvalid, f)
		}
	}
	return nil
}

// owns reports whether a consumer name is the reader's; the server's
// permissions list the same names.
func (g guard) owns(name string) bool {
	rest, ok := strings.CutPrefix(name, g.name)
	if !ok || rest == "" {
		return ok
	}
	most := map[byte]int{'-': 9, '_': 256}[rest[0]]
	n, err := strconv.Atoi(rest[1:])
	return err == nil && n >= 1 && n <= most && strconv.Itoa(n) == rest[1:]
}

// covers reports whether a filter stays within the reader's pages:
// baton.control.v1.<object>.<page>.<kind>.
func (g guard) covers(filter string) bool {
	rest, ok := strings.CutPrefix(filter, subjectControl)
	tokens := strings.Split(rest, ".")
	if !ok || len(tokens) != 3 || tokens[0] == ">" {
		return false
	}
	page, err := strconv.ParseUint(tokens[1], 10, 64)
	return err == nil && slices.Contains(g.pages, page)
}

// room refuses a consumer beyond the bound. An update of an existing one passes.
func (g guard) room(ctx context.Context, r *consumerRequest) error {
	if r.Action == "update" {
		return nil
	}
	var info struct {
		State struct {
			Consumers int `json:"consumer_count"`
		} `json:"state"`
	}
	if err := g.conn.call(ctx, guardInfo, struct{}{}, &info); err != nil {
		return err
	}
	if info.State.Consumers >= maxReaderConsumers {
		return errTooManyConsumers
	}
	return nil
}

var errTooManyConsumers = errors.New("bus: maximum consumers limit reached")

func (g guard) forward(ctx context.Context, api string, body []byte) ([]byte, error) {
	reply, err := g.conn.work.request(ctx, &nats.Msg{Subject: "$JS.API." + api, Data: body})
	if err != nil {
		return nil, callError(err)
	}
	return reply.Data, nil
}

// refusal is an error as the JetStream API writes it.
func refusal(err error) []byte {
	e := apiError{Code: 503, ErrCode: 10008, Description: "JetStream system temporarily unavailable"}
	switch {
	case errors.Is(err, ErrInvalid):
		e = apiError{Code: 400, ErrCode: codeBadRequest, Description: err.Error()}
	case errors.Is(err, errTooManyConsumers):
		e = apiError{Code: 400, ErrCode: codeTooManyConsumers, Description: err.Error()}
	}
	text, err := json.Marshal(struct {
		Type  string   `json:"type"`
		Error apiError `json:"error"`
	}{"io.nats.jetstream.api.v1.consumer_create_response", e})
	if err != nil { // cannot be: numbers and strings
		return nil
	}
	return text
}
