package assignment

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Notes carries the beats to all nodes, this one included. Implemented by
// *bus.Conn.
type Notes interface {
	Announce(name string, data []byte) error
	Listen(name string, fn func(name string, data []byte)) (stop func(), err error)
}

// Role is what holds partitions.
type Role interface {
	// Prepare does beforehand what Hold of a partition would begin with, while
	// another node holds it still. It blocks until that is done or ctx ends; that
	// it may have failed does not matter.
	Prepare(ctx context.Context, p int)
	// Hold makes a partition one that this node holds until Yield, whatever it
	// takes. It does not block.
	Hold(p int)
	// Yield ends that: what is under way is finished. It blocks until nothing
	// is left.
	Yield(p int) bool
	// Epoch is that of the partition's claim; 0 while it is not held.
	Epoch(p int) uint64
	// Unable lists the partitions that another node should rather hold.
	Unable() []int
	// CatchingUp reports whether Unable lists some of them for a short while only.
	CatchingUp() bool
	// Load is how much work waits in the partitions that this node holds.
	Load() int
}

// Config of a service. Default gives the times.
type Config struct {
	// Name of the role, a word.
	Name string
	// Node is this node's name: letters, digits, - and _, the same after a
	// restart and no other node's.
	Node string
	// Partitions of the installation.
	Partitions int
	// Alone says that no other process can be there: all partitions are held
	// from the start on.
	Alone bool
	// Every is the time between two beats; 300 ms.
	Every time.Duration
	// Suspect is after how much silence a node counts as gone; 1.5 s.
	Suspect time.Duration
	// Settle is how long a node that starts listens before it holds anything;
	// 700 ms.
	Settle time.Duration
	// Waits reports whether to ask other nodes for nothing at the moment; nil
	// for never. What nobody holds is claimed all the same. It must not block.
	Waits func() bool
	// DrainFor is how long a node that stops waits for others to ask for what
	// it holds; 4 s.
	DrainFor time.Duration
}

// Default is the configuration of a role on a node of a cluster.
func Default(name, node string, partitions int) Config {
	return Config{
		Name: name, Node: node, Partitions: partitions, Every: 300 * time.Millisecond, Suspect: 1500 * time.Millisecond,
		Settle: 700 * time.Millisecond, DrainFor: 4 * time.Second,
	}
}

// Validate returns the first fault.
func (c *Config) Validate() error {
	plain := func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
	}
	switch {
	case !plain(c.Name):
		return fmt.Errorf("assignment: role %q is not a word", c.Name)
	case !plain(c.Node):
		return fmt.Errorf("assignment: node %q, wanted letters, digits, - and _", c.Node)
	case c.Partitions < 1:
		return fmt.Errorf("assignment: %d partitions", c.Partitions)
	case c.Every <= 0 || c.Suspect < 2*c.Every:
		return fmt.Errorf("assignment: a beat every %s and suspicion after %s, wanted at least two beats", c.Every, c.Suspect)
	}
	return nil
}

// Node is what is known of a node.
type Node struct {
	// Name of the node; Self for this one.
	Name string
	Self bool
	// Held are the partitions that it holds or claims, ascending.
	Held []int
	// Load is how much work waits there, as it said last.
	Load int
	// Leaving says that it is about to stop.
	Leaving bool
}

// claimPoll is how often a node looks whether claims are through, while others
// wait for their turn.
const claimPoll = 20 * time.Millisecond

// beatsWaiting bounds the beats that wait to be looked at; what comes beyond is
// lost, as on any network.
const beatsWaiting = 256

// Service keeps one role's partitions on their nodes. New makes it, Run runs it
// once. Other methods are safe for concurrent use.
type Service struct {
	cfg   Config
	notes Notes
	role  Role
	log   *slog.Logger

	// Owned by Run's goroutine.
	table    *table
	mine     Beat
	moving   bool
	again    *time.Timer  // when to act although nothing is heard
	ending   map[int]bool // yields under way
	yielded  chan int
	prepares preparation
	crew     sync.WaitGroup

	beats chan Beat
	view  atomic.Pointer[[]Node]
	twin  atomic.Bool
	busy  atomic.Pointer[time.Time] // since when it takes partitions over; nil while it does not
}

