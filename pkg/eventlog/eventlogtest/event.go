package eventlogtest

import (
	"fmt"
	"reflect"

	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
)

// Chooser makes the choices. *rand.Rand of math/rand/v2 is one.
type Chooser interface {
	// IntN returns a number of [0, n). n is positive.
	IntN(n int) int
}

// Rapid returns a Chooser that draws from t, so that rapid can shrink.
func Rapid(t *rapid.T) Chooser { return drawer{t} }

type drawer struct{ t *rapid.T }

func (d drawer) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(d.t, "choice") }

// Kinds returns a zero value of each event type of the core.
func Kinds() []control.Event {
	return []control.Event{
		control.Assigned{},
		control.Passed{},
		control.Taken{},
		control.Released{},
		control.Expired{},
		control.Captured{},
		control.InboxTaken{},
		control.InboxDone{},
		control.DoneMarked{},
		control.Requested{},
		control.Extended{},
		control.MetadataPassed{},
		control.RoleChanged{},
		control.RosterApplied{},
		control.Routed{},
		control.EchoWaits{},
		control.SendAccepted{},
		control.SendConfirmed{},
		control.SendFailed{},
		control.SurveyHeld{},
		control.SurveyDelivered{},
		control.SurveyDropped{},
		control.SideConfirmed{},
		control.SideRefused{},
		control.UserMenuSet{},
		control.Refused{},
	}
}

// AnyEvent returns an event of any type with anything in its fields. Empty
// slices are nil, as Decode gives them.
func AnyEvent(c Chooser) control.Event {
	kinds := Kinds()
	return FilledEvent(c, kinds[c.IntN(len(kinds))])
}

// FilledEvent returns an event of kind's type with anything in its fields.
func FilledEvent(c Chooser, kind control.Event) control.Event {
	v := reflect.New(reflect.TypeOf(kind)).Elem()
	fill(c, v)
	e, _ := reflect.TypeAssert[control.Event](v) // it is of kind's type
	return e
}

// fill sets every field of v. A kind of field that it does not know is a
// mistake of the test.
func fill(c Chooser, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(c, field)
		}
	case reflect.Array:
		if c.IntN(3) > 0 { // zero ids are common
			for i := range v.Len() {
				fill(c, v.Index(i))
			}
		}
	case reflect.Slice:
		if n := c.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(c, v.Index(i))
			}
		}
	case reflect.Pointer:
		if c.IntN(2) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(c, v.Elem())
		}
	case reflect.Bool:
		v.SetBool(c.IntN(2) > 0)
	case reflect.String:
		v.SetString(texts[c.IntN(len(texts))])
	case reflect.Int64:
		v.SetInt(int64(number(c)))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		shift := 64 - v.Type().Bits()
		v.SetUint(number(c) << shift >> shift)
	default:
		panic(fmt.Sprintf("eventlogtest: cannot fill a %s", v.Type())) //nolint:forbidigo // a test to be corrected
	}
}

var texts = []string{"", "a", "order 4711", "grüß Gott", "\u0000", "日本語", "{\"a\":\"\\u00e9\"}", "\U0001F44D"} //nolint:gochecknoglobals // a table

// number prefers the edges: zero, small, real ids, the largest.
func number(c Chooser) uint64 {
	switch c.IntN(5) {
	case 0:
		return 0
	case 1:
		return uint64(c.IntN(300))
	case 2:
		return 700000000000000 + uint64(c.IntN(10))
	case 3:
		return ^uint64(0) - uint64(c.IntN(2))
	default:
		return uint64(c.IntN(1<<31))<<32 | uint64(c.IntN(1<<31))
	}
}
