package ingress

import (
	"cmp"
	"slices"
	"sync"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/inbound"
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
}

// piece is one encoded event: data[from:to] of its parcel.
type piece struct {
	partition, from, to int
}

//nolint:gochecknoglobals // free parcels
var parcels = sync.Pool{New: func() any { return &parcel{} }}

// pack encodes events. The parcel is the caller's to free.
func (s *Service) pack(events []webhook.Event, trace []byte) *parcel {
	p, _ := parcels.Get().(*parcel)
	for i := range events {
		e := &events[i]
		from := len(p.data)
		p.data = inbound.Append(p.data, e, trace)
		key := control.ThreadKey{Asset: e.Asset, Person: e.Person}
		p.pieces = append(p.pieces, piece{partition.Of(key, s.config.Partitions), from, len(p.data)})
	}
	slices.SortStableFunc(p.pieces, func(a, b piece) int { return cmp.Compare(a.partition, b.partition) })
	return p
}

func (p *parcel) free() {
	p.data, p.pieces = p.data[:0], p.pieces[:0]
	if cap(p.data) <= keepBuffer {
		parcels.Put(p)
	}
}
