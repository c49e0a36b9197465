package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// The streams of the cursors lose their ends as the log does, and the nodes live
// on. What they hold is there again as it was before, or not at all; the numbers of
// what is lost are given to others. Nothing may be lost by that: what was delivered
// comes again, with the same ids, and so do the changes on the control topic behind
// its cursor, each once.

// mostTails bounds how often a run loses the end of a stream of cursors: each time,
// much comes again.
const mostTails = 4

// tails are the faults of the streams of cursors.
func (w *World) tails() []action {
	if !w.options.Tails || w.lostTails == mostTails {
		return nil
	}
	return []action{
		{"the servers lose the cursors' tail", 2, func() { w.cutRegister(w.servers.places) }},
		{"the servers lose the topic's tail", 3, func() { w.topicLost(w.cutRegister(w.servers.cursors)) }},
	}
}

// electing is less than servers take that were down until they serve a stream again.
const electing = 3 * time.Second

// cutRegister takes messages off the end of a stream of cursors. Half the time it
// is another server that went down than the one that the nodes are connected to.
func (w *World) cutRegister(r *register) (lost []int) {
	if w.scheduler.chance(50) {
		w.reconnect()
	} else {
		w.breakCalls()
		time.Sleep(electing) //nolint:forbidigo // in the bubble it moves the clock
	}
	w.lostTails++
	w.counts.Lost++
	n := min(uint64(1+w.scheduler.rng.IntN(12)), r.last)
	return r.cut(r.last-n, func() bool { return w.scheduler.chance(70) })
}

// topicLost notes of which partitions the control topic has lost its cursor: what is
// behind the one that is left must come again.
func (w *World) topicLost(partitions []int) {
	for _, p := range partitions {
		var cursor struct {
			Position control.Position `json:"position"`
		}
		if data := w.servers.cursors.data[p]; data != nil {
			if err := json.Unmarshal(data, &cursor); err != nil {
				w.fail("the control cursor of partition %d: %v", p, err)
			}
		}
		part := w.truth.parts[p]
		for part.onTopic > 0 && changeAt(part.topic[part.onTopic-1]) > cursor.Position {
			part.onTopic--
		}
	}
}

// changeAt is the position of a change by its id.
func changeAt(id string) (at control.Position) {
	var p int
	_, _ = fmt.Sscanf(id, "%d-%d", &p, &at) // as entry wrote it
	return at
}

// topicWhole looks whether those who live on publish again what the topic has lost
// at last, though nothing else is to be published.
func (w *World) topicWhole() {
	w.everybody()
	w.topicLost(w.cutRegister(w.servers.cursors))
	for range 20 {
		w.settleFor(5)
	}
	for p, part := range w.truth.parts {
		for _, n := range w.nodes {
			if n.life != nil && n.life.ownership.Statuses()[p].Held && part.onTopic != len(part.topic) && w.broken() == "" {
				w.fail("%s holds partition %d, of which the topic has lost changes: it has %d of %d", n.name, p, part.onTopic, len(part.topic))
			}
		}
	}
}
