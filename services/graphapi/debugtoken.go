package graphapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// debugToken is debug_token: an app asks what one of its tokens is good for,
// with its app token or with another of its tokens. Source: protocol 2.4.
func (s *Service) debugToken(_ context.Context, c *call) (reply, error) {
	viewer, err := s.viewer(c)
	if err != nil {
		return reply{}, err
	}
	if c.method != http.MethodGet {
		return reply{}, unsupported(c, "debug_token is called with GET")
	}
	token := c.params.Text("input_token")
	if token == "" {
		return reply{}, graph.MissingParameter("input_token")
	}
	info, err := tokenInfo(c.snapshot, viewer, token)
	if err != nil {
		return reply{}, err
	}
	return success(info.Body()), nil
}

// viewer is the app that asks.
func (s *Service) viewer(c *call) (*roster.Application, error) {
	token := c.params.Token(c.authorization)
	if _, _, ok := graph.SplitAppToken(token); ok || token == "" {
		return s.authenticateApp(c)
	}
	if err := s.authenticate(c); err != nil {
		return nil, err
	}
	return c.caller.App, nil
}

// tokenInfo is what an app may know of a token; the error is that the token is
// another app's.
func tokenInfo(snapshot *roster.Snapshot, viewer *roster.Application, token string) (graph.TokenInfo, error) {
	never := int64(0)
	info := graph.TokenInfo{Application: viewer.Name, AppID: viewer.ID, Valid: true, Expires: &never}
	if id, secret, ok := graph.SplitAppToken(token); ok {
		app, known := snapshot.App(control.AppID(id))
		switch {
		case !known || !app.SecretFits(secret):
			return graph.InvalidTokenInfo(graph.InvalidToken()), nil
		case app != viewer:
			return graph.TokenInfo{}, graph.OtherApp()
		}
		info.Type = "APP"
		return info, nil
	}
	caller, ok := snapshot.Caller(token)
	switch {
	case !ok && snapshot.Revoked(token):
		return graph.InvalidTokenInfo(graph.RevokedToken()), nil
	case !ok:
		return graph.InvalidTokenInfo(graph.InvalidToken()), nil
	case caller.App != viewer:
		return graph.TokenInfo{}, graph.OtherApp()
	}
	info.Type, info.ProfileID, info.Scopes = "PAGE", fmt.Sprint(caller.Asset.ID), caller.Permissions()
	for _, scope := range info.Scopes {
		info.Granular = append(info.Granular, graph.TokenScope{Scope: scope, Targets: []string{info.ProfileID}})
	}
	return info, nil
}
