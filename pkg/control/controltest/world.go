package controltest

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
)

// Decider is control.Decide or a mutant of it.
type Decider func(control.State, control.Env, control.Command) ([]control.Event, control.Refusal)

// Start is the time at which every script starts.
const Start control.Millis = 1790000000000

// Person is the person whose thread a script is about.
const Person = 9001234567890123

// The apps of the scripts.
const (
	A control.AppID = 700000000000001 + iota
	B
	C
	T
	H
	V
	D
	F
	N
)

// World is the page and the thread of a script under way.
type World struct {
	Page  *control.Page
	State control.State
	Now   control.Millis
	// Without are the webhook fields that an app is not subscribed to;
	// Extended the apps with extended standby.
	Without  map[control.AppID][]string
	Extended map[control.AppID]bool

	position control.Position
	options  Options
	silent   bool
	seen     map[[16]byte]bool
	inputs   uint64
}

// Decided is an event with the position it took.
type Decided struct {
	Position control.Position
	Event    control.Event
}

func newWorld(mode string, o Options) *World {
	if o.Decide == nil {
		o.Decide = control.Decide
	}
	return &World{
		Page: NewPage(mode), Now: Start, position: 1, options: o, seen: map[[16]byte]bool{},
		Without: map[control.AppID][]string{}, Extended: map[control.AppID]bool{},
	}
}

// NewPage is the page of the scripts in a mode: h, h0, z or d.
func NewPage(mode string) *control.Page {
	p := &control.Page{
		Asset: 100200300400500, BatonApp: N, Expiry: control.Day,
		Apps: map[control.AppID]control.App{
			A: {}, B: {}, C: {}, T: {CanTake: true}, H: {CanTake: true, HumanAgent: true},
		},
	}
	switch mode {
	case "h":
		p.Lead, p.OwnerSendExtends = A, true
	case "h0":
		p.OwnerSendExtends = true
	case "z":
		p.Mode, p.IdleChannel = control.ModeZeroConfig, control.ChannelMessaging
	case "d":
		p.Mode, p.Lead = control.ModeDefaultApp, A
	default:
		panic("controltest: no mode " + mode) //nolint:forbidigo // a script that cannot be run
	}
	return p
}

// do runs one line of a script and returns its output.
func (w *World) do(line string) ([]string, error) {
	a, err := words(line)
	if err != nil {
		return nil, err
	}
	switch verb := a.verb; {
	case strings.HasPrefix(verb, "#"):
		return nil, nil
	case verb == "given":
		w.silent = true
		defer func() { w.silent = false }()
		return nil, w.given(strings.TrimPrefix(line, "given "))
	case verb == "page":
		return nil, w.setPage(a)
	case verb == "wait":
		d, err := span(a.arg(0))
		w.Now += d
		return nil, err
	case verb == "fill", verb == "queue":
		return nil, w.fill(a)
	case verb == "roles":
		return w.roles(a)
	case verb == "may_set_page_menu":
		app, err := appOf(a.arg(0))
		return []string{w.refusal(control.MaySetPageMenu(w.Page, app))}, err
	case verb == "receivers":
		return w.receivers(a)
	}
	c, err := w.command(a)
	if err != nil {
		return nil, err
	}
	return w.decide(c), nil
}

// decide runs c as the partition's holder would: a repeated webhook is dropped
// by its key, what is decided is applied.
func (w *World) decide(c control.Command) []string {
	if hook, ok := c.(control.Webhook); ok {
		if w.seen[hook.Dedupe] {
			return []string{"duplicate"}
		}
		w.seen[hook.Dedupe] = true
	}
	env := control.Env{Now: w.Now, Position: w.position, Page: w.Page, Person: Person}
	events, refusal := w.options.Decide(w.State, env, c)
	out := w.apply(events)
	if refusal.Refused() {
		out = append(out, w.refusal(refusal))
	}
	if read, ok := c.(control.ReadOwner); ok && !refusal.Refused() {
		out = append(out, w.view(control.Owned(w.State, w.Page, w.Now).For(w.Page, read.By)))
	}
	return append(out, w.thread())
}

func (w *World) apply(events []control.Event) []string {
	var out []string
	for _, e := range events {
		w.State = control.Evolve(w.State, e)
		out = append(out, w.event(e))
		if w.options.Deliveries != nil && !w.silent {
			for _, line := range w.options.Deliveries(w, Decided{Position: w.position, Event: e}) {
				out = append(out, "-> "+line)
			}
		}
		w.position++
	}
	return out
}

