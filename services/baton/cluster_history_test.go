package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What histories consist of: some threads at a time, which nobody else touches,
// and after a while others, so that the checker has short histories to explain.
const (
	historyThreads = 6
	historySpan    = 15 * time.Second
)

// history records what clients ask of some threads, and what they are told.
type history struct {
	l       *load
	began   time.Time
	calls   atomic.Uint64
	mu      sync.Mutex
	threads []uint64 // persons
	ops     []porcupine.Operation
	open    int // operations of unknown outcome
}

// asked is the input of an operation: a pass, a take by the primary, or a
// question for the owner.
type asked struct {
	verb        string
	thread      int
	app, target uint64
}

// told is its output.
type told struct {
	result string // ok, refused, already (the owner), or unknown: it may have happened, or happen later
	owner  uint64
}

func newHistory(l *load) *history { return &history{l: l, began: time.Now()} }

// run records histories until ctx ends.
func (h *history) run(ctx context.Context) {
	var crew sync.WaitGroup
	for i := range historyThreads {
		crew.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				h.thread(ctx, personIn(i*crashPartitionsCluster/historyThreads, crashPartitionsCluster, uint64(1000+round*historyThreads+i)))
			}
		})
	}
	crew.Wait()
}

// thread has three clients on a new thread, one for each app, for a while.
func (h *history) thread(ctx context.Context, person uint64) {
	if !h.prepare(ctx, person) {
		return
	}
	h.mu.Lock()
	thread := len(h.threads)
	h.threads = append(h.threads, person)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, historySpan)
	defer cancel()
	var crew sync.WaitGroup
	for i, app := range crashApps() {
		crew.Go(func() {
			for ctx.Err() == nil {
				h.once(thread, thread*len(crashApps())+i, app)
				rest(ctx, time.Duration(20+rand.IntN(60))*time.Millisecond)
			}
		})
	}
	crew.Wait()
}

// prepare makes a thread exist, owned by the primary; false when ctx ended
// before.
func (h *history) prepare(ctx context.Context, person uint64) bool {
	if !h.l.message(ctx, person, h.l.turn(person)) {
		return false
	}
	for ctx.Err() == nil {
		if owner, err := h.l.owner(ctx, person); err == nil && owner == crashApps()[0] {
			return true
		}
		nap(ctx)
	}
	return false
}

