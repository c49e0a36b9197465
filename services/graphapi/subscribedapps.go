package graphapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// connect is POST subscribed_apps: the app joins the page, or comes back, with
// the fields it names; without any it keeps those it had. Sources: protocol
// 12.23, 12.30.
func (s *Service) connect(ctx context.Context, c *call) (reply, error) {
	fields, err := fieldsOf(c, "subscribed_fields")
	if err != nil {
		return reply{}, err
	}
	err = s.change(ctx, c, func(d roster.Document) (roster.Document, error) {
		return d.Connect(c.assetID(), c.caller.App.ID, fields)
	})
	return success(graph.Success()), err
}

// disconnect is DELETE subscribed_apps: row 95. The token stays good for coming
// back.
func (s *Service) disconnect(ctx context.Context, c *call) (reply, error) {
	err := s.change(ctx, c, func(d roster.Document) (roster.Document, error) {
		return d.Disconnect(c.assetID(), c.caller.App.ID)
	})
	return success(graph.Success()), err
}

// connection is GET subscribed_apps. An app sees itself alone, as it does with a
// page token of the platform.
func (*Service) connection(_ context.Context, c *call) (reply, error) {
	var list []graph.SubscribedApp
	app := c.caller.App
	if conn, ok := c.caller.Asset.Connection(app.Number); ok && !conn.Disconnected {
		fields := conn.Fields
		if len(fields) == 0 {
			fields = app.FieldsOn(c.caller.Asset.Object)
		}
		list = append(list, graph.SubscribedApp{
			Category: "Business", Name: app.Name, ID: app.ID, Fields: append([]string{}, fields...),
		})
	}
	var ends graph.Cursors
	if len(list) > 0 {
		id := base64.RawURLEncoding.EncodeToString([]byte(app.ID))
		ends = graph.Cursors{Before: id, After: id}
	}
	body, err := graph.List(list, ends)
	if err != nil {
		return reply{}, fmt.Errorf("encode the connection: %w", err)
	}
	return success(body), nil
}

// assetID is the caller's asset as the roster writes it.
func (c *call) assetID() string { return fmt.Sprint(c.caller.Asset.ID) }

// fieldsOf reads a list of webhook fields; nil when it is absent or empty.
func fieldsOf(c *call, param string) ([]string, error) {
	var fields []string
	for i, name := range c.params.List(param) {
		if !roster.KnownField(name) {
			return nil, graph.NotOneOf(fmt.Sprintf("%s[%d]", param, i), name, roster.FieldNames())
		}
		if !slices.Contains(fields, name) {
			fields = append(fields, name)
		}
	}
	return fields, nil
}
