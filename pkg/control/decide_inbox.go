package control

// inboxAction: rows 75 to 82, asked for by an operator or a console instead of
// reported by the platform.
func (t *turn) inboxAction(c *InboxAction) {
	by := t.inboxActor()
	if c.Operator != "" {
		by = Actor{Kind: ActorOperator, Name: c.Operator}
	}
	switch c.Verb {
	case InboxReply:
		t.inboxReplied(humanReply{by: by, call: c.Call})
	case InboxMain:
		t.movedToMain(by, c.Call)
	case InboxDoneVerb:
		t.markedDone(by, c.Call)
	}
}

// humanReply is a reply in the inbox; reported when the platform told of it.
type humanReply struct {
	by       Actor
	call     Call
	reported bool
}

// inboxReplied: a human's reply takes the thread from the app in control,
// unless the thread is marked done: then the owner keeps it, else the primary
// gets it. Sources: protocol 6.11, C14.
func (t *turn) inboxReplied(reply humanReply) {
	owner := t.state.Owner
	switch {
	case owner == 0 && t.state.Done && t.afterInbox() != 0:
		c := t.change(t.afterInbox(), reply.by, WhyDoneReply)
		c.Call = reply.call
		t.emit(Assigned{c})
	case owner == 0 || owner.IsInbox() || t.state.Done:
	default:
		t.inboxTakes(reply, WhyInboxReply)
	}
}

func (t *turn) inboxTakes(reply humanReply, why Why) {
	c := t.change(t.page.Inbox(), reply.by, why)
	if reply.reported {
		c.reported(true)
	}
	c.Call, c.Done = reply.call, false
	t.emit(InboxTaken{c})
}

// movedToMain: row 75. It clears the done mark (12.13).
func (t *turn) movedToMain(by Actor, call Call) {
	switch {
	case !t.state.Owner.IsInbox():
		t.inboxTakes(humanReply{by: by, call: call}, WhyInboxMove)
	case t.state.Done:
		t.emit(DoneMarked{At: t.now, By: by, Call: call})
	}
}

// markedDone: rows 77 to 79.
func (t *turn) markedDone(by Actor, call Call) {
	switch {
	case t.state.Owner.IsInbox():
		c := t.change(t.afterInbox(), by, WhyInboxDone)
		c.Call, c.Done = call, true
		t.letGo(InboxDone{c})
	case !t.state.Done:
		t.emit(DoneMarked{At: t.now, By: by, Done: true, Call: call})
	}
}

// operate is an operator's change of control. One that changes nothing is a
// success without event.
func (t *turn) operate(c *Operate) Refusal {
	by := Actor{Kind: ActorOperator, Name: c.Operator}
	target := t.page.ownInbox(c.Target)
	switch {
	case c.Verb == OperatorRelease:
		target = 0
	case target == 0:
		return t.refuse(VerbOperate, 0, ReasonTargetMissing)
	case !t.page.Connected(target):
		return t.refuse(VerbOperate, 0, ReasonUnknownTarget)
	case tooLong(c.Metadata, MaxMetadata):
		return t.refuse(VerbOperate, 0, ReasonMetadataTooLong)
	}
	if target == t.state.Owner {
		return Refusal{}
	}
	change := t.change(target, by, WhyOperator)
	change.Metadata, change.Call = c.Metadata, c.Call
	switch c.Verb {
	case OperatorPass:
		t.emit(Passed{change})
	case OperatorTake:
		t.emit(Taken{change})
	case OperatorRelease:
		t.emit(Released{change})
		t.flushSurveys()
	}
	return Refusal{}
}
