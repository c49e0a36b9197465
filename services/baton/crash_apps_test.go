package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// recorders are the apps' webhooks: they keep what they get.
type recorders struct {
	server *httptest.Server
	// onDelivery is called with each delivery before it is answered; nil for
	// nothing.
	onDelivery atomic.Pointer[func()]
	refused    atomic.Bool // everything, with 422
	mu         sync.Mutex
	got        map[uint64][]delivered
	seen       map[uint64]map[string]bool // per app, the message ids received
}

// delivered is one event that an app got.
type delivered struct {
	id      string // delivery id
	thread  string
	mid     string
	element string
	channel string
	at      time.Time
}

func newRecorders(t *testing.T) *recorders {
	t.Helper()
	r := &recorders{got: map[uint64][]delivered{}, seen: map[uint64]map[string]bool{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	return r
}

func (r *recorders) url(app uint64) string { return r.server.URL + "/" + strconv.FormatUint(app, 10) }

func (r *recorders) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		_, _ = io.WriteString(w, req.URL.Query().Get("hub.challenge"))
		return
	}
	app, _ := strconv.ParseUint(strings.TrimPrefix(req.URL.Path, "/"), 10, 64)
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.keep(app, strings.Split(req.Header.Get("Baton-Delivery-Id"), ","), body)
	if f := r.onDelivery.Load(); f != nil {
		(*f)()
	}
	if r.refused.Load() {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
}

// hookBody is a webhook as apps get it.
type hookBody struct {
	Entry []struct {
		Messaging []json.RawMessage `json:"messaging"`
		Standby   []json.RawMessage `json:"standby"`
	} `json:"entry"`
}

// hookEvent is what the tests look at in an event.
type hookEvent struct {
	Sender    struct{ ID string } `json:"sender"`
	Recipient struct{ ID string } `json:"recipient"`
	Message   struct {
		Mid    string `json:"mid"`
		IsEcho bool   `json:"is_echo"`
	} `json:"message"`
}

func (r *recorders) keep(app uint64, ids []string, body []byte) {
	var hook hookBody
	if json.Unmarshal(body, &hook) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[app] == nil {
		r.seen[app] = map[string]bool{}
	}
	for i, entry := range hook.Entry {
		d := delivered{channel: "messaging", at: time.Now()}
		elements := entry.Messaging
		if len(entry.Standby) > 0 {
			d.channel, elements = "standby", entry.Standby
		}
		if len(elements) != 1 || i >= len(ids) {
			continue
		}
		var e hookEvent
		_ = json.Unmarshal(elements[0], &e)
		d.id, d.mid, d.element, d.thread = ids[i], e.Message.Mid, string(elements[0]), e.Sender.ID
		if e.Message.IsEcho || d.thread == strconv.Itoa(crashPage) {
			d.thread = e.Recipient.ID
		}
		r.got[app] = append(r.got[app], d)
		r.seen[app][d.mid] = true
	}
}

// missing lists which of the message ids an app has not got.
func (r *recorders) missing(app uint64, mids []string) (missing []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mid := range mids {
		if !r.seen[app][mid] {
			missing = append(missing, mid)
		}
	}
	return missing
}

// deliveries returns what an app got, in order of arrival.
func (r *recorders) deliveries(app uint64) []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivered(nil), r.got[app]...)
}

// arrivals are the times behind a moment at which apps got something of a thread,
// ascending.
func (r *recorders) arrivals(person uint64, after time.Time) (times []time.Time) {
	thread := strconv.FormatUint(person, 10)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range r.got {
		for _, d := range slices.Backward(list) {
			if d.at.Before(after) {
				break
			}
			if d.thread == thread {
				times = append(times, d.at)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// fakePlatform takes sends and counts them by their token.
type fakePlatform struct {
	server *httptest.Server
	// onSend is called with each send before it is answered; nil for nothing.
	onSend atomic.Pointer[func()]
	mu     sync.Mutex
	sent   map[string]int // by text
	mids   map[string]string
	echoes []string // bodies of webhooks to be sent
}

func newFakePlatform(t *testing.T) *fakePlatform {
	t.Helper()
	p := &fakePlatform{sent: map[string]int{}, mids: map[string]string{}}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *fakePlatform) serve(w http.ResponseWriter, req *http.Request) {
	var m struct {
		Recipient struct{ ID string } `json:"recipient"`
		Message   struct {
			Text     string `json:"text"`
			Metadata string `json:"metadata"`
		} `json:"message"`
	}
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.sent[m.Message.Text]++
	mid := fmt.Sprintf("mid.%s.%d", m.Message.Text, p.sent[m.Message.Text])
	p.mids[m.Message.Text] = mid
	p.echoes = append(p.echoes, fmt.Sprintf(
		`{"object":"page","entry":[{"id":"%d","time":%d,"messaging":[{"sender":{"id":"%d"},"recipient":{"id":%q},"timestamp":%d,"message":{"is_echo":true,"app_id":%d,"metadata":%q,"mid":%q,"text":%q}}]}]}`,
		crashPage, time.Now().UnixMilli(), crashPage, m.Recipient.ID, time.Now().UnixMilli(), crashBaton, m.Message.Metadata, mid, m.Message.Text))
	p.mu.Unlock()
	if f := p.onSend.Load(); f != nil {
		(*f)()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"recipient_id": m.Recipient.ID, "message_id": mid})
}

// takeEchoes returns the echoes that have not been sent yet.
func (p *fakePlatform) takeEchoes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.echoes
	p.echoes = nil
	return taken
}

// forwarded is how many times each text came.
func (p *fakePlatform) forwarded() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.sent)
}
