package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Reader asks the platform what it has set up for Baton's app. It changes
// nothing there.
type Reader struct {
	client *Client
	app    uint64
}

// Reader reads as the app; its token is the app's id and secret.
func (c *Client) Reader(app uint64) Reader { return Reader{c, app} }

func (r Reader) token() string {
	return strconv.FormatUint(r.app, 10) + "|" + r.client.config.AppSecret
}

// TokenState is what the platform says of a token.
type TokenState struct {
	Valid bool `json:"is_valid"`
	// AppID and ProfileID are the app and the page that the token is for.
	AppID     string `json:"app_id"`
	ProfileID string `json:"profile_id"`
	Type      string `json:"type"`
	// ExpiresAt and DataAccessExpiresAt are in epoch seconds; zero for never.
	ExpiresAt           int64    `json:"expires_at"`
	DataAccessExpiresAt int64    `json:"data_access_expires_at"`
	Scopes              []string `json:"scopes"`
	Error               struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Token asks what a page's token is good for, and what time the platform has,
// to the second; the time is zero when it does not say. Errors: *RefusedError
// (the app's id or secret is wrong), ErrUnknown, ErrNotSent.
func (r Reader) Token(ctx context.Context, token string) (TokenState, time.Time, error) {
	var answer struct {
		Data TokenState `json:"data"`
	}
	header, err := r.client.read(ctx, "debug_token", r.token(), url.Values{"input_token": {token}}, &answer)
	date, _ := http.ParseTime(header.Get("Date")) // else zero
	return answer.Data, date, err
}

// Subscription is what the app has subscribed to on all objects of a kind.
type Subscription struct {
	Object      string   `json:"object"`
	CallbackURL string   `json:"callback_url"`
	Active      bool     `json:"active"`
	Fields      []string `json:"-"`
}

// Subscriptions lists the app's webhook subscriptions. Errors as Token's.
func (r Reader) Subscriptions(ctx context.Context) ([]Subscription, error) {
	var answer struct {
		Data []struct {
			Subscription
			Fields []struct{ Name string } `json:"fields"`
		} `json:"data"`
	}
	path := strconv.FormatUint(r.app, 10) + "/subscriptions"
	if _, err := r.client.read(ctx, path, r.token(), nil, &answer); err != nil {
		return nil, err
	}
	list := make([]Subscription, len(answer.Data))
	for i, d := range answer.Data {
		list[i] = d.Subscription
		for _, f := range d.Fields {
			list[i].Fields = append(list[i].Fields, f.Name)
		}
	}
	return list, nil
}

// PageFields lists the fields with which the app is subscribed to a page;
// subscribed is false when it is not. Errors as Token's.
func (r Reader) PageFields(ctx context.Context, page uint64, token string) (fields []string, subscribed bool, err error) {
	var answer struct {
		Data []struct {
			ID     string   `json:"id"`
			Fields []string `json:"subscribed_fields"`
		} `json:"data"`
	}
	if _, err := r.client.read(ctx, node(page)+"/subscribed_apps", token, nil, &answer); err != nil {
		return nil, false, err
	}
	for _, app := range answer.Data {
		if app.ID == strconv.FormatUint(r.app, 10) {
			return app.Fields, true, nil
		}
	}
	return nil, false, nil
}

// Leads reports whether the app is the page's primary receiver on the
// platform: only it may list the secondary ones. Errors: ErrUnknown, ErrNotSent.
func (r Reader) Leads(ctx context.Context, page uint64, token string) (bool, error) {
	_, err := r.client.read(ctx, node(page)+"/secondary_receivers", token, url.Values{"fields": {"id"}}, new(struct{}))
	if _, refused := Refused(err); refused {
		return false, nil
	}
	return err == nil, err
}

// read makes a GET and decodes its answer. The header is the answer's, also
// with an error, as far as there was one.
func (c *Client) read(ctx context.Context, path, token string, query url.Values, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.Pass(ctx, Request{Method: http.MethodGet, Path: path, Query: query, Token: token})
	if err != nil {
		return http.Header{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, c.config.MaxAnswerBytes))
	switch status := answer.StatusCode; {
	case err != nil:
		return answer.Header, fmt.Errorf("%w: reading the answer: %w", ErrUnknown, err)
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return answer.Header, &RefusedError{Status: status, Header: Limits(answer.Header), Body: body}
	case status != http.StatusOK:
		return answer.Header, fmt.Errorf("%w: status %d", ErrUnknown, status)
	}
	if json.Unmarshal(body, out) != nil {
		return answer.Header, fmt.Errorf("%w: the answer is not JSON", ErrUnknown)
	}
	return answer.Header, nil
}

// Reason is what the platform gives as the reason of a refusal; empty when err
// is none, or says nothing readable.
func Reason(err error) string {
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return ""
	}
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(refused.Body, &body) // else empty
	return body.Error.Message
}
