package ingress

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// Config of the role.
type Config struct {
	// Partitions of the installation. Required.
	Partitions int
	// MaxBodyBytes bounds a request body; longer ones are 413. Default 8 MiB.
	MaxBodyBytes int
	// MaxPendingBytes bounds the memory of all requests under way: bodies and
	// messages that are not durable yet. At least 4 × MaxBodyBytes; default
	// 64 MiB.
	MaxPendingBytes int
	// AnswerWithin is how long a request may wait for its events to become
	// durable, and how long a message is offered again to a NATS that is not
	// available. The platform gives up after 5 s; default 4 s.
	AnswerWithin time.Duration
	// RetryAfter is what 503 tells the platform; default 1 s.
	RetryAfter time.Duration
}

// WithDefaults returns c with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 8 << 20
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = max(64<<20, 4*c.MaxBodyBytes)
	}
	if c.AnswerWithin == 0 {
		c.AnswerWithin = 4 * time.Second
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	return c
}

// Validate lists every fault of c at once; nil when there is none.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var faults []error
	if c.Partitions < 1 {
		faults = append(faults, fmt.Errorf("partitions is %d, at least 1 is needed", c.Partitions))
	}
	if c.MaxBodyBytes < 1 {
		faults = append(faults, fmt.Errorf("max_body_bytes is %d, at least 1 is needed", c.MaxBodyBytes))
	}
	if c.MaxPendingBytes < 4*c.MaxBodyBytes {
		faults = append(faults, fmt.Errorf("max_pending_bytes is %d, at least 4 × max_body_bytes is needed", c.MaxPendingBytes))
	}
	if c.AnswerWithin < 0 || c.RetryAfter < 0 {
		faults = append(faults, errors.New("answer_within and retry_after cannot be negative"))
	}
	return errors.Join(faults...)
}

// Publisher makes a message durable on the input of a partition. Implemented by
// *bus.Conn. It may be called from many goroutines, for one partition by one at
// a time. stored is called once, from any goroutine or before the return, with
// nil when the message is durable; the data must not be kept after that.
type Publisher interface {
	SubmitInbound(p int, data []byte, stored func(error))
}

// Deps are what the role stands on. All but Observer are required.
type Deps struct {
	Publisher Publisher
	// KnowsPage reports whether the asset is one of this installation's.
	// Events of others are dropped and counted.
	KnowsPage func(asset uint64) bool
	// Secrets are the app secrets that may sign requests at the moment: one,
	// or two while it is being changed.
	Secrets func() [][]byte
	// VerifyToken is what the platform presents in its handshake.
	VerifyToken func() string
	// Now is the clock of received_at.
	Now      func() time.Time
	Logger   *slog.Logger
	Observer Observer
}

// Validate lists every missing dependency at once.
func (d Deps) Validate() error {
	var faults []error
	for _, need := range []struct {
		name    string
		missing bool
	}{
		{"Publisher", d.Publisher == nil},
		{"KnowsPage", d.KnowsPage == nil},
		{"Secrets", d.Secrets == nil},
		{"VerifyToken", d.VerifyToken == nil},
		{"Now", d.Now == nil},
		{"Logger", d.Logger == nil},
	} {
		if need.missing {
			faults = append(faults, fmt.Errorf("%s is missing", need.name))
		}
	}
	return errors.Join(faults...)
}

// Observer is told what happens; nil fields are skipped. The functions must not
// block and may be called from many goroutines.
type Observer struct {
	// Request is called for each request with its result: one of the Result
	// constants.
	Request func(result string)
	// Event is called for each event that became durable.
	Event func(object control.Object, kind control.Kind)
	// UnknownPage is called for each event of a page that is not known.
	UnknownPage func(asset uint64)
	// Published is called after each publish with how long it took, what it
	// held and how it ended.
	Published func(d time.Duration, events, bytes int, err error)
}

// The results of requests.
const (
	ResultOK          = "ok"
	ResultChallenge   = "challenge"
	ResultBadToken    = "bad_token"
	ResultSignature   = "bad_signature"
	ResultMalformed   = "malformed"
	ResultObject      = "unknown_object"
	ResultTooLarge    = "too_large"
	ResultMethod      = "bad_method"
	ResultUnavailable = "unavailable"
	ResultFull        = "full"
)

func (o *Observer) request(result string) {
	if o.Request != nil {
		o.Request(result)
	}
}

func (o *Observer) event(object control.Object, kind control.Kind) {
	if o.Event != nil {
		o.Event(object, kind)
	}
}

func (o *Observer) unknownPage(asset uint64) {
	if o.UnknownPage != nil {
		o.UnknownPage(asset)
	}
}

func (o *Observer) published(d time.Duration, events, bytes int, err error) {
	if o.Published != nil {
		o.Published(d, events, bytes, err)
	}
}
