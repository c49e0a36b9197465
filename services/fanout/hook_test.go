package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/webhook"
)

// hook is an app's real endpoint.
type hook struct {
	*httptest.Server
	w      *world
	secret string
	mu     sync.Mutex
	posts  []posted
	answer func(posted) int
	token  string
	mute   bool // answers the challenge with something else
}

func (w *world) hook(secret string) *hook {
	h := &hook{w: w, secret: secret, token: "verify-" + secret}
	h.Server = httptest.NewServer(h)
	w.t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	defer signal(h.w.changed)
	h.mu.Lock()
	mute, answer, secret := h.mute, h.answer, h.secret
	h.mu.Unlock()
	if r.Method == http.MethodGet {
		challenge, ok := webhook.Challenge(r.URL.Query(), h.token)
		if !ok || mute {
			challenge = "OK"
		}
		_, _ = io.WriteString(rw, challenge)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if err := webhook.Verify([]byte(secret), body, r.Header.Get(headerSHA256), r.Header.Get(headerSHA1)); err != nil {
		h.w.t.Errorf("signature: %v", err)
	}
	p := posted{at: time.Now(), ids: strings.Split(r.Header.Get(headerDeliveryID), ","), attempt: r.Header.Get(headerAttempt), body: body}
	status := http.StatusOK
	if answer != nil {
		status = answer(p)
	}
	h.mu.Lock()
	h.posts = append(h.posts, p)
	h.mu.Unlock()
	rw.WriteHeader(status)
}

func (h *hook) respond(answer func(posted) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *hook) silence(mute bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute = mute
}

func (h *hook) all() []posted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.posts)
}

// ids are the delivery ids that came, in order.
func (h *hook) ids() []string {
	var ids []string
	for _, p := range h.all() {
		ids = append(ids, p.ids...)
	}
	return ids
}

// elements are the events that came, each as "channel element".
func (h *hook) elements() []string {
	var list []string
	for _, p := range h.all() {
		for _, e := range decodeBody(h.w.t, p.body).Entry {
			for _, m := range e.Messaging {
				list = append(list, "messaging "+string(m))
			}
			for _, s := range e.Standby {
				list = append(list, "standby "+string(s))
			}
		}
	}
	return list
}

// appEntry describes an app for the roster.
func appEntry(id uint64, h *hook) roster.App {
	a := roster.App{
		ID: fmt.Sprint(id), Name: fmt.Sprintf("app-%d", id%10), Secret: roster.NewSecret("none"), Fields: strings.Fields(allFields),
		Status: roster.StatusLive,
		Delivery: roster.Delivery{
			MaxInFlight: 4, MaxBatch: 20, Timeout: roster.Duration(2 * time.Second), RetryFor: roster.Duration(time.Hour),
			OnExhausted: roster.ExhaustedSkip,
		},
	}
	if h != nil {
		a.CallbackURL, a.Secret, a.VerifyToken = h.URL+"/webhook", roster.NewSecret(h.secret), roster.NewSecret(h.token)
	}
	return a
}

// document is a roster in which all apps are connected to one page.
func document(apps ...roster.App) roster.Document {
	page := roster.Page{ID: fmt.Sprint(acme), Object: "page", Routing: roster.Routing{Mode: "handover"}}
	for _, a := range apps {
		page.Apps = append(page.Apps, roster.Connection{App: a.ID, Tasks: []string{"MESSAGING"}})
	}
	return roster.Document{Format: 1, Apps: apps, Pages: []roster.Page{page}}
}

// faultyCursors fails saves at will.
type faultyCursors struct {
	*bus.Conn
	mu   sync.Mutex
	fail error
}

var errDisk = errors.New("disk on fire")

func (f *faultyCursors) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *faultyCursors) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

func (f *faultyCursors) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if err := f.failure(); err != nil {
		return 0, err
	}
	return f.Conn.SaveCursor(ctx, p, data, expected)
}

func (f *faultyCursors) SaveCursors(ctx context.Context, moves []bus.CursorMove) ([]uint64, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	return f.Conn.SaveCursors(ctx, moves)
}

// lossyCursors stores what is saved and loses the answer.
type lossyCursors struct {
	faultyCursors
	lose atomic.Bool
}

func (l *lossyCursors) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	sequence, err := l.Conn.SaveCursor(ctx, p, data, expected)
	if l.lose.Load() && err == nil {
		return 0, bus.ErrOutcomeUnknown
	}
	return sequence, err
}

func (l *lossyCursors) SaveCursors(ctx context.Context, moves []bus.CursorMove) ([]uint64, error) {
	sequences, err := l.Conn.SaveCursors(ctx, moves)
	if l.lose.Load() && err == nil {
		return nil, bus.ErrOutcomeUnknown
	}
	return sequences, err
}
