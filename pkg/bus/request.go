package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers of JetStream that this package sets.
const (
	headerExpected        = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
	headerExpectedStream  = "Nats-Expected-Last-Sequence"
	headerRollup          = "Nats-Rollup"
	headerTTL             = "Nats-TTL"
	headerMsgID           = "Nats-Msg-Id"
	headerBatchID         = "Nats-Batch-Id"
	headerBatchSequence   = "Nats-Batch-Sequence"
	headerBatchCommit     = "Nats-Batch-Commit"
)

// Error codes of the JetStream API.
const (
	codeAccountLimits      = 10002
	codeInsufficient       = 10023
	codeNoMessage          = 10037
	codeStorageLimits      = 10047
	codeMessageTooLarge    = 10054
	codeNameInUse          = 10058
	codeNoStream           = 10059
	codeWrongSequence      = 10071
	codeStoreFailed        = 10077
	codeSequenceNotReady   = 10163
	codeInFlight           = 10164
	codeNoBatches          = 10174
	codeBatchIncomplete    = 10176
	codeBatchDuplicate     = 10201
	codeBatchTooManyActive = 10210
)

// apiError is an error as the JetStream API writes it.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// class returns the sentinel for an API error; nil when there is none.
func (e *apiError) class() error {
	switch e.ErrCode {
	case codeWrongSequence, codeBatchDuplicate:
		// A duplicate in a batch of control changes: the batch that brought the id
		// moved the cursor too.
		return ErrWrongSequence
	case codeInFlight:
		return ErrInFlight
	case codeAccountLimits, codeInsufficient, codeStorageLimits:
		return ErrStreamFull
	case codeMessageTooLarge:
		return ErrTooLarge
	case codeNoMessage:
		return ErrNoMessage
	case codeNoBatches:
		return ErrNoBatches
	case codeNoStream:
		return ErrStreamMissing
	case codeSequenceNotReady, codeBatchIncomplete, codeBatchTooManyActive:
		return ErrUnavailable
	case codeStoreFailed:
		return e.storeClass()
	}
	if e.Code == 503 {
		return ErrUnavailable
	}
	return nil
}

// storeClass tells a full stream from a disk that failed.
func (e *apiError) storeClass() error {
	if strings.Contains(e.Description, "maximum") {
		return ErrStreamFull
	}
	return ErrOutcomeUnknown
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode)
}

func (e *apiError) Unwrap() error { return e.class() }

// ack is the answer to a publish.
type ack struct {
	Error    *apiError `json:"error"`
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"seq"`
	Count    int       `json:"count"`
}

// plainAck reads the answer to a publish that succeeded as the server writes it,
// {"stream":"NAME","seq":N}; false for any other, which may succeed as well.
func plainAck(data []byte) (sequence uint64, ok bool) {
	name, rest, _ := bytes.Cut(data, []byte(`","seq":`))
	name, named := bytes.CutPrefix(name, []byte(`{"stream":"`))
	digits, ended := bytes.CutSuffix(rest, []byte("}"))
	if !named || !ended || len(digits) == 0 || digits[0] == '0' {
		return 0, false
	}
	for _, b := range name {
		if b != '_' && (b < 'A' || b > 'Z') {
			return 0, false
		}
	}
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	return sequence, err == nil
}

// requester sends a message and waits for the answer, as a link does.
type requester interface {
	request(ctx context.Context, m *nats.Msg) (*nats.Msg, error)
	IsClosed() bool
}

// publish sends one message and waits for the stream's answer. It never sends
// twice.
func publish(ctx context.Context, l requester, m *nats.Msg) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("publish on %s: not sent: %w", m.Subject, err)
	}
	reply, err := l.request(ctx, m)
	if err != nil {
		return 0, fmt.Errorf("publish on %s: %w", m.Subject, publishError(l, err))
	}
	if sequence, ok := plainAck(reply.Data); ok {
		return sequence, nil
	}
	var a ack
	if err := json.Unmarshal(reply.Data, &a); err != nil {
		return 0, fmt.Errorf("publish on %s: %w: unreadable answer: %w", m.Subject, ErrOutcomeUnknown, err)
	}
	if a.Error != nil {
		return 0, fmt.Errorf("publish on %s: %w", m.Subject, a.Error)
	}
	if a.Sequence == 0 {
		return 0, fmt.Errorf("publish on %s: %w: answer without sequence", m.Subject, ErrOutcomeUnknown)
	}
	return a.Sequence, nil
}

// publishError classes what nats.go said about a publish.
func publishError(l requester, err error) error {
	if class := connectionError(err); class != nil {
		return fmt.Errorf("%w: %w", class, err)
	}
	if l.IsClosed() {
		return fmt.Errorf("%w: %w: %w", ErrOutcomeUnknown, ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// fenced returns a message that is stored only while the last sequence on its
// subject is the expected one.
func fenced(subject string, data []byte, expected uint64) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		headerExpected: []string{strconv.FormatUint(expected, 10)},
	}}
}

// call asks the JetStream API and decodes its answer into response.
func (c *Conn) call(ctx context.Context, api string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", api, err)
	}
	reply, err := c.work.request(ctx, &nats.Msg{Subject: "$JS.API." + api, Data: body})
	if err != nil {
		return fmt.Errorf("ask %s: %w", api, callError(err))
	}
	var failed struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &failed); err != nil {
		return fmt.Errorf("ask %s: unreadable answer: %w", api, err)
	}
	if failed.Error != nil {
		return fmt.Errorf("ask %s: %w", api, failed.Error)
	}
	if err := json.Unmarshal(reply.Data, response); err != nil {
		return fmt.Errorf("ask %s: unreadable answer: %w", api, err)
	}
	return nil
}

// callError classes what nats.go said about a request that changes nothing.
func callError(err error) error {
	if class := connectionError(err); class != nil {
		return fmt.Errorf("%w: %w", class, err)
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// get asks which message of a stream to read: by sequence, the last on a
// subject, or the first on a subject from a sequence on.
type get struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

// stored is a message as the JetStream API returns it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Header   []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

func (s stored) message() Message {
	return Message{Sequence: s.Sequence, Partition: partitionOf(s.Subject), Data: s.Data, At: s.Time, subject: s.Subject}
}

// read asks the stream's leader for one message; ErrNoMessage for none.
func (c *Conn) read(ctx context.Context, stream string, g get) (stored, error) {
	var response struct {
		Message stored `json:"message"`
	}
	if err := c.call(ctx, "STREAM.MSG.GET."+stream, g, &response); err != nil {
		return stored{}, err
	}
	return response.Message, nil
}
