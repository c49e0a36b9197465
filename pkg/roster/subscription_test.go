package roster

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
)

// fieldsOf stores and reads the document again, and shows the app's fields on
// both objects.
func fieldsOf(t *testing.T, d Document, app string) [2][]string {
	t.Helper()
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d, err = ParseDocument(data); err != nil {
		t.Fatal(err)
	}
	a := &d.Apps[d.appIndex(app)]
	return [2][]string{a.FieldsOn(control.ObjectPage), a.FieldsOn(control.ObjectInstagram)}
}

func TestSubscriptionsAreKeptByObject(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).ChangeApp(faqApp, func(a *App) error { a.Fields = nil; return nil }))
	subscribe := func(o control.Object, fields ...string) {
		d = must(t)(d.Subscribe(faqApp, Subscription{Object: o, CallbackURL: "https://bot.test/hook", VerifyToken: "vt", Fields: fields}))
	}
	want := func(page, instagram []string) {
		t.Helper()
		if diff := cmp.Diff([2][]string{page, instagram}, fieldsOf(t, d, faqApp)); diff != "" {
			t.Error(diff)
		}
	}
	subscribe(control.ObjectPage, "messages", "message_reads")
	want([]string{"messages", "message_reads"}, []string{"messages", "message_reads"})
	subscribe(control.ObjectInstagram, "messages")
	want([]string{"messages", "message_reads"}, []string{"messages"})
	d = must(t)(d.Unsubscribe(faqApp, control.ObjectPage, []string{"messaging_seen"}))
	want([]string{"messages"}, []string{"messages"})
	d = must(t)(d.Unsubscribe(faqApp, control.ObjectInstagram, nil))
	want([]string{"messages"}, []string{})
	if a := d.Apps[d.appIndex(faqApp)]; a.CallbackURL != "https://bot.test/hook" || a.VerifyToken.Value() != "vt" {
		t.Errorf("callback %q", a.CallbackURL)
	}
}

func TestSubscribingToThePageLeavesInstagramAlone(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).ChangeApp(faqApp, func(a *App) error { a.Fields = []string{"messages", "standby"}; return nil }))
	d = must(t)(d.Subscribe(faqApp, Subscription{CallbackURL: "https://bot.test/hook", Fields: []string{"messages"}}))
	if diff := cmp.Diff([2][]string{{"messages"}, {"messages", "standby"}}, fieldsOf(t, d, faqApp)); diff != "" {
		t.Error(diff)
	}
}

func TestBadSubscriptionsAreRefused(t *testing.T) {
	t.Parallel()
	d := document(t)
	if _, err := d.Subscribe("1", Subscription{}); !errors.Is(err, ErrUnknownApp) {
		t.Error(err)
	}
	if _, err := d.Subscribe(faqApp, Subscription{CallbackURL: "ftp://x"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := d.Subscribe(faqApp, Subscription{CallbackURL: "https://x.test", Fields: []string{"nothing"}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := d.Unsubscribe("1", control.ObjectPage, nil); !errors.Is(err, ErrUnknownApp) {
		t.Error(err)
	}
}

func TestSecretsOfApps(t *testing.T) {
	t.Parallel()
	a := &Application{App: App{Secret: NewSecret("new"), PreviousSecret: NewSecret("old")}}
	for secret, want := range map[string]bool{"new": true, "old": true, "other": false, "": false} {
		if a.SecretFits(secret) != want {
			t.Errorf("%q: %v", secret, !want)
		}
	}
	if (&Application{}).SecretFits("") {
		t.Error("an app without a secret is proved by nothing")
	}
}
