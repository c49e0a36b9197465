package roster

import (
	"slices"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
)

// FieldsOn are the app-level subscriptions for assets of the object.
func (a *App) FieldsOn(object control.Object) []string {
	if object == control.ObjectInstagram && a.InstagramFields != nil {
		return a.InstagramFields
	}
	return a.Fields
}

// setFields replaces the subscriptions of one object; those of the other stay.
func (a *App) setFields(object control.Object, fields []string) {
	if object == control.ObjectInstagram {
		a.InstagramFields = append([]string{}, fields...)
		return
	}
	if a.InstagramFields == nil && len(a.Fields) > 0 {
		a.InstagramFields = a.Fields
	}
	a.Fields = slices.Clone(fields)
}

// Subscription is an app-level subscription as an app asks for it.
type Subscription struct {
	Object      control.Object
	CallbackURL string
	VerifyToken string
	Fields      []string
}

// Subscribe gives an app the callback and the fields of a subscription. The
// callback is the app's one for all objects. Errors: ErrUnknownApp, ErrInvalid.
func (d Document) Subscribe(app string, s Subscription) (Document, error) {
	return d.ChangeApp(app, func(a *App) error {
		a.CallbackURL, a.VerifyToken = s.CallbackURL, NewSecret(s.VerifyToken)
		a.setFields(s.Object, s.Fields)
		return nil
	})
}

// Unsubscribe takes fields off an app's subscription to an object, all of them
// when none is named. The callback stays. Errors: ErrUnknownApp, ErrInvalid.
func (d Document) Unsubscribe(app string, object control.Object, fields []string) (Document, error) {
	gone := fieldSet(fields)
	return d.ChangeApp(app, func(a *App) error {
		left := slices.DeleteFunc(slices.Clone(a.FieldsOn(object)), func(name string) bool {
			f, known := delivery.ParseField(name)
			return len(fields) == 0 || known && gone.Has(f)
		})
		a.setFields(object, left)
		return nil
	})
}
