package conformance

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the platform's legacy signature
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// delivery is an event that an app received.
type delivery struct {
	channel string
	element any
	// faults are what is wrong with its envelope.
	faults []string
}

// receivers are the fake apps: one HTTP server, a path for each app. They
// answer the challenge, check both signatures, and put what they receive in
// front of the trial whose thread it is about.
type receivers struct {
	base   string
	server *http.Server
	ended  chan error

	mu struct {
		sync.Mutex
		apps    map[string]*app // by id
		runs    map[string]*run // by page and person; by page alone too
		faults  []string
		attempt map[string]bool // deliveries seen, by app and delivery id
	}
}

// listen starts the fake apps. The caller calls close.
func listen(ctx context.Context, c Callbacks) (*receivers, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("callbacks: %w", err)
	}
	r := &receivers{base: strings.TrimSuffix(c.URL, "/"), ended: make(chan error, 1)}
	if r.base == "" {
		r.base = "http://" + ln.Addr().String()
	}
	r.mu.apps, r.mu.runs, r.mu.attempt = map[string]*app{}, map[string]*run{}, map[string]bool{}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { r.ended <- r.server.Serve(ln) }()
	return r, nil
}

// close stops the fake apps and waits for their end.
func (r *receivers) close() error {
	err := r.server.Close()
	if served := <-r.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (r *receivers) callback(id string) string { return r.base + "/" + id }

// expect makes the apps of a plan known.
func (r *receivers) expect(apps []*app) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range apps {
		r.mu.apps[a.id] = a
	}
}

// attend makes a trial hear of its thread, and of its page when that is its own.
func (r *receivers) attend(c *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.runs[c.page.id+" "+c.personID()] = c
	if c.vector.changesPage() {
		r.mu.runs[c.page.id] = c
	}
}

// faults are what was wrong with requests to the apps, whatever trial they were
// for.
func (r *receivers) faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.faults
}

func (r *receivers) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 20
	if len(r.mu.faults) < most {
		r.mu.faults = append(r.mu.faults, fmt.Sprintf(format, args...))
	}
}

// ServeHTTP is the webhook of every app.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id := strings.Trim(req.URL.Path, "/")
	r.mu.Lock()
	a := r.mu.apps[id[strings.LastIndexByte(id, '/')+1:]]
	r.mu.Unlock()
	switch {
	case a == nil:
		w.WriteHeader(http.StatusNotFound)
	case req.Method == http.MethodGet:
		r.challenge(w, req, a)
	case req.Method == http.MethodPost:
		r.receive(w, req, a)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (r *receivers) challenge(w http.ResponseWriter, req *http.Request, a *app) {
	q := req.URL.Query()
	if q.Get("hub.mode") != "subscribe" || q.Get("hub.verify_token") != a.verifyToken {
		r.fault("app %s: the challenge has mode %q or another verify token", a.letter, q.Get("hub.mode"))
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, q.Get("hub.challenge")) //nolint:gosec // the handshake; plain text
}

func (r *receivers) receive(w http.ResponseWriter, req *http.Request, a *app) {
	const most = 16 << 20
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, most))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for header, signature := range map[string]string{
		"X-Hub-Signature-256": "sha256=" + mac(sha256.New, a.secret, body),
		"X-Hub-Signature":     "sha1=" + mac(sha1.New, a.secret, body),
	} {
		if req.Header.Get(header) != signature {
			r.fault("app %s: %s is not the signature of the body with the app's secret", a.letter, header)
			w.WriteHeader(http.StatusForbidden)
			return
		}
	}
	parsed, err := decode(body)
	if err != nil {
		r.fault("app %s: the body is not JSON: %v", a.letter, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.hand(a, parsed, req.Header)
	w.WriteHeader(http.StatusOK)
}

func mac(of func() hash.Hash, secret string, body []byte) string {
	m := hmac.New(of, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// hand gives each event of a body to its trial. A repeated attempt of a
// delivery that was answered before is the server's right and is dropped.
func (r *receivers) hand(a *app, body any, h http.Header) {
	entries, _ := field(body, "entry").([]any)
	ids := strings.Split(h.Get("Baton-Delivery-Id"), ",")
	again := h.Get("Baton-Attempt") != "" && h.Get("Baton-Attempt") != "1"
	if len(entries) == 0 {
		r.fault("app %s: a body without entries: %s", a.letter, text(body))
	}
	for i, entry := range entries {
		if i < len(ids) && ids[i] != "" && r.repeated(a.id+" "+strings.TrimSpace(ids[i])) && again {
			continue
		}
		r.entry(a, body, entry)
	}
}

func (r *receivers) repeated(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.mu.attempt[key]
	r.mu.attempt[key] = true
	return seen
}

func (r *receivers) entry(a *app, body, entry any) {
	pageID, _ := field(entry, "id").(string)
	for _, channel := range []string{"messaging", "standby"} {
		elements, _ := field(entry, channel).([]any)
		for _, e := range elements {
			d := delivery{channel: channel, element: e}
			if len(elements) != 1 {
				d.faults = append(d.faults, fmt.Sprintf("%s holds %d events, not one", channel, len(elements)))
			}
			if d2 := differs(someNumber, field(entry, "time")); d2 != "" {
				d.faults = append(d.faults, "entry.time"+d2)
			}
			if c := r.runOf(pageID, e); c != nil {
				if field(body, "object") != c.page.object() {
					d.faults = append(d.faults, "object: "+text(field(body, "object")))
				}
				c.receive(a.letter, d)
			}
		}
	}
}

// runOf is the trial that an event is about; nil for one of an earlier run.
func (r *receivers) runOf(pageID string, element any) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, party := range []string{"sender", "recipient"} {
		person, _ := field(field(element, party), "id").(string)
		if c := r.mu.runs[pageID+" "+person]; c != nil {
			return c
		}
	}
	return r.mu.runs[pageID]
}
