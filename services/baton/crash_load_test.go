package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/webhook"
)

// load drives the node: people who write, apps that answer and hand over. It
// outlives crashes: what was not acknowledged is sent again, as the platform
// and careful clients do.
type load struct {
	w     *world
	mu    sync.Mutex
	hook  []string        // message ids of webhooks that got a 200
	done  []acknowledged  // API calls that got a success
	open  map[string]bool // metadata and texts of API calls without an answer
	turns map[uint64]int  // per person
	late  []string        // webhooks that are still to be acknowledged
	// nodes are the public listeners of a cluster; nil for the one of w.
	nodes []string
	// pace is what a person waits between two turns; 0 for nothing.
	pace time.Duration
	// failures are the calls that had no clear answer.
	failures []failure
	// takenBy counts the webhooks that each node acknowledged.
	takenBy map[string]int
	// counters of what happened, for the log of the test
	refused, failed int
}

// acknowledged is an API call that was answered with success.
type acknowledged struct {
	verb string // pass, take, release, send
	mark string // its metadata or text, unique
	mid  string // of a send
}

func newLoad(w *world) *load {
	return &load{w: w, open: map[string]bool{}, turns: map[uint64]int{}, takenBy: map[string]int{}}
}

// public is a listener to ask, as a balancer would pick it.
func (l *load) public() string {
	if len(l.nodes) == 0 {
		return l.w.public
	}
	return l.nodes[rand.IntN(len(l.nodes))]
}

// run plays the threads of n people until ctx ends.
func (l *load) run(ctx context.Context, people int) {
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() { l.person(ctx, uint64(9000000000000000+i)) })
	}
	wg.Go(func() { l.echo(ctx) })
	wg.Wait()
}

// person plays one thread: a message, then what its owner does.
func (l *load) person(ctx context.Context, person uint64) {
	for ctx.Err() == nil {
		n := l.turn(person)
		if !l.message(ctx, person, n) {
			return
		}
		rest(ctx, l.pace)
		mark := fmt.Sprintf("%d-%d", person, n)
		owner, err := l.owner(ctx, person)
		if err != nil || owner == 0 {
			continue
		}
		l.act(ctx, owner, person, n, mark)
	}
}

// turn counts the turns of a thread, through all lives of the node.
func (l *load) turn(person uint64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turns[person]++
	return l.turns[person]
}

// act makes the owner of a thread, or the primary, do one thing.
func (l *load) act(ctx context.Context, owner, person uint64, n int, mark string) {
	apps := crashApps()
	recipient := map[string]any{"id": strconv.FormatUint(person, 10)}
	switch {
	case n%4 == 0 || n%4 == 2:
		l.send(ctx, owner, recipient, mark)
	case n%4 == 1 || owner == apps[0]:
		target := apps[0]
		if owner == target {
			target = apps[1+n%2]
		}
		l.control(ctx, "pass", owner, mark, map[string]any{"recipient": recipient, "target_app_id": target, "metadata": mark})
	case n%8 == 3:
		l.control(ctx, "take", apps[0], mark, map[string]any{"recipient": recipient, "metadata": mark})
	default:
		l.control(ctx, "release", owner, mark, map[string]any{"recipient": recipient, "metadata": mark})
	}
}

// message sends a person's message until it is acknowledged; false when ctx
// ended before.
func (l *load) message(ctx context.Context, person uint64, n int) bool {
	return l.messageTo(ctx, crashPage, person, n)
}

func (l *load) messageTo(ctx context.Context, page, person uint64, n int) bool {
	mid := fmt.Sprintf("m_%d_%d", person, n)
	now := time.Now().UnixMilli()
	body := fmt.Sprintf(
		`{"object":"page","entry":[{"id":"%d","time":%d,"messaging":[{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":%d,"message":{"mid":%q,"text":"text %s"}}]}]}`,
		page, now, person, page, now, mid, mid)
	acked := l.webhook(ctx, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !acked {
		l.late = append(l.late, body)
		return false
	}
	l.hook = append(l.hook, mid)
	return true
}

// webhook posts a signed webhook until it gets a 200.
func (l *load) webhook(ctx context.Context, body string) bool {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.public()+"/webhook", bytes.NewBufferString(body))
		if err != nil {
			l.w.t.Error(err)
			return false
		}
		req.Header.Set(webhook.Header256, webhook.Sign256([]byte(crashAppSecret), []byte(body)))
		status, _, err := l.do(req, noThread)
		switch {
		case err == nil && status == http.StatusOK:
			l.took(req.URL.Host)
			return true
		case err == nil && status < 500:
			l.w.t.Errorf("webhook answered %d: %s", status, body)
			return false
		}
		nap(ctx)
	}
	return false
}