// New checks the configuration and prepares the service.
func New(c Config, notes Notes, role Role, log *slog.Logger) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails
	s := &Service{
		cfg: c, notes: notes, role: role, log: log.With("assignment", c.Name), ending: map[int]bool{},
		yielded: make(chan int, c.Partitions), beats: make(chan Beat, beatsWaiting),
	}
	s.mine = Beat{Node: c.Node, Run: binary.BigEndian.Uint64(run[:]) >> 11, Held: map[int]uint64{}, Wants: nothing} // exact in JSON everywhere
	s.view.Store(&[]Node{})
	return s, nil
}

// Name is the service's name.
func (s *Service) Name() string { return s.cfg.Name + " assignment" }

// StopWithin is how long the end of Run may take.
func (s *Service) StopWithin() time.Duration { return s.cfg.DrainFor + 5*time.Second }

// Run holds and moves partitions until ctx ends; then it hands over what it
// holds to the nodes that stay, and returns. The role must run for longer.
func (s *Service) Run(ctx context.Context) error {
	s.table = newTable(s.cfg, s.mine.Run, time.Now())
	if !s.cfg.Alone {
		stop, err := s.notes.Listen(s.subject(), s.receive)
		if err != nil {
			return fmt.Errorf("assignment of %s: %w", s.cfg.Name, err)
		}
		defer stop()
	}
	defer s.crew.Wait()
	s.prepares = newPreparation(ctx)
	ticker := time.NewTicker(s.cfg.Every)
	defer ticker.Stop()
	s.again = time.NewTimer(0)
	defer s.again.Stop()
	s.act()
	s.say()
	for {
		select {
		case <-ctx.Done():
			s.drain(ticker.C)
			return nil
		case <-ticker.C:
			s.act()
			s.say()
		case <-s.again.C:
			if s.act() {
				s.say()
			}
		case b := <-s.beats:
			s.hear(b)
		case p := <-s.yielded:
			s.gave(p)
		case p := <-s.prepares.done:
			s.isPrepared(p)
		}
	}
}

// subject is the name of the notices.
func (s *Service) subject() string { return "assignment." + s.cfg.Name }

// receive is called by the bus with each beat.
func (s *Service) receive(_ string, data []byte) {
	b, err := parseBeat(data, s.cfg.Partitions)
	if err != nil {
		s.log.Warn("beat not understood", "err", err)
		return
	}
	select {
	case s.beats <- b:
	default:
	}
}

func (s *Service) hear(b Beat) {
	s.table.hear(b, time.Now())
	if s.act() {
		s.say()
	}
}

// gave notes that a partition was given up, and tells.
func (s *Service) gave(p int) {
	s.log.Debug("partition given up", "partition", p)
	delete(s.ending, p)
	delete(s.mine.Held, p)
	s.moving = len(s.ending) > 0
	s.act()
	s.say()
}

// say sends a beat.
func (s *Service) say() {
	s.mine.Number++
	s.show()
	if s.cfg.Alone {
		return
	}
	if err := s.notes.Announce(s.subject(), s.mine.encode()); err != nil {
		s.log.Debug("beat not sent", "err", err)
	}
}

