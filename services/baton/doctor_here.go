package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/baton-router/baton/pkg/assignment"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/services/fanout"
)

// examineHere looks for what is missing on this node.
func (n *node) examineHere(ctx context.Context, e *examination) {
	examineDataDir(e, n.cfg.DataDir)
	n.examineStreams(ctx, e)
	n.examinePartitions(e)
	n.examineSnapshots(e)
	n.examineAssignments(e)
	examineRoster(e, n.rosters.Current())
	n.examineFanout(ctx, e)
}

// examineDataDir tries to write where the data is.
func examineDataDir(e *examination, dir string) {
	const subject = "data directory"
	stat, err := os.Stat(dir)
	if err != nil {
		e.find(problem, subject, advice{err.Error(), "nothing can be stored", "create " + dir + " for the user that runs Baton"})
		return
	}
	if stat.Mode().Perm()&0o077 != 0 {
		e.find(note, subject, advice{
			fmt.Sprintf("others may look into %s (mode %o)", dir, stat.Mode().Perm()), "it holds secrets and customers' texts", "chmod 700 " + dir,
		})
	}
	file, err := os.CreateTemp(dir, ".doctor-")
	if err == nil {
		err = errors.Join(file.Sync(), file.Close(), os.Remove(file.Name()))
	}
	if err != nil {
		e.find(problem, subject, advice{"it cannot be written: " + err.Error(), "nothing can be stored", "make room, and give it to the user that runs Baton"})
		return
	}
	e.well("%s: %s can be written", subject, dir)
}

// examineStreams compares the streams with what they should be.
func (n *node) examineStreams(ctx context.Context, e *examination) {
	if err := n.bus.CheckStreams(ctx, n.streamConfig()); err != nil {
		e.find(problem, "streams", advice{err.Error(), "events and decisions are kept there", "restore them, or set the configuration back to what they were made with"})
		return
	}
	e.well("streams: all present and as configured")
}

// examinePartitions looks for partitions that nobody decides.
func (n *node) examinePartitions(e *examination) {
	held := 0
	for _, st := range n.statuses() {
		if st.Held {
			held++
		}
		if st.Halted != "" {
			e.find(problem, fmt.Sprintf("partition %d", st.Partition), advice{
				"it has halted: " + st.Halted, "its threads neither move nor hear anything", "baton log verify says where store and log differ; restore what is damaged from a backup",
			})
		}
	}
	if n.ownership != nil && n.server != nil && held < n.cfg.Partitions {
		e.find(problem, "partitions", advice{
			fmt.Sprintf("%d of %d are held", held, n.cfg.Partitions), "the threads of the others wait", "see /readyz; after a start it takes a moment",
		})
		return
	}
	e.well("partitions: %d held here", held)
}

// examineAssignments looks for partitions that no node of a cluster holds.
func (n *node) examineAssignments(e *examination) {
	for _, s := range []*assignment.Service{n.assigned.ownership, n.assigned.fanout} {
		if s == nil || n.server != nil {
			continue
		}
		if missing := unheld(s.View(), n.cfg.Partitions); missing > 0 {
			e.find(problem, s.Name(), advice{
				fmt.Sprintf("%d of %d partitions are held by no node", missing, n.cfg.Partitions), "their threads wait",
				"GET /debug/partitions says who is there; start a node with the role, or see /readyz of those that run",
			})
			continue
		}
		e.well("%s: every partition is held, by %d nodes", s.Name(), len(s.View()))
	}
}

// examineFanout asks those who deliver, on whatever node, how the apps are.
func (n *node) examineFanout(ctx context.Context, e *examination) {
	o, err := (fanout.Remote{Bus: n.bus, Partitions: n.cfg.Partitions}).Show(ctx, 0)
	if err != nil {
		e.find(problem, "deliveries", advice{err.Error(), "nothing is delivered", "start a node with the role fanout, or see /readyz of those that run"})
		return
	}
	if len(o.Missing) > 0 {
		e.find(problem, "deliveries", advice{
			fmt.Sprintf("nobody delivers for the partitions %v", o.Missing), "their events wait in the log", "after a start it takes a moment; else see /readyz of the nodes with the role fanout",
		})
	}
	examineDeliveries(e, n.rosters.Current(), o.Apps)
}

// examineRoster looks for apps and pages that cannot do what they are there for.
func examineRoster(e *examination, snapshot *roster.Snapshot) {
	if len(snapshot.Assets()) == 0 {
		e.find(problem, "roster", advice{"it has no pages", "there is nothing to route", "add pages to the configuration: baton apply -f"})
	}
	for _, id := range snapshot.Assets() {
		asset, _ := snapshot.Asset(id)
		subject := "page " + strconv.FormatUint(id, 10)
		if len(asset.Rules.Apps) == 0 {
			e.find(problem, subject, advice{"no app is connected to it", "nobody hears what people write there", "connect apps in the configuration, or by POST subscribed_apps"})
		}
		if lead, ok := snapshot.App(asset.Rules.Lead); ok && lead.CallbackURL == "" {
			e.find(problem, subject, advice{"its lead, " + appLabel(lead) + ", has no callback_url", "new messages go to an app that hears nothing", "set its callback_url"})
		}
	}
	for _, id := range snapshot.Apps() {
		app, _ := snapshot.App(id)
		if app.CallbackURL != "" && len(app.Fields) == 0 && len(app.InstagramFields) == 0 {
			e.find(problem, "app "+appLabel(app), advice{"it is subscribed to no fields", "nothing is ever delivered to it", "name the fields in the configuration, or by POST subscriptions"})
		}
	}
	e.well("roster: version %d, %d apps, %d pages", snapshot.Version(), len(snapshot.Apps()), len(snapshot.Assets()))
}

func appLabel(app *roster.Application) string {
	if app.Name == "" {
		return app.ID
	}
	return app.Name
}

// examineDeliveries looks for apps that get nothing at present.
func examineDeliveries(e *examination, snapshot *roster.Snapshot, states []fanout.AppStatus) {
	for i := range states {
		app, ok := snapshot.App(states[i].App)
		if !ok || app.CallbackURL == "" {
			continue
		}
		switch state, reason := states[i].State(); state {
		case "active":
			e.well("app %s: active", appLabel(app))
		case "waiting":
			e.find(problem, "app "+appLabel(app), advice{
				"its callback " + app.CallbackURL + " has not answered the challenge", "its events wait in the log",
				"start the app; check callback_url, verify_token and egress.allow",
			})
		default:
			e.find(problem, "app "+appLabel(app), advice{
				"its deliveries are " + state + " " + reason, "its events wait in the log", "baton app ls shows the lag; baton app resume continues a paused app",
			})
		}
	}
}
