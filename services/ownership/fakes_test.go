package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// connectAll is the roster that most tests begin with.
const connectAll = `
platform: {graph_url: simulator, app_id: "700000000009999"}
apps:
  - {id: "700000000000001", name: bot, secret: s1}
  - {id: "700000000000002", name: agent, secret: s2, features: [human_agent]}
  - {id: "700000000000003", name: survey, secret: s3}
pages:
  - id: "100200300400500"
    access_token: PAGE
    routing: {mode: handover, primary: "700000000000001"}
    apps:
      - {app: "700000000000001", access_token: TA}
      - {app: "700000000000002", access_token: TB}
      - {app: "700000000000003", access_token: TC}
`

// withoutBot is connectAll after the primary has left.
func withoutBot() string {
	s := strings.Replace(connectAll, `, primary: "700000000000001"`, `, primary: "700000000000002"`, 1)
	return strings.Replace(s, `      - {app: "700000000000001", access_token: TA}`+"\n", "", 1)
}

// rosters are compiled rosters by version, as a node knows them.
type rosters struct {
	t  *testing.T
	mu struct {
		sync.Mutex
		all     map[uint64]*roster.Snapshot
		current *roster.Snapshot
		changed chan struct{}
	}
}

func newRosters(t *testing.T, yaml string) *rosters {
	t.Helper()
	r := &rosters{t: t}
	r.mu.all = map[uint64]*roster.Snapshot{}
	r.mu.changed = make(chan struct{})
	r.set(1, yaml)
	return r
}

// known adds a version that can be asked for and is not current yet.
func (r *rosters) known(version uint64, yaml string) *roster.Snapshot {
	r.t.Helper()
	c, err := roster.Load(roster.Source{Name: "test", Data: []byte(yaml)})
	if err != nil {
		r.t.Fatal(err)
	}
	doc, _ := roster.FromConfig(c, roster.Document{})
	snap, err := roster.Compile(doc, version)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.all[version] = snap
	return snap
}

// set makes a version current.
func (r *rosters) set(version uint64, yaml string) {
	r.t.Helper()
	snap := r.known(version, yaml)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.current = snap
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}

func (r *rosters) Current() *roster.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.current
}

func (r *rosters) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.changed
}

func (r *rosters) At(_ context.Context, version uint64) (*roster.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if version == 0 {
		return roster.Compile(roster.Document{Format: 1}, 0)
	}
	if snap := r.mu.all[version]; snap != nil {
		return snap, nil
	}
	return nil, fmt.Errorf("no version %d", version)
}

// clock stands still until it is moved; each move wakes the holders.
type clock struct {
	mu     sync.Mutex
	now    time.Time // with a monotonic reading
	offset time.Duration
	jumped chan struct{}
}

func newFakeClock() *clock { return &clock{now: time.Now(), jumped: make(chan struct{})} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

func (c *clock) Jumped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jumped
}

// millis is the partition time by this clock.
func (c *clock) millis() control.Millis {
	return control.Millis(c.Now().Add(c.Offset()).UnixMilli())
}

func (c *clock) move(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.jumped)
	c.jumped = make(chan struct{})
}

// advance lets time pass.
func (c *clock) advance(d time.Duration) { c.move(func() { c.now = c.now.Add(d) }) }

// jump moves the simulator's clock.
func (c *clock) jump(d time.Duration) { c.move(func() { c.offset += d }) }

// stepWall steps the wall clock forward and leaves the monotonic one: package
// time keeps the seconds of the wall in the upper bits of its first word.
func (c *clock) stepWall(seconds uint64) {
	c.move(func() { *(*uint64)(unsafe.Pointer(&c.now)) += seconds << 30 })
}

// stamps are when the last record of each partition was stored, whoever wrote it,
// by a clock of the servers that follows the test's.
type stamps struct {
	clock *clock
	mu    sync.Mutex
	at    [partitions]time.Time
}

