package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/webhook"
)

// refusing is an app's endpoint that refuses every event while its switch is on.
type refusing struct {
	*httptest.Server
	on   atomic.Bool
	got  atomic.Int32
	last atomic.Value // string: delivery id
}

// refuse puts such an endpoint in the place of a demo app's.
func (d *desk) refuse(app string) *refusing {
	d.t.Helper()
	r := &refusing{}
	r.on.Store(true)
	var token atomic.Value
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			challenge, _ := webhook.Challenge(req.URL.Query(), token.Load().(string)) //nolint:errcheck,forcetypeassert // a string
			_, _ = io.WriteString(w, challenge)
			return
		}
		if r.on.Load() {
			w.Header().Set("Set-Cookie", "session=s3cret")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no such thing")
			return
		}
		r.last.Store(req.Header.Get("Baton-Delivery-Id"))
		r.got.Add(1)
	}))
	d.t.Cleanup(r.Close)
	_, err := d.dev.node.rosters.Change(d.t.Context(), func(old roster.Document) (roster.Document, bool, error) {
		old.Apps = slices.Clone(old.Apps)
		for i := range old.Apps {
			if old.Apps[i].Name == app {
				old.Apps[i].CallbackURL = r.URL + "/hook?key=in-the-query"
				token.Store(old.Apps[i].VerifyToken.Value())
			}
		}
		return old, true, nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func TestDeliveryCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	if out := d.ok("delivery ls"); strings.Count(out, "\n") != 1 {
		t.Errorf("dead letters at the start:\n%s", out)
	}
	r := d.refuse("survey")
	d.greet()
	dead := d.until(`survey +100200300400500/9001234567890123 +standby +rejected +\d+ +rejected 422 `, "delivery ls --app survey")
	id := regexp.MustCompile(`(?m)^38-\d+`).FindString(dead)
	out := d.until(`attempt .*`+id, "delivery show "+id+" --app survey")
	for _, want := range []string{"answered +no such thing", "X-Hub-Signature-256: \\(hidden\\)", "Webhook-Signature: \\(hidden\\)", "Set-Cookie: \\(hidden\\)", `body of \d+ +\{"object":"page"`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "in-the-query") || strings.Contains(out, "s3cret") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	d.until(`survey +`+id+`.* rejected 422`, "delivery ls --attempts --failed --class 422")
	d.testFilters(id)
	r.on.Store(false)
	if a := d.run("delivery resend " + id + " --dry-run"); a.code != exitDone || !strings.Contains(a.out, id) || r.got.Load() != 0 {
		t.Errorf("%+v", a)
	}
	d.ok("delivery resend " + id)
	await(t, func() bool { return r.last.Load() == id }, func() string { return "delivered again" })
	if out := d.ok("delivery ls --app survey --partition 38 --from " + id[3:] + " --to " + id[3:]); strings.Contains(out, id) {
		t.Errorf("still dead:\n%s", out)
	}
	d.fails(exitFailure, id+" is no dead letter", "delivery resend "+id)
	d.ok("delivery drop --app survey")
	if out := d.ok("delivery ls"); strings.Count(out, "\n") != 1 {
		t.Errorf("after all were dropped:\n%s", out)
	}
}

// testFilters asks for what is there, and for what makes no sense.
func (d *desk) testFilters(id string) {
	for filter, fits := range map[string]bool{
		"--page 100200300400500": true, "--page 1": false, "--user 9001234567890123": true, "--user 1": false, "--partition 38": true,
		"--partition 1": false, "--class rejected": true, "--class dns": false, "--since 2020-01-01T00:00:00Z": true,
		"--until 2020-01-01T00:00:00Z": false, "--app faq-bot": false,
	} {
		if got := strings.Contains(d.ok("delivery ls "+filter), id); got != fits {
			d.t.Errorf("%s: listed %v, want %v", filter, got, fits)
		}
	}
	for command, want := range map[string]string{
		"delivery ls --app nobody": `unknown app "nobody"`, "delivery ls --page x": `"x" is not the id of a page`,
		"delivery ls --since soon": `since "soon" is not a time`, "delivery ls --from 3": "positions are those of a partition",
		"delivery ls --partition 64": "there are 64, numbered from 0", "delivery ls -n 10001": "at most 10000",
		"delivery show x": `"x" is not a delivery id`, "delivery resend x": `"x" is not a delivery id`,
		"delivery resend": "nothing is selected", "delivery drop": "nothing is selected",
		"delivery ls --partition 1 --from 4 --to 3": "position 3 lies before 4",
	} {
		d.fails(exitUsage, want, command)
	}
	d.fails(exitFailure, "nothing is known of 38-99999", "delivery show 38-99999")
}
