package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

// listener is an app's endpoint: it keeps what it receives.
type listener struct {
	name   string
	server *httptest.Server
	mu     sync.Mutex
	got    []received
	more   chan struct{}
}

// received is one event as an app received it.
type received struct {
	header  http.Header
	entry   string // the whole entry
	asset   string
	summary string
	text    string
	person  string
}

func newListener(t *testing.T, name string) *listener {
	t.Helper()
	l := &listener{name: name, more: make(chan struct{})}
	l.server = httptest.NewServer(l)
	t.Cleanup(l.server.Close)
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = webhook.Verify([]byte("secret-"+l.name), body, r.Header.Get("X-Hub-Signature-256"), r.Header.Get("X-Hub-Signature"))
	}
	var post struct {
		Entry []json.RawMessage `json:"entry"`
	}
	if err = errors.Join(err, json.Unmarshal(body, &post)); err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range post.Entry {
		l.got = append(l.got, receivedEntry(r.Header, entry))
	}
	close(l.more)
	l.more = make(chan struct{})
}

// heardElement is what the tests read of a webhook event.
type heardElement struct {
	Sender, Recipient struct{ ID string }
	Message           *struct {
		Text    string
		Echo    bool `json:"is_echo"`
		Deleted bool `json:"is_deleted"`
		App     any  `json:"app_id"`
	}
	Postback *struct{ Payload, Title string }
	Reaction *struct{ Reaction string }
	Read     *struct{ Mid string }
	Feedback *struct{} `json:"messaging_feedback"`
	Referral *struct{ Ref string }
	Pass     *handoverEvent `json:"pass_thread_control"`
	Take     *handoverEvent `json:"take_thread_control"`
	Request  *handoverEvent `json:"request_thread_control"`
}

// handoverEvent is a handover event.
type handoverEvent struct {
	Previous  any    `json:"previous_owner_app_id"`
	New       any    `json:"new_owner_app_id"`
	Requested any    `json:"requested_owner_app_id"`
	Metadata  string `json:"metadata"`
}

func receivedEntry(header http.Header, raw json.RawMessage) received {
	var e struct {
		ID                 string
		Messaging, Standby []heardElement
	}
	_ = json.Unmarshal(raw, &e) // what cannot be read has no summary
	r := received{header: header, entry: string(raw), asset: e.ID}
	channel, list := "messaging", e.Messaging
	if len(list) == 0 {
		channel, list = "standby", e.Standby
	}
	for i := range list {
		r.text, r.person = "", cmp.Or(list[i].Sender.ID, list[i].Recipient.ID)
		if m := list[i].Message; m != nil {
			r.text = m.Text
			if m.Echo {
				r.person = list[i].Recipient.ID
			}
		}
		r.summary = channel + " " + list[i].summary()
	}
	return r
}

// nameOf is the name of the app that an id in a webhook means.
func nameOf(id any) string {
	for _, a := range siteApps {
		if fmt.Sprintf("%.0f", id) == siteID(a.name).String() || id == siteID(a.name).String() {
			return a.name
		}
	}
	text := fmt.Sprint(id)
	if number, ok := id.(float64); ok {
		text = fmt.Sprintf("%.0f", number)
	}
	switch text {
	case "263902037430900", "1217981644879628":
		return "inbox"
	case "<nil>":
		return "null"
	}
	return text
}

func (e *heardElement) summary() string {
	switch {
	case e.Message != nil && e.Message.Deleted:
		return "unsend"
	case e.Message != nil && e.Message.Echo:
		return "echo " + nameOf(e.Message.App) + " " + e.Message.Text
	case e.Message != nil:
		return "message " + e.Message.Text
	case e.Read != nil && e.Read.Mid != "":
		return "read by mid"
	case e.Feedback != nil:
		return "feedback"
	case e.Postback != nil:
		return strings.TrimSpace("postback " + e.Postback.Payload)
	case e.Reaction != nil:
		return "reaction " + e.Reaction.Reaction
	case e.Referral != nil:
		return "referral " + e.Referral.Ref
	case e.Pass != nil:
		return "pass " + nameOf(e.Pass.Previous) + ">" + nameOf(e.Pass.New)
	case e.Take != nil:
		return "take " + nameOf(e.Take.Previous) + ">" + nameOf(e.Take.New)
	case e.Request != nil:
		return "request " + nameOf(e.Request.Requested)
	}
	return "other"
}

// about reports whether an event is the chat's.
func (r *received) about(c *chat) bool {
	return r.asset == fmt.Sprint(c.asset) && r.person == fmt.Sprint(c.person)
}

// awaits waits until the app has heard a text of the chat.
func (l *listener) awaits(t *testing.T, c *chat, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		l.mu.Lock()
		more := l.more
		has := slices.ContainsFunc(l.got, func(r received) bool { return r.about(c) && r.text == text })
		l.mu.Unlock()
		if has {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%s has not heard %q", l.name, text)
		}
	}
}

// of lists what the app heard of a chat, without marks.
func (l *listener) of(c *chat) []string {
	list := []string{}
	for _, r := range l.entries(c) {
		if !strings.HasPrefix(r.text, "mark ") {
			list = append(list, r.summary)
		}
	}
	return list
}

// entries are the events of a chat as they came.
func (l *listener) entries(c *chat) []received {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []received
	for _, r := range l.got {
		if r.about(c) {
			list = append(list, r)
		}
	}
	return list
}

// awaitsSummary waits until the app has heard one of these of the chat.
func (l *listener) awaitsSummary(t *testing.T, c *chat, wants ...string) {
	t.Helper()
	await(t, func() bool {
		return slices.ContainsFunc(l.of(c), func(s string) bool { return slices.Contains(wants, s) })
	}, func() string { return fmt.Sprintf("%s: want one of %q in %q", l.name, wants, l.of(c)) })
}
