package controltest

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// command reads a line as a command on the thread.
func (w *World) command(a args) (control.Command, error) {
	by, byErr := appOf(a.arg(0))
	metadata := a.get("metadata")
	switch a.verb {
	case "pass":
		target, err := appOf(a.arg(1))
		return control.Pass{By: by, Target: target, Metadata: metadata}, first(byErr, err)
	case "take":
		return control.Take{By: by, Metadata: metadata}, byErr
	case "request":
		return control.RequestControl{By: by, Metadata: metadata}, byErr
	case "release":
		return control.Release{By: by, Metadata: metadata}, byErr
	case "extend":
		d, err := span(a.arg(1))
		return control.Extend{By: by, Duration: d}, first(byErr, err)
	case "metadata":
		target, err := appOf(a.arg(1))
		return control.PassMetadata{By: by, Target: target, Metadata: metadata}, first(byErr, err)
	case "owner":
		return control.ReadOwner{By: by}, byErr
	case "user_menu":
		c := control.SetUserMenu{By: by}
		for _, payload := range a.list[1:] {
			c.Items = append(c.Items, hashOf(payload))
		}
		return c, byErr
	case "send":
		return w.send(a, by)
	case "due":
		return control.Due{}, nil
	}
	return w.otherCommand(a)
}

func (w *World) otherCommand(a args) (control.Command, error) {
	switch a.verb {
	case "inbox":
		verb, ok := map[string]control.InboxVerb{
			"reply": control.InboxReply, "main": control.InboxMain, "done": control.InboxDoneVerb,
		}[a.arg(0)]
		if !ok {
			return nil, fmt.Errorf("no inbox verb %q", a.arg(0))
		}
		return control.InboxAction{Verb: verb, Operator: a.get("operator")}, nil
	case "operate":
		verb, ok := map[string]control.OperatorVerb{
			"pass": control.OperatorPass, "take": control.OperatorTake, "release": control.OperatorRelease,
		}[a.arg(0)]
		if !ok {
			return nil, fmt.Errorf("no operator verb %q", a.arg(0))
		}
		target, err := appOf(a.arg(1))
		return control.Operate{Operator: "ops", Verb: verb, Target: target, Metadata: a.get("metadata")}, err
	case "outcome":
		return w.outcome(a)
	case "side":
		id, err := w.openEffect(a.arg(0), control.EffectSide)
		return control.SideOutcome{ID: id, Confirmed: a.arg(1) == "confirmed", Error: a.get("error")}, err
	}
	kind, ok := control.ParseKind(a.verb)
	if !ok {
		return nil, fmt.Errorf("no command %q", a.verb)
	}
	return w.webhook(kind, a)
}

func (w *World) send(a args, by control.AppID) (control.Command, error) {
	c := control.Send{By: by, Metadata: a.get("metadata"), ActionAndMessage: a.has("both")}
	c.Action = a.has("typing") || a.has("mark_seen") || a.has("both")
	c.MarkSeen = a.has("mark_seen")
	c.Tag = map[string]control.Tag{
		"human_agent": control.TagHumanAgent, "feedback": control.TagFeedback, "retired": control.TagRetired,
	}[a.get("tag")]
	if key := a.get("key"); key != "" {
		c.Call.Key, c.Call.KeyUntil = digest(key), w.Now+control.Day
		c.Call.Digest = control.PayloadHash(a.get("body") + ".")
	}
	for payload := range strings.FieldsFuncSeq(a.get("buttons"), isComma) {
		c.Buttons = append(c.Buttons, hashOf(payload))
	}
	if survey := a.get("survey"); survey != "" {
		days, questions, _ := strings.Cut(survey, "/")
		n, err := strconv.Atoi(days)
		if err != nil {
			return nil, err
		}
		c.Survey = &control.SurveyTemplate{Days: n, Questions: hashes(questions), Message: []byte("{}")}
	}
	switch kind, target, _ := strings.Cut(a.get("control"), ":"); kind {
	case "pass":
		app, err := appOf(target)
		c.Control = control.SendControl{Type: control.ControlPass, Target: app}
		return c, err
	case "release":
		c.Control.Type = control.ControlRelease
	}
	return c, nil
}

