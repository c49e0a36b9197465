package console

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// ListTokens lists the apps' valid tokens by their fingerprints.
func (s *Service) ListTokens(ctx context.Context, _ *connect.Request[adminv1.ListTokensRequest]) (*connect.Response[adminv1.ListTokensResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ListTokensResponse{Tokens: s.tokens(s.deps.Rosters.Current().Document())}), nil
}

func (s *Service) tokens(d roster.Document) []*adminv1.Token {
	var list []*adminv1.Token
	for _, p := range d.Pages {
		for _, c := range p.Apps {
			for _, hash := range c.Tokens {
				list = append(list, s.token(p.ID, c.App, hash))
			}
		}
	}
	return list
}

func (s *Service) token(page, app string, hash roster.TokenHash) *adminv1.Token {
	t := &adminv1.Token{PageId: page, AppId: app, Fingerprint: hash.String()}
	if id, ok := s.names().find(app); ok {
		t.AppName = s.names().app(id)
	}
	return t
}

// ChangeToken adds a token or revokes one, and returns when every partition
// with a holder has logged the new roster, or names those that have not.
func (s *Service) ChangeToken(ctx context.Context, req *connect.Request[adminv1.ChangeTokenRequest]) (*connect.Response[adminv1.ChangeTokenResponse], error) {
	operator, err := need(ctx, RoleAdmin)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ChangeTokenResponse{}
	edit := s.revokeToken
	switch req.Msg.GetVerb() {
	case "revoke":
	case "add":
		edit = s.addToken
	default:
		return nil, invalid("unknown verb %q, want add or revoke", req.Msg.GetVerb())
	}
	resp.Version, err = s.deps.Rosters.Change(ctx, func(old roster.Document) (roster.Document, bool, error) {
		next, token, err := edit(old, req.Msg)
		if err != nil {
			return old, false, connect.NewError(connect.CodeInvalidArgument, err)
		}
		resp.Token, next.ChangedBy = token, operator
		return next, !req.Msg.GetDryRun(), nil
	})
	if err != nil || req.Msg.GetDryRun() {
		return connect.NewResponse(resp), err
	}
	s.deps.Logger.Info("token changed", "verb", req.Msg.GetVerb(), "page_id", resp.GetToken().GetPageId(), "app_id", resp.GetToken().GetAppId(),
		"fingerprint", resp.GetToken().GetFingerprint()[:shortest], "version", resp.GetVersion(), "operator", operator)
	resp.Missing = s.awaitRoster(ctx, resp.GetVersion())
	return connect.NewResponse(resp), nil
}

func (s *Service) addToken(d roster.Document, r *adminv1.ChangeTokenRequest) (roster.Document, *adminv1.Token, error) {
	var hash roster.TokenHash
	if err := hash.UnmarshalText([]byte(r.GetFingerprint())); err != nil {
		return d, nil, err
	}
	app, ok := s.names().find(r.GetApp())
	if !ok {
		return d, nil, fmt.Errorf("unknown app %q", r.GetApp())
	}
	for _, t := range s.tokens(d) {
		if t.GetFingerprint() == hash.String() {
			return d, nil, fmt.Errorf("the token is in use: page %s, app %s", t.GetPageId(), t.GetAppId())
		}
	}
	next, err := d.AddToken(r.GetPageId(), app.String(), hash)
	return next, s.token(r.GetPageId(), app.String(), hash), err
}

// shortest is how many digits of a fingerprint an operator has to give.
const shortest = 8

func (s *Service) revokeToken(d roster.Document, r *adminv1.ChangeTokenRequest) (roster.Document, *adminv1.Token, error) {
	digits := strings.ToLower(r.GetFingerprint())
	if len(digits) < shortest || strings.Trim(digits, "0123456789abcdef") != "" {
		return d, nil, fmt.Errorf("%q is no fingerprint: at least %d hex digits, as ListTokens shows them", r.GetFingerprint(), shortest)
	}
	var found []*adminv1.Token
	for _, t := range s.tokens(d) {
		if strings.HasPrefix(t.GetFingerprint(), digits) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return d, nil, fmt.Errorf("%w with the fingerprint %s", roster.ErrUnknownToken, digits)
	case len(found) > 1:
		return d, nil, fmt.Errorf("%d tokens have fingerprints that begin with %s: give more digits", len(found), digits)
	}
	var hash roster.TokenHash
	if _, err := hex.Decode(hash[:], []byte(found[0].GetFingerprint())); err != nil {
		return d, nil, err
	}
	next, err := d.RevokeToken(hash)
	return next, found[0], err
}