// echo posts the platform's echoes until ctx ends and none is left.
func (l *load) echo(ctx context.Context) {
	for {
		for _, body := range l.w.platform.takeEchoes() {
			if !l.webhook(ctx, body) {
				l.w.platform.mu.Lock()
				l.w.platform.echoes = append(l.w.platform.echoes, body)
				l.w.platform.mu.Unlock()
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		nap(ctx)
	}
}

// nap spaces repeats.
func nap(ctx context.Context) { rest(ctx, 5*time.Millisecond) }

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// owner asks who has the thread; 0 for nobody.
func (l *load) owner(ctx context.Context, person uint64) (uint64, error) {
	address := fmt.Sprintf("http://%s/me/thread_owner?recipient=%d&access_token=%s", l.public(), person, crashToken(crashApps()[0]))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	status, data, err := l.do(req, person)
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, fmt.Errorf("status %d", status)
	}
	var answer struct {
		Data []struct {
			Owner struct {
				App string `json:"app_id"`
			} `json:"thread_owner"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return 0, err
	}
	if len(answer.Data) == 0 {
		return 0, nil
	}
	return strconv.ParseUint(answer.Data[0].Owner.App, 10, 64)
}

// control makes one control call. It is not repeated: a client cannot know
// whether it took effect.
func (l *load) control(ctx context.Context, verb string, app uint64, mark string, body map[string]any) {
	status, _, err := l.call(ctx, verb+"_thread_control", app, body, "")
	l.mark(verb, mark, "", status, err)
}

// send sends a message, once more with the same key while the answer is
// missing.
func (l *load) send(ctx context.Context, app uint64, recipient any, text string) {
	body := map[string]any{"recipient": recipient, "messaging_type": "RESPONSE", "message": map[string]any{"text": text}}
	for range 3 {
		status, data, err := l.call(ctx, "messages", app, body, text)
		var answer struct {
			Mid string `json:"message_id"`
		}
		_ = json.Unmarshal(data, &answer)
		l.mark("send", text, answer.Mid, status, err)
		if err == nil && status < 500 {
			return
		}
		nap(ctx)
	}
}

func (l *load) mark(verb, mark, mid string, status int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && status == http.StatusOK:
		l.done = append(l.done, acknowledged{verb, mark, mid})
	case err == nil && status < 500:
		l.refused++
	default:
		l.failed++
		l.open[mark] = true
	}
}

func (l *load) call(ctx context.Context, edge string, app uint64, body map[string]any, key string) (int, []byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	address := fmt.Sprintf("http://%s/v24.0/me/%s?access_token=%s", l.public(), edge, crashToken(app))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	person, _ := strconv.ParseUint(fmt.Sprint(recipientOf(body)), 10, 64)
	return l.do(req, person)
}

func recipientOf(body map[string]any) any {
	recipient, _ := body["recipient"].(map[string]any)
	return recipient["id"]
}

// noThread is the person of a request for which it does not matter who holds
// the thread's partition.
const noThread = 0

// do makes a request about a person's thread, and notes when it has no clear
// answer. An answer that ends early is none.
func (l *load) do(req *http.Request, person uint64) (status int, data []byte, err error) {
	resp, err := l.w.client.Do(req)
	if err == nil {
		status = resp.StatusCode
		data, err = io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
	}
	if (err != nil || status >= 500 || isUnknown(data)) && !errors.Is(err, context.Canceled) {
		l.fail(req, person, status, data, err)
	}
	return status, data, err
}

// isUnknown reports whether an answer is a Graph error of code 2.
func isUnknown(data []byte) bool {
	var answer struct{ Error struct{ Code int } }
	return json.Unmarshal(data, &answer) == nil && answer.Error.Code == 2
}

func (l *load) fail(req *http.Request, person uint64, status int, data []byte, err error) {
	f := failure{at: time.Now(), host: req.URL.Host, partition: -1, what: fmt.Sprintf("%s %s of %d at %s: %d %s %v",
		req.Method, req.URL.Path, person, req.URL.Host, status, data, err)}
	if person != noThread && l.w.partitions > 0 {
		f.partition = partition.Of(control.ThreadKey{Asset: crashPage, Person: person}, l.w.partitions)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, f)
}

func (l *load) took(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takenBy[host]++
}

// unsent returns the webhooks, echoes among them, that are still to be
// acknowledged, and forgets them.
func (l *load) unsent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := append(l.late, l.w.platform.takeEchoes()...)
	l.late = nil
	return late
}

// messages lists the message ids of the webhooks that were acknowledged.
func (l *load) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.hook...)
}

// successes lists the API calls that were acknowledged.
func (l *load) successes() []acknowledged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]acknowledged(nil), l.done...)
}
