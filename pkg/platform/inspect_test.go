package platform

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
)

// TestReaderAsksWithTheAppsToken and sorts what comes back.
func TestReaderAsksWithTheAppsToken(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"/v25.0/debug_token":       `{"data":{"is_valid":true,"app_id":"7","scopes":["pages_messaging"]}}`,
		"/v25.0/7/subscriptions":   `{"data":[{"object":"page","active":true,"fields":[{"name":"messages"}]}]}`,
		"/v25.0/9/subscribed_apps": `{"data":[{"id":"7","subscribed_fields":["standby"]}]}`,
	}
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("access_token"))
		body, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			body = `{"error":{"message":"(#10) no"}}`
		}
		_, _ = io.WriteString(w, body)
	})
	r := c.Reader(7)
	state, date, err := r.Token(context.Background(), "T")
	if err != nil || !state.Valid || state.AppID != "7" || date.IsZero() {
		t.Error(state, date, err)
	}
	if subs, err := r.Subscriptions(context.Background()); err != nil || len(subs) != 1 || subs[0].Fields[0] != "messages" {
		t.Error(subs, err)
	}
	if fields, ok, err := r.PageFields(context.Background(), 9, "T"); err != nil || !ok || fields[0] != "standby" {
		t.Error(fields, ok, err)
	}
	if _, ok, err := c.Reader(8).PageFields(context.Background(), 9, "T"); err != nil || ok {
		t.Error("another app's subscription counts", err)
	}
	if leads, err := r.Leads(context.Background(), 9, "T"); err != nil || leads {
		t.Error(leads, err)
	}
	if _, _, err := r.PageFields(context.Background(), 10, "T"); Reason(err) != "(#10) no" {
		t.Error(err)
	}
	if asked[0] != "7|"+secret || asked[2] != "T" {
		t.Error(asked)
	}
	answers["/v25.0/debug_token"] = `<html>`
	if _, _, err := r.Token(context.Background(), "T"); !errors.Is(err, ErrUnknown) || Reason(err) != "" {
		t.Error(err)
	}
}
