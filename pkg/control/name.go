package control

// Name is an event's name in logs, metrics and vectors; for the changes of
// control it is the kind on the control topic.
func Name(e Event) string {
	switch e.(type) {
	case Assigned:
		return "assigned"
	case Passed:
		return "passed"
	case Taken:
		return "taken"
	case Released:
		return "released"
	case Expired:
		return "expired"
	case Captured:
		return "captured"
	case InboxTaken:
		return "inbox_taken"
	case InboxDone:
		return "inbox_done"
	case DoneMarked:
		return "done_marked"
	case Requested:
		return "requested"
	case Extended:
		return "extended"
	case MetadataPassed:
		return "metadata"
	case RoleChanged:
		return "roles"
	case RosterApplied:
		return "roster_applied"
	case Routed:
		return "routed"
	case EchoWaits:
		return "echo_waits"
	case SendAccepted:
		return "send_accepted"
	case SendConfirmed:
		return "send_confirmed"
	case SendFailed:
		return "send_failed"
	case SurveyHeld:
		return "survey_held"
	case SurveyDelivered:
		return "survey_delivered"
	case SurveyDropped:
		return "survey_dropped"
	case SideConfirmed:
		return "side_confirmed"
	case SideRefused:
		return "side_refused"
	case UserMenuSet:
		return "user_menu_set"
	case Refused:
		return "refused"
	}
	return "unknown"
}
