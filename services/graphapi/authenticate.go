package graphapi

import (
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// authenticate finds out who calls: the token names an app on an asset, the
// proof fits, and the app's limit is not used up. Source: protocol 2.0.
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
	if err := proven(c, caller.App, token, caller.App.RequireAppsecretProof); err != nil {
		return err
	}
	c.caller, c.token = caller, token
	return s.admit(c, caller)
}

// again checks after a wait that the token is still good and its app still
// there, so that taking either away has its effect at once.
func (s *Service) again(c *call) error {
	now := s.deps.Roster()
	if now == c.snapshot || now == nil {
		return nil
	}
	caller, ok := now.Caller(c.token)
	switch {
	case !ok:
		return graph.RevokedToken()
	case !caller.Connected:
		return notConnected()
	}
	c.snapshot, c.caller = now, caller
	return nil
}

// authenticateApp finds out which app calls with an app token, APPID|SECRET.
func (s *Service) authenticateApp(c *call) (*roster.Application, error) {
	c.snapshot = s.deps.Roster()
	if c.snapshot == nil {
		return nil, graph.Unavailable(1)
	}
	token := c.params.Token(c.authorization)
	if token == "" {
		return nil, graph.MissingToken()
	}
	id, secret, ok := graph.SplitAppToken(token)
	if !ok {
		if _, known := c.snapshot.Caller(token); known {
			return nil, graph.AppTokenRequired()
		}
		return nil, graph.InvalidToken()
	}
	app, ok := c.snapshot.App(control.AppID(id))
	if !ok || !app.SecretFits(secret) {
		return nil, graph.InvalidToken()
	}
	// Clients that prove every call prove debug_token by the token it asks about.
	if asked := c.params.Text("input_token"); !app.ProofFits(asked, c.params.Text("appsecret_proof")) {
		if err := proven(c, app, token, false); err != nil {
			return nil, err
		}
	}
	return app, s.admit(c, &roster.Caller{App: app})
}

// admit takes the call off the app's limit.
func (s *Service) admit(c *call, caller *roster.Caller) error {
	var wait int
	var ok bool
	if c.usage, wait, ok = s.limiter.Admit(caller); !ok {
		return graph.AppLimit(wait)
	}
	return nil
}

// proven checks appsecret_proof: always when it is there, and that it is there
// when it is required.
func proven(c *call, app *roster.Application, token string, required bool) error {
	switch {
	case !c.params.Has("appsecret_proof"):
		if required {
			return graph.MissingProof()
		}
	case !app.ProofFits(token, c.params.Text("appsecret_proof")):
		return graph.WrongProof()
	}
	return nil
}

// named reports whether the node means the token's asset. Source: protocol
// 12.20.
func named(c *call, caller *roster.Caller) bool {
	if c.path.IsMe() {
		return true
	}
	id, ok := c.path.NodeID()
	return ok && caller.Asset.Named(id)
}

// authorise checks what the token allows, whatever the thread's state. Sources:
// protocol 12.35, row 101.
func authorise(c *call, r route) error {
	permission := r.permission
	if permission == "" {
		permission = c.caller.MessagingPermission()
	}
	switch {
	case !c.caller.Connected && !r.away:
		return notConnected()
	case !c.caller.HasTask(r.task):
		return graph.MissingPermission("Requires the " + r.task + " task on the page").With(graph.Detail{Reason: "MISSING_TASK"})
	case !c.caller.HasPermission(permission):
		return graph.MissingPermission("Requires " + permission + " permission to manage the object").
			With(graph.Detail{Reason: "MISSING_PERMISSION"})
	}
	return nil
}

func notConnected() error {
	return graph.OnlyReceivers().With(graph.Detail{
		Reason: "NOT_CONNECTED", Explain: "the app has left this page; POST subscribed_apps connects it again",
	})
}
