package fanout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	fanoutv1 "github.com/baton-router/baton/pkg/gen/baton/fanout/v1"
)

// Errors of what operators ask for. Nothing was changed where they are returned.
var (
	// ErrNotHeld: no node holds the partition's cursor at the moment.
	ErrNotHeld = errors.New("fanout: nobody delivers for the partition at the moment")
	// ErrUnknownApp: no such app, or it has no callback.
	ErrUnknownApp = errors.New("fanout: no such receiving app")
	// ErrBeyondLog: the position has not been read yet.
	ErrBeyondLog = errors.New("fanout: position is beyond what was read of the log")
	// ErrOrder: the order makes no sense.
	ErrOrder = errors.New("fanout: order refused")
)

// Order is what an operator asks for.
type Order struct {
	// Verb is pause, resume, rewind, skip, replay or resend.
	Verb string
	App  control.AppID
	// Partition is the one meant; negative for all of them.
	Partition int
	// Position is where a rewind begins, unless From is set. Of all
	// partitions, one that is shorter is left as it is.
	Position control.Position
	// From is the point in time at which a rewind or a replay begins.
	From time.Time
	// Reason of a pause, for people.
	Reason string
	// Positions of the dead letters of one partition that are to be delivered
	// again, with the ids they had: each is planned from the log by the roster
	// of then, and goes through the app's engine behind what its thread has
	// waiting. The cursor names them until each is delivered or given up once
	// more; what is still undelivered is left as it is.
	Positions []control.Position
}

func (o *Order) request() (*fanoutv1.SteerRequest, error) {
	r := &fanoutv1.SteerRequest{App: uint64(o.App), Position: uint64(o.Position), Clamp: o.Partition < 0, Reason: o.Reason}
	if !o.From.IsZero() {
		r.FromMs = max(o.From.UnixMilli(), 1)
	}
	switch o.Verb {
	case "pause":
		r.Verb = fanoutv1.Verb_VERB_PAUSE
	case "resume":
		r.Verb = fanoutv1.Verb_VERB_RESUME
	case "rewind":
		r.Verb = fanoutv1.Verb_VERB_REWIND
		if (r.GetPosition() == 0) == (r.GetFromMs() == 0) {
			return nil, fmt.Errorf("%w: a rewind needs a position or a point in time", ErrOrder)
		}
	case "skip":
		r.Verb = fanoutv1.Verb_VERB_SKIP
	case "replay":
		r.Verb = fanoutv1.Verb_VERB_REPLAY
		if r.GetFromMs() == 0 {
			return nil, fmt.Errorf("%w: a replay needs a point in time", ErrOrder)
		}
	case "resend":
		r.Verb = fanoutv1.Verb_VERB_RESEND
		if o.Partition < 0 || len(o.Positions) == 0 {
			return nil, fmt.Errorf("%w: a resend needs a partition and positions", ErrOrder)
		}
		for _, p := range o.Positions {
			r.Positions = append(r.Positions, uint64(p))
		}
	default:
		return nil, fmt.Errorf("%w: unknown verb %q, want pause, resume, rewind, skip, replay or resend", ErrOrder, o.Verb)
	}
	return r, nil
}

// Asking is how the holders of the cursors are reached, on any node; *bus.Conn
// is one.
type Asking interface {
	AskSteering(ctx context.Context, partition int, data []byte) ([]byte, error)
}

// Remote steers and shows the deliveries of a whole installation, wherever they
// are made. Safe for concurrent use.
type Remote struct {
	Bus        Asking
	Partitions int
}

const (
	// orderWithin bounds the wait for one holder's answer.
	orderWithin = 5 * time.Second
	// holderWithin bounds the wait for a holder while a partition moves.
	holderWithin = time.Second
)

// Steer has an order carried out by the holders of the partitions concerned. It
// is durable on return. The error joins those of the partitions where it was
// not: ErrNotHeld, ErrUnknownApp, ErrBeyondLog, ErrOrder, or that of the bus,
// after which it may have been carried out.
func (r Remote) Steer(ctx context.Context, o Order) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	if o.Partition >= r.Partitions {
		return fmt.Errorf("%w: partition %d: there are %d, numbered from 0", ErrOrder, o.Partition, r.Partitions)
	}
	if o.Partition >= 0 {
		_, err := r.ask(ctx, o.Partition, req)
		return err
	}
	faults := make([]error, r.Partitions)
	r.each(func(p int) { _, faults[p] = r.ask(ctx, p, req) })
	return summary(faults)
}

// summary joins the faults of partitions; the same fault of many is named once.
func summary(faults []error) error {
	var different []error
	count := map[string]int{}
	for _, err := range faults {
		if err == nil {
			continue
		}
		if count[err.Error()]++; count[err.Error()] == 1 {
			different = append(different, err)
		}
	}
	return errors.Join(different...)
}

// each calls f for every partition at once and waits.
func (r Remote) each(f func(p int)) {
	var wg sync.WaitGroup
	for p := range r.Partitions {
		wg.Go(func() { f(p) })
	}
	wg.Wait()
}

// ask asks the holder of one partition, which may be on its way to another node.
func (r Remote) ask(ctx context.Context, p int, req *fanoutv1.SteerRequest) (*fanoutv1.SteerResponse, error) {
	for started := time.Now(); ; {
		resp, err := r.askOnce(ctx, p, req)
		if !errors.Is(err, ErrNotHeld) || time.Since(started) > holderWithin || !sleep(ctx, jitter(holderWithin/10)) {
			return resp, err
		}
	}
}

func (r Remote) askOnce(ctx context.Context, p int, req *fanoutv1.SteerRequest) (*fanoutv1.SteerResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	data, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("fanout: order: %w", err)
	}
	answer, err := r.Bus.AskSteering(ctx, p, data)
	if errors.Is(err, bus.ErrNoHolder) {
		return nil, fmt.Errorf("%w: partition %d", ErrNotHeld, p)
	}
	if err != nil {
		return nil, fmt.Errorf("fanout: order for partition %d: %w", p, err)
	}
	resp := &fanoutv1.SteerResponse{}
	if err := proto.Unmarshal(answer, resp); err != nil {
		return nil, fmt.Errorf("fanout: answer of partition %d: %w", p, err)
	}
	return resp, faultOf(resp)
}

// faultOf is the error that an answer stands for.
func faultOf(r *fanoutv1.SteerResponse) error {
	class := map[fanoutv1.Fault]error{
		fanoutv1.Fault_FAULT_NOT_HELD: ErrNotHeld, fanoutv1.Fault_FAULT_UNKNOWN_APP: ErrUnknownApp,
		fanoutv1.Fault_FAULT_BEYOND_LOG: ErrBeyondLog, fanoutv1.Fault_FAULT_INVALID: ErrOrder,
	}
	switch sentinel := class[r.GetFault()]; {
	case r.GetFault() == fanoutv1.Fault_FAULT_UNSPECIFIED:
		return nil
	case sentinel != nil:
		return &refusal{class: sentinel, text: r.GetText()}
	}
	return errors.New(r.GetText())
}

// refusal is a holder's error, which comes as its class and its words.
type refusal struct {
	class error
	text  string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.class }
