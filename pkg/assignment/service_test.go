package assignment

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// air carries the beats of the services of a test, at once.
type air struct {
	mu        sync.Mutex
	listeners map[int]listener
	next      int
}

type listener struct {
	name string
	fn   func(string, []byte)
}

func (a *air) Announce(name string, data []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.listeners {
		if l.name == name {
			l.fn(name, slices.Clone(data))
		}
	}
	return nil
}

func (a *air) Listen(name string, fn func(string, []byte)) (stop func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	id := a.next
	a.listeners[id] = listener{name, fn}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.listeners, id)
	}, nil
}

// fence is the epochs of all partitions, and who holds them.
type fence struct {
	mu     sync.Mutex
	epochs map[int]uint64
	by     map[int]string
	shared int // times that a partition was taken from a node that still held it
}

// desk is a role that claims in no time, or in as much as slow says.
type desk struct {
	name  string
	fence *fence
	slow  time.Duration
	mu    sync.Mutex
	held  map[int]uint64
	begun map[int]time.Time
	most  int // claims under way at once

	prepared map[int]time.Time // partitions that Prepare has ended for
	catching bool
	unable   []int
}

func (d *desk) Hold(p int) {
	d.fence.mu.Lock()
	d.fence.epochs[p]++
	epoch := d.fence.epochs[p]
	if d.fence.by[p] != "" {
		d.fence.shared++
	}
	d.fence.by[p] = d.name
	d.fence.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[p], d.begun[p] = epoch, time.Now()
	under := 0
	for _, begun := range d.begun {
		if time.Since(begun) < d.slow {
			under++
		}
	}
	d.most = max(d.most, under)
}

func (d *desk) Yield(p int) bool {
	time.Sleep(20 * time.Millisecond) // the record under way; a bubble's time
	d.mu.Lock()
	delete(d.held, p)
	d.mu.Unlock()
	d.fence.mu.Lock()
	defer d.fence.mu.Unlock()
	if d.fence.by[p] == d.name {
		d.fence.by[p] = ""
	}
	return true
}

func (d *desk) Epoch(p int) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.begun[p]) < d.slow {
		return 0
	}
	return d.held[p]
}

func (d *desk) Prepare(_ context.Context, p int) {
	time.Sleep(20 * time.Millisecond) // a few questions; likewise
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.prepared == nil {
		d.prepared = map[int]time.Time{}
	}
	d.prepared[p] = time.Now()
}

func (d *desk) Unable() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unable
}

func (d *desk) CatchingUp() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.catching
}

// lacks sets what the role is unable to hold.
func (d *desk) lacks(catching bool, unable ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catching, d.unable = catching, unable
}

func (d *desk) Load() int { return d.count() }

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held)
}

type office struct {
	t          *testing.T
	air        *air
	fence      *fence
	partitions int
	slow       time.Duration
}

func newOffice(t *testing.T) *office {
	t.Helper()
	return &office{
		t: t, air: &air{listeners: map[int]listener{}}, partitions: 16,
		fence: &fence{epochs: map[int]uint64{}, by: map[int]string{}},
	}
}

// open starts a node; close ends it in good order.
func (o *office) open(name string, alone bool) (d *desk, s *Service, closeIt func()) {
	o.t.Helper()
	return o.openRole("ownership", name, func(c *Config) { c.Alone = alone })
}

// openRole starts a node of a role.
func (o *office) openRole(role, name string, set func(*Config)) (d *desk, s *Service, closeIt func()) {
	o.t.Helper()
	d = &desk{name: name, fence: o.fence, slow: o.slow, held: map[int]uint64{}, begun: map[int]time.Time{}}
	c := Default(role, name, o.partitions)
	set(&c)
	s, err := New(c, o.air, d, slog.New(slog.DiscardHandler))
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return d, s, func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	}
}

// A node that comes gets its share, and one that goes in good order hands its
// share over, without a partition ever being taken from one that holds it.
func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, _, closeA := o.open("a", false)
		time.Sleep(2 * time.Second)
		if a.count() != 16 {
			t.Errorf("one node holds %d of 16", a.count())
		}
		b, s, closeB := o.open("b", false)
		time.Sleep(5 * time.Second)
		if a.count() == 0 || b.count() == 0 || a.count()+b.count() != 16 {
			t.Errorf("two nodes hold %d and %d of 16", a.count(), b.count())
		}
		if view := s.View(); len(view) != 2 || len(view[0].Held)+len(view[1].Held) != 16 {
			t.Errorf("b sees %+v", view)
		} else if view[0].Load != a.count() || view[1].Load != b.count() {
			t.Errorf("b sees the loads %d and %d, want %d and %d", view[0].Load, view[1].Load, a.count(), b.count())
		}
		began := time.Now()
		closeA()
		synctest.Wait()
		if took := time.Since(began); took > 4*time.Second || b.count() != 16 {
			t.Errorf("after %s b holds %d", took, b.count())
		}
		if o.fence.shared != 0 {
			t.Errorf("%d partitions were taken from a node that held them", o.fence.shared)
		}
		closeB()
		if b.count() != 0 {
			t.Errorf("a stopped node still holds %d", b.count())
		}
	})
}

