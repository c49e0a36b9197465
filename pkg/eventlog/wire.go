package eventlog

import (
	"fmt"
	"math"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// fault collects the first thing that is wrong with a decoded message, so that
// the mapping functions can be written as plain composite literals.
type fault struct{ text string }

func (f *fault) report(format string, args ...any) {
	if f.text == "" {
		f.text = fmt.Sprintf(format, args...)
	}
}

// id reads a 16-byte id; none is the zero id.
func (f *fault) id(b []byte) (id [16]byte) {
	if len(b) != 0 && len(b) != len(id) {
		f.report("an id of %d bytes", len(b))
	}
	copy(id[:], b)
	return id
}

func (f *fault) hash(b []byte) (hash [HashSize]byte) {
	if len(b) != 0 && len(b) != len(hash) {
		f.report("a hash of %d bytes", len(b))
	}
	copy(hash[:], b)
	return hash
}

// small reads a number that the core keeps in eight bits.
func (f *fault) small(v uint32) uint8 {
	if v > math.MaxUint8 {
		f.report("%d in place of a small number", v)
	}
	return uint8(v)
}

// idToWire is the id, or nothing for the zero id. It aliases id's copy, not the
// caller's.
func idToWire(id [16]byte) []byte {
	if id == [16]byte{} {
		return nil
	}
	return id[:]
}

// text makes s valid UTF-8, which protobuf demands. What becomes part of a
// thread's state came out of a protobuf string and is valid already, so the
// fold of the log cannot differ from the state that was decided on.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// list is s; an empty one is nil, so that equal events decode to equal values.
func list[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func actorToWire(a control.Actor) *logv1.Actor {
	if a == (control.Actor{}) {
		return nil
	}
	return &logv1.Actor{Kind: uint32(a.Kind), App: uint64(a.App), Name: text(a.Name)}
}

func (f *fault) actor(m *logv1.Actor) control.Actor {
	return control.Actor{Kind: control.ActorKind(f.small(m.GetKind())), App: control.AppID(m.GetApp()), Name: m.GetName()}
}

func callToWire(c control.Call) *logv1.Call {
	if c == (control.Call{}) {
		return nil
	}
	return &logv1.Call{Id: idToWire(c.ID), Key: idToWire(c.Key), KeyUntilMs: int64(c.KeyUntil), Digest: c.Digest}
}

func (f *fault) call(m *logv1.Call) control.Call {
	return control.Call{
		ID: f.id(m.GetId()), Key: f.id(m.GetKey()), KeyUntil: control.Millis(m.GetKeyUntilMs()), Digest: m.GetDigest(),
	}
}

func changeToWire(c *control.Change) *logv1.Change {
	return &logv1.Change{
		From: uint64(c.From), To: uint64(c.To), AtMs: int64(c.At), ExpiresAtMs: int64(c.ExpiresAt), By: actorToWire(c.By),
		Why: uint32(c.Why), Metadata: text(c.Metadata), Print: c.Print, WindowDays: uint32(c.WindowDays),
		MirrorSide: c.MirrorSide, WantInbox: c.WantInbox, PlatformSide: c.PlatformSide, Id: uint64(c.ID), Done: c.Done,
		Call: callToWire(c.Call), Revision: c.Revision,
	}
}

func (f *fault) change(m *logv1.Change) control.Change {
	return control.Change{
		From: control.AppID(m.GetFrom()), To: control.AppID(m.GetTo()), At: control.Millis(m.GetAtMs()),
		ExpiresAt: control.Millis(m.GetExpiresAtMs()), By: f.actor(m.GetBy()), Why: control.Why(f.small(m.GetWhy())),
		Metadata: m.GetMetadata(), Print: m.GetPrint(), WindowDays: f.small(m.GetWindowDays()), MirrorSide: m.GetMirrorSide(),
		WantInbox: m.GetWantInbox(), PlatformSide: m.GetPlatformSide(), ID: control.Position(m.GetId()), Done: m.GetDone(),
		Call: f.call(m.GetCall()), Revision: m.GetRevision(),
	}
}
