package graphapi

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// messages is the Send API: rows 21 to 35, 70 to 74, 84. The order of its
// checks is token, recipient, right, window, content (protocol 2.2).
func (s *Service) messages(ctx context.Context, c *call) (reply, error) {
	m, err := graph.DecodeMessage(c.params)
	if err != nil {
		return reply{}, err
	}
	if m.Recipient.ID == 0 {
		return s.sendUnthreaded(ctx, c, &m)
	}
	if fault := m.Check(); fault != nil {
		return reply{}, s.beforeContent(ctx, c, &m, fault)
	}
	key := lane{control.ThreadKey{Asset: c.caller.Asset.ID, Person: m.Recipient.ID}, c.caller.App.Number}
	leave, err := s.turn(ctx, c, key)
	if err != nil {
		return reply{}, err
	}
	defer leave()
	return s.send(ctx, c, &m)
}

// turn waits until the call has the lane to itself; leave must be called once.
func (s *Service) turn(ctx context.Context, c *call, key lane) (leave func(), err error) {
	leave, err = s.lanes.enter(ctx, key, s.config.LaneWithin)
	switch {
	case errors.Is(err, errLaneFull):
		return nil, graph.RateLimit(1).With(graph.Detail{Reason: "BUSY", Explain: errLaneFull.Error()})
	case err != nil:
		return nil, unanswered()
	}
	if err := s.again(c); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// beforeContent is the error of a message whose content is at fault: the right
// to send is asked for first, because a missing one is the answer then.
func (s *Service) beforeContent(ctx context.Context, c *call, m *graph.Message, fault error) error {
	thread, err := s.readOwner(ctx, c, m.Recipient.ID)
	if err != nil {
		return err
	}
	state := control.State{
		Owner: control.AppID(thread.GetOwner()), Since: control.Millis(thread.GetSinceMs()),
		ExpiresAt: control.Millis(thread.GetExpiresAtMs()), LastUserAt: control.Millis(thread.GetLastUserAtMs()),
	}
	if err := refusedHere(c, m, state); err != nil {
		return err
	}
	return fault
}

// refusedHere is the refusal that the rules have for a send on a thread in this
// state, or nil.
func refusedHere(c *call, m *graph.Message, state control.State) error {
	rules := c.caller.Asset.Rules
	env := control.Env{Now: control.Millis(time.Now().UnixMilli()), Position: 1, Page: rules, Person: m.Recipient.ID}
	if _, refusal := control.Decide(state, env, sendCommand(c, m)); refusal.Refused() {
		return Refusal(refusal, rules)
	}
	return nil
}

// sendCommand is what the rules must know of a send.
func sendCommand(c *call, m *graph.Message) control.Send {
	send := control.Send{
		By: c.caller.App.Number, Action: m.Action != "", MarkSeen: m.Action == "mark_seen", Tag: tagOf(m), Metadata: m.Metadata,
	}
	if m.Control != nil {
		send.Control = control.SendControl{Type: control.ControlPass, Target: control.AppID(m.Control.Target)}
		if m.Control.Release {
			send.Control = control.SendControl{Type: control.ControlRelease}
		}
	}
	for _, payload := range m.Buttons {
		send.Buttons = append(send.Buttons, control.PayloadHash(payload))
	}
	if m.Survey != nil {
		send.Survey = &control.SurveyTemplate{Days: m.Survey.Days, Message: m.Message}
		for _, id := range m.Survey.Questions {
			send.Survey.Questions = append(send.Survey.Questions, control.PayloadHash(id))
		}
	}
	return send
}

func tagOf(m *graph.Message) control.Tag {
	switch {
	case m.IsHumanAgent():
		return control.TagHumanAgent
	case m.Tag == "CUSTOMER_FEEDBACK":
		return control.TagFeedback
	case m.HasRetiredTag():
		return control.TagRetired
	}
	return control.TagNone
}

// sendVerb is the send as a question to the holder.
func sendVerb(send control.Send) *commandv1.Request_Send {
	v := &commandv1.Send{
		Action: send.Action, MarkSeen: send.MarkSeen, Tag: uint32(send.Tag), ControlType: uint32(send.Control.Type),
		ControlTarget: uint64(send.Control.Target), Metadata: send.Metadata, Buttons: send.Buttons,
	}
	if send.Survey != nil {
		v.Survey = &commandv1.SurveyTemplate{
			Days: uint32(send.Survey.Days), Questions: send.Survey.Questions, Message: bytes.Clone(send.Survey.Message), // kept longer than the body that it is of
		}
	}
	return &commandv1.Request_Send{Send: v}
}
