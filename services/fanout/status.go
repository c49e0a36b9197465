package fanout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// AppStatus is where an app stands on this node.
type AppStatus struct {
	App      control.AppID
	Name     string
	Callback string
	// Verified says that the handshake passed for the callback.
	Verified    bool
	Paused      bool
	PauseReason string
	Breaker     BreakerState
	// Queued letters and their bytes are in memory; InFlight POSTs are under
	// way; Parked threads wait for a retry, Blocked ones for an operator.
	Queued, QueuedBytes       int
	InFlight, Parked, Blocked int
	// Slots is how many POSTs may be under way now.
	Slots int
	// Undelivered events are known to be for the app; Unread positions of the
	// log were not read for it yet.
	Undelivered int
	Unread      uint64
	// Oldest is the age of the oldest event that may be undelivered; 0 for
	// none.
	Oldest     time.Duration
	Partitions []PlaceStatus
}

// State is the state in one word, with a reason where there is one: waiting (for
// the handshake), paused, failing (the breaker is not closed, or threads wait),
// active.
func (s *AppStatus) State() (state, reason string) {
	switch {
	case s.Paused:
		return "paused", s.PauseReason
	case !s.Verified:
		return "waiting", "the callback has not answered the challenge"
	case s.Breaker != BreakerClosed:
		return "failing", "the endpoint fails; breaker " + s.Breaker.String()
	case s.Blocked > 0:
		return "failing", fmt.Sprintf("%d threads wait for an operator: resume or skip", s.Blocked)
	case s.Parked > 0:
		return "failing", fmt.Sprintf("%d threads wait for a retry", s.Parked)
	}
	return "active", ""
}

// PlaceStatus is an app's place in a partition.
type PlaceStatus struct {
	Partition int
	// Node delivers for the partition.
	Node string
	// Watermark is the position up to which all is finished; Read up to which
	// the log was read for the app, Head for those that keep up.
	Watermark, Read, Head control.Position
	Undelivered           int
	// Oldest is the age of the oldest event that was not read for the app.
	Oldest time.Duration
	// ReplayUntil is up to where the app is replayed; 0 for not.
	ReplayUntil control.Position
}

// Status is where an app stands on this node; false for one that is not a
// receiving app.
func (s *Service) Status(app control.AppID) (AppStatus, bool) {
	e, _ := s.receiver(app, 0)
	if e == nil {
		return AppStatus{}, false
	}
	st := e.status()
	for _, h := range s.allHolders() {
		h.describe(&st)
	}
	slices.SortFunc(st.Partitions, func(a, b PlaceStatus) int { return cmp.Compare(a.Partition, b.Partition) })
	return st, true
}

// Apps lists the receiving apps on this node, by ascending id.
func (s *Service) Apps() []AppStatus {
	var list []AppStatus
	for _, e := range s.allEngines() {
		if st, ok := s.Status(e.id); ok {
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b AppStatus) int { return cmp.Compare(a.App, b.App) })
	return list
}

func (e *engine) status() AppStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := AppStatus{
		App: e.id, Name: e.mu.app.Name, Callback: e.mu.app.Callback, Verified: e.mu.verified, Paused: e.mu.paused,
		Breaker: e.mu.breaker.state, Queued: e.mu.letters, QueuedBytes: e.mu.bytes, InFlight: e.mu.flying,
		Parked: len(e.mu.parked) + e.mu.due.len, Blocked: e.mu.blocked,
		Slots: e.concurrency(),
	}
	if oldest := e.oldestAt(); oldest > 0 {
		st.Oldest = since(oldest)
	}
	return st
}

// lookAgain is how long the oldest letter is taken for the oldest: the lanes are
// thousands, and an operator's question asks once for each partition.
const lookAgain = 100 * time.Millisecond

// oldestAt is when the oldest letter was decided; 0 for none. Called with the
// lock held.
func (e *engine) oldestAt() control.Millis {
	if now := time.Now(); now.Sub(e.mu.looked) > lookAgain {
		e.mu.looked, e.mu.eldest = now, 0
		for _, ln := range e.mu.lanes {
			if len(ln.queue) > 0 && (e.mu.eldest == 0 || ln.head().at < e.mu.eldest) {
				e.mu.eldest = ln.head().at
			}
		}
	}
	if e.mu.letters == 0 {
		return 0
	}
	return e.mu.eldest
}

// describe adds the partition to an app's status.
func (h *holder) describe(st *AppStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.mu.places[st.App]
	if pl == nil {
		return
	}
	st.add(h.where(pl), pl.paused, pl.pauseReason)
}

// add counts a place in.
func (s *AppStatus) add(p PlaceStatus, paused bool, reason string) {
	s.Partitions = append(s.Partitions, p)
	s.Undelivered += p.Undelivered
	s.Unread += uint64(p.Head - min(p.Read, p.Head))
	s.Oldest = max(s.Oldest, p.Oldest)
	if paused {
		s.Paused, s.PauseReason = true, reason
	}
}

// where describes a place. Called with the lock held.
func (h *holder) where(pl *place) PlaceStatus {
	t := &pl.track
	st := PlaceStatus{
		Partition: h.partition, Node: h.service.config.Node, Watermark: t.watermark(), Read: t.read,
		Head: h.mu.read.position, Undelivered: t.unfinished() + len(pl.again),
	}
	switch {
	case t.read >= st.Head:
	case pl.unread > 0:
		st.Oldest = since(pl.unread)
	default: // of the record before, after a restart
		st.Oldest = since(t.at.decided)
	}
	if st.Watermark < pl.replayUntil {
		st.ReplayUntil = pl.replayUntil
	}
	return st
}

// PartitionStatus is the state of a partition that this node holds, or cannot
// hold because its cursor is of no use.
type PartitionStatus struct {
	Partition int
	Epoch     uint64 // of the cursor
	Position  control.Position
	// Halted is why the log cannot be followed; nil when it is.
	Halted error
}

// Partitions lists the partitions that this node holds or was refused,
// ascending.
func (s *Service) Partitions() []PartitionStatus {
	var list []PartitionStatus
	for _, h := range s.allHolders() {
		h.mu.Lock()
		list = append(list, PartitionStatus{
			Partition: h.partition, Epoch: h.mu.epoch, Position: h.mu.read.position, Halted: h.mu.halted,
		})
		h.mu.Unlock()
	}
	s.mu.Lock()
	for p, err := range s.mu.refused {
		list = append(list, PartitionStatus{Partition: p, Halted: err})
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b PartitionStatus) int { return cmp.Compare(a.Partition, b.Partition) })
	return list
}
