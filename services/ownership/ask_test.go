package ownership

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
)

// request is a command by an app, with a fresh id and ten seconds to live.
func (w *world) request(app control.AppID, person uint64) *commandv1.Request {
	w.ids++
	id := make([]byte, 16)
	copy(id, fmt.Sprintf("call %d", w.ids))
	return &commandv1.Request{
		Id: id, Asset: pageID, Person: person, App: uint64(app), BudgetMs: 10_000, RosterVersion: w.rosters.Current().Version(),
	}
}

// ask asks the holder of the request's thread.
func (w *world) ask(r *commandv1.Request) *commandv1.Response {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	resp, err := w.tryAsk(ctx, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func (w *world) tryAsk(ctx context.Context, r *commandv1.Request) (*commandv1.Response, error) {
	p := partition.Of(control.ThreadKey{Asset: r.GetAsset(), Person: r.GetPerson()}, partitions)
	return w.conn.Ask(ctx, p, proto.CloneOf(r), time.Minute)
}

// asking asks in the background; the channel gets the answer, or is closed when
// none came in time.
func (w *world) asking(r *commandv1.Request) <-chan *commandv1.Response {
	answers := make(chan *commandv1.Response, 1)
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	go func() {
		defer close(done)
		defer close(answers)
		if resp, err := w.tryAsk(ctx, r); err == nil {
			answers <- resp
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return answers
}

func (w *world) take(app control.AppID, person uint64) *commandv1.Response {
	w.t.Helper()
	r := w.request(app, person)
	r.Verb = &commandv1.Request_Take{Take: &commandv1.Take{}}
	return w.ask(r)
}

func (w *world) pass(from, to control.AppID, person uint64) *commandv1.Response {
	w.t.Helper()
	r := w.request(from, person)
	r.Verb = &commandv1.Request_Pass{Pass: &commandv1.Pass{Target: uint64(to)}}
	return w.ask(r)
}

// release gives up the bot's control.
func (w *world) release(person uint64) {
	w.t.Helper()
	if a := w.ask(releaseRequest(w.request(bot, person))); a.GetStatus() != statusOK {
		w.t.Fatalf("release: %v", a)
	}
}

func show(r *commandv1.Request) *commandv1.Request {
	r.Verb = &commandv1.Request_Show{Show: &commandv1.Show{}}
	return r
}

func sendRequest(r *commandv1.Request) *commandv1.Request {
	r.Verb = &commandv1.Request_Send{Send: &commandv1.Send{}}
	return r
}

// shown is the thread as the holder answers it.
func (w *world) shown(person uint64) *commandv1.Thread {
	w.t.Helper()
	return w.ask(show(w.request(0, person))).GetThread()
}
