package fanout

import (
	"context"
	"errors"
	"sync"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/webhook"
)

// plan is the deliveries of one record: who gets what, rendered once for all
// apps whose copies are alike.
type plan struct {
	holder *holder
	// wanted says which apps the record is planned for.
	wanted func(app control.AppID) bool
	// as is the roster to plan by instead of those in force; nil for none.
	as *roster.Snapshot
	// apps are today's: who gets what is decided by the roster of then, how
	// it looks by that of today.
	apps    map[control.AppID]App
	version uint64 // of the roster that they are of
	mail    mail
	// at is the entry at hand, list what is planned for it, copies are those
	// rendered of it: memory for the next.
	at      delivery.Entry
	list    []delivery.Delivery
	copies  copies
	losses  []DeadLetter
	size    int // of letters, in bytes
	entries int // left in the record, the one at hand included
	input   message
}

//nolint:gochecknoglobals // free plans
var freePlans = sync.Pool{New: func() any { return new(plan) }}

// begin forgets what was planned and takes the apps as they are now.
func (pl *plan) begin() {
	pl.apps, pl.version = pl.holder.service.today()
	pl.forget()
}

// forget keeps memory for the next record, and nothing that was planned.
func (pl *plan) forget() {
	clear(pl.mail)
	pl.mail, pl.losses, pl.size, pl.input = pl.mail[:0], nil, 0, message{}
}

// release gives a plan back of which nothing is used any more.
func (pl *plan) release() {
	pl.forget()
	pl.copies.begin(0)
	pl.holder, pl.wanted, pl.as, pl.apps, pl.at = nil, nil, nil, nil, delivery.Entry{}
	freePlans.Put(pl)
}

// mail is the letters of a record, by app: a handful, so that looking one up by
// scanning is cheapest. They are addressed when they are offered.
type mail []appMail

// handful is how many apps hear of a record, as a rule.
const handful = 4

type appMail struct {
	app     control.AppID
	letters []letter
}

// of are the letters of an app; nil for none.
func (m mail) of(app control.AppID) []letter {
	for i := range m {
		if m[i].app == app {
			return m[i].letters
		}
	}
	return nil
}

// add adds a letter for an app; room is for how many there may be.
func (m mail) add(app control.AppID, l letter, room int) mail {
	for i := range m {
		if m[i].app == app {
			m[i].letters = append(m[i].letters, l)
			return m
		}
	}
	if m == nil {
		m = make(mail, 0, handful)
	}
	return append(m, appMail{app, append(make([]letter, 0, room), l)})
}