func (w *World) outcome(a args) (control.Command, error) {
	id, err := w.openEffect(a.arg(0), 0)
	kind, ok := map[string]control.OutcomeKind{
		"confirmed": control.OutcomeConfirmed, "refused": control.OutcomeRefused, "unknown": control.OutcomeUnknown,
		"abandoned": control.OutcomeAbandoned,
	}[a.arg(1)]
	if !ok {
		return nil, fmt.Errorf("no outcome %q", a.arg(1))
	}
	return control.SendOutcome{ID: id, Outcome: kind, Mid: a.get("mid"), Error: []byte(a.get("error"))}, err
}

// openEffect reads a position, or "last": the effect of that kind opened last.
func (w *World) openEffect(text string, kind control.EffectKind) (control.Position, error) {
	if text != "last" {
		id, err := strconv.ParseUint(text, 10, 64)
		return control.Position(id), err
	}
	var last control.Position
	if w.State.Rare != nil {
		for _, e := range w.State.Rare.Effects {
			if (e.Kind == control.EffectSide) == (kind == control.EffectSide) {
				last = e.ID
			}
		}
	}
	return last, nil
}

func (w *World) webhook(kind control.Kind, a args) (control.Command, error) {
	w.inputs++
	c := control.Webhook{
		Kind: kind, At: w.Now, Input: control.Ref{Sequence: w.inputs}, Dedupe: digest(fmt.Sprint("input ", w.inputs)),
		Mid: a.get("mid"), Payload: control.PayloadHash(a.get("payload")), Ref: a.get("ref"), Ad: a.get("ad"),
		FromAd: a.get("ad") != "", Questions: hashes(a.get("questions")), Metadata: a.get("metadata"),
	}
	if again := a.get("again"); again != "" {
		c.Dedupe = digest("input " + again)
	}
	if at := a.get("at"); at != "" {
		d, err := span(at)
		if err != nil {
			return nil, err
		}
		c.At = w.Now + d
	}
	if window := a.get("window"); window != "" {
		c.HasWindow = true
		c.ReceivingDays, _ = strconv.Atoi(window) // what is not a number counts as invalid
	}
	for key, field := range map[string]*control.AppID{
		"button": &c.ButtonCreator, "receiving": &c.ReceivingApp, "app": &c.EchoApp, "from": &c.From, "to": &c.To,
	} {
		app, err := appOf(a.get(key))
		if err != nil {
			return nil, err
		}
		*field = app
	}
	if sent := a.get("sent"); sent != "" {
		return c, w.sent(&c, a, sent)
	}
	return c, nil
}

// sent fills in what the partition's holder knows of an echo's send: ID, or
// ID/app/owner when the send is closed.
func (w *World) sent(c *control.Webhook, a args, text string) error {
	parts := strings.Split(text, "/")
	id, err := w.openEffect(parts[0], control.EffectSend)
	if err != nil {
		return err
	}
	c.Sent = &control.Sent{ID: id, Metadata: a.get("own")}
	if len(parts) == 3 {
		var ownerErr error
		c.Sent.App, err = appOf(parts[1])
		c.Sent.Owner, ownerErr = appOf(parts[2])
		return first(err, ownerErr)
	}
	if w.State.Rare == nil {
		return nil
	}
	for _, e := range w.State.Rare.Effects {
		if e.ID == id {
			c.Sent.App, c.Sent.Owner, c.Sent.Metadata = e.App, e.Owner, e.Metadata
		}
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func isComma(r rune) bool { return r == ',' }

func hashes(list string) []uint64 {
	var out []uint64
	for q := range strings.FieldsFuncSeq(list, isComma) {
		out = append(out, hashOf(q))
	}
	return out
}

func hashOf(payload string) uint64 { return control.PayloadHash(payload) }

func digest(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:16])
}
