package sim

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
)

// Who is who.
const (
	page   uint64        = 100200300400500
	bot    control.AppID = 700000000000001 // primary
	agent  control.AppID = 700000000000002
	survey control.AppID = 700000000000003
	baton  control.AppID = 700000000000009 // at the platform
)

// threads are persons of the page such that every partition has some.
func threads(partitions, each int) []control.ThreadKey {
	var list []control.ThreadKey
	have := make([]int, partitions)
	for person := uint64(9001); len(list) < partitions*each; person++ {
		key := control.ThreadKey{Asset: page, Person: person}
		if p := partition.Of(key, partitions); have[p] < each {
			have[p]++
			list = append(list, key)
		}
	}
	return list
}

// document is the roster of a version: the third app comes and goes.
func document(version uint64) roster.Document {
	apps := []control.AppID{bot, agent, survey}
	d := roster.Document{Format: 1, BatonApp: baton.String(), Pages: []roster.Page{{
		ID: strconv.FormatUint(page, 10), Object: "page", AccessToken: roster.NewSecret("page"),
		Routing: roster.Routing{Mode: "handover", Primary: bot.String()},
	}}}
	for i, id := range apps {
		d.Apps = append(d.Apps, roster.App{
			ID: id.String(), Name: fmt.Sprintf("app-%d", i), Secret: roster.NewSecret("secret"), Status: roster.StatusLive,
			Fields:      []string{"messages", "messaging_postbacks", "message_echoes", "messaging_handovers", "standby"},
			CallbackURL: "http://app.invalid/" + id.String(), VerifyToken: roster.NewSecret("token"),
			Delivery: roster.Delivery{
				MaxInFlight: 2, MaxBatch: 3, Timeout: roster.Duration(2 * time.Second), RetryFor: roster.Duration(1000 * time.Hour),
				OnExhausted: roster.ExhaustedBlockThread,
			},
		})
		if id == survey && version%2 == 0 {
			continue
		}
		d.Pages[0].Apps = append(d.Pages[0].Apps, roster.Connection{App: id.String(), Tasks: []string{"MESSAGING"}, Permissions: []string{"pages_messaging"}, Tokens: []roster.TokenHash{roster.HashToken(tokenOf(id))}})
	}
	return d
}

func tokenOf(app control.AppID) string { return "token-" + app.String() }

// rosters are the versions of the roster, as one node knows them. It implements
// the ports of the services.
type rosters struct {
	mu      sync.Mutex
	known   uint64
	changed chan struct{}
	all     *[]*roster.Snapshot
}

func newRosters(all *[]*roster.Snapshot) *rosters {
	return &rosters{known: uint64(len(*all)), changed: make(chan struct{}), all: all}
}

// Current implements ownership.Rosters and fanout.Rosters.
func (r *rosters) Current() *roster.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return (*r.all)[r.known-1]
}

// At implements ownership.Rosters and fanout.Rosters.
func (r *rosters) At(_ context.Context, version uint64) (*roster.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case version == 0:
		return roster.Compile(roster.Document{Format: 1}, 0)
	case version > uint64(len(*r.all)):
		return nil, fmt.Errorf("sim: no roster version %d", version)
	}
	return (*r.all)[version-1], nil
}

// Changed implements ownership.Rosters and fanout.Rosters.
func (r *rosters) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// hear makes the newest version known to the node.
func (r *rosters) hear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = uint64(len(*r.all))
	close(r.changed)
	r.changed = make(chan struct{})
}
