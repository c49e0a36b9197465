package demoapps

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
)

const (
	maxBody = 8 << 20
	// queueLength bounds the events that wait for an app; beyond it the
	// webhook is answered 503 and comes again.
	queueLength = 1024
	// maxRemembered bounds what an app remembers of people.
	maxRemembered = 10_000
)

// behaviour is what an app does with an event. It is called for one event
// after the other.
type behaviour interface {
	messaging(ctx context.Context, e *event) error
	standby(ctx context.Context, e *event) error
}

// app is one webhook receiver with its worker.
type app struct {
	App
	listener net.Listener
	queue    chan received
	behave   behaviour
	seen     map[string]mark // by person; the worker's alone
	tell     func(Delivery)
	logger   *slog.Logger
}

// received is an event on its way from the handler to the worker.
type received struct {
	event    event
	delivery Delivery
}

// mark is the last delivery of a thread.
type mark struct {
	position uint64
	kind     string
}

// ServeHTTP is the webhook: the hub.challenge handshake by GET, events by POST.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		a.challenge(w, r)
	case http.MethodPost:
		a.receive(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (a *app) challenge(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("hub.mode") != "subscribe" || !hmac.Equal([]byte(q.Get("hub.verify_token")), []byte(a.VerifyToken)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, q.Get("hub.challenge")) //nolint:gosec // the handshake; plain text
}

// receive checks and queues; the answer does not wait for what the app does.
func (a *app) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !a.signed(body, r.Header.Get("X-Hub-Signature-256")) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	var hook webhookBody
	if err := json.Unmarshal(body, &hook); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	list := a.events(hook, r.Header)
	if len(list) > cap(a.queue)-len(a.queue) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, item := range list {
		select {
		case a.queue <- item:
		case <-r.Context().Done(): // another request filled the queue: it comes again
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// signed checks the signature over the bytes as they came.
func (a *app) signed(body []byte, header string) bool {
	given, err := hex.DecodeString(strings.TrimPrefix(header, "sha256="))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(a.Secret))
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

// events lists what a webhook holds, with the delivery id of each entry.
func (a *app) events(hook webhookBody, h http.Header) []received {
	ids := strings.Split(h.Get("Baton-Delivery-Id"), ",")
	var out []received
	for i, entry := range hook.Entry {
		id := ""
		if i < len(ids) {
			id = strings.TrimSpace(ids[i])
		}
		for _, group := range []struct {
			channel string
			events  []event
		}{{"messaging", entry.Messaging}, {"standby", entry.Standby}} {
			for _, e := range group.events {
				out = append(out, received{e, Delivery{
					App: a.ID, Label: a.Label, Channel: group.channel, Kind: e.kind(), Person: e.person(), Text: e.text(),
					ID: id, Attempt: h.Get("Baton-Attempt"),
				}})
			}
		}
	}
	return out
}

// work handles the queue until ctx ends.
func (a *app) work(ctx context.Context) {
	for {
		select {
		case r := <-a.queue:
			a.handle(ctx, r)
		case <-ctx.Done():
			return
		}
	}
}

func (a *app) handle(ctx context.Context, r received) {
	if a.repeated(r.delivery) {
		return
	}
	a.tell(r.delivery)
	act := a.behave.messaging
	if r.delivery.Channel == "standby" {
		act = a.behave.standby
	}
	if err := act(ctx, &r.event); err != nil && ctx.Err() == nil {
		a.logger.Info("demo app was refused", "app_id", a.ID, "kind", r.delivery.Kind, "err", err)
	}
}

// repeated reports whether a delivery has been here before: ids grow along a
// thread. One position may bring two events, so an equal one counts only with
// the same channel and kind.
func (a *app) repeated(d Delivery) bool {
	_, digits, ok := strings.Cut(d.ID, "-")
	position, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || d.Person == "" {
		return false
	}
	kind := d.Channel + " " + d.Kind
	last := a.seen[d.Person]
	if position < last.position || position == last.position && kind == last.kind {
		return true
	}
	if len(a.seen) >= maxRemembered {
		clear(a.seen)
	}
	a.seen[d.Person] = mark{position, kind}
	return false
}
