package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// newQuiet is a simulator that pushes to nobody.
func newQuiet(t *testing.T) *Service {
	t.Helper()
	s, err := New(Config{
		DataDir: t.TempDir(), WebhookURL: "http://127.0.0.1:1/webhook", AppID: 1, AppSecret: "s", DefaultPerson: 5,
		Pages: []Page{{ID: 2, AccessToken: "t"}},
	}, Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheQueueIsBoundedAndRefusalLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newQuiet(t)
	for range maxPending {
		if err := s.Referral(0, 0, "r"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Message(0, 0, "one too many", MessageOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	lines, err := s.Transcript(0, 0)
	if err != nil || strings.Contains(lines[len(lines)-1].Text, "one too many") {
		t.Errorf("%v", err)
	}
	if s.threads[keyOf(5)].facts.Own.Mid != "" {
		t.Error("the message is part of the thread")
	}
	s.waiting++ // the queue of a busy platform: a send is refused, not half done
	r := httptest.NewRequest(http.MethodPost, "/me/messages?access_token=t", strings.NewReader(`{"recipient":{"id":"5"},"message":{"text":"x"}}`))
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"code":613`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheQuietThreadUsedLongestAgoMakesRoom(t *testing.T) {
	t.Parallel()
	s := newQuiet(t)
	for person := range uint64(maxThreads) {
		s.threads[keyOf(100+person)] = newThread(keyOf(100 + person))
		s.threads[keyOf(100+person)].touched = 1000 + person
	}
	busy := s.threads[keyOf(100)]
	busy.pending = []*hook{{}}
	if err := s.Referral(0, 99, "r"); err != nil {
		t.Fatal(err)
	}
	if len(s.threads) != maxThreads || s.threads[keyOf(100)] != busy || s.threads[keyOf(101)] != nil {
		t.Errorf("%d threads", len(s.threads))
	}
}

func TestTheTranscriptIsBounded(t *testing.T) {
	t.Parallel()
	tr := newTranscript()
	for i := range 3 * maxLines {
		tr.append([]Line{{Text: fmt.Sprint(i)}})
	}
	if n := len(tr.lines); n < maxLines || n > 2*maxLines || tr.lines[n-1].Number != 3*maxLines {
		t.Errorf("%d lines, last %d", n, tr.lines[n-1].Number)
	}
}

func TestAnOlderSnapshotNeverReplacesANewerOne(t *testing.T) {
	t.Parallel()
	s := newQuiet(t)
	s.mu.Lock()
	old := s.snapshot(0)
	s.mu.Unlock()
	if _, err := s.Clock(time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.file.save(old); err != nil {
		t.Fatal(err)
	}
	if st, err := s.file.load(); err != nil || st.OffsetMS != time.Hour.Milliseconds() {
		t.Errorf("offset %d, %v", st.OffsetMS, err)
	}
}

func TestRunEndsAtOnceWhenItsContextHas(t *testing.T) {
	t.Parallel()
	s := newQuiet(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

func keyOf(person uint64) control.ThreadKey { return control.ThreadKey{Asset: 2, Person: person} }
