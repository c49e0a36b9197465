package graphapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// maxCallback bounds a callback's address and its verify token, in bytes.
const maxCallback = 2048

// subscriptions is the edge of an app's own webhook subscriptions, called with
// the app's token. Source: protocol 2.4.
func (s *Service) subscriptions(ctx context.Context, c *call) (reply, error) {
	app, err := s.authenticateApp(c)
	if err != nil {
		return reply{}, err
	}
	if id, ok := c.path.NodeID(); c.path.Node != "app" && (!ok || control.AppID(id) != app.Number) {
		return reply{}, graph.UnknownNode(c.method, c.path.Node)
	}
	switch c.method {
	case http.MethodGet:
		return listSubscriptions(c, app)
	case http.MethodPost:
		return s.subscribe(ctx, c, app)
	case http.MethodDelete:
		return s.unsubscribe(ctx, c, app)
	}
	return reply{}, unsupported(c, "subscriptions is called with DELETE, GET, POST")
}

// subscribe stores a subscription after its callback has answered the challenge.
func (s *Service) subscribe(ctx context.Context, c *call, app *roster.Application) (reply, error) {
	want, err := subscriptionOf(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.challenge(ctx, c, app, want); err != nil {
		return reply{}, err
	}
	err = s.change(ctx, c, func(d roster.Document) (roster.Document, error) { return d.Subscribe(app.ID, want) })
	return success(graph.Success()), err
}

// subscriptionOf reads what a POST asks for.
func subscriptionOf(c *call) (roster.Subscription, error) {
	for _, name := range []string{"object", "callback_url", "fields", "verify_token"} {
		if c.params.Text(name) == "" {
			return roster.Subscription{}, graph.MissingParameter(name)
		}
	}
	object, err := objectOf(c)
	if err != nil {
		return roster.Subscription{}, err
	}
	fields, err := fieldsOf(c, "fields")
	if err != nil {
		return roster.Subscription{}, err
	}
	if len(fields) == 0 {
		return roster.Subscription{}, graph.MissingParameter("fields")
	}
	sub := roster.Subscription{
		Object: object, CallbackURL: c.params.Text("callback_url"), VerifyToken: c.params.Text("verify_token"), Fields: fields,
	}
	u, err := url.Parse(sub.CallbackURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Fragment != "" {
		return sub, graph.InvalidParameter("Param callback_url must be an absolute http or https URL without user and fragment")
	}
	if len(sub.CallbackURL) > maxCallback || len(sub.VerifyToken) > maxCallback {
		return sub, graph.InvalidParameter(fmt.Sprintf("Length of params callback_url and verify_token must be less than or equal to %d", maxCallback))
	}
	return sub, nil
}

func objectOf(c *call) (control.Object, error) {
	for _, object := range []control.Object{control.ObjectPage, control.ObjectInstagram} {
		if c.params.Text("object") == object.String() {
			return object, nil
		}
	}
	return 0, graph.NotOneOf("object", c.params.Text("object"), []string{"page", "instagram"})
}

// challenge performs the handshake with a new callback. What the client learns
// of a failure is no map of the network: only the status of an address that may
// be reached.
func (s *Service) challenge(ctx context.Context, c *call, app *roster.Application, want roster.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.ChallengeWithin)
	defer cancel()
	h := egress.Handshake{Callback: want.CallbackURL, VerifyToken: want.VerifyToken, Agent: "Baton"}
	via := s.deps.Callbacks(app)
	defer via.CloseIdleConnections()
	err := h.Perform(ctx, via)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, egress.ErrAddressDenied):
		return graph.CallbackFailed("the address may not be reached")
	case errors.Is(err, egress.ErrChallenge):
		return graph.CallbackFailed("the challenge was not answered with status 200 and its text")
	}
	s.logger.Warn("callback not verified", "trace_id", c.trace.String(), "err", err)
	return graph.CallbackFailed("no answer")
}

// unsubscribe takes fields off: of one object, or of all when none is named.
func (s *Service) unsubscribe(ctx context.Context, c *call, app *roster.Application) (reply, error) {
	objects := []control.Object{control.ObjectPage, control.ObjectInstagram}
	if c.params.Has("object") {
		object, err := objectOf(c)
		if err != nil {
			return reply{}, err
		}
		objects = []control.Object{object}
	}
	fields, err := fieldsOf(c, "fields")
	if err != nil {
		return reply{}, err
	}
	err = s.change(ctx, c, func(d roster.Document) (roster.Document, error) {
		for _, object := range objects {
			var err error
			if d, err = d.Unsubscribe(app.ID, object, fields); err != nil {
				return d, err
			}
		}
		return d, nil
	})
	return success(graph.Success()), err
}

// listSubscriptions answers GET: an entry for each object on which the app has
// fields, Instagram's when it has such fields of its own or such an account.
func listSubscriptions(c *call, app *roster.Application) (reply, error) {
	var list []graph.AppSubscription
	for _, object := range []control.Object{control.ObjectPage, control.ObjectInstagram} {
		fields := app.FieldsOn(object)
		if len(fields) == 0 || object == control.ObjectInstagram && app.InstagramFields == nil && !onInstagram(c.snapshot, app.Number) {
			continue
		}
		sub := graph.AppSubscription{Object: object.String(), CallbackURL: app.CallbackURL, Active: app.CallbackURL != ""}
		for _, name := range fields {
			sub.Fields = append(sub.Fields, graph.SubscribedField{Name: name, Version: versionOf(c)})
		}
		list = append(list, sub)
	}
	body, err := graph.List(list, graph.Cursors{})
	if err != nil {
		return reply{}, fmt.Errorf("encode the subscriptions: %w", err)
	}
	return success(body), nil
}

// versionOf is the version of the call; unversioned calls see v25.0.
func versionOf(c *call) string {
	if c.path.Version != "" {
		return c.path.Version
	}
	return "v25.0"
}

func onInstagram(snapshot *roster.Snapshot, app control.AppID) bool {
	for _, id := range snapshot.Assets() {
		asset, _ := snapshot.Asset(id)
		if _, ok := asset.Connection(app); ok && asset.Object == control.ObjectInstagram {
			return true
		}
	}
	return false
}
