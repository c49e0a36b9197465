package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Message is a call of the Send API.
type Message struct {
	// Node is the Page whose edge is called; for an Instagram account the Page
	// it is linked to. Zero calls "me".
	Node uint64
	// Token is the page's access token.
	Token string
	// JSON is the body. When it is nil, Body is streamed under ContentType.
	JSON        []byte
	Body        io.Reader
	ContentType string
	// Length of Body; -1 or 0 when unknown.
	Length int64
	// ConnectWithin gives up with ErrNotSent when no connection stands after
	// this time; zero for no bound but the call's.
	ConnectWithin time.Duration
}

// Answer is the platform's success.
type Answer struct {
	// Mid is empty for a sender action; RecipientID for a recipient that was
	// no id.
	Mid         string
	RecipientID string
	// Body is the answer, unchanged; Header its rate-limit headers.
	Body   []byte
	Header http.Header
}

// SendMessage sends m once. Errors: *RefusedError, ErrUnknown, ErrNotSent. An
// answer without any id is ErrUnknown. It blocks for at most the client's
// time-out.
func (c *Client) SendMessage(ctx context.Context, m Message) (Answer, error) {
	body, kind, length := m.Body, m.ContentType, m.Length
	if m.JSON != nil {
		body, kind, length = bytes.NewReader(m.JSON), "application/json", int64(len(m.JSON))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(node(m.Node)+"/messages", m.Token, nil), body)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	r.Header.Set("Content-Type", kind)
	if length > 0 {
		r.ContentLength = length
	}
	r, stop := connectWithin(r, m.ConnectWithin)
	defer stop()
	header, raw, err := c.do(r)
	if err != nil {
		return Answer{}, err
	}
	var ids struct {
		MessageID   string `json:"message_id"`
		RecipientID string `json:"recipient_id"`
	}
	if err := json.Unmarshal(raw, &ids); err != nil {
		return Answer{}, fmt.Errorf("%w: the answer is not JSON", ErrUnknown)
	}
	if ids.MessageID == "" && ids.RecipientID == "" {
		return Answer{}, fmt.Errorf("%w: the answer names neither message nor recipient", ErrUnknown)
	}
	return Answer{Mid: ids.MessageID, RecipientID: ids.RecipientID, Body: raw, Header: header}, nil
}

func node(id uint64) string {
	if id == 0 {
		return "me"
	}
	return strconv.FormatUint(id, 10)
}

// Handover is a control call on one thread.
type Handover struct {
	Node   uint64
	Token  string
	Person uint64
	// Target gains control (pass).
	Target   uint64
	Metadata string
}

// PassThreadControl hands the thread to Target on the platform. Errors:
// *RefusedError, ErrUnknown, ErrNotSent.
func (c *Client) PassThreadControl(ctx context.Context, h Handover) error {
	return c.handover(ctx, "pass_thread_control", h, map[string]any{"target_app_id": strconv.FormatUint(h.Target, 10)})
}

// TakeThreadControl takes the thread for Baton on the platform. Errors:
// *RefusedError, ErrUnknown, ErrNotSent.
func (c *Client) TakeThreadControl(ctx context.Context, h Handover) error {
	return c.handover(ctx, "take_thread_control", h, map[string]any{})
}

func (c *Client) handover(ctx context.Context, edge string, h Handover, params map[string]any) error {
	params["recipient"] = map[string]string{"id": strconv.FormatUint(h.Person, 10)}
	if h.Metadata != "" {
		params["metadata"] = h.Metadata
	}
	body, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(node(h.Node)+"/"+edge, h.Token, nil), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	r.Header.Set("Content-Type", "application/json")
	_, _, err = c.do(r)
	return err
}

// Request is a call that Baton passes on without interpreting it.
type Request struct {
	Method string
	// Path below the version, "123/insights".
	Path string
	// Query without access_token and appsecret_proof.
	Query url.Values
	// Token replaces the caller's.
	Token string
	// Body is streamed; nil for none.
	Body        io.Reader
	ContentType string
	Length      int64
}

// Pass makes a call and returns the answer as it comes; the caller reads and
// closes its body and bounds the time by ctx. Errors: ErrNotSent, ErrUnknown.
func (c *Client) Pass(ctx context.Context, p Request) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, p.Method, c.address(p.Path, p.Token, p.Query), p.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: the path or method is not valid", ErrNotSent)
	}
	if p.ContentType != "" {
		r.Header.Set("Content-Type", p.ContentType)
	}
	if p.Length > 0 {
		r.ContentLength = p.Length
	}
	return c.roundTrip(r)
}
