package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

// Delays between the attempts of a webhook.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// maxRetryAfter bounds what ingress may ask for.
	maxRetryAfter = 30 * time.Second
)

// enqueue puts webhooks behind those of the thread. Needs mu.
func (s *Service) enqueue(th *thread, w Switches, hooks []*hook) {
	if len(hooks) == 0 {
		return
	}
	now := s.clock()
	for _, h := range hooks {
		if due := now.Add(w.WebhookDelay); h.Due.Before(due) {
			h.Due = due
		}
		if w.OutOfOrder {
			if th.swap = !th.swap; th.swap {
				h.Due = h.Due.Add(reorderHold)
			}
		}
	}
	th.pending = append(th.pending, hooks...)
	s.waiting += len(hooks)
	signal(th.wake)
	if !th.running {
		s.woken = append(s.woken, th)
		signal(s.kick)
	}
}

// dispatch starts a goroutine for each thread that has webhooks, and returns
// when ctx has ended and all of them have.
func (s *Service) dispatch(ctx context.Context, client *http.Client) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s.mu.Lock()
		woken := s.woken
		s.woken = nil
		s.mu.Unlock()
		for _, th := range woken {
			if s.claim(th) {
				wg.Go(func() { s.drain(ctx, client, th) })
			}
		}
		select {
		case <-s.kick:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) claim(th *thread) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if th.running || len(th.pending) == 0 {
		return false
	}
	th.running = true
	return true
}

// drain pushes a thread's webhooks one after the other until there is none.
func (s *Service) drain(ctx context.Context, client *http.Client, th *thread) {
	for {
		h, wait := s.nextHook(th)
		switch {
		case h != nil:
			if !s.deliver(ctx, client, th.key, h) {
				return
			}
			s.settle(th, h)
		case wait == 0:
			return
		default:
			select {
			case <-th.wake:
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// nextHook returns the first webhook that is due, or how long until one is; no
// webhook and no wait means that the thread has none and its goroutine ends.
func (s *Service) nextHook(th *thread) (*hook, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(th.pending) == 0 {
		th.running = false
		return nil, 0
	}
	now, wait := s.clock(), time.Duration(1<<62)
	for _, h := range th.pending {
		left := h.Due.Sub(now)
		if left <= 0 {
			if h.Since.IsZero() {
				h.Since = now
			}
			return h, 0
		}
		wait = min(wait, left)
	}
	return nil, wait
}

// settle takes a webhook that was accepted or given up off the queue.
func (s *Service) settle(th *thread, h *hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range th.pending {
		if p == h {
			th.pending = append(th.pending[:i:i], th.pending[i+1:]...)
			s.waiting--
			break
		}
	}
	if h.settled != nil {
		close(h.settled)
	}
	s.changed()
}

// deliver pushes one webhook until ingress accepts it or it is given up; false
// means that ctx ended first.
func (s *Service) deliver(ctx context.Context, client *http.Client, key control.ThreadKey, h *hook) bool {
	body := s.render(key, h)
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		answer := s.attempt(ctx, client, body)
		switch {
		case ctx.Err() != nil:
			return answer.accepted
		case answer.accepted:
			return true
		case !answer.again || s.clock().Sub(h.Since) >= s.config.RetryFor:
			s.logger.Error("webhook dropped", "page_id", key.Asset, "status", answer.status, "err", answer.err)
			return true
		}
		s.logger.Debug("webhook to be repeated", "page_id", key.Asset, "status", answer.status, "err", answer.err)
		select {
		case <-time.After(max(answer.after, delay)):
		case <-ctx.Done():
			return false
		}
	}
}

// pushed is how an attempt ended.
type pushed struct {
	accepted, again bool
	after           time.Duration
	status          int
	err             error
}

// attempt posts a body once, when one of the places in flight is free.
func (s *Service) attempt(ctx context.Context, client *http.Client, body []byte) pushed {
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	case <-ctx.Done():
		return pushed{err: ctx.Err()}
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.WebhookURL, bytes.NewReader(body))
	if err != nil {
		return pushed{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "baton-simulator")
	req.Header.Set("X-Hub-Signature", webhook.Sign1([]byte(s.config.AppSecret), body))
	req.Header.Set("X-Hub-Signature-256", webhook.Sign256([]byte(s.config.AppSecret), body))
	res, err := client.Do(req)
	if err != nil {
		return pushed{again: true, err: err}
	}
	defer res.Body.Close()
	drain(res.Body)
	return verdict(res)
}

// verdict says what an answer of ingress means. A refusal of the bytes will not
// become better: the real platform would repeat it, and so hide the fault.
func verdict(res *http.Response) pushed {
	p := pushed{status: res.StatusCode, accepted: res.StatusCode == http.StatusOK}
	switch {
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		p.again = true
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			p.after = min(time.Duration(n)*time.Second, maxRetryAfter)
		}
	}
	return p
}

// drain reads an answer off, so that the connection can be used again.
func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, 64<<10) // beyond that a new connection is cheaper
}

// render is the body of a webhook: the same bytes on every attempt.
func (s *Service) render(key control.ThreadKey, h *hook) []byte {
	channel := control.ChannelMessaging
	if h.Standby {
		channel = control.ChannelStandby
	}
	object := control.ObjectPage
	if page := s.pageByID(key.Asset); page != nil {
		object = page.Object
	}
	entry := webhook.Entry{Asset: key.Asset, Time: h.EntryTime, Element: h.Element}
	return webhook.AppendBody(nil, object, channel, false, []webhook.Entry{entry})
}

// Verify performs the hub.challenge handshake with ingress, as the platform
// does when a webhook is subscribed. It returns what is wrong; it does not
// repeat.
func (s *Service) Verify(ctx context.Context) error {
	s.mu.Lock()
	challenge := s.newDigits("challenge")
	s.mu.Unlock()
	q := url.Values{"hub.mode": {"subscribe"}, "hub.verify_token": {s.config.VerifyToken}, "hub.challenge": {challenge}}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.WebhookURL+"?"+q.Encode(), nil)
	if err != nil {
		return fmt.Errorf("simulator: handshake: %w", err)
	}
	client := s.client
	if client == nil {
		transport := &http.Transport{DisableKeepAlives: true}
		client = &http.Client{Transport: transport}
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("simulator: handshake: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil || res.StatusCode != http.StatusOK || string(body) != challenge {
		return fmt.Errorf("simulator: handshake: status %d, body is not the challenge", res.StatusCode)
	}
	return nil
}
