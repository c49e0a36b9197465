package graphapi

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/baton-router/baton/pkg/graph"
)

// batchWorkers is how many calls of a batch run at once.
const batchWorkers = 8

// batch answers a batch: each call by itself, those about the same recipient in
// their order. The status is 200 whatever the calls' own. Source: clients.md,
// request rule 7.
func (s *Service) batch(ctx context.Context, c *call) reply {
	if c.method != http.MethodPost {
		return s.fail(c, graph.UnknownNode(c.method, ""))
	}
	b, err := graph.DecodeBatch(c.params, s.decodeLimits())
	if err != nil {
		return s.fail(c, err)
	}
	replies := make([]graph.BatchReply, len(b.Calls))
	lanes := batchLanes(b.Calls)
	slots := make(chan struct{}, batchWorkers)
	var working sync.WaitGroup
	for _, lane := range lanes {
		slots <- struct{}{}
		working.Go(func() {
			defer func() { <-slots }()
			for _, i := range lane {
				replies[i] = s.batchCall(ctx, c, &b.Calls[i])
			}
		})
	}
	working.Wait()
	return success(graph.BatchBody(replies, b.IncludeHeaders))
}

// batchLanes groups the calls that must run one after the other: those with the
// same recipient.
func batchLanes(calls []graph.BatchCall) [][]int {
	var lanes [][]int
	known := map[string]int{}
	for i := range calls {
		recipient := digits(calls[i].Params.Text("recipient"))
		lane, ok := known[recipient]
		if !ok || recipient == "" {
			lane = len(lanes)
			lanes = append(lanes, nil)
			known[recipient] = lane
		}
		lanes[lane] = append(lanes[lane], i)
	}
	return lanes
}

// batchCall answers one call of a batch.
func (s *Service) batchCall(ctx context.Context, outer *call, b *graph.BatchCall) graph.BatchReply {
	c := &call{
		method: b.Method, path: b.Path, params: b.Params, trace: outer.trace, authorization: outer.authorization, origin: outer.origin,
		idempotencyKey: headerOf(b.Headers, "Idempotency-Key"),
	}
	var r reply
	switch {
	case b.Err != nil:
		r = s.fail(c, b.Err)
	case c.path.IsRoot():
		r = s.fail(c, graph.InvalidParameter("A batch cannot hold a batch"))
	default:
		r = s.whole(c, s.handle(ctx, c))
	}
	out := graph.BatchReply{Code: r.status, Body: r.body}
	for name, values := range r.headers() {
		for _, value := range values {
			out.Headers = append(out.Headers, graph.Header{Name: name, Value: value})
		}
	}
	return out
}

// headerOf finds a header among "Name: value" lines.
func headerOf(lines []string, name string) string {
	for _, line := range lines {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// digits are the digits of a text: the id in every form of a recipient.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
