package webhook

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// ErrObject is returned by Parse for a well-formed body whose object is neither
// page nor instagram; the error's text names it.
var ErrObject = errors.New("webhook: object is neither page nor instagram")

// Limits bound what Parse accepts. A zero field stands for its default.
type Limits struct {
	MaxBytes   int // of the body; default 8 MiB
	MaxDepth   int // of containers inside one another; default 64
	MaxEntries int // of the entry array; default 1,000
	MaxEvents  int // in the whole body; default 10,000
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.MaxBytes, 8<<20)
	def(&l.MaxDepth, DefaultDepth)
	def(&l.MaxEntries, 1000)
	def(&l.MaxEvents, 10_000)
	return l
}

// DefaultDepth is how many containers may stand inside one another when the
// limits do not say.
const DefaultDepth = 64

// Webhook is one POST of the platform, taken apart.
type Webhook struct {
	Object control.Object
	// Events are in the order of the body: entries, then the arrays of an
	// entry as they stand, then their elements.
	Events []Event
	// Entries counts the elements of the entry array.
	Entries int
}

// Parse splits a webhook body into its events. Events alias body, which must
// not change while they are in use. The error is ErrObject, or a *ParseError
// that names entry, index and field; then no event is returned.
//
// Messaging and standby arrays are read alike: the platform sends standby when
// its inbox or another app has control there. An element of changes whose value
// looks like a messaging element (the dashboard's test form) is that element;
// any other is kept whole as KindOther without a person.
func Parse(body []byte, limits Limits) (Webhook, error) {
	limits = limits.withDefaults()
	if len(body) > limits.MaxBytes {
		return Webhook{}, &ParseError{Offset: limits.MaxBytes, Reason: fmt.Sprintf("longer than %d bytes", limits.MaxBytes)}
	}
	jumps, err := index(body, limits.MaxDepth, make([]jump, 0, 8+len(body)/40))
	if err != nil {
		return Webhook{}, err
	}
	p := parser{document: document{jumps}, body: body, limits: limits}
	if p.webhook(); p.err != nil {
		return Webhook{}, p.err
	}
	return Webhook{Object: p.object, Events: p.events, Entries: p.entries}, nil
}

// parser goes through a checked body. err is the first fault of meaning.
type parser struct {
	document
	body    []byte
	limits  Limits
	object  control.Object
	entries int // complete ones; the index of the one being read
	events  []Event
	err     error
}

// fail records a fault at part, which is a slice of the body.
func (p *parser) fail(part []byte, format string, args ...any) {
	if p.err == nil {
		// Parts are cut from the body without a capacity of their own.
		offset := min(cap(p.body)-cap(part), len(p.body))
		p.err = &ParseError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
	}
}

func (p *parser) webhook() {
	top := node{raw: p.body[space(p.body, 0):]}
	object, entries := p.envelope(top)
	p.readObject(object, top.raw)
	if p.err == nil && (len(entries.raw) == 0 || entries.raw[0] != '[') {
		p.fail(top.raw, "no entry array")
	}
	if p.err != nil {
		return
	}
	p.events = make([]Event, 0, min(bytes.Count(entries.raw, []byte(`"recipient"`)), p.limits.MaxEvents))
	for entry := range p.items(entries) {
		if p.entry(entry); p.err != nil {
			return
		}
		p.entries++
	}
}

func (p *parser) envelope(top node) (object []byte, entries node) {
	if top.raw[0] != '{' {
		p.fail(top.raw, "the body is not an object")
	}
	for key, value := range p.members(top) {
		switch string(plain(key)) {
		case "object":
			object = value.raw
		case "entry":
			if entries.raw != nil {
				p.fail(key, "entry occurs twice")
			}
			entries = value
		}
	}
	return object, entries
}

func (p *parser) readObject(value, top []byte) {
	switch name := text(value); name {
	case "page":
		p.object = control.ObjectPage
	case "instagram":
		p.object = control.ObjectInstagram
	case "":
		p.fail(top, "no object")
	default:
		if p.err == nil {
			p.err = fmt.Errorf("%w: %.40q", ErrObject, name)
		}
	}
}

// array is one array of an entry that carries events.
type array struct {
	name  string
	value node
}

const (
	nameMessaging = "messaging"
	nameStandby   = "standby"
	nameChanges   = "changes"
)

func (p *parser) entry(entry node) {
	if p.entries >= p.limits.MaxEntries {
		p.fail(entry.raw, "more than %d entries", p.limits.MaxEntries)
		return
	}
	if entry.raw[0] != '{' {
		p.fail(entry.raw, "entry[%d] is not an object", p.entries)
		return
	}
	var asset, at []byte
	var arrays [3]array
	count := 0
	for key, value := range p.members(entry) {
		switch string(plain(key)) {
		case "id":
			asset = value.raw
		case "time":
			at = value.raw
		case nameMessaging:
			count = p.addArray(&arrays, count, array{nameMessaging, value})
		case nameStandby:
			count = p.addArray(&arrays, count, array{nameStandby, value})
		case nameChanges:
			count = p.addArray(&arrays, count, array{nameChanges, value})
		}
	}
	e := elementReader{parser: p, asset: p.entryID(asset), at: p.entryTime(at)}
	for _, a := range arrays[:count] {
		if p.err == nil {
			e.readArray(a)
		}
	}
}

func (p *parser) addArray(arrays *[3]array, count int, a array) int {
	for _, other := range arrays[:count] {
		if other.name == a.name {
			p.fail(a.value.raw, "entry[%d].%s occurs twice", p.entries, a.name)
			return count
		}
	}
	arrays[count] = a
	return count + 1
}

// entryID is the entry's asset; zero for none and for the "0" of the
// dashboard's test events, whose recipient names the asset instead.
func (p *parser) entryID(value []byte) uint64 {
	if d, ok := digits(value); absent(value) || ok && string(d) == "0" {
		return 0
	}
	id, ok := decimalID(value)
	if !ok {
		p.badID(value, fmt.Sprintf("entry[%d].id", p.entries))
	}
	return id
}

func (p *parser) badID(value []byte, path string) {
	p.fail(value, "%s is not a decimal id: %.40s", path, value)
}

func (p *parser) entryTime(value []byte) control.Millis {
	if absent(value) {
		return 0
	}
	at, ok := millis(value)
	if !ok {
		p.fail(value, "entry[%d].time is not a time in milliseconds", p.entries)
	}
	return at
}
