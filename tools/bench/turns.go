package main

import (
	"context"
	"fmt"
)

// windows is how many pieces the quiet load on each of two Batons is cut into:
// they take turns, so that whatever else the machine does meets both.
const windows = 8

// quietly is one of two Batons under the quiet load.
type quietly struct {
	stage *batonStage
	name  string
	came  outcome // of all windows; took is that of the last
}

// inTurn puts the quiet load on two Batons in turn, for apps that must get
// everything; none for all.
func (b *bench) inTurn(ctx context.Context, sides [2]*quietly, apps ...int) error {
	sh := steady(pacedRate, b.size.turns/windows)
	sh.apps = apps
	for window := range 2 * windows {
		side := sides[(window+1)/2%2] // ABBA: none is always the first
		o, err := side.stage.play(ctx, sh.following(side.came.events > 0))
		if err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		o.events += side.came.events
		o.accepted += side.came.accepted
		o.router.CPU += side.came.router.CPU
		side.came = o
	}
	return nil
}
