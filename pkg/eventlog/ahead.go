package eventlog

import (
	"context"
	"runtime"
	"sync"
)

// How much of a log is decoded at once, and how far ahead of its use.
const (
	aheadBytes   = 128 << 10
	aheadRecords = 256
	aheadBatches = 3 // per goroutine
)

// Ahead decodes a log on several goroutines ahead of its use: decoding is most
// of the work of reading one, and its records do not wait for each other.
//
// source gives each record to put, with the place where it was found; put copies
// raw. use gets the records in that order, on the caller's goroutine, with the
// error of Decode if there was one; a record's memory is used again when use has
// returned, that of its events is not. Ahead blocks until
// source has returned, and returns the first error of use or else of source;
// an error of use or the end of ctx makes put return an error, with which
// source is to return. At most some megabytes wait between the two.
func Ahead[P any](ctx context.Context, source func(put func(place P, raw []byte) error) error, use func(place P, r *Record, err error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	most := workers * aheadBatches
	a := ahead[P]{
		ctx: ctx, work: make(chan *batch[P], most), inOrder: make(chan *batch[P], most), free: make(chan *batch[P], most),
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { a.read(source) })
	for range workers {
		running.Go(a.decode)
	}
	for b := range a.inOrder {
		<-b.decoded
		for i := range b.ends {
			if err := use(b.places[i], &b.records[i], b.faults[i]); err != nil {
				return err
			}
		}
		select {
		case a.free <- b:
		default:
		}
	}
	return a.fault
}

// ahead is Ahead under way.
type ahead[P any] struct {
	ctx     context.Context //nolint:containedctx // of one call
	work    chan *batch[P]
	inOrder chan *batch[P]
	free    chan *batch[P] // used ones
	next    *batch[P]
	fault   error // of the source; set before inOrder is closed
}

// batch is a run of records: read, then decoded, then used.
type batch[P any] struct {
	raw     []byte
	ends    []int // of each record in raw
	places  []P
	records []Record // as many as ever were in the batch
	faults  []error
	decoded chan struct{} // takes one word, that they are
}

// empty is a batch without records.
func (a *ahead[P]) empty() *batch[P] {
	select {
	case b := <-a.free:
		b.raw, b.ends, b.places, b.faults = b.raw[:0], b.ends[:0], b.places[:0], b.faults[:0]
		return b
	default:
		return &batch[P]{decoded: make(chan struct{}, 1)}
	}
}

// read takes the source to its end.
func (a *ahead[P]) read(source func(put func(place P, raw []byte) error) error) {
	defer close(a.inOrder)
	defer close(a.work)
	a.fault = source(a.put)
	if err := a.flush(); a.fault == nil {
		a.fault = err
	}
}

func (a *ahead[P]) put(place P, raw []byte) error {
	if a.next == nil {
		a.next = a.empty()
	}
	b := a.next
	b.raw = append(b.raw, raw...)
	b.ends, b.places = append(b.ends, len(b.raw)), append(b.places, place)
	if len(b.raw) < aheadBytes && len(b.ends) < aheadRecords {
		return nil
	}
	return a.flush()
}

// flush passes the batch on.
func (a *ahead[P]) flush() error {
	b := a.next
	if a.next = nil; b == nil {
		return nil
	}
	for _, to := range [...]chan<- *batch[P]{a.work, a.inOrder} {
		select {
		case to <- b:
		case <-a.ctx.Done():
			return context.Cause(a.ctx)
		}
	}
	return nil
}

// decode works on batches until there are no more.
func (a *ahead[P]) decode() {
	for b := range a.work {
		begin := 0
		for i, end := range b.ends {
			if i == len(b.records) {
				b.records = append(b.records, Record{})
			}
			b.faults = append(b.faults, DecodeInto(&b.records[i], b.raw[begin:end]))
			begin = end
		}
		b.decoded <- struct{}{}
	}
}