// once makes one call and records it. A call without an answer stays open: it
// may take effect at any later time.
func (h *history) once(thread, client int, app uint64) {
	apps := crashApps()
	in := asked{verb: "owner", thread: thread, app: app}
	switch n := rand.IntN(6); {
	case n < 3:
		in.verb, in.target = "pass", apps[rand.IntN(len(apps))]
	case n == 3 && app == apps[0]:
		in.verb = "take"
	}
	if in.target == app {
		in.verb, in.target = "owner", 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	called := time.Since(h.began)
	out := h.ask(ctx, in)
	returned := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if out.result == "unknown" {
		h.open++
		if in.verb == "owner" {
			return // it tells nothing and does nothing
		}
		returned = time.Duration(1<<62 - 1)
	}
	h.ops = append(h.ops, porcupine.Operation{
		ClientId: client, Input: in, Output: out, Call: int64(called), Return: int64(returned),
	})
}

func (h *history) ask(ctx context.Context, in asked) told {
	h.mu.Lock()
	person := h.threads[in.thread]
	h.mu.Unlock()
	if in.verb == "owner" {
		owner, err := h.l.owner(ctx, person)
		if err != nil {
			return told{result: "unknown"}
		}
		return told{"ok", owner}
	}
	// The metadata makes each call one of its own: an equal one would be taken
	// for a repeat, and succeed.
	body := map[string]any{"recipient": map[string]any{"id": strconv.FormatUint(person, 10)}, "metadata": fmt.Sprint("h", h.calls.Add(1))}
	if in.verb == "pass" {
		body["target_app_id"] = in.target
	}
	status, data, err := h.l.call(ctx, in.verb+"_thread_control", in.app, body, "")
	switch {
	case err == nil && status == http.StatusOK:
		return told{result: "ok"}
	case err == nil && status < 500 && bytes.Contains(data, []byte("NOT_OWNER")):
		return told{result: "refused"}
	case err == nil && status < 500 && bytes.Contains(data, []byte("ALREADY_OWNER")):
		return told{result: "already"}
	}
	return told{result: "unknown"}
}

func (h *history) acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// check: the history of each thread is that of one owner at a time.
func (h *history) check(t *testing.T) {
	t.Helper()
	result, details := porcupine.CheckOperationsVerbose(ownerModel(), h.ops, 5*time.Minute)
	if result != porcupine.Ok {
		t.Errorf("the histories of %d operations are not linearizable (%s)", len(h.ops), result)
		h.explain(t, details)
	}
	t.Logf("%d operations on %d threads are linearizable; %d had no clear answer", len(h.ops), len(h.threads), h.open)
}

// explain shows, for each thread that is not linearizable, where the longest
// explanation ends and what it leaves out.
func (h *history) explain(t *testing.T, details porcupine.LinearizationInfo) {
	t.Helper()
	for thread, partial := range details.PartialLinearizationsOperations() {
		var longest []porcupine.Operation
		for _, p := range partial {
			if len(p) > len(longest) {
				longest = p
			}
		}
		used := map[porcupine.Operation]bool{}
		for _, op := range longest {
			used[op] = true
		}
		var rest []porcupine.Operation
		for _, op := range h.ops {
			if op.Input.(asked).thread == thread && !used[op] { //nolint:errcheck,forcetypeassert // recorded here
				rest = append(rest, op)
			}
		}
		if len(rest) == 0 {
			continue
		}
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		t.Logf("thread %d (%d): explained up to", thread, h.threads[thread])
		for _, op := range longest[max(0, len(longest)-12):] {
			t.Log("   ", describeOperation(op))
		}
		t.Log("  not explained:")
		for _, op := range rest[:min(12, len(rest))] {
			t.Log("   ", describeOperation(op))
		}
	}
}

func describeOperation(op porcupine.Operation) string {
	in, out := op.Input.(asked), op.Output.(told) //nolint:errcheck,forcetypeassert // recorded here
	return fmt.Sprintf("%s to %s: client %d app %d %s %d: %s %d", time.Duration(op.Call), time.Duration(op.Return), op.ClientId,
		in.app%10, in.verb, in.target%10, out.result, out.owner%10)
}

// ownerModel is a thread in handover mode whose first owner is the primary.
func ownerModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			var threads [][]porcupine.Operation
			for _, op := range history {
				in := op.Input.(asked) //nolint:errcheck,forcetypeassert // recorded here
				for len(threads) <= in.thread {
					threads = append(threads, nil)
				}
				threads[in.thread] = append(threads[in.thread], op)
			}
			return threads
		},
		Init: func() any { return crashApps()[0] },
		Step: func(state, input, output any) (bool, any) {
			return ownerAfter(state.(uint64), input.(asked), output.(told)) //nolint:errcheck,forcetypeassert // recorded here
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}
}

// ownerAfter is what one operation does to the owner, and whether it could have been
// told that. One of unknown outcome does what it would do; that it did nothing
// is the same as doing it after everything else.
func ownerAfter(owner uint64, in asked, out told) (bool, uint64) {
	switch {
	case in.verb == "owner":
		return out.owner == owner, owner
	case out.result == "refused":
		return in.verb == "pass" && in.app != owner, owner
	case out.result == "already":
		return in.verb == "take" && in.app == owner, owner
	case in.verb == "take":
		return true, crashApps()[0] // also by the owner
	case owner == in.app:
		return true, in.target
	default:
		return out.result == "unknown", owner
	}
}

// The checker must find what it is there to find.
func TestHistoryOfTwoOwnersIsNotLinearizable(t *testing.T) {
	t.Parallel()
	apps := crashApps()
	op := func(call, end int64, in asked, out told) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: end}
	}
	pass := func(from, to uint64) asked { return asked{verb: "pass", app: from, target: to} }
	ok := told{result: "ok"}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"one after the other": {[]porcupine.Operation{op(1, 2, pass(apps[0], apps[1]), ok), op(3, 4, pass(apps[1], apps[2]), ok)}, true},
		"two owners pass on":  {[]porcupine.Operation{op(1, 2, pass(apps[0], apps[1]), ok), op(3, 4, pass(apps[0], apps[2]), ok)}, false},
		"a stale answer":      {[]porcupine.Operation{op(1, 2, pass(apps[0], apps[1]), ok), op(3, 4, asked{verb: "owner"}, told{"ok", apps[0]})}, false},
		"an open pass lands later": {[]porcupine.Operation{
			op(1, 1<<62, pass(apps[0], apps[1]), told{result: "unknown"}), op(3, 4, asked{verb: "owner"}, told{"ok", apps[0]}),
			op(5, 6, asked{verb: "owner"}, told{"ok", apps[1]}),
		}, true},
		"refused although owner": {[]porcupine.Operation{op(1, 2, pass(apps[0], apps[1]), told{result: "refused"})}, false},
	} {
		if got := porcupine.CheckOperations(ownerModel(), c.ops); got != c.want {
			t.Errorf("%s: linearizable %v, want %v", name, got, c.want)
		}
	}
}
