package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/store"
)

// startsWithin is when a start is over although not every partition is held.
const startsWithin = 30 * time.Second

// openBusAndStore opens both at once: each reads for itself what the last run has
// left. What went wrong with the bus counts first.
func (n *node) openBusAndStore(ctx context.Context) error {
	var db *store.Store
	var fault error
	var opening sync.WaitGroup
	opening.Go(func() { db, fault = store.Open(n.storeOptions()) })
	err := n.openBus(ctx)
	if err == nil {
		err = n.openRoster(ctx)
	}
	opening.Wait()
	switch {
	case err == nil && fault == nil:
		n.store = db
		return n.openStore(ctx)
	case fault == nil:
		return errors.Join(err, db.Close())
	}
	return cmp.Or(err, fault)
}

// started reports whether the start is over: a node that runs alone and decides
// then holds its partitions, for which it has read all threads.
func (n *node) started(held, halted int) bool {
	return n.server == nil || !n.decides || held+halted == n.cfg.Partitions || time.Since(n.began) > startsWithin
}

// goOn ends what is done otherwise in a start.
func (n *node) goOn() {
	if err := n.store.Compact(); err != nil {
		n.log.Error("compactions of the store", "err", err)
	}
	if n.asUsual != nil {
		n.asUsual()
	}
}

// The percentages of new memory to what lives at which garbage is collected: of a
// start, which makes much of it out of what it reads, and after it.
const (
	startGarbage = 400
	usualGarbage = 100
)

// collectLater has garbage collected less often, until asUsual is called, unless
// GOGC says how often.
func collectLater() (asUsual func()) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(startGarbage)
	return sync.OnceFunc(func() { debug.SetGCPercent(usualGarbage) })
}
