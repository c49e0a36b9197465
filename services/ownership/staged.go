package ownership

import (
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// staged are the table rows of the step under way: what the store will hold
// once the record is durable. It implements eventlog.Tables.
type staged struct {
	seen    map[[16]byte]struct{}
	answers map[[16]byte]eventlog.Answer
	buttons map[buttonKey]control.AppID
	mids    map[string]control.Position
}

type buttonKey struct {
	thread  control.ThreadKey
	payload uint64
}

func newStaged() staged {
	return staged{
		seen: map[[16]byte]struct{}{}, answers: map[[16]byte]eventlog.Answer{},
		buttons: map[buttonKey]control.AppID{}, mids: map[string]control.Position{},
	}
}

func (t *staged) clear() {
	clear(t.seen)
	clear(t.answers)
	clear(t.buttons)
	clear(t.mids)
}

func (t *staged) Remember(key [16]byte, _ control.Millis)    { t.seen[key] = struct{}{} }
func (t *staged) Answer(key [16]byte, a eventlog.Answer)     { t.answers[key] = a }
func (t *staged) Sent(mid string, send control.Position)     { t.mids[mid] = send }
func (*staged) Happened(control.ThreadKey, control.Position) {}
func (t *staged) Button(k control.ThreadKey, payload uint64, app control.AppID) {
	t.buttons[buttonKey{k, payload}] = app
}
