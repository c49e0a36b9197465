package main

import "github.com/baton-router/baton/tools/bench/report"

// targets are what Baton is to reach. "Alone" is an event that shares no POST
// on its way in or out, at saturation. The microseconds are those of the machine
// on which the parts added up to 122 alone and 18 together: on another, the
// ratio to the sum of the parts says the same.
var targets = []report.Target{
	{Text: "end to end over the baseline, batching, 1 per POST", Of: "e2e/batch 20/1 per POST/webhooks", Over: "baseline/1 per POST/webhooks", AtLeast: 8},
	{Text: "end to end over the baseline, batching, 20 per POST", Of: "e2e/batch 20/20 per POST/webhooks", Over: "baseline/20 per POST/webhooks", AtLeast: 8},
	{Text: "end to end over the baseline, without batching, 1 per POST", Of: "e2e/batch 1/1 per POST/webhooks", Over: "baseline/1 per POST/webhooks", AtLeast: 4},
	{Text: "end to end over the baseline, without batching, 20 per POST", Of: "e2e/batch 1/20 per POST/webhooks", Over: "baseline/20 per POST/webhooks", AtLeast: 4},
	{Text: "changes of control over the baseline", Of: "control/changes", Over: "baseline/control/changes", AtLeast: 2.5},
	{Text: "p99 of a change over the baseline's", Of: "control/p99", Over: "baseline/control/p99", AtMost: 1},
	{Text: "CPU per event alone, 3 subscribers", Of: "e2e/batch 1/1 per POST/CPU per event", AtMost: 130},
	{Text: "CPU per event from a backlog, 3 subscribers", Of: "e2e/backlog/CPU per event", AtMost: 25},
	{Text: "CPU per event alone over the sum of its parts", Of: "e2e/batch 1/1 per POST/CPU per event", Over: "floors/sum of the parts/1 together/CPU per event", AtMost: 130.0 / 122},
	{Text: "CPU per event from a backlog over the sum of its parts", Of: "e2e/backlog/CPU per event", Over: "floors/sum of the parts/20 together/CPU per event", AtMost: 25.0 / 18},
	{Text: "paced p99 over the baseline's", Of: "e2e/batch 20/at 300 per s/p99", Over: "baseline/at 300 per s/p99", AtMost: 1},
	{Text: "paced p99 with batching over without", Of: "e2e/batch 20/at 300 per s/p99", Over: "e2e/batch 1/at 300 per s/p99", AtMost: 1.1},
	{Text: "CPU per event, 1 million threads over 10 thousand", Of: "scale/1,000,000 threads/CPU per event", Over: "scale/1,000,000 threads/" + fewBeside, AtMost: 1.15},
	{Text: "CPU per event, 10 million threads over 10 thousand", Of: "scale/10,000,000 threads/CPU per event", Over: "scale/10,000,000 threads/" + fewBeside, AtMost: 1.15},
	{Text: "memory per idle thread beyond 100 thousand, of 1 million", Of: "scale/1,000,000 threads/memory per idle thread", AtMost: 150},
	{Text: "memory per idle thread beyond 100 thousand, of 10 million", Of: "scale/10,000,000 threads/memory per idle thread", AtMost: 150},
	{Text: "restart after kill -9 with 1 million threads", Of: "scale/1,000,000 threads/restart", AtMost: 2},
	{Text: "p99 of the others beside a slow app over without", Of: "isolation/slow app/p99 of the others", Over: "isolation/slow app/all well/p99 of the others", AtMost: 1.1},
	{Text: "p99 of the others beside a dead app over without", Of: "isolation/dead app/p99 of the others", Over: "isolation/dead app/all well/p99 of the others", AtMost: 1.1},
	{Text: "memory grown by a backlog", Of: "isolation/dead app/memory grown", AtMost: 64},
	{Text: "events replayed", Of: "replay/events folded", AtLeast: 500_000},
	{Text: "p99 of a state at a past time", Of: "replay/state at a past time/p99", AtMost: 10},
}