// record plans the entries of a record, each by the roster version in force at
// its position. before is the version in force before the record. It blocks for
// payloads and roster versions; an error is temporary, and nothing was planned.
func (pl *plan) record(ctx context.Context, r *eventlog.Record, before uint64) error {
	version := before
	if !changesRoster(r) {
		version = r.RosterVersion
	}
	snapshot := pl.as
	for i, entry := range r.Entries {
		if applied, ok := entry.Event.(control.RosterApplied); ok {
			version = applied.Version
			continue
		}
		if version == 0 && pl.as == nil {
			continue
		}
		if pl.as == nil && (snapshot == nil || snapshot.Version() != version) {
			var err error
			if snapshot, err = pl.holder.service.deps.Rosters.At(ctx, version); err != nil {
				return err
			}
			pl.holder.service.applyRoster(snapshot)
		}
		page := snapshot.Delivery(entry.Thread.Asset)
		if page == nil {
			continue
		}
		pl.entries = len(r.Entries) - i
		pl.at = delivery.Entry{
			Partition: pl.holder.partition, Position: r.First + control.Position(i), Thread: entry.Thread, Time: r.DecidedAt,
			Event: entry.Event,
		}
		if err := pl.entry(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// changesRoster reports whether a record says where in it the roster changed.
func changesRoster(r *eventlog.Record) bool {
	for _, e := range r.Entries {
		if _, ok := e.Event.(control.RosterApplied); ok {
			return true
		}
	}
	return false
}

// variant tells copies of one entry apart.
type variant struct {
	body    delivery.BodyKind
	numeric bool
}

// copies are the rendered copies of one entry: a handful, so that looking them
// up by scanning is cheapest.
type copies struct {
	variants []variant
	elements [][]byte
	object   control.Object
}

// begin forgets the copies of the entry before.
func (c *copies) begin(object control.Object) {
	clear(c.elements)
	c.variants, c.elements, c.object = c.variants[:0], c.elements[:0], object
}

// entry plans the entry at hand.
func (pl *plan) entry(ctx context.Context, page *delivery.Page) error {
	e, c := &pl.at, &pl.copies
	c.begin(page.Rules.Object)
	pl.list = delivery.AppendPlan(pl.list[:0], page, *e)
	for i := range pl.list {
		d := &pl.list[i]
		if !pl.wanted(d.App) {
			continue
		}
		element, err := pl.element(ctx, d, e)
		var unreadable *webhook.ParseError
		switch {
		case errors.Is(err, errNoPayload):
			pl.lost(d, e, c.object, OutcomeRetention, err)
		case errors.Is(err, errOtherPayload):
			pl.holder.log.Error("another event is in the place of the one to deliver: BATON_IN has lost its end; given up", "app_id", d.App.String(), "position", uint64(e.Position), "err", err)
			pl.lost(d, e, c.object, OutcomeOtherPayload, err)
		case errors.As(err, &unreadable):
			pl.lost(d, e, c.object, OutcomeUnreadable, err)
		case err != nil:
			return err
		default:
			pl.mail = pl.mail.add(d.App, letter{
				partition: e.Partition, position: e.Position, thread: e.Thread, object: c.object, channel: d.Channel, at: e.Time,
				element: element,
			}, pl.entries)
			pl.size += letterOverhead
		}
	}
	return nil
}

// lost notes a delivery that cannot be made.
func (pl *plan) lost(d *delivery.Delivery, e *delivery.Entry, object control.Object, o Outcome, err error) {
	pl.losses = append(pl.losses, DeadLetter{
		App: d.App, Partition: e.Partition, Position: e.Position, Thread: e.Thread, Object: object, Channel: d.Channel,
		DecidedAt: e.Time, Outcome: o, Err: err,
	})
}

// element returns the app's copy, rendered now or for another app before.
func (pl *plan) element(ctx context.Context, d *delivery.Delivery, e *delivery.Entry) ([]byte, error) {
	c := &pl.copies
	fromInput := d.Body == delivery.BodyEvent || d.Body == delivery.BodyNoPayload
	v := variant{body: d.Body, numeric: !fromInput && pl.apps[d.App].NumericIDs}
	for i, known := range c.variants {
		if known == v {
			return c.elements[i], nil
		}
	}
	element, err := pl.render(ctx, d, e, v)
	if err != nil {
		return nil, err
	}
	c.variants, c.elements = append(c.variants, v), append(c.elements, element)
	pl.size += len(element)
	return element, nil
}

func (pl *plan) render(ctx context.Context, d *delivery.Delivery, e *delivery.Entry, v variant) ([]byte, error) {
	if d.Body != delivery.BodyEvent && d.Body != delivery.BodyNoPayload {
		return webhook.AppendHandover(nil, handover(d, e, v.numeric)), nil
	}
	p, err := pl.holder.service.payloads.get(ctx, pl.holder.partition, &pl.input, d.Input, dedupe(e.Event))
	if err != nil {
		return nil, err
	}
	if d.Body == delivery.BodyEvent && !d.Rewrite && !d.Own {
		return p.unedited()
	}
	edit := webhook.Edit{DropPayload: d.Body == delivery.BodyNoPayload}
	if d.Rewrite {
		edit.SetEcho, edit.EchoApp, edit.Metadata = true, p.echoApp, p.metadata
	}
	if d.Rewrite && d.Sender != 0 {
		edit.EchoApp = d.Sender
	}
	if d.Own {
		edit.Metadata = d.Metadata
	}
	return p.edited(edit)
}

// dedupe is the key of the webhook event that an event of the log decided.
func dedupe(e control.Event) (key [16]byte) {
	if routed, ok := e.(control.Routed); ok {
		key = routed.Dedupe
	}
	return key
}

// handover is the event about control that a delivery carries.
func handover(d *delivery.Delivery, e *delivery.Entry, numeric bool) webhook.Handover {
	h := webhook.Handover{
		Asset: e.Thread.Asset, Person: e.Thread.Person, At: e.Time, Previous: d.Previous, New: d.New, Metadata: d.Metadata,
		NumericIDs: numeric,
	}
	switch d.Body {
	case delivery.BodyPass:
		h.Verb = webhook.HandoverPass
	case delivery.BodyTake:
		h.Verb = webhook.HandoverTake
	case delivery.BodyRequest:
		h.Verb = webhook.HandoverRequest
	case delivery.BodyMetadata:
		h.Verb, h.Previous, h.New = webhook.HandoverMetadata, d.New, 0
	case delivery.BodyRoles:
		h.Verb, h.Role = webhook.HandoverRoles, "secondary_receiver"
		if d.Primary {
			h.Role = "primary_receiver"
		}
	case delivery.BodyEvent, delivery.BodyNoPayload:
	}
	return h
}
