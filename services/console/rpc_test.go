package console

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/partition"
)

const page = "100200300400500"

// encoded is the document of a file, as the command sends it.
func (w *world) encoded(yaml string) []byte {
	w.t.Helper()
	data, err := document(w.t, yaml).Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// tail reads up to most entries of a TailLog, all when it is zero.
func (w *world) tail(ctx context.Context, token string, r *adminv1.TailLogRequest, most int) ([]*adminv1.LogEntry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client(token).TailLog(ctx, connect.NewRequest(r))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var all []*adminv1.LogEntry
	for stream.Receive() {
		if all = append(all, stream.Msg().GetEntry()); len(all) == most {
			return all, nil
		}
	}
	return all, stream.Err()
}

func TestApplyWaitsForThePartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := 0
	w.missing = func(v uint64) []int {
		if asked++; v == 2 && asked < 3 {
			return []int{1}
		}
		return nil
	}
	changed := strings.Replace(testRoster, `primary: "700000000000001"`, `primary: "700000000000002"`, 1)
	dry, err := w.client("").Apply(brief(t), connect.NewRequest(&adminv1.ApplyRequest{Document: w.encoded(changed), DryRun: true}))
	if err != nil || dry.Msg.GetVersion() != 1 || len(dry.Msg.GetChanges()) == 0 || asked != 0 {
		t.Fatalf("dry run: %v, %v", dry, err)
	}
	done, err := w.client("").Apply(brief(t), connect.NewRequest(&adminv1.ApplyRequest{Document: w.encoded(changed)}))
	if err != nil || done.Msg.GetVersion() != 2 || len(done.Msg.GetMissing()) != 0 || asked < 3 {
		t.Fatalf("apply: %v, %v after %d looks", done, err, asked)
	}
	if by := w.rosters.Current().Document().ChangedBy; by != localOperator {
		t.Errorf("changed by %q", by)
	}
	for _, line := range done.Msg.GetChanges() {
		if strings.Contains(line, "changed_by") {
			t.Errorf("change %q", line)
		}
	}
	again, err := w.client("").Apply(brief(t), connect.NewRequest(&adminv1.ApplyRequest{Document: w.encoded(changed)}))
	if err != nil || again.Msg.GetVersion() != 2 || len(again.Msg.GetChanges()) != 0 {
		t.Errorf("the same again: %v, %v", again, err)
	}
}

func TestApplyNamesPartitionsThatHaveNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.missing = func(uint64) []int { return []int{1, 3} }
	began := time.Now()
	done, err := w.client("").Apply(brief(t), connect.NewRequest(&adminv1.ApplyRequest{Document: w.encoded(testRoster)}))
	if err != nil || !slices.Equal(done.Msg.GetMissing(), []uint32{1, 3}) {
		t.Errorf("apply: %v, %v", done, err)
	}
	if took := time.Since(began); took < applyWithin || took > applyWithin+5*time.Second {
		t.Errorf("answered after %s", took)
	}
}

func TestListThreadsPagesAndFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for person := range uint64(25) {
		w.give(person+1, []control.AppID{bot, agent}[person%2])
	}
	w.decide(control.ThreadKey{Asset: pageID, Person: 25}, control.Operate{Verb: control.OperatorRelease})
	list := func(r *adminv1.ListThreadsRequest) *adminv1.ListThreadsResponse {
		t.Helper()
		resp, err := w.client("").ListThreads(brief(t), connect.NewRequest(r))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg
	}
	var seen []string
	for after, pages := "", 0; ; pages++ {
		got := list(&adminv1.ListThreadsRequest{Limit: 10, After: after})
		for _, th := range got.GetThreads() {
			seen = append(seen, th.GetUserId())
		}
		if after = got.GetNext(); after == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	for i, id := range seen {
		if id != strconv.Itoa(i+1) {
			t.Fatalf("threads %v", seen)
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d threads", len(seen))
	}
	for filter, want := range map[string]int{"bot": 12, "700000000000002": 12, "idle": 1, "page-inbox": 0} {
		if got := list(&adminv1.ListThreadsRequest{Owner: filter, PageId: page}); len(got.GetThreads()) != want {
			t.Errorf("%d threads of %s, want %d", len(got.GetThreads()), filter, want)
		}
	}
	if got := list(&adminv1.ListThreadsRequest{PageId: "7"}); len(got.GetThreads()) != 0 {
		t.Errorf("threads of another page: %v", got)
	}
}

func TestShowThreadNowAndThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.give(1, bot) // at begin + 1 s
	w.give(1, agent)
	show := func(at string, events uint32) *adminv1.ShowThreadResponse {
		t.Helper()
		resp, err := w.client("").ShowThread(brief(t), connect.NewRequest(&adminv1.ShowThreadRequest{PageId: page, UserId: "1", At: at, Events: events}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg
	}
	now := show("", 0)
	if now.GetThread().GetOwnerName() != "agent" || len(now.GetHistory()) != 2 || now.GetThread().GetRevision() != 2 {
		t.Errorf("now: %v", now)
	}
	if hints := strings.Join(now.GetHints(), "\n"); !strings.Contains(hints, "agent may send") || !strings.Contains(hints, "bot is primary") {
		t.Errorf("hints %s", hints)
	}
	then := show(stamp(begin+control.Second), 0)
	if then.GetThread().GetOwnerName() != "bot" || len(then.GetHistory()) != 1 {
		t.Errorf("then: %v", then)
	}
	if before := show(stamp(begin), 0); before.GetThread().GetOwner() != "" || len(before.GetHistory()) != 0 {
		t.Errorf("before: %v", before)
	}
	if last := show("", 1); len(last.GetHistory()) != 1 || last.GetHistory()[0].GetPosition() != 2 {
		t.Errorf("the last event: %v", last.GetHistory())
	}
}

func TestBadInputIsInvalidAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.give(1, bot)
	ctx, c := brief(t), w.client("")
	threads := func(r *adminv1.ListThreadsRequest) error {
		_, err := c.ListThreads(ctx, connect.NewRequest(r))
		return err
	}
	show := func(r *adminv1.ShowThreadRequest) error {
		_, err := c.ShowThread(ctx, connect.NewRequest(r))
		return err
	}
	operate := func(r *adminv1.OperateRequest) error { _, err := c.Operate(ctx, connect.NewRequest(r)); return err }
	inbox := func(r *adminv1.InboxRequest) error { _, err := c.Inbox(ctx, connect.NewRequest(r)); return err }
	steer := func(r *adminv1.SteerAppRequest) error { _, err := c.SteerApp(ctx, connect.NewRequest(r)); return err }
	showApp := func(app string) error {
		_, err := c.ShowApp(ctx, connect.NewRequest(&adminv1.ShowAppRequest{App: app}))
		return err
	}
	apply := func(doc string) error {
		_, err := c.Apply(ctx, connect.NewRequest(&adminv1.ApplyRequest{Document: []byte(doc)}))
		return err
	}
	tail := func(r *adminv1.TailLogRequest) error { _, err := w.tail(ctx, "", r, 0); return err }
	watch := func(r *adminv1.WatchThreadsRequest) error {
		stream, err := c.WatchThreads(ctx, connect.NewRequest(r))
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		stream.Receive()
		return stream.Err()
	}
	export := func(r *adminv1.ExportLogRequest) error {
		stream, err := c.ExportLog(ctx, connect.NewRequest(r))
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		stream.Receive()
		return stream.Err()
	}
	for name, err := range map[string]error{
		"threads, page":      threads(&adminv1.ListThreadsRequest{PageId: "x"}),
		"threads, owner":     threads(&adminv1.ListThreadsRequest{Owner: "nobody"}),
		"threads, after":     threads(&adminv1.ListThreadsRequest{After: "junk"}),
		"show, page":         show(&adminv1.ShowThreadRequest{PageId: "-1", UserId: "1"}),
		"show, user":         show(&adminv1.ShowThreadRequest{PageId: page, UserId: "1.5"}),
		"show, no user":      show(&adminv1.ShowThreadRequest{PageId: page}),
		"show, time":         show(&adminv1.ShowThreadRequest{PageId: page, UserId: "1", At: "yesterday"}),
		"operate, verb":      operate(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "steal", Target: "agent"}),
		"operate, target":    operate(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "pass", Target: "nobody"}),
		"operate, no target": operate(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "pass"}),
		"operate, user":      operate(&adminv1.OperateRequest{PageId: page, UserId: "one", Verb: "release"}),
		"operate, metadata":  operate(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "release", Metadata: strings.Repeat("x", 2001)}),
		"inbox, verb":        inbox(&adminv1.InboxRequest{PageId: page, UserId: "1", Verb: "delete"}),
		"inbox, user":        inbox(&adminv1.InboxRequest{PageId: page, UserId: "0", Verb: "main"}),
		"steer, app":         steer(&adminv1.SteerAppRequest{App: "nobody", Verb: "pause"}),
		"steer, unknown id":  steer(&adminv1.SteerAppRequest{App: "4711", Verb: "pause"}),
		"steer, no app":      steer(&adminv1.SteerAppRequest{Verb: "pause"}),
		"steer, verb":        steer(&adminv1.SteerAppRequest{App: "bot", Verb: "stop"}),
		"steer, replay":      steer(&adminv1.SteerAppRequest{App: "bot", Verb: "replay", Partition: -1}),
		"steer, no place":    steer(&adminv1.SteerAppRequest{App: "bot", Verb: "rewind", Partition: -1}),
		"steer, two places":  steer(&adminv1.SteerAppRequest{App: "bot", Verb: "rewind", Position: 1, From: "2026-01-02T15:04:05Z"}),
		"steer, time":        steer(&adminv1.SteerAppRequest{App: "bot", Verb: "replay", From: "yesterday"}),
		"steer, to come":     steer(&adminv1.SteerAppRequest{App: "bot", Verb: "replay", From: "2999-01-02T15:04:05Z"}),
		"show app":           showApp("nobody"),
		"steer, partition":   steer(&adminv1.SteerAppRequest{App: "bot", Verb: "rewind", Partition: partitions}),
		"apply, empty":       apply(""),
		"apply, junk":        apply("junk"),
		"apply, no format":   apply("{}"),
		"apply, newer":       apply(`{"format":99}`),
		"apply, unknown app": apply(`{"format":1,"apps":[],"pages":[{"id":"1","apps":[{"app":"2"}]}]}`),
		"tail, partition":    tail(&adminv1.TailLogRequest{Partition: partitions}),
		"tail, page":         tail(&adminv1.TailLogRequest{Partition: -1, PageId: "x"}),
		"watch, page":        watch(&adminv1.WatchThreadsRequest{PageId: "x"}),
		"watch, user":        watch(&adminv1.WatchThreadsRequest{UserId: "x"}),
		"export, partition":  export(&adminv1.ExportLogRequest{Partition: partitions}),
	} {
		if connect.CodeOf(err) != connect.CodeInvalidArgument || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	code(t, show(&adminv1.ShowThreadRequest{PageId: "4711", UserId: "1"}), connect.CodeNotFound)
	code(t, operate(&adminv1.OperateRequest{PageId: "4711", UserId: "1", Verb: "release"}), connect.CodeNotFound)
	if v := w.rosters.Current().Version(); v != 1 || len(w.apps.calls) != 0 {
		t.Errorf("roster version %d, steered %v", v, w.apps.calls)
	}
	if all, err := w.tail(ctx, "", &adminv1.TailLogRequest{Partition: -1}, 0); len(all) != 1 || err != nil {
		t.Errorf("%d entries in the log, %v", len(all), err)
	}
}

func TestSteerApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, verb := range []string{"pause", "resume", "skip", "rewind", "replay"} {
		req := &adminv1.SteerAppRequest{App: "bot", Verb: verb, Partition: -1}
		if verb == "rewind" {
			req.Position = 1
		}
		if verb == "replay" {
			req.From = "2026-01-02T15:04:05Z"
		}
		resp, err := w.client("").SteerApp(brief(t), connect.NewRequest(req))
		if err != nil || resp.Msg.GetApp().GetLagEvents() != 7 {
			t.Errorf("%s: %v, %v", verb, resp, err)
		}
	}
	want := []string{
		"pause 700000000000001", "resume 700000000000001", "skip 700000000000001", "rewind 700000000000001",
		"replay 700000000000001",
	}
	if !slices.Equal(w.apps.calls, want) {
		t.Errorf("calls %v", w.apps.calls)
	}
	shown, err := w.client("").ShowApp(brief(t), connect.NewRequest(&adminv1.ShowAppRequest{App: "bot"}))
	if err != nil || shown.Msg.GetPlaces()[0].GetHead() != 9 || !slices.Equal(shown.Msg.GetMissing(), []uint32{3}) {
		t.Errorf("%v, %v", shown, err)
	}
	w.apps.absent = true
	_, err = w.client("").SteerApp(brief(t), connect.NewRequest(&adminv1.SteerAppRequest{App: "bot", Verb: "pause"}))
	code(t, err, connect.CodeUnavailable)
	apps, err := w.client("").ListApps(brief(t), connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil || len(apps.Msg.GetApps()) != 3 || apps.Msg.GetApps()[0].GetState() != "unknown" {
		t.Errorf("apps %v, %v", apps, err)
	}
}

func TestWatchThreadsStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(brief(t))
	defer cancel()
	got, done := make(chan *adminv1.WatchThreadsResponse, 64), make(chan struct{})
	go func() {
		defer close(done)
		stream, err := w.client("").WatchThreads(ctx, connect.NewRequest(&adminv1.WatchThreadsRequest{PageId: page, UserId: "1"}))
		if err != nil {
			return
		}
		defer func() { _ = stream.Close() }()
		for stream.Receive() {
			select {
			case got <- stream.Msg():
			default:
			}
		}
	}()
	// The watcher may begin late: changes go on until it has seen one.
	for to := []control.AppID{bot, agent}; ; to[0], to[1] = to[1], to[0] {
		w.give(2, to[0])
		w.give(1, to[0])
		select {
		case m := <-got:
			c, err := eventlog.ParseTopic([]byte(m.GetChangeJson()))
			if err != nil || c.GetUserId() != "1" || !strings.Contains(m.GetText(), "→") {
				t.Errorf("watched %v: %v", m, err)
			}
			cancel()
			<-done
			return
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("nothing was watched")
		}
	}
}

func TestTailLogFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.give(1, agent)
		w.give(1, bot)
	}
	w.give(2, bot)
	p := int32(partition.Of(control.ThreadKey{Asset: pageID, Person: 1}, partitions))
	last, err := w.tail(brief(t), "", &adminv1.TailLogRequest{Partition: -1, Last: 2, UserId: "1"}, 0)
	if err != nil || len(last) != 2 || last[1].GetPosition() != 6 {
		t.Errorf("the last two: %v, %v", last, err)
	}
	from, err := w.tail(brief(t), "", &adminv1.TailLogRequest{Partition: p, From: 3, UserId: "1"}, 0)
	if err != nil || len(from) != 4 || from[0].GetPosition() != 3 {
		t.Errorf("from 3: %v, %v", from, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4 {
			w.give(1, agent)
			w.give(1, bot)
		}
	}()
	all, err := w.tail(brief(t), "", &adminv1.TailLogRequest{Partition: p, From: 1, UserId: "1", Follow: true}, 14)
	<-done
	if err != nil || len(all) != 14 {
		t.Fatalf("followed %d entries, %v", len(all), err)
	}
	for i, e := range all {
		if e.GetPosition() != uint64(i)+1 {
			t.Fatalf("entry %d is position %d", i, e.GetPosition())
		}
	}
}

func TestDryRunOperateChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.give(1, bot)
	resp, err := w.client("").Operate(brief(t), connect.NewRequest(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "take", Target: "agent", DryRun: true}))
	if err != nil || resp.Msg.GetRefusal() != nil {
		t.Fatalf("%v, %v", resp, err)
	}
	refused, err := w.client("").Operate(brief(t), connect.NewRequest(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "pass", Target: "4711"}))
	if err != nil || refused.Msg.GetRefusal().GetReason() != "UNKNOWN_TARGET" {
		t.Errorf("%v, %v", refused, err)
	}
	if all, _ := w.tail(brief(t), "", &adminv1.TailLogRequest{Partition: -1}, 0); len(all) != 1 {
		t.Errorf("%d entries", len(all))
	}
}
