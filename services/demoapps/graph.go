package demoapps

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	graphVersion = "v24.0"
	callTimeout  = 25 * time.Second
	maxAnswer    = 1 << 20
	// attempts bounds how often a call is made that the platform did not
	// accept for the moment.
	attempts   = 4
	firstRetry = 200 * time.Millisecond
)

// GraphError is a refusal of the Graph API.
type GraphError struct {
	Status    int    `json:"-"`
	Message   string `json:"message"`
	Code      int    `json:"code"`
	Subcode   int    `json:"error_subcode"`
	Data      string `json:"error_data"`
	Transient bool   `json:"is_transient"`
}

// Error names the code and gives the text.
func (e *GraphError) Error() string {
	return fmt.Sprintf("demoapps: graph error %d/%d: %s", e.Code, e.Subcode, e.Message)
}

// graphClient calls the Graph API for one app and one page.
type graphClient struct {
	base   string
	secret string
	token  string
	http   *http.Client
}

// object is a JSON object of a call.
type object map[string]any

// post makes a call. It repeats what was not accepted (503, nothing done), never
// what may have been: a second message would be worse than none.
func (g *graphClient) post(ctx context.Context, edge string, body object) (object, error) {
	for attempt, delay := 1, firstRetry; ; attempt, delay = attempt+1, 2*delay {
		answer, err := g.once(ctx, edge, body)
		var refused *GraphError
		again := errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable
		if !again || attempt == attempts {
			return answer, err
		}
		if err := wait(ctx, delay); err != nil {
			return nil, err
		}
	}
}

func (g *graphClient) once(ctx context.Context, edge string, body object) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("demoapps: %s: %w", edge, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address(edge), bytes.NewReader(encoded))
	if err != nil {
		return nil, fmt.Errorf("demoapps: %s: %w", edge, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := g.http.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the address holds the token
		}
		return nil, fmt.Errorf("demoapps: %s: %w", edge, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("demoapps: %s: reading the answer: %w", edge, err)
	}
	return readAnswer(res.StatusCode, raw)
}

func (g *graphClient) address(edge string) string {
	mac := hmac.New(sha256.New, []byte(g.secret))
	mac.Write([]byte(g.token))
	q := url.Values{"access_token": {g.token}, "appsecret_proof": {hex.EncodeToString(mac.Sum(nil))}}
	return g.base + "/" + graphVersion + "/me/" + edge + "?" + q.Encode()
}

func readAnswer(status int, raw []byte) (object, error) {
	if status == http.StatusOK {
		var answer object
		if err := json.Unmarshal(raw, &answer); err != nil {
			return nil, fmt.Errorf("demoapps: answer is not JSON: %w", err)
		}
		return answer, nil
	}
	var body struct {
		Error *GraphError `json:"error"`
	}
	if err := json.Unmarshal(raw, &body); err != nil || body.Error == nil {
		return nil, &GraphError{Status: status, Message: "status " + strconv.Itoa(status)}
	}
	body.Error.Status = status
	return nil, body.Error
}

// say sends a text and returns the message's id.
func (g *graphClient) say(ctx context.Context, person, text string) (string, error) {
	return g.send(ctx, person, object{"text": text})
}

// send sends a message object and returns the message's id.
func (g *graphClient) send(ctx context.Context, person string, message object) (string, error) {
	answer, err := g.post(ctx, "messages", object{
		"recipient": object{"id": person}, "messaging_type": "RESPONSE", "message": message,
	})
	mid, _ := answer["message_id"].(string)
	return mid, err
}

func (g *graphClient) pass(ctx context.Context, person string, target uint64, metadata string) error {
	_, err := g.post(ctx, "pass_thread_control", object{
		"recipient": object{"id": person}, "target_app_id": target, "metadata": metadata,
	})
	return err
}

func (g *graphClient) release(ctx context.Context, person string) error {
	_, err := g.post(ctx, "release_thread_control", object{"recipient": object{"id": person}})
	return err
}

// wait waits, or returns the context's error when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
