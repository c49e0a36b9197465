package control_test

import (
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// A person writes to a Page whose primary receiver is app 1; app 2 asks for the
// thread, app 1 hands it over, app 1 may not answer any more.
func ExampleDecide() {
	page := &control.Page{Lead: 1, Apps: map[control.AppID]control.App{1: {}, 2: {}}, Expiry: control.Day}
	var thread control.State
	for i, command := range []control.Command{
		control.Webhook{Kind: control.KindMessage},
		control.RequestControl{By: 2},
		control.Pass{By: 1, Target: 2, Metadata: "order 42"},
		control.Send{By: 1},
	} {
		env := control.Env{Now: control.Millis(i+1) * control.Minute, Position: 1, Page: page}
		events, refusal := control.Decide(thread, env, command)
		for _, e := range events {
			thread = control.Evolve(thread, e)
		}
		fmt.Printf("%T: %d events, refused %t, owner %v\n", command, len(events), refusal.Refused(), thread.Owner)
	}
	// Output:
	// control.Webhook: 2 events, refused false, owner 1
	// control.RequestControl: 1 events, refused false, owner 1
	// control.Pass: 1 events, refused false, owner 2
	// control.Send: 0 events, refused true, owner 2
}
