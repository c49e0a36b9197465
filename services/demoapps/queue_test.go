package demoapps

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// A full queue answers 503 and takes nothing, so that the webhook comes again
// whole.
func TestAFullQueueAsksForTheWebhookAgain(t *testing.T) {
	t.Parallel()
	a := &app{App: App{Secret: "s"}, queue: make(chan received, 3), logger: slog.New(slog.DiscardHandler)}
	post := func(events int) *httptest.ResponseRecorder {
		body := `{"entry":[{"messaging":[` + strings.TrimSuffix(strings.Repeat(`{"message":{"mid":"m"}},`, events), ",") + `]}]}`
		r := httptest.NewRequest("POST", "/webhook", strings.NewReader(body))
		r.Header.Set("X-Hub-Signature-256", "sha256="+mac("s", body))
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	if w := post(2); w.Code != 200 {
		t.Fatal(w.Code)
	}
	if w := post(2); w.Code != 503 || w.Header().Get("Retry-After") == "" || len(a.queue) != 2 {
		t.Errorf("%d, %d queued", w.Code, len(a.queue))
	}
}

func TestWhatIsRememberedOfPeopleIsBounded(t *testing.T) {
	t.Parallel()
	a := &app{seen: map[string]mark{}}
	for i := range 3 * maxRemembered {
		if a.repeated(Delivery{ID: "1-1", Person: fmt.Sprint(i), Kind: "message"}) {
			t.Fatal("a new person counts as a repeat")
		}
	}
	if len(a.seen) > maxRemembered {
		t.Errorf("%d people", len(a.seen))
	}
}

func mac(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}
