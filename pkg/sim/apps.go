package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// transport brings a node's POSTs to an app. It implements fanout.Transport.
type transport struct {
	link *link
	app  control.AppID
}

var errConnection = errors.New("sim: the connection broke")

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return answer(http.StatusOK, req.URL.Query().Get("hub.challenge")), nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var resp *http.Response
	ids := req.Header.Get("Baton-Delivery-Id")
	arrive := func() { t.link.w.truth.received(t.app, ids, body) }
	key := fmt.Sprintf("post %v %s", t.app, ids)
	late := func() { t.link.w.servers.send(t.link.name+" "+key, arrive) }
	if ended := t.link.call(
		req.Context(), key, nil, late,
		end{"200", 100, func() { arrive(); resp = answer(http.StatusOK, "") }}, //nolint:bodyclose // fan-out closes it
		end{"answer lost", 6, func() { arrive(); err = errConnection }},
		end{"500", 6, func() { resp = answer(http.StatusInternalServerError, "") }},                                     //nolint:bodyclose // fan-out closes it
		end{"503", 2, func() { resp = answer(http.StatusServiceUnavailable, ""); resp.Header.Set("Retry-After", "3") }}, //nolint:bodyclose // fan-out closes it
		end{"broken", 3, func() { err = errConnection }},
		end{"late", 3, func() { late(); err = errConnection }},
	); ended != nil {
		return nil, ended
	}
	return resp, err
}

// CloseIdleConnections implements fanout.Transport.
func (*transport) CloseIdleConnections() {}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// channels are those of a POST's entries, in order.
func channels(body []byte) (list []string, err error) {
	var post struct {
		Entry []map[string]json.RawMessage `json:"entry"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&post); err != nil {
		return nil, err
	}
	for _, e := range post.Entry {
		switch {
		case e["standby"] != nil:
			list = append(list, "standby")
		case e["messaging"] != nil:
			list = append(list, "messaging")
		default:
			list = append(list, "none")
		}
	}
	return list, nil
}
