package delivery

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

var rewrite = flag.Bool("rewrite", false, "write what was planned to the conformance rows")

// TestRows runs the conformance table with its deliveries.
func TestRows(t *testing.T) {
	t.Parallel()
	blocks := controltest.Load(t, "../control/testdata/rows/*.txt")
	controltest.Run(t, blocks, controltest.Options{Deliveries: planned, Rewrite: *rewrite})
}

// planned plans the event on the page of the script, apps with equal copies in
// one line.
func planned(w *controltest.World, d controltest.Decided) []string {
	thread := control.ThreadKey{Asset: w.Page.Asset, Person: controltest.Person}
	var lines []string
	at := map[string]int{}
	for _, d := range Plan(pageOf(w), Entry{Position: d.Position, Thread: thread, Event: d.Event}) {
		name, copied := controltest.AppName(d.App), written(d)
		i, known := at[copied]
		if !known {
			at[copied] = len(lines)
			lines = append(lines, name+copied)
			continue
		}
		lines[i] = strings.TrimSuffix(lines[i], copied) + " " + name + copied
	}
	return lines
}

func written(d Delivery) string {
	text := fmt.Sprintf(" %s %s", d.Channel, d.Body)
	if d.Rewrite {
		text += " sender=" + controltest.AppName(d.Sender)
	}
	if d.Body != BodyEvent && d.Body != BodyNoPayload {
		text += fmt.Sprintf(" %s>%s", controltest.AppName(d.Previous), controltest.AppName(d.New))
	}
	if d.Primary {
		text += " primary"
	}
	if d.Metadata != "" {
		text += " metadata=" + d.Metadata
	}
	return text
}

// pageOf subscribes every connected app to every field but those it is without.
func pageOf(w *controltest.World) *Page {
	p := &Page{Rules: w.Page}
	for _, app := range slices.Sorted(maps.Keys(w.Page.Apps)) {
		r := Receiver{App: app, Fields: ^FieldSet(0), StandbyExtended: w.Extended[app]}
		for _, name := range w.Without[app] {
			f, _ := ParseField(name)
			r.Fields &^= Fields(f)
		}
		p.Receivers = append(p.Receivers, r)
	}
	return p
}
