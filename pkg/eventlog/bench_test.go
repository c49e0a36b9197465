package eventlog_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// ordinary is a record as traffic makes it: one routing decision per webhook
// event, every sixteenth with a change of owner.
func ordinary(events int) *eventlog.Record {
	r := &eventlog.Record{Partition: 3, Epoch: 7, First: 100001, DecidedAt: 1_790_000_000_000, RosterVersion: 12, Input: 5500}
	r.Prev[0], r.BatonID[0], r.Group[0] = 1, 2, 3
	for i := range events {
		e := eventlog.Entry{Thread: control.ThreadKey{Asset: 100200300400500, Person: 7000000 + uint64(i)*31%997}}
		e.Trace[3] = byte(i)
		if i%16 == 15 {
			e.Event = control.Passed{Change: control.Change{
				From: 700000000000001, To: 700000000000002, At: r.DecidedAt, ExpiresAt: r.DecidedAt + control.Day,
				By: control.Actor{Kind: control.ActorApp, App: 700000000000001}, Why: control.WhyCall,
				Metadata: "order 4711", Print: 99, Call: control.Call{ID: [16]byte{1, byte(i)}},
			}}
		} else {
			routed := control.Routed{
				Input: control.Ref{Sequence: 5500, Index: uint32(i)}, Kind: control.KindMessage, Audience: control.ToOwner,
				Owner: 700000000000001, At: r.DecidedAt, UserAt: r.DecidedAt - 300, ExpiresAt: r.DecidedAt + control.Day,
			}
			routed.Dedupe = [16]byte{byte(i), byte(i >> 8), 9}
			e.Event = routed
		}
		r.Entries = append(r.Entries, e)
	}
	return r
}

// change is a record as a change of control makes it while little is in flight.
func change() *eventlog.Record {
	r := ordinary(16)
	r.Entries = r.Entries[15:]
	return r
}

func BenchmarkEncode(b *testing.B) {
	b.Run("change", func(b *testing.B) {
		r := change()
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = eventlog.Append(buf[:0], r)
		}
	})
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			r := ordinary(n)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = eventlog.Append(buf[:0], r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
			b.ReportMetric(float64(len(buf))/float64(n), "B/event")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	b.Run("change", func(b *testing.B) {
		raw := eventlog.Encode(change())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := eventlog.Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			raw := eventlog.Encode(ordinary(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := eventlog.Decode(raw); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

// BenchmarkDecodeInto is BenchmarkDecode into a record that is used again.
func BenchmarkDecodeInto(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			raw := eventlog.Encode(ordinary(n))
			var r eventlog.Record
			b.ReportAllocs()
			for b.Loop() {
				if err := eventlog.DecodeInto(&r, raw); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

// BenchmarkFold folds records of one partition; the fold begins anew before it
// has remembered more than a partition does.
func BenchmarkFold(b *testing.B) {
	r := ordinary(256)
	var p eventlog.Partition
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%64 == 0 {
			p = begun(b)
			r.First = 1
		}
		r.Prev = p.Head().Hash
		r.BatonID, r.Hash[0] = p.Head().BatonID, r.Hash[0]+1
		if err := p.Apply(r); err != nil {
			b.Fatal(err)
		}
		r.First += 256
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*256), "ns/event")
}

// begun is a partition after its first claim.
func begun(b *testing.B) (p eventlog.Partition) {
	b.Helper()
	claim := &eventlog.Record{Partition: 3, Epoch: 7, Claim: true, First: 1}
	eventlog.Encode(claim)
	if err := p.Apply(claim); err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkDigest is of a partition that remembers some 16,000 events.
func BenchmarkDigest(b *testing.B) {
	p, r := begun(b), ordinary(256)
	r.First = 1
	for n := range 64 {
		r.Prev, r.BatonID, r.Hash[0] = p.Head().Hash, p.Head().BatonID, byte(n)
		for i := range r.Entries {
			if e, ok := r.Entries[i].Event.(control.Routed); ok {
				sum := sha256.Sum256([]byte{byte(n), byte(i), byte(i >> 8)})
				e.Dedupe = [16]byte(sum[:])
				r.Entries[i].Event = e
			}
		}
		if err := p.Apply(r); err != nil {
			b.Fatal(err)
		}
		r.First += 256
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Digest()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64*256), "ns/event")
}
