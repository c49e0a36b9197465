package graphapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
)

// forward hands the send to the platform: at most once, and only while it may
// still leave. A connection that cannot be opened is tried again until then.
func (f *sending) forward(ctx context.Context) ended {
	message, upload, err := f.outgoing()
	if err != nil {
		return ended{outcome: control.OutcomeAbandoned, err: err}
	}
	defer upload.close()
	for attempt := 0; ; attempt++ {
		left := f.left()
		if left <= 0 {
			return f.abandoned("too late")
		}
		message.ConnectWithin = left
		answer, err := f.service.deps.Platform.SendMessage(ctx, message)
		if fault := upload.fault(); fault != nil {
			return ended{outcome: control.OutcomeAbandoned, err: fault} // the platform never saw its end
		}
		if err == nil {
			return f.answered(answer)
		}
		if !errors.Is(err, platform.ErrNotSent) {
			return f.failed(err)
		}
		if upload != nil || !pause(ctx, min(backoff(attempt), f.left())) {
			return f.abandoned(err.Error())
		}
	}
}

// answered reads the platform's success.
func (f *sending) answered(a platform.Answer) ended {
	if a.Mid == "" && f.message.Action == "" {
		return f.failed(fmt.Errorf("%w: the answer names no message", platform.ErrUnknown))
	}
	r := success(a.Body)
	passLimits(r.headers(), a.Header)
	return ended{outcome: control.OutcomeConfirmed, mid: a.Mid, reply: r}
}

// failed reads a refusal, which is passed on unchanged, or an outcome that
// nobody knows.
func (f *sending) failed(err error) ended {
	refused, ok := platform.Refused(err)
	if !ok {
		f.service.logger.Warn("outcome of a send unknown", "partition", f.partition, "position", f.position,
			"trace_id", f.call.trace.String(), "err", err)
		return ended{outcome: control.OutcomeUnknown, err: graph.OutcomeUnknown()}
	}
	r := reply{status: refused.Status, code: codeOf(refused.Body), header: http.Header{"Content-Type": {jsonType}}, body: refused.Body}
	if kind := refused.Header.Get("Content-Type"); kind != "" {
		r.header.Set("Content-Type", kind)
	}
	passLimits(r.header, refused.Header)
	return ended{outcome: control.OutcomeRefused, refusal: refused, reply: r}
}

// abandoned is a send that never left; a repeat is safe.
func (f *sending) abandoned(why string) ended {
	f.service.logger.Warn("send abandoned", "partition", f.partition, "position", f.position,
		"trace_id", f.call.trace.String(), "reason", why)
	return ended{outcome: control.OutcomeAbandoned, err: unanswered()}
}

// passLimits hands the platform's rate-limit headers on.
func passLimits(to, from http.Header) {
	for name, values := range from {
		if name != "Content-Type" {
			to[name] = values
		}
	}
}

// codeOf is the Graph code in an error body, for metrics; zero when there is
// none.
func codeOf(body []byte) int {
	var e struct {
		Error struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return 0
	}
	return e.Error.Code
}

// outgoing is the platform's copy of the call: everything the client gave but
// its token and thread_control, with the echo token in the message's metadata.
func (f *sending) outgoing() (platform.Message, *upload, error) {
	token := fmt.Sprintf("baton1:%d-%d", f.partition, f.position)
	return f.service.outgoing(f.call, f.message, token)
}

// outgoing with an empty token leaves the app's own metadata.
func (s *Service) outgoing(c *call, m *graph.Message, token string) (platform.Message, *upload, error) {
	asset := c.caller.Asset
	out := platform.Message{Node: asset.Node(), Token: asset.AccessToken.Value()}
	fields, err := forwarded(c.params, m, token)
	if err != nil {
		return platform.Message{}, nil, err
	}
	if c.upload != nil {
		u := newUpload(c, fields)
		out.Body, out.ContentType = u.reader, u.contentType
		return out, u, nil
	}
	out.JSON, err = json.Marshal(fields)
	if err != nil {
		return platform.Message{}, nil, fmt.Errorf("encode the message: %w", err)
	}
	return out, nil, nil
}

// forwarded are the parameters that the platform gets, as JSON values: objects
// as they are, everything else as text.
func forwarded(p graph.Params, m *graph.Message, token string) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	for name := range p.Form() {
		value, err := parameter(p, name)
		if err != nil {
			return nil, err
		}
		fields[name] = value
	}
	delete(fields, "thread_control")
	fields["recipient"] = m.Recipient.Raw
	if m.Message == nil {
		return fields, nil
	}
	fields["message"] = m.Message
	if token != "" {
		marked, err := graph.SetMetadata(m.Message, token)
		if err != nil {
			return nil, fmt.Errorf("mark the message: %w", err)
		}
		fields["message"] = marked
	}
	return fields, nil
}

func parameter(p graph.Params, name string) (json.RawMessage, error) {
	text := strings.TrimSpace(p.Text(name))
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if raw, ok, err := p.JSON(name); ok && err == nil {
			return raw, nil
		}
	}
	raw, err := json.Marshal(p.Text(name))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return raw, nil
}

// sortedFields lists the names of fields in a fixed order.
func sortedFields(fields map[string]json.RawMessage) []string {
	return slices.Sorted(maps.Keys(fields))
}
