package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Errors of edits. Callers compare with errors.Is.
var (
	// ErrUnknownApp: no app has that id.
	ErrUnknownApp = errors.New("roster: unknown app")
	// ErrUnknownPage: no page has that id.
	ErrUnknownPage = errors.New("roster: unknown page")
	// ErrNotConnected: the app has no connection to the page.
	ErrNotConnected = errors.New("roster: the app is not connected to the page")
	// ErrUnknownToken: no connection has that token.
	ErrUnknownToken = errors.New("roster: unknown token")
	// ErrInvalid: the edit would make a roster with faults; they are wrapped.
	ErrInvalid = errors.New("roster: the change is not valid")
)

// Check returns the faults of the document as Faults, or nil.
func (d Document) Check() error {
	var faults Faults
	k := &checker{stored: true, report: func(path, format string, args ...any) {
		faults = append(faults, Fault{Source: "roster", Text: path + ": " + fmt.Sprintf(format, args...)})
	}}
	k.roster(d.BatonApp, true, d.Apps, d.Pages)
	if len(faults) == 0 {
		return nil
	}
	return faults
}

// checked is d, or ErrInvalid when it has faults.
func (d Document) checked() (Document, error) {
	if err := d.Check(); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return d, nil
}

// ChangeApp lets change alter the app with that id. Errors: ErrUnknownApp,
// ErrInvalid, that of change.
func (d Document) ChangeApp(id string, change func(*App) error) (Document, error) {
	i := d.appIndex(id)
	if i < 0 {
		return Document{}, fmt.Errorf("%w %s", ErrUnknownApp, id)
	}
	d.Apps = slices.Clone(d.Apps)
	a := &d.Apps[i]
	a.Fields, a.Features, a.Testers = slices.Clone(a.Fields), slices.Clone(a.Features), slices.Clone(a.Testers)
	a.PassThrough, a.InstagramFields = slices.Clone(a.PassThrough), slices.Clone(a.InstagramFields)
	if err := change(a); err != nil {
		return Document{}, err
	}
	return d.checked()
}

// PutApp adds an app, or replaces the one with its id. Error: ErrInvalid.
func (d Document) PutApp(a App) (Document, error) {
	d.Apps = slices.Clone(d.Apps)
	if i := d.appIndex(a.ID); i >= 0 {
		d.Apps[i] = a
	} else {
		d.Apps = append(d.Apps, a)
	}
	return d.checked()
}

// RemoveApp removes an app and its connections. Errors: ErrUnknownApp,
// ErrInvalid when routing still names it.
func (d Document) RemoveApp(id string) (Document, error) {
	i := d.appIndex(id)
	if i < 0 {
		return Document{}, fmt.Errorf("%w %s", ErrUnknownApp, id)
	}
	d.Apps = slices.Delete(slices.Clone(d.Apps), i, i+1)
	d.Pages = slices.Clone(d.Pages)
	for j := range d.Pages {
		d.Pages[j].Apps = slices.DeleteFunc(slices.Clone(d.Pages[j].Apps), func(c Connection) bool { return c.App == id })
	}
	return d.checked()
}

// ChangePage lets change alter the page with that id. Errors: ErrUnknownPage,
// ErrInvalid, that of change.
func (d Document) ChangePage(id string, change func(*Page) error) (Document, error) {
	i := d.pageIndex(id)
	if i < 0 {
		return Document{}, fmt.Errorf("%w %s", ErrUnknownPage, id)
	}
	d.Pages = slices.Clone(d.Pages)
	d.Pages[i] = d.Pages[i].clone()
	if err := change(&d.Pages[i]); err != nil {
		return Document{}, err
	}
	return d.checked()
}

// clone copies everything that an edit may change in place.
func (p Page) clone() Page {
	p.Apps = slices.Clone(p.Apps)
	for i := range p.Apps {
		c := &p.Apps[i]
		c.Tokens, c.Fields = slices.Clone(c.Tokens), slices.Clone(c.Fields)
		c.Tasks, c.Permissions = slices.Clone(c.Tasks), slices.Clone(c.Permissions)
	}
	p.Profile = slices.Clone(p.Profile)
	p.Routing.CanTake = slices.Clone(p.Routing.CanTake)
	p.Routing.Links, p.Routing.Ads = maps.Clone(p.Routing.Links), maps.Clone(p.Routing.Ads)
	return p
}

// PutPage adds a page, or replaces the one with its id. Error: ErrInvalid.
func (d Document) PutPage(p Page) (Document, error) {
	d.Pages = slices.Clone(d.Pages)
	if i := d.pageIndex(p.ID); i >= 0 {
		d.Pages[i] = p
	} else {
		d.Pages = append(d.Pages, p)
	}
	return d.checked()
}