func (s *stamps) stamp(p int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[p] = s.clock.Now()
}

func (s *stamps) of(p int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[p]
}

// faultyLog lets a test come between the holder and the log.
type faultyLog struct {
	Log
	stamps  *stamps // when the servers have stored what
	mu      sync.Mutex
	append  func(p int, data []byte, expected uint64) (uint64, error)
	barrier func(p int, expected uint64) error
	last    func(bus.Message) bus.Message
	lastOf  func(p int, m bus.Message) (bus.Message, error)
	next    error // of NextLog and ReadLog
	unheard int   // calls that nobody will answer
	asked   func(p int, call string)
}

// note tells the test of a call.
func (l *faultyLog) note(p int, call string) {
	l.mu.Lock()
	asked := l.asked
	l.mu.Unlock()
	if asked != nil {
		asked(p, call)
	}
}

// lost reports whether a call goes to a server that is dead, and waits for it
// then as long as its caller does.
func (l *faultyLog) lost(ctx context.Context) bool {
	l.mu.Lock()
	lost := l.unheard > 0
	if lost {
		l.unheard--
	}
	l.mu.Unlock()
	if lost {
		<-ctx.Done()
	}
	return lost
}

func (l *faultyLog) inject(f func(*faultyLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

func (l *faultyLog) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	l.note(p, "append")
	if l.lost(ctx) {
		return 0, bus.ErrOutcomeUnknown
	}
	l.mu.Lock()
	f := l.append
	l.mu.Unlock()
	l.stamps.stamp(p)
	if f != nil {
		return f(p, data, expected)
	}
	return l.Log.AppendLog(ctx, p, data, expected)
}

func (l *faultyLog) Barrier(ctx context.Context, p int, expected uint64) error {
	l.note(p, "barrier")
	if l.lost(ctx) {
		return bus.ErrOutcomeUnknown
	}
	l.mu.Lock()
	f := l.barrier
	l.mu.Unlock()
	if f != nil {
		return f(p, expected)
	}
	return l.Log.Barrier(ctx, p, expected)
}

func (l *faultyLog) NextLog(ctx context.Context, p int, after uint64) (bus.Message, error) {
	if l.lost(ctx) {
		return bus.Message{}, bus.ErrUnavailable
	}
	l.mu.Lock()
	err := l.next
	l.mu.Unlock()
	if err != nil {
		return bus.Message{}, err
	}
	m, err := l.Log.NextLog(ctx, p, after)
	if errors.Is(err, bus.ErrNoMessage) {
		l.note(p, "end")
	} else {
		l.note(p, "next")
	}
	return m, err
}

func (l *faultyLog) ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	l.mu.Lock()
	err := l.next
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.Log.ReadLog(ctx, o, fn)
}

func (l *faultyLog) LastLog(ctx context.Context, p int) (bus.Message, error) {
	m, err := l.Log.LastLog(ctx, p)
	l.note(p, "last")
	l.mu.Lock()
	defer l.mu.Unlock()
	m.At = l.stamps.of(p)
	if l.last != nil {
		m = l.last(m)
	}
	if l.lastOf != nil && err == nil {
		return l.lastOf(p, m)
	}
	return m, err
}

// faultyInput can hold back what the shared reader reads.
type faultyInput struct {
	Input
	mu   sync.Mutex
	at   func(time.Time) time.Time
	data []byte // of any message that is asked for; nil for its own
	gate *gate  // nil: open
	err  error  // what a read meets instead of the next message
}

