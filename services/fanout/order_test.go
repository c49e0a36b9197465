package fanout

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// referee is an endpoint that fails at random and checks every rule of order on
// the way: see check.
type referee struct {
	t       *testing.T
	mu      sync.Mutex
	rng     *rand.Rand
	thread  map[string]uint64 // delivery id -> person
	flying  map[uint64]bool
	last    map[uint64]int // last position taken, per person
	unsure  map[string]bool
	ends    map[string]ending
	posts   int
	total   int
	most    int
	perPost int
	calm    bool
}

// answer checks a POST and decides how it ends.
func (r *referee) answer(p posted) (int, time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posts++
	r.total++
	if r.total > r.most {
		r.t.Errorf("%d POSTs in flight, allowed are %d", r.total, r.most)
	}
	if len(p.ids) > r.perPost {
		r.t.Errorf("%d events in a POST, allowed are %d", len(p.ids), r.perPost)
	}
	persons := map[uint64]bool{}
	for _, id := range p.ids {
		r.check(p, id, persons)
	}
	for person := range persons {
		r.flying[person] = true
	}
	return r.end(p, persons)
}

// check wants: at most one POST per thread in flight; within a thread ascending
// positions, none left out, none again after it was taken, except where the
// answer was lost.
func (r *referee) check(p posted, id string, persons map[uint64]bool) {
	person := r.thread[id]
	position, _ := strconv.Atoi(strings.TrimPrefix(id, "0-"))
	if r.flying[person] {
		r.t.Errorf("thread %d has two POSTs in flight: %v", person, p.ids)
	}
	persons[person] = true
	if position <= r.last[person] && !r.unsure[id] {
		r.t.Errorf("%s came again after it was taken", id)
	}
	for other, of := range r.thread {
		n, _ := strconv.Atoi(strings.TrimPrefix(other, "0-"))
		inThisPost := false
		for _, o := range p.ids {
			inThisPost = inThisPost || o == other
		}
		if of == person && n < position && n > r.last[person] && !inThisPost {
			r.t.Errorf("%s was posted before %s", id, other)
		}
	}
}

// end decides at random: taken, refused, broken, hanging, or taken with the
// answer lost.
func (r *referee) end(p posted, persons map[uint64]bool) (int, time.Duration, error) {
	took := time.Duration(r.rng.IntN(200)) * time.Millisecond
	status, err, taken, lost := 200, error(nil), true, false
	if !r.calm {
		switch r.rng.IntN(10) {
		case 0:
			status, taken = 500, false
		case 1:
			err, taken = errRefused, false
		case 2:
			took, taken = time.Hour, false
		case 3:
			err, lost = errRefused, true
		case 4:
			status, taken = 429, false
		}
	}
	r.ends[p.ids[0]] = ending{persons, taken, lost}
	return status, took, err
}

// ending is what was decided about a POST.
type ending struct {
	persons     map[uint64]bool
	taken, lost bool
}

func (r *referee) land(p posted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	end := r.ends[p.ids[0]]
	for person := range end.persons {
		delete(r.flying, person)
	}
	for _, id := range p.ids {
		if !end.taken {
			continue
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(id, "0-"))
		r.last[r.thread[id]] = max(r.last[r.thread[id]], n)
		r.unsure[id] = end.lost
	}
}

// TestThreadOrderUnderFailures is the property of the engine: whatever an
// endpoint does, each thread's events come in order, one POST at a time, and all
// of them come.
func TestThreadOrderUnderFailures(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { orderRun(t, seed) })
		})
	}
}

func orderRun(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	app := App{MaxInFlight: 1 + rng.IntN(6), MaxBatch: 1 + rng.IntN(5), RetryFor: 1000 * time.Hour}
	b := newBench(t, app)
	r := &referee{
		t: t, rng: rand.New(rand.NewPCG(seed, 8)), thread: map[string]uint64{}, flying: map[uint64]bool{}, last: map[uint64]int{},
		unsure: map[string]bool{}, ends: map[string]ending{}, most: app.MaxInFlight, perPost: app.MaxBatch,
	}
	b.end.change(func(p *endpoint) { p.landed = r.land })
	b.end.respond(r.answer)
	const events = 120
	for p := 1; p <= events; {
		var letters []*letter
		r.mu.Lock()
		for range 1 + rng.IntN(8) {
			if p > events {
				break
			}
			l := b.letter(control.Position(p), uint64(1+rng.IntN(9)))
			l.channel = control.Channel(rng.IntN(2))
			r.thread[fmt.Sprintf("0-%d", p)] = l.thread.Person
			letters = append(letters, l)
			p++
		}
		r.mu.Unlock()
		b.offer(letters)
		pass(time.Duration(rng.IntN(400)) * time.Millisecond)
	}
	pass(2 * time.Hour)
	r.mu.Lock()
	r.calm = true
	r.mu.Unlock()
	pass(12 * time.Hour)
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	for p := range control.Position(events) {
		if n := b.sink.done[p+1]; n != 1 {
			t.Errorf("event %d finished %d times", p+1, n)
		}
	}
	if st := b.status(); st.Queued != 0 || st.QueuedBytes != 0 || b.bounds.shared.used.Load() != 0 {
		t.Errorf("left behind: %+v", st)
	}
}