// RemovePage removes a page. Error: ErrUnknownPage.
func (d Document) RemovePage(id string) (Document, error) {
	i := d.pageIndex(id)
	if i < 0 {
		return Document{}, fmt.Errorf("%w %s", ErrUnknownPage, id)
	}
	d.Pages = slices.Delete(slices.Clone(d.Pages), i, i+1)
	return d.checked()
}

// changeConnection lets change alter an app's connection to a page.
func (d Document) changeConnection(page, app string, change func(*Connection)) (Document, error) {
	return d.ChangePage(page, func(p *Page) error {
		c := p.connection(app)
		if c == nil {
			return fmt.Errorf("%w: app %s, page %s", ErrNotConnected, app, page)
		}
		change(c)
		return nil
	})
}

// Connect connects an app that has a token for the page, and replaces the
// connection's fields unless they are nil. Source: protocol 12.23, 12.30.
// Errors: ErrUnknownPage, ErrNotConnected when it has no token, ErrInvalid.
func (d Document) Connect(page, app string, fields []string) (Document, error) {
	return d.changeConnection(page, app, func(c *Connection) {
		c.Disconnected = false
		if fields != nil {
			c.Fields = slices.Clone(fields)
		}
	})
}

// Disconnect takes an app off a page; its tokens stay valid to connect again.
// Source: row 95, protocol 12.30. Errors: ErrUnknownPage, ErrNotConnected.
func (d Document) Disconnect(page, app string) (Document, error) {
	return d.changeConnection(page, app, func(c *Connection) { c.Disconnected = true })
}

// SetPrimary makes app the primary of a page in handover mode, or its default
// app in conversation_routing; "" for none. Errors: ErrUnknownPage, ErrInvalid.
func (d Document) SetPrimary(page, app string) (Document, error) {
	return d.ChangePage(page, func(p *Page) error {
		if p.Routing.Mode == ModeConversationRouting {
			p.Routing.DefaultApp = app
		} else {
			p.Routing.Primary = app
		}
		return nil
	})
}

// AddToken lets an app use one more token for a page; those it has stay valid.
// Errors: ErrUnknownPage, ErrNotConnected, ErrInvalid when the token is
// another's or was revoked.
func (d Document) AddToken(page, app string, token TokenHash) (Document, error) {
	if slices.Contains(d.Revoked, token) {
		return Document{}, fmt.Errorf("%w: the token was revoked; make another", ErrInvalid)
	}
	return d.changeConnection(page, app, func(c *Connection) {
		if !slices.Contains(c.Tokens, token) {
			c.Tokens = append(c.Tokens, token)
		}
	})
}

// RevokeToken makes a token invalid for good. Error: ErrUnknownToken.
func (d Document) RevokeToken(token TokenHash) (Document, error) {
	for _, p := range d.Pages {
		for _, c := range p.Apps {
			if !slices.Contains(c.Tokens, token) {
				continue
			}
			d.Revoked = append(slices.Clone(d.Revoked), token)
			i := d.pageIndex(p.ID)
			d.Pages = slices.Clone(d.Pages)
			d.Pages[i] = d.Pages[i].clone()
			conn := d.Pages[i].connection(c.App)
			conn.Tokens = slices.DeleteFunc(conn.Tokens, func(h TokenHash) bool { return h == token })
			return d, nil
		}
	}
	return Document{}, ErrUnknownToken
}

// SetProfile records that an app set a page-level property (persistent_menu,
// ice_breakers, get_started …) to a JSON value. The last writer of a property
// owns it. Errors: ErrUnknownPage, ErrNotConnected, ErrInvalid.
func (d Document) SetProfile(page, app, property string, value json.RawMessage) (Document, error) {
	if !json.Valid(value) || property == "" {
		return Document{}, fmt.Errorf("%w: the value of %q is not JSON", ErrInvalid, property)
	}
	return d.ChangePage(page, func(p *Page) error {
		if p.connection(app) == nil {
			return fmt.Errorf("%w: app %s, page %s", ErrNotConnected, app, page)
		}
		p.removeProfile(property)
		p.Profile = append(p.Profile, ProfileItem{Property: property, App: app, Value: slices.Clone(value)})
		return nil
	})
}

// ClearProfile removes a page-level property; one that is not set is no error.
// Error: ErrUnknownPage.
func (d Document) ClearProfile(page, property string) (Document, error) {
	return d.ChangePage(page, func(p *Page) error {
		p.removeProfile(property)
		return nil
	})
}

func (p *Page) removeProfile(property string) {
	p.Profile = slices.DeleteFunc(p.Profile, func(i ProfileItem) bool { return i.Property == property })
}
