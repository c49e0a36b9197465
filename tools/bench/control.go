package main

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// controlClients are the connections on which control is changed.
const controlClients = 64

// control measures changes of control by the Graph API, over the floors of the
// same load.
func (b *bench) control(ctx context.Context) error {
	if err := b.controlFloors(ctx); err != nil {
		return err
	}
	return b.controlChanges(ctx)
}

// controlChanges: the primary takes, it passes to a second app, which releases;
// on odd threads the primary takes once more, so that not all end alike.
// Afterwards the folded log says who has control.
func (b *bench) controlChanges(ctx context.Context) error {
	return b.onBaton(ctx, "control", subscribers, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		// The first event of each thread gave it to the primary.
		idle := traffic.CallSpec{Host: s.public, Threads: b.size.threads, Conns: controlClients, Times: 1, Steps: []traffic.Step{graphStep("release", 0, "")}}
		if _, _, err := callFrom(ctx, idle); err != nil {
			return err
		}
		before, err := s.baton.usage()
		if err != nil {
			return err
		}
		r, _, err := callFrom(ctx, graphCalls(s.public, b.size))
		if err != nil {
			return err
		}
		after, err := s.baton.usage()
		if err != nil {
			return err
		}
		b.noteCalls("control", r, after.Since(before))
		b.overFloors(r)
		return s.owners(ctx, func(thread int) (control.AppID, uint32) {
			owner, changes := control.AppID(0), uint32(2+3*b.size.changes)
			if thread%2 == 1 {
				owner, changes = firstApp, changes+1
			}
			return owner, changes
		})
	})
}

func graphCalls(host string, z size) traffic.CallSpec {
	take := graphStep("take", 0, "")
	return traffic.CallSpec{
		Host: host, Threads: z.threads, Conns: controlClients, Times: z.changes,
		Steps: []traffic.Step{take, graphStep("pass", 0, `,"target_app_id":"`+appID(1)+`"`), graphStep("release", 1, "")},
		Extra: &take,
	}
}

// graphStep is a call of an edge by an app, with its token and a JSON body.
func graphStep(verb string, app int, more string) traffic.Step {
	return traffic.Step{
		Target: "/v25.0/me/" + verb + "_thread_control?access_token=" + appToken(app),
		Before: `{"recipient":{"id":"`, After: `"}` + more + `}`,
	}
}

// owners folds the log and returns an error unless its chain is intact, its
// digest is the store's, and every thread has the owner and the number of
// changes that it must have.
func (s *batonStage) owners(ctx context.Context, want func(thread int) (control.AppID, uint32)) error {
	replayed, err := s.admin.Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
	if err != nil {
		return err
	}
	if !replayed.Msg.GetEqual() {
		return fmt.Errorf("replay and store differ on partitions %v", replayed.Msg.GetDiffer())
	}
	states, err := s.fold(ctx)
	if err != nil {
		return err
	}
	for thread := range s.threads {
		key := control.ThreadKey{Asset: page, Person: traffic.FirstPerson + uint64(thread)}
		owner, changes := want(thread)
		if st := states[key]; st.Owner != owner || st.Revision != changes {
			return fmt.Errorf("thread %d has owner %d after %d changes, want %d after %d", thread, st.Owner, st.Revision, owner, changes)
		}
	}
	return nil
}

// fold reads the whole log from Baton, checks its chain and folds it.
func (s *batonStage) fold(ctx context.Context) (map[control.ThreadKey]control.State, error) {
	stream, err := s.admin.ExportLog(ctx, connect.NewRequest(&adminv1.ExportLogRequest{Partition: -1}))
	if err != nil {
		return nil, err
	}
	var fold eventlog.Fold
	var chain eventlog.Verifier
	for stream.Receive() {
		rec, err := eventlog.Decode(stream.Msg().GetRecord())
		if err != nil {
			return nil, errors.Join(err, stream.Close())
		}
		chain.Check(&rec)
		if err := fold.Apply(&rec); err != nil {
			return nil, errors.Join(err, stream.Close())
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		return nil, err
	}
	if faults := chain.Faults(); len(faults) > 0 {
		return nil, fmt.Errorf("the log's chain is broken: %v", faults)
	}
	states := make(map[control.ThreadKey]control.State, s.threads)
	for _, p := range fold.Partitions() {
		maps.Insert(states, fold.Partition(p).Threads())
	}
	return states, nil
}
