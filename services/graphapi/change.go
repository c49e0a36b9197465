package graphapi

import (
	"context"
	"errors"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// change stores an edit of the roster. It is in force for the next call when
// change returns; the client may have gone by then.
func (s *Service) change(ctx context.Context, c *call, edit func(roster.Document) (roster.Document, error)) error {
	if s.deps.Rosters == nil {
		return notStored()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.AnswerWithin)
	defer cancel()
	version, err := s.deps.Rosters.Change(ctx, func(old roster.Document) (roster.Document, bool, error) {
		next, err := edit(old)
		if err != nil {
			return old, false, err
		}
		return next, len(roster.Compare(old, next)) > 0, nil
	})
	switch {
	case err == nil:
		s.logger.Info("roster changed by an app", "edge", c.path.Edge, "version", version, "trace_id", c.trace.String())
		return nil
	case errors.Is(err, roster.ErrNotConnected), errors.Is(err, roster.ErrUnknownApp), errors.Is(err, roster.ErrUnknownPage):
		return graph.UnknownNode(c.method, c.path.Node).With(graph.Detail{Reason: "GONE", Explain: "the roster has changed meanwhile"})
	case errors.Is(err, roster.ErrInvalid), errors.Is(err, roster.ErrTooLarge):
		s.logger.Warn("roster change refused", "edge", c.path.Edge, "trace_id", c.trace.String(), "err", err)
		return graph.InvalidParameter("The roster cannot hold this change")
	}
	s.logger.Error("roster not changed", "edge", c.path.Edge, "trace_id", c.trace.String(), "err", err)
	return notStored()
}

// notStored is the error of a change that may be made again.
func notStored() error {
	return graph.Unavailable(1).With(graph.Detail{Reason: "NOT_STORED", Explain: "the roster could not be changed; try again"})
}
