package bus

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of the streams.
const (
	StreamInbound = "BATON_IN"
	StreamLog     = "BATON_LOG"
	StreamControl = "BATON_CONTROL"
	StreamCursor  = "BATON_CURSOR"
	StreamRoster  = "BATON_ROSTER"
	StreamLetters = "BATON_LETTERS"
	// StreamSnapshots is the stream of the object store bucketSnapshots.
	StreamSnapshots = "OBJ_" + bucketSnapshots
)

// bucketSnapshots is the object store with the snapshots.
const bucketSnapshots = "BATON_SNAPSHOTS"

// streamNames lists the streams, the log first: the others are compared with it.
func streamNames() []string {
	return []string{StreamLog, StreamInbound, StreamControl, StreamCursor, StreamRoster, StreamLetters, StreamSnapshots}
}

// Subjects. Those that end in a dot are followed by a partition, a suffix or
// the parts of a control change.
const (
	subjectInbound       = "baton.in."
	subjectLog           = "baton.log."
	subjectBarrier       = "baton.barrier."
	subjectControl       = "baton.control.v1."
	subjectControlCursor = "baton.control.cursor."
	subjectCursor        = "baton.cursor."
	subjectRoster        = "baton.roster"
	subjectLetters       = "baton.letters"
	subjectCommand       = "baton.cmd."
	subjectSteering      = "baton.fanout."
	subjectNote          = "baton.note."
	subjectChunks        = "$O." + bucketSnapshots + ".C."
	subjectObjects       = "$O." + bucketSnapshots + ".M."
)

// ControlSubject returns the subject of a control change:
// baton.control.v1.<object>.<page>.<kind>.
func ControlSubject(object string, page uint64, kind string) string {
	return subjectControl + object + "." + strconv.FormatUint(page, 10) + "." + kind
}

// bundled stands in a subject where a partition's number would: the message is
// a bundle.
const bundled = "all"

func at(prefix string, partition int) string {
	return prefix + strconv.Itoa(partition)
}

// partitionOf returns the number in the last token of a subject, -1 for none.
func partitionOf(subject string) int {
	p, err := strconv.Atoi(subject[strings.LastIndexByte(subject, '.')+1:])
	if err != nil {
		return -1
	}
	return p
}

// checkControlSubject accepts baton.control.v1.<object>.<page>.<kind> without
// wildcards or blanks.
func checkControlSubject(subject string) error {
	rest, ok := strings.CutPrefix(subject, subjectControl)
	if !ok || strings.Count(rest, ".") != 2 || !plainTokens(rest) {
		return fmt.Errorf("%w: subject %q of a control change", ErrInvalid, subject)
	}
	return nil
}

// plainTokens reports whether s is dot-separated tokens, none of them empty,
// without wildcards, blanks and control characters.
func plainTokens(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if token == "" {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '*' || r == '>' || r == 0x7f })
}
