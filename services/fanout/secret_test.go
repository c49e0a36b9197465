package fanout

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/webhook"
)

// The platform's signatures are made with the newest secret, those of Standard
// Webhooks with every valid one; a rotation takes effect at the next POST.
func TestBothSecretsSignWhileAnAppRotates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 1})
		var heads []http.Header
		var bodies [][]byte
		b.end.change(func(p *endpoint) {
			p.seen = func(h http.Header, body []byte) { heads, bodies = append(heads, h.Clone()), append(bodies, body) }
		})
		b.send(1, 1)
		pass(time.Second)
		app := b.settings()
		app.Secret, app.PreviousSecret = []byte("whsec_bmV3IHNlY3JldA=="), app.Secret
		b.configure(app, nil)
		b.send(2, 1)
		pass(time.Second)
		synctest.Wait()
		if len(heads) != 2 {
			t.Fatalf("%d posts", len(heads))
		}
		for i, secrets := range [][][]byte{{[]byte("secret")}, {app.Secret, []byte("secret")}} {
			h := heads[i]
			if err := webhook.Verify(secrets[0], bodies[i], h.Get(headerSHA256), ""); err != nil {
				t.Errorf("post %d: %v", i, err)
			}
			if err := webhook.Verify(secrets[0], bodies[i], "", h.Get(headerSHA1)); err != nil {
				t.Errorf("post %d: %v", i, err)
			}
			id, seconds := h.Get("webhook-id"), h.Get("webhook-timestamp")
			at, _ := strconv.ParseInt(seconds, 10, 64)
			want := webhook.NewStandardSigner(secrets...).Sign(id, at, bodies[i])
			if got := h.Get("webhook-signature"); got != want || id != h.Get(headerDeliveryID) || len(strings.Fields(got)) != len(secrets) {
				t.Errorf("post %d: id %q, signature %q, want %q", i, id, got, want)
			}
			if at > time.Now().Unix() || at < time.Now().Unix()-5 {
				t.Errorf("timestamp %s", seconds)
			}
		}
	})
}

// A proxy that fails costs the app neither attempts nor its breaker, for however
// long.
func TestProxyFailuresAreNotTheApps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, App{RetryFor: time.Minute}), &diary{}
		b.journal = d
		broken := true
		b.end.respond(func(posted) (int, time.Duration, error) {
			if broken {
				return 0, 0, fmt.Errorf("dial: %w: refused", egress.ErrProxy)
			}
			return 200, 0, nil
		})
		b.send(1, 1, 2, 3, 4, 5, 6, 7)
		pass(time.Hour)
		if st := b.status(); st.Breaker != BreakerClosed || st.Parked != 0 || b.sink.count() != 0 {
			t.Fatalf("status %+v, %v", st, b.ends())
		}
		tried := len(b.end.all())
		if tried < 100 || tried > 40_000 {
			t.Errorf("tried %d times in an hour", tried)
		}
		if len(d.exchanges) == 0 || !strings.HasPrefix(d.exchanges[0], "proxy ") {
			t.Errorf("the journal has %q", d.exchanges[:1])
		}
		b.end.change(func(*endpoint) { broken = false })
		pass(time.Minute)
		for _, p := range b.end.all()[tried:] {
			if p.attempt != "1" {
				t.Errorf("attempt %s", p.attempt)
			}
		}
		if b.sink.count() != 7 {
			t.Errorf("delivered %d", b.sink.count())
		}
	})
}

// A failure of the app's own endpoints is charged, and its class is kept.
func TestTokenFailuresAreTheApps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{RetryFor: time.Minute})
		d := &diary{}
		b.journal = d
		b.end.respond(func(posted) (int, time.Duration, error) {
			return 0, 0, fmt.Errorf("%w: %w", egress.ErrToken, errors.New("status 500"))
		})
		b.send(1, 1)
		pass(5 * time.Minute)
		if b.outcome(1) != OutcomeExhausted || d.dead[0].Failure != egress.ClassToken || d.dead[0].Answer != "unreachable" {
			t.Errorf("outcome %v, dead letters %+v", b.ends(), d.dead)
		}
	})
}
