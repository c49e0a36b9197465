package eventlog

import "github.com/baton-router/baton/pkg/control"

// Upper bounds of what is encoded in fixed size.
const (
	maxEntryHead  = 384 // an entry with every fixed-size field of its event
	maxRecordHead = 192 // a record's fields, frame included, but for the holder
	sizePerNumber = 9
)

// HeadSize is an upper bound of what a record takes without its entries.
func HeadSize(r *Record) int { return maxRecordHead + len(text(r.Holder)) }

// SizeOf is an upper bound of what an entry adds to the size of its record, so
// that a holder can keep a record below MaxBytes without encoding it twice.
func SizeOf(e *Entry) int { return maxEntryHead + variable(e.Event) }

// variable is the size of the parts of an event that have no fixed one.
func variable(e control.Event) int {
	if c, ok := control.ChangeOf(e); ok {
		return len(text(c.Metadata)) + len(text(c.By.Name))
	}
	switch e := e.(type) {
	case control.DoneMarked:
		return len(text(e.By.Name))
	case control.Requested:
		return len(text(e.Metadata))
	case control.MetadataPassed:
		return len(text(e.Metadata))
	case control.RoleChanged:
		return len(text(e.By.Name))
	case control.Routed:
		return len(text(e.Metadata))
	case control.EchoWaits:
		return len(text(e.Mid))
	case control.SendAccepted:
		n := len(text(e.Metadata)) + sizePerNumber*len(e.Buttons)
		if e.Answers != nil {
			n += sizePerNumber * len(e.Answers.Questions)
		}
		return n
	case control.SendConfirmed:
		return len(text(e.Mid))
	case control.SendFailed:
		return len(e.Error)
	case control.SurveyHeld:
		return len(e.Message) + sizePerNumber*len(e.Questions)
	case control.SurveyDropped:
		return len(text(e.Error))
	case control.SideRefused:
		return len(text(e.Error))
	case control.UserMenuSet:
		return sizePerNumber * len(e.Items)
	case control.Assigned, control.Passed, control.Taken, control.Released, control.Expired, control.Captured,
		control.InboxTaken, control.InboxDone, control.Extended, control.RosterApplied, control.SurveyDelivered,
		control.SideConfirmed, control.Refused:
		return 0
	}
	return 0
}
