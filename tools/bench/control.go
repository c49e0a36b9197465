package main

import (
	"context"

	"github.com/baton-router/baton/tools/bench/traffic"
)

// controlClients are the connections on which control is changed.
const controlClients = 64

// control measures changes of control by the Graph API: the primary takes, it
// passes to a second app, which releases; on odd threads the primary takes once
// more, so that not all end alike.
func (b *bench) control(ctx context.Context) error {
	return b.onBaton(ctx, "control", subscribers, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		before, err := s.baton.usage()
		if err != nil {
			return err
		}
		r, err := s.call(ctx, graphCalls(s.public, b.size))
		if err != nil {
			return err
		}
		after, err := s.baton.usage()
		if err != nil {
			return err
		}
		b.noteCalls("control", r, after.Since(before))
		return nil
	})
}

func graphCalls(host string, z size) traffic.CallSpec {
	step := func(edge string, app int, more string) traffic.Step {
		return traffic.Step{Target: "/v25.0/me/" + edge + "?access_token=" + appToken(app), Before: `{"recipient":{"id":"`, After: `"}` + more + `}`}
	}
	take := step("take_thread_control", 0, "")
	return traffic.CallSpec{
		Host: host, Threads: z.threads, Conns: controlClients, Times: z.changes,
		Steps: []traffic.Step{take, step("pass_thread_control", 0, `,"target_app_id":"`+appID(1)+`"`), step("release_thread_control", 1, "")},
		Extra: &take,
	}
}
