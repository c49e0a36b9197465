package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Keys of log attributes. Nobody invents others for these things. Message texts
// and tokens are personal data and never logged.
const (
	KeyService    = "service"
	KeyThread     = "thread"
	KeyPage       = "page_id"
	KeyApp        = "app_id"
	KeyPartition  = "partition"
	KeyEpoch      = "epoch"
	KeyRevision   = "revision"
	KeyPosition   = "position"
	KeySequence   = "sequence"
	KeyStream     = "stream"
	KeyRoster     = "roster_version"
	KeyVerb       = "verb"
	KeyReason     = "reason"
	KeyOutcome    = "outcome"
	KeyChannel    = "channel"
	KeyAttempt    = "attempt"
	KeyDelivery   = "delivery_id"
	KeyCommand    = "command_id"
	KeyTrace      = "trace_id"
	KeyActor      = "actor"
	KeyAddr       = "addr"
	KeyDurability = "durability"
	KeyCount      = "count"
	KeyTook       = "took"
	KeyErr        = "err"
)

// hidden replaces the value of an attribute that must not be logged.
const hidden = "[hidden]"

// NewLogger returns a logger that writes lines of the given format, "text" or
// "json", from the given level on ("debug", "info", "warn", "error"). The
// values of attributes named like a secret are hidden: a last net, not a
// licence. The error says which argument is unknown.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("telemetry: log level %q, wanted debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: from, ReplaceAttr: hide}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("telemetry: log format %q, wanted text or json", format)
}

func hide(_ []string, a slog.Attr) slog.Attr {
	key := strings.ToLower(a.Key)
	for _, word := range []string{"token", "secret", "password", "authorization", "proof"} {
		if strings.Contains(key, word) {
			return slog.String(a.Key, hidden)
		}
	}
	return a
}
