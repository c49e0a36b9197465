package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkConsoles puts the operators' questions to every node: wherever what they
// are about is held, each knows it all, or says whom to ask.
func (c *clusterWorld) checkConsoles(person uint64) {
	c.t.Helper()
	thread := fmt.Sprintf("%d %d", crashPage, person)
	for _, line := range []string{
		"thread ls --limit 1000", "thread show " + thread, "log tail -n 50", "log verify", "app ls", "app show app-1", "delivery ls",
		"token ls", "-o json thread ls", "-o json log tail --user " + fmt.Sprint(person),
	} {
		var first string
		for i, node := range c.Nodes {
			d := &desk{t: c.t, admin: "http://" + c.Admin[i]}
			switch got := withoutAges(d.ok(line)); {
			case i == 0:
				first = got
			case got != first:
				c.t.Errorf("baton %s: %s says\n%s\n%s says\n%s", line, c.Nodes[0].Name, first, node.Name, got)
			}
		}
		if len(strings.Split(first, "\n")) < 2 && line != "delivery ls" {
			c.t.Errorf("baton %s says %q", line, first)
		}
	}
	for i := range c.Nodes {
		d := &desk{t: c.t, admin: "http://" + c.Admin[i]}
		if a := d.run("replay"); a.code != exitDone {
			c.t.Errorf("baton replay on %s: %s%s", c.Nodes[i].Name, a.out, a.errors)
		}
		if out := d.run("doctor"); strings.Contains(out.out, "held by no node") || !strings.Contains(out.out, "by 3 nodes") {
			c.t.Errorf("baton doctor on %s: %s%s", c.Nodes[i].Name, out.out, out.errors)
		}
		c.checkAttempts(d, i)
	}
	c.operateAnywhere(person)
}

// checkAttempts: the delivery log is the node's own, and it says who else has
// one.
func (c *clusterWorld) checkAttempts(d *desk, node int) {
	c.t.Helper()
	for _, line := range []string{"delivery ls --attempts --limit 1", "delivery show 0-1"} {
		said := d.run(line).errors
		for i, other := range c.Nodes {
			if i != node && !strings.Contains(said, other.Name) {
				c.t.Errorf("baton %s on %s does not name %s: %q", line, c.Nodes[node].Name, other.Name, said)
			}
		}
	}
}

// operateAnywhere moves a thread from each node and looks at it from the next.
func (c *clusterWorld) operateAnywhere(person uint64) {
	c.t.Helper()
	thread := fmt.Sprintf("%d %d", crashPage, person)
	for i := range c.Nodes {
		d, next := &desk{t: c.t, admin: "http://" + c.Admin[i]}, &desk{t: c.t, admin: "http://" + c.Admin[(i+1)%len(c.Nodes)]}
		target := fmt.Sprint("app-", 2+i%2)
		d.ok(fmt.Sprintf("thread pass %s %s", thread, target))
		if got := next.ok("thread show " + thread); !strings.Contains(got, target) {
			c.t.Errorf("after a pass to %s by way of one node, another shows\n%s", target, got)
		}
		for _, verb := range []string{"pause", "resume"} {
			d.ok("app " + verb + " app-3")
			want := map[string]string{"pause": "paused", "resume": "active"}[verb]
			if !within(10*time.Second, func() bool { return slices.Contains(strings.Fields(next.ok("app show app-3")), want) }) {
				c.t.Errorf("after app %s by way of one node, another shows\n%s", verb, next.ok("app show app-3"))
			}
		}
	}
}

// withoutAges leaves out what says how old something is.
func withoutAges(text string) string {
	words := strings.Fields(text)
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { _, err := time.ParseDuration(w); return err == nil && w != "0" }), " ") + "\n" +
		fmt.Sprint(len(strings.Split(text, "\n")), " lines")
}