// A node that finds many partitions without a holder claims some at a time, and
// does not wait for its next beat in between.
func TestManyClaimsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.partitions, o.slow = 6*claimsAtOnce, 10*time.Millisecond
		d, _, closeIt := o.open("a", false)
		defer closeIt()
		c := Default("ownership", "a", 1)
		time.Sleep(c.Settle + 2*c.Every)
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.held) != o.partitions || d.most != claimsAtOnce {
			t.Errorf("it holds %d of %d, and claimed %d at once", len(d.held), o.partitions, d.most)
		}
	})
}

// A role that waits for another asks for nothing until that has what it wants,
// but no longer than some seconds.
func TestRoleWaitsForAnother(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"claims": 60 * time.Millisecond, "claims that never get through": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { waitsForAnother(t, slow) })
		})
	}
}

func waitsForAnother(t *testing.T, slow time.Duration) {
	t.Helper()
	first, second := newOffice(t), newOffice(t)
	second.air = first.air
	plain := func(*Config) {}
	_, _, closeFirst := first.openRole("first", "a", plain)
	_, _, closeSecond := second.openRole("second", "a", plain)
	time.Sleep(2 * time.Second)
	first.slow = slow
	began := time.Now()
	one, s, closeOne := first.openRole("first", "b", plain)
	two, _, closeTwo := second.openRole("second", "b", func(c *Config) { c.Waits = s.Busy })
	time.Sleep(15 * time.Second)
	synctest.Wait()
	if one.count() == 0 || two.count() == 0 {
		t.Fatalf("the second node holds %d and %d", one.count(), two.count())
	}
	after := two.begins()[0].Sub(began)
	claims := one.begins()
	if last := claims[len(claims)-1]; slow < time.Second && two.begins()[0].Before(last.Add(slow)) {
		t.Errorf("the role that waits began after %s, the other had its last partition after %s", after, last.Add(slow).Sub(began))
	}
	if after < busyFor && slow > time.Second || after > busyFor+time.Second {
		t.Errorf("the role that waits began after %s, the other's claims take %s", after, slow)
	}
	for _, closeIt := range []func(){closeTwo, closeOne, closeSecond, closeFirst} {
		closeIt()
	}
}

// A node asks for a partition once it is prepared for it: then the giver's last
// record is all that is between.
func TestNothingIsGivenBeforeTheTakerIsPrepared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		_, _, closeA := o.open("a", false)
		time.Sleep(2 * time.Second)
		b, _, closeB := o.open("b", false)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if b.count() == 0 {
			t.Fatal("the second node holds nothing")
		}
		for p, begun := range b.begun {
			if took := begun.Sub(b.prepared[p]); b.prepared[p].IsZero() || took > 50*time.Millisecond {
				t.Errorf("partition %d was taken %s after the node was prepared for it", p, took)
			}
		}
		closeB()
		closeA()
	})
}

// A partition that is halted here is held by another node, and nothing waits for it;
// one that this node has still to read is waited for.
func TestAHaltedPartitionKeepsNoRoleBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		_, _, closeA := o.open("a", false)
		b, s, closeB := o.open("b", false)
		b.lacks(false, 3)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s.Busy() {
			t.Error("busy with a partition that is halted here")
		}
		b.lacks(true, 3)
		time.Sleep(time.Second)
		synctest.Wait()
		if !s.Busy() {
			t.Error("not busy while the node catches up")
		}
		closeB()
		closeA()
	})
}

// begins are the times at which claims began, ascending.
func (d *desk) begins() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.begun), time.Time.Compare)
}

// The only node possible holds everything before any time has passed.
func TestAloneWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		began := time.Now()
		d, _, closeIt := o.open("a", true)
		synctest.Wait()
		if d.count() != 16 || !time.Now().Equal(began) {
			t.Errorf("it holds %d of 16 after %s", d.count(), time.Since(began))
		}
		closeIt()
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"no name":       func(c *Config) { c.Node = "" },
		"a dot":         func(c *Config) { c.Node = "a.b" },
		"a star":        func(c *Config) { c.Name = "*" },
		"no partitions": func(c *Config) { c.Partitions = 0 },
		"hasty":         func(c *Config) { c.Suspect = c.Every },
	} {
		c := Default("ownership", "a", 4)
		change(&c)
		if _, err := New(c, nil, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
