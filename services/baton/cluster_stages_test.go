package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/tools/localcluster"
)

// lull is the longest time between two moments of which the second lies behind
// another one.
type lull struct {
	began time.Time
	took  time.Duration
}

// longestLull is that of some moments, ascending.
func longestLull(moments []time.Time, from time.Time) (longest lull) {
	for i := 1; i < len(moments); i++ {
		if took := moments[i].Sub(moments[i-1]); moments[i].After(from) && took > longest.took {
			longest = lull{moments[i-1], took}
		}
	}
	return longest
}

// tellsAll has the nodes log all that they have to say.
func tellsAll(o *localcluster.Options) { o.Arguments = []string{"--log-level", "debug"} }

// stage is a line of a node's log.
type stage struct {
	at   time.Time
	what string
}

// around is what of a move lies before its pause.
const around = 100 * time.Millisecond

// stages are what the nodes logged of a partition while it stood still and shortly
// before, each with how long after the beginning of that.
func (c *clusterWorld) stages(partition int, l lull) string {
	about := regexp.MustCompile(fmt.Sprintf(` partition=%d( |$)`, partition))
	var found []stage
	for _, node := range c.Nodes {
		text, err := os.ReadFile(node.Log)
		if err != nil {
			c.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			stamp, what, ok := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			if !ok || err != nil || !about.MatchString(line) || at.Before(l.began.Add(-around)) || at.After(l.began.Add(l.took)) {
				continue
			}
			found = append(found, stage{at, node.Name + ": " + about.ReplaceAllString(what, "$1")})
		}
	}
	slices.SortStableFunc(found, func(a, b stage) int { return a.at.Compare(b.at) })
	list := fmt.Sprintf("partition %d stood still for %s", partition, l.took.Round(time.Millisecond))
	for _, s := range found {
		list += fmt.Sprintf("\n%5d ms %s", s.at.Sub(l.began).Milliseconds(), s.what)
	}
	return list
}
