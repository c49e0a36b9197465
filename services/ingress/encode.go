package ingress

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/webhook"
)

// parcel is the events of one request as they go into messages: each encoded
// as a Batch of one event, because the concatenation of encoded Batches is the
// Batch of all their events.
type parcel struct {
	data []byte
	// pieces are ordered by partition, within one as in the request.
	pieces []piece
	batch  inboundv1.Batch
	event  inboundv1.Event
}

// piece is one encoded event: data[from:to] of its parcel.
type piece struct {
	partition, from, to int
}

//nolint:gochecknoglobals // free parcels
var parcels = sync.Pool{New: func() any { return &parcel{} }}

// pack encodes events. The parcel is the caller's to free.
func (s *Service) pack(events []webhook.Event, trace []byte) (*parcel, error) {
	p, _ := parcels.Get().(*parcel)
	p.batch.Events = append(p.batch.Events[:0], &p.event)
	for i := range events {
		e := &events[i]
		from := len(p.data)
		if err := p.add(e, trace); err != nil {
			p.free()
			return nil, err
		}
		key := control.ThreadKey{Asset: e.Asset, Person: e.Person}
		p.pieces = append(p.pieces, piece{partition.Of(key, s.config.Partitions), from, len(p.data)})
	}
	slices.SortStableFunc(p.pieces, func(a, b piece) int { return cmp.Compare(a.partition, b.partition) })
	return p, nil
}

func (p *parcel) add(e *webhook.Event, trace []byte) error {
	fill(&p.event, e)
	p.event.Trace = trace
	data, err := proto.MarshalOptions{}.MarshalAppend(p.data, &p.batch)
	if err != nil {
		return fmt.Errorf("encode event of page %d: %w", e.Asset, err)
	}
	p.data = data
	return nil
}

func (p *parcel) free() {
	p.data, p.pieces = p.data[:0], p.pieces[:0]
	p.event.Reset()
	if cap(p.data) <= keepBuffer {
		parcels.Put(p)
	}
}

// fill overwrites every field of out but the trace.
func fill(out *inboundv1.Event, e *webhook.Event) {
	out.Asset, out.Person = e.Asset, e.Person
	out.Kind, out.Object = uint32(e.Kind), uint32(e.Object)
	out.TimestampMs, out.EntryTimeMs = int64(e.At), int64(e.EntryTime)
	out.Dedupe, out.Raw = e.Dedupe[:], e.Raw
	out.Mid, out.PayloadHash = e.Mid, e.PayloadHash
	out.Ref, out.Ad, out.FromAd = e.Ref, e.Ad, e.FromAd
	out.ReceivingApp, out.HasWindow, out.ReceivingDays = uint64(e.ReceivingApp), e.HasWindow, int32(e.ReceivingDays)
	out.EchoApp, out.Metadata, out.Questions = uint64(e.EchoApp), e.Metadata, e.Questions
	out.PreviousOwner, out.NewOwner = uint64(e.PreviousOwner), uint64(e.NewOwner)
}