// spoil makes the next message that is read one that cannot be.
func (i *faultyInput) spoil(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

// InboundTime is that of the stream, or what a test says.
func (i *faultyInput) InboundTime(ctx context.Context, sequence uint64) (time.Time, error) {
	at, err := i.Input.InboundTime(ctx, sequence)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.at != nil && err == nil {
		at = i.at(at)
	}
	return at, err
}

// Inbound is that of the stream, or what a test says.
func (i *faultyInput) Inbound(ctx context.Context, p int, sequence uint64) (bus.Message, error) {
	m, err := i.Input.Inbound(ctx, p, sequence)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.data != nil && err == nil {
		m.Data = i.data
	}
	return m, err
}

// gate holds back what comes after a sequence.
type gate struct {
	after  uint64
	opened chan struct{}
}

func (i *faultyInput) close() (open func()) { return i.closeAfter(0) }

// closeAfter takes the place of a gate that is closed already.
func (i *faultyInput) closeAfter(sequence uint64) (open func()) {
	g := &gate{sequence, make(chan struct{})}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.gate = g
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.gate == g {
			i.gate = nil
		}
		close(g.opened)
	}
}

// pass waits until no gate holds a sequence back.
func (i *faultyInput) pass(ctx context.Context, sequence uint64) error {
	for {
		i.mu.Lock()
		g := i.gate
		i.mu.Unlock()
		if g == nil || sequence <= g.after {
			return nil
		}
		select {
		case <-g.opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (i *faultyInput) ReadInbound(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	return i.Input.ReadInbound(ctx, o, func(m bus.Message) error {
		i.mu.Lock()
		err := i.err
		if i.at != nil {
			m.At = i.at(m.At)
		}
		i.mu.Unlock()
		if err != nil {
			return err
		}
		if err := i.pass(ctx, m.Sequence); err != nil {
			return err
		}
		return fn(m)
	})
}

// faultyTopic lets a test come between the publisher and the control topic.
type faultyTopic struct {
	Topic
	mu      sync.Mutex
	publish func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error)
	log     *faultyLog // which notes the calls
}

func (f *faultyTopic) ControlCursor(ctx context.Context, p int) ([]byte, uint64, error) {
	f.log.note(p, "cursor")
	return f.Topic.ControlCursor(ctx, p)
}

func (f *faultyTopic) inject(publish func([]bus.ControlMessage, []bus.CursorMove) ([]uint64, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publish = publish
}

func (f *faultyTopic) PublishControl(ctx context.Context, messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
	f.mu.Lock()
	publish := f.publish
	f.mu.Unlock()
	if publish != nil {
		return publish(messages, moves)
	}
	return f.Topic.PublishControl(ctx, messages, moves)
}

// recorder is a platform that notes what it is asked and answers by script.
type recorder struct {
	pulse *pulse
	mu    sync.Mutex
	calls []string
	// answer decides a call; nil confirms. flying counts those under way.
	answer func(ctx context.Context, call string) (refused []byte, err error)
	flying map[control.ThreadKey]int
	most   int
}

func newRecorder(p *pulse) *recorder { return &recorder{pulse: p, flying: map[control.ThreadKey]int{}} }

func (r *recorder) script(answer func(ctx context.Context, call string) ([]byte, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *recorder) made() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *recorder) call(ctx context.Context, thread control.ThreadKey, call string) ([]byte, error) {
	r.mu.Lock()
	r.calls = append(r.calls, call)
	r.flying[thread]++
	r.most = max(r.most, r.flying[thread])
	answer := r.answer
	r.mu.Unlock()
	r.pulse.beat()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flying[thread]--
	}()
	if answer == nil {
		return nil, nil
	}
	return answer(ctx, call)
}

func (r *recorder) SendSurvey(ctx context.Context, thread control.ThreadKey, message []byte, token string) (string, []byte, error) {
	refused, err := r.call(ctx, thread, fmt.Sprintf("survey %s %s", message, token))
	return "mid." + token, refused, err
}

func (r *recorder) Mirror(ctx context.Context, thread control.ThreadKey, inbox bool) error {
	refused, err := r.call(ctx, thread, fmt.Sprintf("mirror %d inbox=%t", thread.Person, inbox))
	if refused != nil {
		return errors.New(string(refused))
	}
	return err
}
