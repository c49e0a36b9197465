package graphapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
)

// maxRelayed bounds an answer of the platform that is read whole, in bytes.
const maxRelayed = 8 << 20

// errAnswer: an answer of the platform broke off, or is too long.
var errAnswer = errors.New("graphapi: the platform's answer broke off or is too long")

// relay makes a call to the platform with the page's own token and answers as
// the platform does, whatever that is. The answer streams; whoever gets it
// closes it. Source: protocol 12.36.
func (s *Service) relay(ctx context.Context, c *call, r platform.Request) (reply, error) {
	r.Token = c.caller.Asset.AccessToken.Value()
	ctx, cancel := context.WithTimeout(ctx, s.config.PassWithin)
	answer, err := s.deps.Platform.Pass(ctx, r) //nolint:bodyclose // disguised closes it
	if err != nil {
		cancel()
		return reply{}, s.notRelayed(c, r.Method, err)
	}
	body := s.disguised(c, answer.Body, cancel)
	if coding := answer.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		_ = body.Close() // what cannot be read cannot be passed on
		return reply{}, s.notRelayed(c, r.Method, fmt.Errorf("%w: the answer is encoded as %s", platform.ErrUnknown, coding))
	}
	out := reply{status: answer.StatusCode, header: http.Header{}, stream: body}
	limits := platform.Limits(answer.Header)
	passLimits(out.header, limits)
	if out.header.Set("Content-Type", jsonType); limits.Get("Content-Type") != "" {
		out.header.Set("Content-Type", limits.Get("Content-Type"))
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return s.whole(c, out), nil
	}
	return out, nil
}

// notRelayed is the error of a call that the platform did not answer: one that
// changes nothing, or never left, may be made again.
func (s *Service) notRelayed(c *call, method string, err error) error {
	s.logger.Warn("call not answered by the platform", "edge", c.path.Edge, "trace_id", c.trace.String(), "err", err)
	if method == http.MethodGet || errors.Is(err, platform.ErrNotSent) {
		return graph.Unavailable(1).With(graph.Detail{Reason: "PLATFORM", Explain: "the platform did not answer; try again"})
	}
	return graph.OutcomeUnknown()
}

// whole is an answer read to its end, for what cannot stream.
func (s *Service) whole(c *call, r reply) reply {
	if r.stream == nil {
		return r
	}
	body, err := io.ReadAll(io.LimitReader(r.stream, maxRelayed+1))
	_ = r.stream.Close() // it is read
	if err != nil || len(body) > maxRelayed {
		return s.fail(c, s.notRelayed(c, c.method, errors.Join(platform.ErrUnknown, errAnswer, err)))
	}
	r.stream, r.body = nil, body
	if r.status >= http.StatusBadRequest {
		r.code = codeOf(body)
	}
	return r
}

// write makes a call that changes something on the platform. done is false when
// the platform refused: the answer is its own then, and nothing has changed.
func (s *Service) write(ctx context.Context, c *call, method string, params map[string]json.RawMessage) (answer reply, done bool, err error) {
	body, err := json.Marshal(params)
	if err != nil {
		return reply{}, false, fmt.Errorf("encode the call: %w", err)
	}
	// Once it may have left it is carried to its end, whoever waits for it.
	answer, err = s.relay(context.WithoutCancel(ctx), c, platform.Request{
		Method: method, Path: c.relayPath(), Body: bytes.NewReader(body), ContentType: "application/json", Length: int64(len(body)),
	})
	if err != nil {
		return reply{}, false, err
	}
	answer = s.whole(c, answer)
	switch status := answer.status; {
	case status == http.StatusOK:
		return answer, true, nil
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return answer, false, nil
	}
	return reply{}, false, s.notRelayed(c, method, fmt.Errorf("%w: status %d", platform.ErrUnknown, answer.status))
}

// relayPath is the edge of the caller's asset on the platform.
func (c *call) relayPath() string {
	return strconv.FormatUint(c.caller.Asset.Node(), 10) + "/" + c.path.Edge
}
