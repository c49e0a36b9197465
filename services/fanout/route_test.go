package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// countingLog counts the readers of all partitions that were begun.
type countingLog struct {
	Log
	begun atomic.Int32
}

func (l *countingLog) ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	if o.Partitions == nil {
		l.begun.Add(1)
	}
	return l.Log.ReadLog(ctx, o, fn)
}

// A partition that is taken over, or given back, leaves the reader as it is, so
// that no other one waits for it.
func TestReaderGoesOnWhilePartitionsMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	log := &countingLog{Log: w.conn}
	a := w.start(twoNodes)
	b := w.start(twoNodes, none, func(_ *Config, d *Deps) { d.Log = log })
	a.Yield(0)
	b.Hold(0)
	w.got(bot, w.say(personIn(0, 0), "first")...)
	for round := range 3 {
		for p := 1; p < testPartitions; p++ {
			a.Yield(p)
			id := w.say(personIn(p, 0), fmt.Sprint("between ", round))
			b.Hold(p)
			w.until("read between the nodes", func() bool { return slices.Contains(bot.ids(), id[0]) })
			id = w.say(personIn(p, 0), fmt.Sprint("behind ", round))
			w.until("read by the reader", func() bool { return slices.Contains(bot.ids(), id[0]) })
			b.Yield(p)
			a.Hold(p)
		}
	}
	if n := log.begun.Load(); n != 1 {
		t.Errorf("%d readers were begun for ten partitions, want 1", n)
	}
}

// While partitions move, records go on coming: each is delivered once, in order.
func TestPartitionsMoveUnderTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	long := func(c *Config, _ *Deps) { c.LeaseFor, c.SaveTimeout, c.DrainFor = time.Hour, time.Minute, time.Minute }
	from, to := w.start(twoNodes, long), w.start(twoNodes, long, none)
	var talk sync.WaitGroup
	over := make(chan struct{})
	said := make([][]string, testPartitions)
	for p := range testPartitions {
		talk.Go(func() {
			for n := range 500 {
				select {
				case <-over:
					return
				default:
					said[p] = append(said[p], w.say(personIn(p, 0), fmt.Sprint(n))...)
				}
			}
		})
	}
	for range 5 {
		for p := range testPartitions {
			if !from.Yield(p) {
				t.Fatal("not held")
			}
			to.Hold(p)
		}
		from, to = to, from
	}
	close(over)
	talk.Wait()
	for p := range testPartitions {
		var got []string
		w.until("all there", func() bool {
			got = slices.DeleteFunc(bot.ids(), func(id string) bool { return int(id[0]-'0') != p })
			return len(got) >= len(said[p])
		})
		if !slices.Equal(got, said[p]) {
			t.Errorf("partition %d: got %v, want each once and in order: %v", p, got, said[p])
		}
	}
	if w.count(&w.deposed)+w.count(&w.halted) != 0 {
		t.Error("deposed or halted")
	}
}

// seamLog does something behind a question for the next record of a partition
// that found none, and something before the one that follows.
type seamLog struct {
	Log
	partition    int
	armed        atomic.Bool
	asked        atomic.Int32
	after, again func()
}

func (l *seamLog) NextLog(ctx context.Context, p int, after uint64) (bus.Message, error) {
	if p != l.partition || !l.armed.Load() {
		return l.Log.NextLog(ctx, p, after)
	}
	if l.asked.Load() == 1 {
		l.again()
		l.asked.Add(1)
	}
	m, err := l.Log.NextLog(ctx, p, after)
	if errors.Is(err, bus.ErrNoMessage) && l.asked.CompareAndSwap(0, 1) {
		l.after()
	}
	return m, err
}

// What is written while a partition joins the reader is delivered, in order: what
// the reader came by before it knew of the partition, and what it brings while
// that is read.
func TestNothingIsLostAtTheSeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	person, p := personIn(1, 0), 1
	var b *node
	var want []string
	log := &seamLog{Log: w.conn, partition: p}
	log.after = func() {
		want = append(want, w.say(person, "passed")...)
		id := w.say(personIn(0, 0), "beyond")
		w.until("passed by", func() bool { return slices.Contains(bot.ids(), id[0]) })
	}
	log.again = func() {
		want = append(want, w.say(person, "coming")...)
		end := w.heads[p].sequence
		w.until("come", func() bool {
			b.route.mu.Lock()
			defer b.route.mu.Unlock()
			return b.route.mu.passed >= end
		})
	}
	a := w.start(twoNodes)
	b = w.start(twoNodes, none, func(_ *Config, d *Deps) { d.Log = log })
	a.Yield(0)
	a.Yield(p)
	b.Hold(0)
	w.got(bot, w.say(personIn(0, 0), "first")...)
	b.route.mu.Lock()
	b.route.mu.kept.begin(^uint64(0)) // it has let go what it kept
	b.route.mu.Unlock()
	log.armed.Store(true)
	b.Hold(p)
	w.until("joined", func() bool { return log.asked.Load() == 2 })
	want = append(want, w.say(person, "last")...)
	w.until("all there or halted", func() bool { return len(bot.ids()) == 2+len(want) || w.count(&w.halted) > 0 })
	got := slices.DeleteFunc(bot.ids(), func(id string) bool { return id[0] == '0' })
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// questions counts the questions for single records.
type questions struct {
	Log
	next atomic.Int32
}

func (l *questions) NextLog(ctx context.Context, p int, after uint64) (bus.Message, error) {
	l.next.Add(1)
	return l.Log.NextLog(ctx, p, after)
}