// act does what the table says, and reports whether the others should hear of
// it at once.
func (s *Service) act() bool {
	now := time.Now()
	s.refresh()
	s.table.waits = s.cfg.Waits != nil && s.cfg.Waits()
	d := s.table.decide(now, s.mine, s.moving)
	s.noteTwin(s.table.hasTwin(now))
	s.noteBusy(d.busy, now)
	for _, p := range d.hold {
		s.log.Debug("partition to be held", "partition", p)
		s.mine.Held[p] = 0
		s.role.Hold(p)
	}
	if d.move != nothing {
		s.log.Info("partition moves", "partition", d.move)
		d.yield = append(d.yield, d.move)
	}
	for _, p := range d.yield {
		s.giveUp(p)
	}
	if d.more {
		s.again.Reset(claimPoll)
	}
	want := s.prepare(d.want)
	asks := want != s.mine.Wants
	s.mine.Wants = want
	return asks || len(d.hold) > 0
}

// refresh brings this node's beat up to what the role says.
func (s *Service) refresh() {
	for p := range s.mine.Held {
		s.mine.Held[p] = s.role.Epoch(p)
	}
	s.mine.Unable, s.mine.Load = s.role.Unable(), s.role.Load()
	s.table.nearing = s.role.CatchingUp()
}

// giveUp begins to yield a partition; gave is told of the end.
func (s *Service) giveUp(p int) {
	if s.ending[p] {
		return
	}
	s.ending[p], s.moving = true, true
	s.crew.Go(func() {
		s.role.Yield(p)
		s.yielded <- p
	})
}

func (s *Service) noteTwin(twin bool) {
	if s.twin.Swap(twin) != twin && twin {
		s.log.Error("another process goes by this node's name; give each its own (node in the configuration)", "node", s.cfg.Node)
	}
}

func (s *Service) noteBusy(busy bool, now time.Time) {
	switch since := s.busy.Load(); {
	case !busy:
		s.busy.Store(nil)
	case since == nil:
		s.busy.Store(&now)
	}
}

// drain hands over what is held: to those who ask for it, and when nobody does
// any more, by giving it up.
func (s *Service) drain(tick <-chan time.Time) {
	if s.cfg.Alone {
		return
	}
	s.mine.Leaving = true
	s.act()
	s.say()
	deadline := time.NewTimer(s.cfg.DrainFor)
	defer deadline.Stop()
	for len(s.mine.Held) > 0 && s.table.successors(time.Now()) {
		select {
		case <-deadline.C:
			s.giveUpAll()
			return
		case <-tick:
			s.act()
			s.say()
		case b := <-s.beats:
			s.hear(b)
		case p := <-s.yielded:
			s.gave(p)
		}
	}
	s.giveUpAll()
}

// giveUpAll yields what is left and says so for the last time.
func (s *Service) giveUpAll() {
	for p := range s.mine.Held {
		s.giveUp(p)
	}
	for len(s.ending) > 0 {
		p := <-s.yielded
		delete(s.ending, p)
		delete(s.mine.Held, p)
	}
	s.mine.Wants = nothing
	s.say()
}

// show renews what View returns.
func (s *Service) show() {
	live := s.table.live(time.Now(), s.mine)
	nodes := make([]Node, 0, len(live))
	for _, name := range slices.Sorted(maps.Keys(live)) {
		b := live[name]
		nodes = append(nodes, Node{Name: name, Self: name == s.cfg.Node, Held: slices.Sorted(maps.Keys(b.Held)), Load: b.Load, Leaving: b.Leaving})
	}
	s.view.Store(&nodes)
}

// View is who is there and holds what, as this node sees it, by name.
func (s *Service) View() []Node { return *s.view.Load() }

// busyFor bounds what Busy reports: a partition that nobody gives, or that is
// halted, must not hold up others for ever.
const busyFor = 5 * time.Second

// Busy reports whether this node takes partitions over, or is about to: what can
// wait, waits, since each costs the streams' servers some of their time. It is
// false again after some seconds, whatever happens. It does not block.
func (s *Service) Busy() bool {
	since := s.busy.Load()
	return since != nil && time.Since(*since) < busyFor
}

// Twin reports whether another process goes by this node's name; then nothing is
// begun here.
func (s *Service) Twin() bool { return s.twin.Load() }
