package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baton-router/baton/pkg/assignment"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/services/console"
	"github.com/baton-router/baton/services/fanout"
)

// assignments place the partitions of the roles that hold some. The fields are
// nil for roles that do not run here.
type assignments struct {
	ownership, fanout *assignment.Service
}

// assign makes the assignments of the node's roles.
func (n *node) assign() (err error) {
	var deciding func() bool // partitions to decide on come first
	if n.ownership != nil && n.decides {
		if n.assigned.ownership, err = n.assignment("ownership", n.ownership, nil); err != nil {
			return err
		}
		deciding = n.assigned.ownership.Busy
	}
	if n.fanout != nil {
		n.assigned.fanout, err = n.assignment("fanout", n.fanout, deciding)
	}
	return err
}

func (n *node) assignment(role string, holder assignment.Role, waits func() bool) (*assignment.Service, error) {
	c := assignment.Default(role, n.name, n.cfg.Partitions)
	c.Alone, c.Waits = n.server != nil, waits
	return assignment.New(c, n.bus, holder, n.log)
}

// openName finds the node's name: the configured one, or one that is made up at
// the first start and kept in the data directory.
func (n *node) openName() error {
	if n.name = n.cfg.Node; n.name != "" {
		return nil
	}
	file := filepath.Join(n.cfg.DataDir, "NODE")
	kept, err := os.ReadFile(file)
	if err == nil && len(strings.TrimSpace(string(kept))) > 0 {
		n.name = strings.TrimSpace(string(kept))
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("node name: %w", err)
	}
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	n.name = "node-" + hex.EncodeToString(id[:])
	return os.WriteFile(file, []byte(n.name+"\n"), 0o600)
}

// delivering names the other nodes that deliver, as the answers of those who do
// say.
func (n *node) delivering(ctx context.Context) (others []string) {
	if n.server != nil {
		return nil
	}
	o, _ := (fanout.Remote{Bus: n.bus, Partitions: n.cfg.Partitions}).Show(ctx, 0)
	for i := range o.Apps {
		for _, p := range o.Apps[i].Partitions {
			if p.Node != n.name && !slices.Contains(others, p.Node) {
				others = append(others, p.Node)
			}
		}
	}
	slices.Sort(others)
	return others
}

// unheld counts the partitions that no node holds, as this one sees it.
func unheld(nodes []assignment.Node, partitions int) int {
	held := map[int]bool{}
	for _, node := range nodes {
		for _, p := range node.Held {
			held[p] = true
		}
	}
	return partitions - len(held)
}

// measureAssignment renews the conditions of the roles' partitions.
func (n *node) measureAssignment() {
	for _, s := range []*assignment.Service{n.assigned.ownership, n.assigned.fanout} {
		if s == nil || n.server != nil {
			continue
		}
		name := s.Name()
		missing := unheld(s.View(), n.cfg.Partitions)
		switch {
		case s.Twin():
			n.health.Set(name, lifecycle.NotReady, "another process goes by this node's name "+n.name+": give each its own (node in the configuration)")
		case missing > 0:
			n.health.Set(name, lifecycle.NotReady, fmt.Sprintf("%d of %d partitions are held by no node", missing, n.cfg.Partitions))
		default:
			n.health.Set(name, lifecycle.OK, "")
		}
	}
}

// assignmentView is who is there and holds what, as this node sees it.
type assignmentView struct {
	Node      string           `json:"node"`
	Ownership []assignmentNode `json:"ownership"`
	Fanout    []assignmentNode `json:"fanout"`
}

type assignmentNode struct {
	Node    string `json:"node"`
	Held    []int  `json:"held"`
	Load    int    `json:"load"`
	Leaving bool   `json:"leaving,omitempty"`
}

// mountAssignments serves GET /debug/partitions on the admin listener.
func (n *node) mountAssignments() console.Mount {
	list := func(s *assignment.Service) []assignmentNode {
		nodes := []assignmentNode{}
		if s == nil {
			return nodes
		}
		for _, m := range s.View() {
			nodes = append(nodes, assignmentNode{Node: m.Name, Held: append([]int{}, m.Held...), Load: m.Load, Leaving: m.Leaving})
		}
		return nodes
	}
	return console.Mount{Path: "GET /debug/partitions", Role: console.RoleViewer, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(assignmentView{Node: n.name, Ownership: list(n.assigned.ownership), Fanout: list(n.assigned.fanout)})
	})}
}
