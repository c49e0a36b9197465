package eventlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// judged is what a look at a log says.
type judged struct {
	Records, Events uint64
	Faults          []string
	Partitions      []uint32
	Digest          eventlog.Digest
	Fault           string
}

// readAll gives the records of a partition's log to use, until one cannot be read
// or use returns an error.
func readAll(log [][]byte, use func(*eventlog.Record) error) error {
	var r eventlog.Record
	for i, raw := range log {
		err := eventlog.DecodeInto(&r, raw)
		if err == nil {
			err = use(&r)
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

// serially judges one partition after the other.
func serially(logs [][][]byte) (verified, folded judged) {
	var v eventlog.Verifier
	var err error
	for _, log := range logs {
		if err = readAll(log, func(r *eventlog.Record) error { v.Check(r); return nil }); err != nil {
			break
		}
	}
	verified = judgedBy(&v, err)
	var fold eventlog.Fold
	for _, log := range logs {
		if err = readAll(log, fold.Apply); err != nil {
			return verified, judged{Fault: err.Error()}
		}
	}
	return verified, judged{Digest: fold.Digest()}
}

// sideBySide judges them with EachOf.
func sideBySide(logs [][][]byte) (verified, folded judged) {
	parts, err := eventlog.EachOf(logs, func(log [][]byte) (*eventlog.Verifier, error) {
		v := new(eventlog.Verifier)
		return v, readAll(log, func(r *eventlog.Record) error { v.Check(r); return nil })
	})
	var all eventlog.Verifier
	for _, v := range parts {
		all.Add(v)
	}
	verified = judgedBy(&all, err)
	digests, err := eventlog.EachOf(logs, func(log [][]byte) (eventlog.Digest, error) {
		var p eventlog.Partition
		err := readAll(log, p.Apply)
		return p.Digest(), err
	})
	if err != nil {
		return verified, judged{Fault: err.Error()}
	}
	byNumber := map[uint32]eventlog.Digest{}
	for p, log := range logs {
		if len(log) > 0 {
			byNumber[uint32(p)] = digests[p]
		}
	}
	return verified, judged{Digest: eventlog.Total(byNumber)}
}

func judgedBy(v *eventlog.Verifier, err error) judged {
	j := judged{Records: v.Records(), Events: v.Events(), Faults: v.Faults(), Partitions: v.Partitions()}
	if err != nil {
		j.Fault = err.Error()
	}
	return j
}

// TestSideBySideIsSerial: partitions that are verified and folded side by side
// are judged as one after the other, whatever is wrong with them.
func TestSideBySideIsSerial(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		logs := make([][][]byte, rapid.IntRange(0, 6).Draw(t, "partitions"))
		for p := range logs {
			h := eventlogtest.NewHistory(eventlogtest.Rapid(t), uint32(p))
			for range rapid.IntRange(0, 6).Draw(t, "records") {
				_, raw := h.Next()
				logs[p] = append(logs[p], raw)
			}
			logs[p] = spoiled(t, logs[p])
		}
		verified, folded := serially(logs)
		again, foldedAgain := sideBySide(logs)
		if diff := cmp.Diff(verified, again); diff != "" {
			t.Fatalf("verified -serially +side by side:\n%s", diff)
		}
		if diff := cmp.Diff(folded, foldedAgain); diff != "" {
			t.Fatalf("folded -serially +side by side:\n%s", diff)
		}
	})
}

// spoiled is a log with which something may be wrong.
func spoiled(t *rapid.T, log [][]byte) [][]byte {
	if len(log) == 0 {
		return log
	}
	i := rapid.IntRange(0, len(log)-1).Draw(t, "which")
	switch rapid.SampledFrom([]string{"sound", "sound", "bit", "gone", "twice", "time", "newer"}).Draw(t, "what") {
	case "bit":
		log[i] = bytes.Clone(log[i])
		log[i][len(log[i])/2] ^= 4
	case "gone":
		log = append(log[:i:i], log[i+1:]...)
	case "twice":
		log = append(log[:i+1:i+1], log[i:]...)
	case "time":
		if r, err := eventlog.Decode(log[i]); err == nil {
			r.DecidedAt -= control.Day
			log[i] = eventlog.Encode(&r)
		}
	case "newer":
		if r, err := eventlog.Decode(log[i]); err == nil {
			log[i] = eventlogtest.Newer(&r)
		}
	}
	return log
}

// TestEachOfEndsAtTheFirstError: the error is the first in the order of
// partitions, though a later one came before it, and what is before it is whole.
func TestEachOfEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	const all, first, second = 40, 7, 8
	later := make(chan struct{})
	fault := errors.New("of the first")
	found, err := eventlog.EachOf(upTo(all), func(p int) (int, error) {
		switch p {
		case first:
			if runtime.GOMAXPROCS(0) > 1 {
				<-later // is on another goroutine: the next one is taken meanwhile
			}
			return -first, fault
		case second:
			close(later)
			return -second, errStop
		}
		return p, nil
	})
	if want := append(upTo(first), -first); !errors.Is(err, fault) || !cmp.Equal(found, want) {
		t.Errorf("found %v, %v", found, err)
	}
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}
