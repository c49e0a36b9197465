package console

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/deadletter"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// Letters are the deliveries that were given up; *deadletter.Keeper is one.
type Letters interface {
	List(ctx context.Context, f deadletter.Filter, limit int) (letters []*deliveryv1.DeadLetter, more bool, err error)
	Settle(ctx context.Context, settled []*deliveryv1.Settlement) error
}

// DeliveryLog is what this node remembers of its deliveries.
type DeliveryLog interface {
	// Newest calls do with the exchanges of a span of time, newest first.
	Newest(since, until control.Millis, do func(*deliveryv1.Exchange) (more bool, err error)) error
}

// Bounds of lists of deliveries.
const (
	defaultDeliveries = 100
	maxDeliveries     = 10_000
	shownAttempts     = 100
)

// ListDeliveries lists dead letters, or attempts of this node.
func (s *Service) ListDeliveries(ctx context.Context, req *connect.Request[adminv1.ListDeliveriesRequest]) (*connect.Response[adminv1.ListDeliveriesResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	f, err := s.deliveryFilter(req.Msg.GetFilter())
	if err != nil {
		return nil, err
	}
	limit, err := deliveryLimit(req.Msg.GetLimit(), defaultDeliveries)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListDeliveriesResponse{}
	if req.Msg.GetAttempts() {
		resp.Attempts, resp.More, err = s.attempts(f, limit, req.Msg.GetFailed())
		resp.Elsewhere = s.elsewhere(ctx)
	} else {
		resp.Dead, resp.More, err = s.deadLetters(ctx, f, limit)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(resp), nil
}

func deliveryLimit(given uint32, otherwise int) (int, error) {
	switch {
	case given == 0:
		return otherwise, nil
	case given > maxDeliveries:
		return 0, invalid("limit %d: at most %d", given, maxDeliveries)
	}
	return int(given), nil
}

// deliveryFilter reads what an operator asked for.
func (s *Service) deliveryFilter(r *adminv1.DeliveryFilter) (f deadletter.Filter, err error) {
	f = deadletter.All()
	f.From, f.To, f.Class = control.Position(r.GetFromPosition()), control.Position(r.GetToPosition()), r.GetClass()
	if r.GetPartition() >= 0 && r != nil {
		f.Partition = int(r.GetPartition())
	}
	switch {
	case f.Partition >= s.deps.Node.Partitions:
		return f, invalid("partition %d: there are %d, numbered from 0", f.Partition, s.deps.Node.Partitions)
	case (f.From != 0 || f.To != 0) && f.Partition < 0:
		return f, invalid("positions are those of a partition: name it")
	case f.To != 0 && f.To < f.From:
		return f, invalid("position %d lies before %d", f.To, f.From)
	}
	if name := r.GetApp(); name != "" {
		id, ok := s.names().find(name)
		if !ok {
			return f, invalid("unknown app %q", name)
		}
		f.App = id
	}
	for _, id := range []struct {
		what, text string
		into       *uint64
	}{{"page", r.GetPageId(), &f.Asset}, {"person", r.GetUserId(), &f.Person}} {
		if id.text == "" {
			continue
		}
		var ok bool
		if *id.into, ok = control.ParseID(id.text); !ok {
			return f, invalid("%q is not the id of a %s", id.text, id.what)
		}
	}
	if f.Since, err = pointInTime("since", r.GetSince()); err == nil {
		f.Until, err = pointInTime("until", r.GetUntil())
	}
	return f, err
}

func pointInTime(name, text string) (control.Millis, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, invalid("%s %q is not a time in RFC 3339", name, text)
	}
	return control.Millis(at.UnixMilli()), nil
}

func (s *Service) deadLetters(ctx context.Context, f deadletter.Filter, limit int) ([]*adminv1.DeadDelivery, bool, error) {
	letters, more, err := s.deps.Letters.List(ctx, f, limit)
	if err != nil {
		return nil, false, err
	}
	names := s.names()
	list := make([]*adminv1.DeadDelivery, len(letters))
	for i, l := range letters {
		list[i] = deadDelivery(names, l)
	}
	return list, more, nil
}

func deadDelivery(n names, l *deliveryv1.DeadLetter) *adminv1.DeadDelivery {
	app := control.AppID(l.GetKey().GetApp())
	return &adminv1.DeadDelivery{
		Id: deliveryID(l.GetKey().GetPartition(), l.GetKey().GetPosition()), AppId: app.String(), AppName: n.app(app),
		PageId: fmt.Sprint(l.GetAsset()), UserId: personText(l.GetPerson()), Channel: l.GetChannel(), Outcome: l.GetOutcome(),
		Attempts: l.GetAttempts(), Answer: l.GetAnswer(), Failure: l.GetFailure(), Status: l.GetStatus(), Error: l.GetError(),
		DecidedAt: timeText(l.GetDecidedAtMs()), FirstFailureAt: timeText(l.GetFirstFailureMs()), BuriedAt: timeText(l.GetBuriedAtMs()),
	}
}

func deliveryID(partition uint32, position uint64) string {
	return fmt.Sprintf("%d-%d", partition, position)
}

func personText(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprint(id)
}

// timeText is a time of milliseconds since the Unix epoch, empty for none.
func timeText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// elsewhere names the other nodes that deliver.
func (s *Service) elsewhere(ctx context.Context) []string {
	if s.deps.Node.Delivering == nil {
		return nil
	}
	return s.deps.Node.Delivering(ctx)
}

// attempts lists what this node remembers, newest first.
func (s *Service) attempts(f deadletter.Filter, limit int, failed bool) (list []*adminv1.DeliveryAttempt, more bool, err error) {
	names, until := s.names(), f.Until
	if until == 0 {
		until = 1 << 62
	}
	err = s.deps.Deliveries.Newest(f.Since, until, func(x *deliveryv1.Exchange) (bool, error) {
		if failed && x.GetAnswer() == "taken" || !attemptFits(&f, x) {
			return true, nil
		}
		if more = len(list) == limit; more {
			return false, nil
		}
		list = append(list, attempt(names, x))
		return true, nil
	})
	return list, more, err
}

func attemptFits(f *deadletter.Filter, x *deliveryv1.Exchange) bool {
	if f.App != 0 && uint64(f.App) != x.GetApp() {
		return false
	}
	if c := f.Class; c != "" && c != x.GetAnswer() && c != x.GetFailure() && c != strconv.FormatUint(uint64(x.GetStatus()), 10) &&
		!slices.ContainsFunc(x.GetEvents(), func(e *deliveryv1.PostedEvent) bool { return e.GetOutcome() == c }) {
		return false
	}
	return slices.ContainsFunc(x.GetEvents(), func(e *deliveryv1.PostedEvent) bool {
		at := control.Position(e.GetPosition())
		return (f.Asset == 0 || f.Asset == e.GetAsset()) && (f.Person == 0 || f.Person == e.GetPerson()) &&
			(f.Partition < 0 || uint32(f.Partition) == e.GetPartition()) && at >= f.From && (f.To == 0 || at <= f.To)
	})
}

func attempt(n names, x *deliveryv1.Exchange) *adminv1.DeliveryAttempt {
	app := control.AppID(x.GetApp())
	a := &adminv1.DeliveryAttempt{
		StartedAt: timeText(x.GetStartedAtMs()), AppId: app.String(), AppName: n.app(app), CallbackUrl: x.GetCallback(),
		Channel: x.GetChannel(), Attempt: x.GetAttempt(), Answer: x.GetAnswer(), Failure: x.GetFailure(), Status: x.GetStatus(),
		Error: x.GetError(), ConnectUs: x.GetConnectUs(), FirstByteUs: x.GetFirstByteUs(), TookUs: x.GetTookUs(), Reused: x.GetReused(),
		RequestHeaders: headerLines(x.GetRequestHeaders()), RequestBody: bodyText(x.GetRequestBody()), RequestBytes: x.GetRequestBytes(),
		ResponseHeaders: headerLines(x.GetResponseHeaders()), ResponseBody: bodyText(x.GetResponseBody()),
	}
	for _, e := range x.GetEvents() {
		a.Ids = append(a.Ids, deliveryID(e.GetPartition(), e.GetPosition()))
		a.Threads = append(a.Threads, fmt.Sprintf("%d/%d", e.GetAsset(), e.GetPerson()))
		if next := timeText(e.GetNextAtMs()); a.NextAt == "" || next != "" && next < a.GetNextAt() {
			a.NextAt = next
		}
	}
	return a
}

func headerLines(headers []*deliveryv1.Header) []string {
	lines := make([]string, len(headers))
	for i, h := range headers {
		lines[i] = h.GetName() + ": " + h.GetValue()
	}
	return lines
}

func bodyText(body []byte) string { return strings.ToValidUTF8(string(body), "?") }

// ShowDelivery shows all that is known of one delivery.
func (s *Service) ShowDelivery(ctx context.Context, req *connect.Request[adminv1.ShowDeliveryRequest]) (*connect.Response[adminv1.ShowDeliveryResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	partition, position, ok := parseDeliveryID(req.Msg.GetId())
	if !ok {
		return nil, invalid("%q is not a delivery id: <partition>-<position>", req.Msg.GetId())
	}
	f, err := s.deliveryFilter(&adminv1.DeliveryFilter{
		App: req.Msg.GetApp(), Partition: partition, FromPosition: position, ToPosition: position,
	})
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ShowDeliveryResponse{}
	if resp.Dead, _, err = s.deadLetters(ctx, f, shownAttempts); err != nil {
		return nil, err
	}
	if resp.Attempts, _, err = s.attempts(f, shownAttempts, false); err != nil {
		return nil, err
	}
	slices.Reverse(resp.Attempts)
	resp.Elsewhere = s.elsewhere(ctx)
	return connect.NewResponse(resp), nil
}

func parseDeliveryID(id string) (partition int32, position uint64, ok bool) {
	head, rest, ok := strings.Cut(id, "-")
	p, err := strconv.ParseUint(head, 10, 16)
	position, positionErr := strconv.ParseUint(rest, 10, 64)
	return int32(p), position, ok && err == nil && positionErr == nil && position > 0
}
