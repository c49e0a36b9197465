package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// logCommands read and verify the log.
type logCommands struct {
	Tail   logTail   `cmd:"" help:"Print the last entries, and with -f what comes."`
	Cat    logCat    `cmd:"" help:"Print entries from a position on."`
	Verify logVerify `cmd:"" help:"Check the hash chain of every partition."`
	Export logExport `cmd:"" help:"Write the raw records to a file, for verify --file and replay --file."`
}

// logSelection says which entries.
type logSelection struct {
	Partition int32  `help:"Only this partition; -1 for all." default:"-1"`
	Page      string `help:"Only this page." placeholder:"ID"`
	User      string `help:"Only this person." placeholder:"ID"`
}

type logTail struct {
	logSelection
	Last   uint32 `short:"n" help:"How many entries." default:"20"`
	Follow bool   `short:"f" help:"Go on with what comes."`
}

func (c *logTail) Run(ctx context.Context, g *Global, s *streams) error {
	return tail(ctx, g, s, &adminv1.TailLogRequest{
		Partition: c.Partition, PageId: c.Page, UserId: c.User, Last: c.Last, Follow: c.Follow,
	})
}

type logCat struct {
	logSelection
	From uint64 `help:"First position." default:"1"`
}

func (c *logCat) Run(ctx context.Context, g *Global, s *streams) error {
	return tail(ctx, g, s, &adminv1.TailLogRequest{
		Partition: c.Partition, PageId: c.Page, UserId: c.User, From: max(c.From, 1),
	})
}

func tail(ctx context.Context, g *Global, s *streams, req *adminv1.TailLogRequest) error {
	stream, err := g.admin().TailLog(ctx, connect.NewRequest(req))
	if err != nil {
		return untilInterrupted(ctx, err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		e := stream.Msg().GetEntry()
		text := strings.Join([]string{e.GetDecidedAt(), logPlace(e), orDash(e.GetThread()), e.GetKind(), e.GetText()}, "  ")
		if err := s.line(g, e, text); err != nil {
			return err
		}
	}
	return untilInterrupted(ctx, stream.Err())
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// offline are the places of a log that needs no running server.
type offline struct {
	DataDir string `help:"Read the data directory of a stopped server." placeholder:"DIR"`
	File    string `help:"Read an exported log." placeholder:"FILE"`
	Config  string `help:"Read the log on the NATS servers of this configuration, which may be a mirror; no Baton need run." placeholder:"FILE"`
}

func (o offline) used() bool { return o.DataDir != "" || o.File != "" || o.Config != "" }

type logVerify struct{ offline }

func (c *logVerify) Run(ctx context.Context, g *Global, s *streams) error {
	var result *adminv1.VerifyLogResponse
	if c.used() {
		found, err := verifyOffline(ctx, c.offline)
		if err != nil {
			return err
		}
		result = found
	} else {
		resp, err := g.admin().VerifyLog(ctx, connect.NewRequest(&adminv1.VerifyLogRequest{}))
		if err != nil {
			return err
		}
		result = resp.Msg
	}
	err := s.print(g, result, func(w *tabwriter.Writer) {
		row(w, "verified", fmt.Sprintf("%d events in %d records on %d partitions", result.GetEvents(), result.GetRecords(), result.GetPartitions()))
		for _, fault := range result.GetFaults() {
			row(w, "fault", fault)
		}
		row(w, "chain", intact(result.GetOk()))
	})
	if err == nil && !result.GetOk() {
		return verdict("the log is damaged: %d faults", len(result.GetFaults()))
	}
	return err
}

func intact(ok bool) string {
	if ok {
		return "intact"
	}
	return "BROKEN"
}

// replayCommand folds the log and compares digests.
type replayCommand struct{ offline }

func (c *replayCommand) Run(ctx context.Context, g *Global, s *streams) error {
	var result *adminv1.ReplayResponse
	if c.used() {
		found, err := replayOffline(ctx, c.offline)
		if err != nil {
			return err
		}
		result = found
	} else {
		resp, err := g.admin().Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
		if err != nil {
			return err
		}
		result = resp.Msg
	}
	err := s.print(g, result, func(w *tabwriter.Writer) {
		row(w, "replayed", fmt.Sprintf("%d events, %d threads", result.GetEvents(), result.GetThreads()))
		row(w, "digest", result.GetReplayedDigest())
		row(w, "store", result.GetStoreDigest())
		row(w, "equal", strconv.FormatBool(result.GetEqual()))
	})
	if err == nil && !result.GetEqual() {
		return verdict("replay and store differ on partitions %v", result.GetDiffer())
	}
	return err
}
