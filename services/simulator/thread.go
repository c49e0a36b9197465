package simulator

import (
	"encoding/json"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// inboxWindow is how long the inbox keeps a thread without activity of the
// person. Source: protocol 6.5.
const inboxWindow = 24 * control.Hour

// facts are what the platform knows of a thread. A value: turns work on a copy
// and replace it when they succeed; slices in it are never changed in place.
type facts struct {
	// LastUserAt is when the person last wrote; zero when only the page has.
	LastUserAt control.Millis `json:"last_user_at,omitempty"`
	// LastAt is the highest timestamp given out on the thread.
	LastAt control.Millis `json:"last_at"`
	// InboxUntil is until when the inbox has control; zero when Baton's app
	// has it.
	InboxUntil control.Millis `json:"inbox_until,omitempty"`
	// Done is set while the thread is marked done in the inbox.
	Done bool `json:"done,omitempty"`
	// Own is the person's latest message, Said the page's.
	Own  said `json:"own"`
	Said said `json:"said"`
	// Buttons are those under the page's messages, latest last.
	Buttons []button `json:"buttons,omitempty"`
	// Survey is the latest survey delivered.
	Survey []question `json:"survey,omitempty"`
	// Menu is the person's own persistent_menu.
	Menu json.RawMessage `json:"menu,omitempty"`
}

// said is a message that can still be talked about.
type said struct {
	Mid   string `json:"mid,omitempty"`
	Edits int    `json:"edits,omitempty"`
}

// button is something a person can tap.
type button struct {
	Title   string `json:"title"`
	Payload string `json:"payload"`
}

// question is one question of a survey.
type question struct {
	Screen   int    `json:"screen"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	FollowUp bool   `json:"follow_up,omitempty"`
}

// inboxOwns reports whether the inbox has control at a time.
func (f *facts) inboxOwns(at control.Millis) bool { return f.InboxUntil > at }

// activity notes that the person did something at a time.
func (f *facts) activity(at control.Millis) {
	f.LastUserAt = at
	if f.inboxOwns(at) {
		f.InboxUntil = max(f.InboxUntil, at+inboxWindow)
	}
}

// thread is a thread with the webhooks that wait for ingress. All of it is
// guarded by Service.mu.
type thread struct {
	key     control.ThreadKey
	facts   facts
	touched uint64 // number of the latest turn, for making room
	// pending are the webhooks not yet accepted, oldest first.
	pending []*hook
	// running is set while a goroutine pushes them; wake tells it of new ones.
	running bool
	wake    chan struct{}
	// swap is set when the next webhook is to overtake the last one.
	swap bool
}

func newThread(key control.ThreadKey) *thread {
	return &thread{key: key, wake: make(chan struct{}, 1)}
}

// hook is one webhook event on its way to ingress.
type hook struct {
	// Element is as the webhook carries it. It is kept as bytes, so that a
	// repeat after a restart is the same to the byte.
	Element []byte `json:"element"`
	// EntryTime stays the same on every attempt.
	EntryTime control.Millis `json:"entry_time"`
	Standby   bool           `json:"standby,omitempty"`
	// Due is when it may leave, Since when it was first tried, by the wall
	// clock.
	Due   time.Time `json:"due"`
	Since time.Time `json:"since"`
	// settled is closed when it was accepted or given up; nil when nobody
	// waits for that.
	settled chan struct{}
}
