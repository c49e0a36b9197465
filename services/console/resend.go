package console

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/deadletter"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// ResendDeliveries delivers dead letters again, or drops them. What is to be
// delivered again is in the cursor before its letter is settled: a crash in
// between lists it once more, and resending it once more does no harm.
func (s *Service) ResendDeliveries(ctx context.Context, req *connect.Request[adminv1.ResendDeliveriesRequest]) (*connect.Response[adminv1.ResendDeliveriesResponse], error) {
	operator, err := need(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	f, err := s.deliveryFilter(req.Msg.GetFilter())
	if err != nil {
		return nil, err
	}
	if f == deadletter.All() && !req.Msg.GetAll() {
		return nil, invalid("nothing is selected: name an app, a page, a class …, or ask for all")
	}
	limit, err := deliveryLimit(req.Msg.GetLimit(), maxDeliveries)
	if err != nil {
		return nil, err
	}
	letters, more, err := s.deps.Letters.List(ctx, f, limit)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ResendDeliveriesResponse{More: more}
	if !req.Msg.GetDryRun() {
		if letters, resp.Faults, err = s.settle(ctx, letters, req.Msg.GetDrop(), operator); err != nil {
			return nil, err
		}
	}
	names := s.names()
	for _, l := range letters {
		resp.Deliveries = append(resp.Deliveries, deadDelivery(names, l))
	}
	return connect.NewResponse(resp), nil
}

// settle resends or drops letters and returns those for which that was done.
func (s *Service) settle(ctx context.Context, letters []*deliveryv1.DeadLetter, drop bool, operator string) (done []*deliveryv1.DeadLetter, faults []string, err error) {
	how := "dropped"
	if !drop {
		how = "resent"
		letters, faults = s.resend(ctx, letters)
	}
	settled := make([]*deliveryv1.Settlement, len(letters))
	for i, l := range letters {
		settled[i] = &deliveryv1.Settlement{Key: l.GetKey(), How: how, Operator: operator, AtMs: time.Now().UnixMilli()}
	}
	if err := s.deps.Letters.Settle(ctx, settled); err != nil {
		return nil, nil, err
	}
	s.deps.Logger.Info("dead letters settled", "how", how, "count", len(letters), "operator", operator)
	return letters, faults, nil
}

// place is an app's place in a partition.
type place struct {
	app       uint64
	partition uint32
}

// maxResend is how many positions go into one order.
const maxResend = 5000

// resend orders letters to be delivered again, place by place, and returns those
// that will be.
func (s *Service) resend(ctx context.Context, letters []*deliveryv1.DeadLetter) (done []*deliveryv1.DeadLetter, faults []string) {
	var places []place
	by := map[place][]*deliveryv1.DeadLetter{}
	for _, l := range letters {
		at := place{l.GetKey().GetApp(), l.GetKey().GetPartition()}
		if by[at] == nil {
			places = append(places, at)
		}
		by[at] = append(by[at], l)
	}
	for _, at := range places {
		for rest := by[at]; len(rest) > 0; {
			n := min(len(rest), maxResend)
			if err := s.resendSome(ctx, at, rest[:n]); err != nil {
				faults = append(faults, fmt.Sprintf("%d of %s in partition %d: %s", len(rest), s.names().app(control.AppID(at.app)), at.partition, text(err)))
				break
			}
			done = append(done, rest[:n]...)
			rest = rest[n:]
		}
	}
	return done, faults
}

// text is an error without the name of its Connect code.
func text(err error) string {
	if c, ok := err.(*connect.Error); ok { //nolint:errorlint // Steer's own
		return c.Message()
	}
	return err.Error()
}

func (s *Service) resendSome(ctx context.Context, at place, letters []*deliveryv1.DeadLetter) error {
	o := Order{Verb: "resend", App: control.AppID(at.app), Partition: int(at.partition)}
	for _, l := range letters {
		o.Positions = append(o.Positions, control.Position(l.GetKey().GetPosition()))
	}
	return s.deps.Apps.Steer(ctx, o)
}
