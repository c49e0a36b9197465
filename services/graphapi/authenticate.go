package graphapi

import (
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// authenticate finds out who calls: the token names an app on an asset, the
// proof fits, the node in the path is that asset, and the app's limit is not
// used up. Sources: protocol 2.0, 12.20.
func (s *Service) authenticate(c *call) error {
	c.snapshot = s.deps.Roster()
	if c.snapshot == nil {
		return graph.Unavailable(1)
	}
	token := c.params.Token(c.authorization)
	if token == "" {
		return graph.MissingToken()
	}
	caller, ok := c.snapshot.Caller(token)
	if !ok {
		if c.snapshot.Revoked(token) {
			return graph.RevokedToken()
		}
		return graph.InvalidToken()
	}
	if err := proven(c, caller, token); err != nil {
		return err
	}
	if !named(c, caller) {
		return graph.UnknownNode(c.method, c.path.Node)
	}
	c.caller = caller
	var wait int
	if c.usage, wait, ok = s.limiter.Admit(caller); !ok {
		return graph.AppLimit(wait)
	}
	return nil
}

// proven checks appsecret_proof: always when it is there, and that it is there
// when the app demands it.
func proven(c *call, caller *roster.Caller, token string) error {
	switch {
	case !c.params.Has("appsecret_proof"):
		if caller.App.RequireAppsecretProof {
			return graph.MissingProof()
		}
	case !caller.App.ProofFits(token, c.params.Text("appsecret_proof")):
		return graph.WrongProof()
	}
	return nil
}

// named reports whether the node means the token's asset.
func named(c *call, caller *roster.Caller) bool {
	if c.path.IsMe() {
		return true
	}
	id, ok := c.path.NodeID()
	return ok && caller.Asset.Named(id)
}

// authorise checks what the token allows, whatever the thread's state. Sources:
// protocol 12.35, row 101.
func authorise(c *call, task string) error {
	switch {
	case !c.caller.Connected:
		return graph.OnlyReceivers().With(graph.Detail{
			Reason: "NOT_CONNECTED", Explain: "the app has left this page; POST subscribed_apps connects it again",
		})
	case !c.caller.HasTask(task):
		return graph.MissingPermission("Requires the " + task + " task on the page").With(graph.Detail{Reason: "MISSING_TASK"})
	case !c.caller.HasPermission(c.caller.MessagingPermission()):
		return graph.MissingPermission("Requires " + c.caller.MessagingPermission() + " permission to manage the object").
			With(graph.Detail{Reason: "MISSING_PERMISSION"})
	}
	return nil
}
