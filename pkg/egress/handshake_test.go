package egress

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestHandshakeWantsTheChallenge(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"challenge": {func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if q.Get("hub.mode") != "subscribe" || q.Get("hub.verify_token") != "vt" || q.Get("a") != "b" || r.UserAgent() != "Baton" {
				w.WriteHeader(http.StatusForbidden)
			}
			_, _ = w.Write([]byte(q.Get("hub.challenge") + "\n"))
		}, nil},
		"another body": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("OK")) }, ErrChallenge},
		"forbidden":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ErrChallenge},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, ErrChallenge},
		"never": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, context.DeadlineExceeded},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t, c.serve)
			rt := Transport(Policy{Allow: allow(t, "127.0.0.1")})
			within := 5 * time.Second
			if name == "never" {
				within = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			err := Handshake{Callback: s.URL + "/hook?a=b", VerifyToken: "vt", Agent: "Baton"}.Perform(ctx, rt)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestHandshakeReachesNoPrivateAddress(t *testing.T) {
	t.Parallel()
	for _, callback := range []string{"http://127.0.0.1:1/hook", "http://169.254.169.254/latest"} {
		err := Handshake{Callback: callback}.Perform(t.Context(), Transport(Policy{}))
		if !errors.Is(err, ErrAddressDenied) {
			t.Errorf("%s: %v", callback, err)
		}
	}
	if err := (Handshake{Callback: "http://%zz"}).Perform(t.Context(), Transport(Policy{})); err == nil {
		t.Error("a broken address is accepted")
	}
}
