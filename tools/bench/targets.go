package main

import "github.com/baton-router/baton/tools/bench/report"

// targets are what Baton is to reach. "Alone" is an event that shares no POST
// on its way in or out, at saturation.
var targets = []report.Target{
	{Text: "end to end over the baseline, batching", Of: "e2e/batch 20/1 per POST/webhooks", Over: "baseline/1 per POST/webhooks", AtLeast: 8},
	{Text: "end to end over the baseline, without batching", Of: "e2e/batch 1/1 per POST/webhooks", Over: "baseline/1 per POST/webhooks", AtLeast: 4},
	{Text: "changes of control over the baseline", Of: "control/changes", Over: "baseline/control/changes", AtLeast: 2.5},
	{Text: "p99 of a change over the baseline's", Of: "control/p99", Over: "baseline/control/p99", AtMost: 1},
	{Text: "CPU per event alone, 3 subscribers", Of: "e2e/batch 1/1 per POST/CPU per event", AtMost: 130},
	{Text: "CPU per event from a backlog, 3 subscribers", Of: "e2e/backlog/CPU per event", AtMost: 25},
	{Text: "paced p99 over the baseline's", Of: "e2e/batch 20/at 300 per s/p99", Over: "baseline/at 300 per s/p99", AtMost: 1},
	{Text: "paced p99 with batching over without", Of: "e2e/batch 20/at 300 per s/p99", Over: "e2e/batch 1/at 300 per s/p99", AtMost: 1.1},
}
