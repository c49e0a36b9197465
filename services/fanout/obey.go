package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	fanoutv1 "github.com/baton-router/baton/pkg/gen/baton/fanout/v1"
)

// Steering is how the holders of the cursors are asked and answer; *bus.Conn is
// one.
type Steering interface {
	Asking
	ServeSteering(partition int, handle func(bus.SteerCall)) (stop func(), err error)
}

// maxOrders is how many orders may wait for one partition; the rest are refused.
const maxOrders = 64

// obey carries out the orders for a partition, one after the other, until ctx
// ends or the partition is lost.
func (h *holder) obey(ctx context.Context) {
	orders := make(chan bus.SteerCall, maxOrders)
	for ctx.Err() == nil {
		stop, err := h.service.deps.Steering.ServeSteering(h.partition, func(c bus.SteerCall) {
			select {
			case orders <- c:
			default:
				h.answer(c, &fanoutv1.SteerResponse{Fault: fanoutv1.Fault_FAULT_FAILED, Text: "fanout: too many orders wait"})
			}
		})
		if err == nil {
			h.serve(ctx, orders)
			stop()
			return
		}
		if ctx.Err() == nil {
			h.log.Warn("orders not taken, trying again", "err", err)
		}
		sleep(ctx, jitter(time.Second))
	}
}

func (h *holder) serve(ctx context.Context, orders <-chan bus.SteerCall) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-orders:
			h.answer(c, h.carryOut(ctx, c.Data))
		}
	}
}

func (h *holder) answer(c bus.SteerCall, r *fanoutv1.SteerResponse) {
	r.Node, r.NodeName = h.service.id[:], h.service.config.Node
	data, err := proto.Marshal(r)
	if err == nil {
		err = c.Reply(data)
	}
	if err != nil {
		h.log.Warn("order not answered", "err", err)
	}
}

// carryOut does what a request asks for and says how it went.
func (h *holder) carryOut(ctx context.Context, data []byte) *fanoutv1.SteerResponse {
	var req fanoutv1.SteerRequest
	err := proto.Unmarshal(data, &req)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrOrder, err)
	case h.gone():
		err = fmt.Errorf("%w: partition %d", ErrNotHeld, h.partition)
	case req.GetVerb() == fanoutv1.Verb_VERB_SHOW:
		return &fanoutv1.SteerResponse{Apps: h.show(control.AppID(req.GetApp()))}
	default:
		err = h.steer(ctx, &req)
	}
	if err == nil {
		return &fanoutv1.SteerResponse{}
	}
	r := &fanoutv1.SteerResponse{Fault: fanoutv1.Fault_FAULT_FAILED, Text: err.Error()}
	for class, sentinel := range map[fanoutv1.Fault]error{
		fanoutv1.Fault_FAULT_NOT_HELD: ErrNotHeld, fanoutv1.Fault_FAULT_UNKNOWN_APP: ErrUnknownApp,
		fanoutv1.Fault_FAULT_BEYOND_LOG: ErrBeyondLog, fanoutv1.Fault_FAULT_INVALID: ErrOrder,
	} {
		if errors.Is(err, sentinel) {
			r.Fault = class
		}
	}
	return r
}

func (h *holder) steer(ctx context.Context, req *fanoutv1.SteerRequest) error {
	app := control.AppID(req.GetApp())
	e, _ := h.service.receiver(app, 0)
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknownApp, app)
	}
	switch req.GetVerb() {
	case fanoutv1.Verb_VERB_PAUSE:
		return h.pause(ctx, app, e, req.GetReason())
	case fanoutv1.Verb_VERB_RESUME:
		return h.resume(ctx, app, e)
	case fanoutv1.Verb_VERB_RESEND:
		return h.resend(ctx, app, e, req.GetPositions())
	case fanoutv1.Verb_VERB_SKIP:
		h.forgetResent(app)
		at := h.readerAt()
		return h.move(ctx, app, e, target{mark: at, position: at.position})
	case fanoutv1.Verb_VERB_REWIND:
		return h.rewind(ctx, app, e, req)
	case fanoutv1.Verb_VERB_REPLAY:
		at, err := h.findTime(ctx, req.GetFromMs())
		if err != nil {
			return err
		}
		return h.move(ctx, app, e, target{mark: at, position: at.position, replay: true})
	case fanoutv1.Verb_VERB_UNSPECIFIED, fanoutv1.Verb_VERB_SHOW:
	}
	return fmt.Errorf("%w: verb %v", ErrOrder, req.GetVerb())
}