// given sets the thread up without going through Decide where a word exists for
// it, else by a command.
func (w *World) given(line string) error {
	a, err := words(line)
	if err != nil {
		return err
	}
	switch a.verb {
	case "own":
		return w.givenOwner(a)
	case "idle":
		return nil
	case "user":
		at, err := span(a.arg(0))
		w.apply([]control.Event{control.Routed{UserAt: w.Now + at, At: w.Now}})
		return err
	case "done": // as if marked in the inbox
		w.apply([]control.Event{control.DoneMarked{Done: true, At: w.Now}})
		return nil
	}
	_, err = w.do(line)
	return err
}

// fill brings a list of the thread to its bound: open sends of an app, or the
// queue of requests.
func (w *World) fill(a args) error {
	app, err := appOf(a.arg(0))
	for n := range control.AppID(control.MaxOpenSends) {
		switch {
		case a.verb == "fill":
			w.apply([]control.Event{control.SendAccepted{ID: w.position, App: app, At: w.Now}})
		case n < control.MaxRequests:
			w.apply([]control.Event{control.Requested{App: n + 1, At: w.Now}})
		}
	}
	return err
}

func (w *World) givenOwner(a args) error {
	app, err := appOf(a.arg(0))
	if err != nil {
		return err
	}
	change := control.Change{To: app, At: w.Now, ExpiresAt: w.Now + control.Day, PlatformSide: true, WantInbox: app.IsInbox()}
	if until := a.get("expires"); until != "" {
		d, err := span(until)
		if err != nil {
			return err
		}
		change.ExpiresAt = w.Now + d
	}
	w.apply([]control.Event{control.Taken{Change: change}})
	return nil
}

// setPage changes a copy of the page's rules.
func (w *World) setPage(a args) error {
	p := *w.Page
	p.Apps, p.Links, p.Ads, p.Menu = clone(p.Apps), clone(p.Links), clone(p.Ads), clone(p.Menu)
	for _, pair := range a.pairs {
		if err := w.pageSetting(&p, pair); err != nil {
			return err
		}
	}
	for _, name := range a.list {
		flag, ok := switches(&p)[name]
		if !ok {
			return fmt.Errorf("no page switch %q", name)
		}
		*flag = true
	}
	w.Page = &p
	return nil
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[K]V{}
	}
	return c
}

func switches(p *control.Page) map[string]*bool {
	return map[string]*bool{
		"auto_grant": &p.AutoGrantOnRelease, "send_extends": &p.OwnerSendExtends, "idle_send_owner_only": &p.IdleSendOwnerOnly,
		"announce": &p.AnnounceIdleAssignment, "literal": &p.ZeroConfigLiteral, "strict_idle_pass": &p.StrictIdlePass,
		"link_preempts": &p.LinkPreempts, "broadcast": &p.BroadcastHandovers, "mark_seen": &p.MarkSeenByAnyone,
	}
}

func (w *World) roles(a args) ([]string, error) {
	before := w.Page
	if err := w.setPage(a); err != nil {
		return nil, err
	}
	events := control.RoleChanges(before, w.Page, w.Now, control.Actor{Kind: control.ActorOperator, Name: "ops"})
	return append(w.apply(events), w.thread()), nil
}

func (w *World) receivers(a args) ([]string, error) {
	app, err := appOf(a.arg(0))
	if err != nil {
		return nil, err
	}
	list, refusal := control.Receivers(w.Page, app)
	if refusal.Refused() {
		return []string{w.refusal(refusal)}, nil
	}
	var names []string
	for _, a := range list {
		names = append(names, AppName(a))
	}
	return []string{strings.Join(names, " ")}, nil
}

// New starts a script to be played line by line.
func New(mode string) *World { return newWorld(mode, Options{}) }

// Play runs lines and returns what the last one decided; a line that cannot be
// read fails the test.
func (w *World) Play(tb testing.TB, lines ...string) string {
	tb.Helper()
	var out []string
	for _, line := range lines {
		var err error
		if out, err = w.do(line); err != nil {
			tb.Fatalf("%q: %v", line, err)
		}
	}
	return strings.Join(out, "\n")
}
