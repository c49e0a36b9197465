package ingress_test

import (
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
	"github.com/baton-router/baton/services/ingress"
)

// counting stores nothing; it only counts, so that the fuzzer is fast.
type counting struct{ messages atomic.Int64 }

func (c *counting) SubmitInbound(_ int, _ []byte, stored func(error)) {
	c.messages.Add(1)
	stored(nil)
}

// FuzzHandler: every signed body gets a documented answer, nothing is stored
// unless it is 200, and no memory stays reserved.
func FuzzHandler(f *testing.F) {
	f.Add(post(message(7, "m_1", "x")))
	f.Add([]byte(`{"object":"instagram","entry":[{"id":"100200300400500","standby":[{"sender":{"id":7},"read":{}}],"changes":[{"field":"x"}]}]}`))
	f.Add([]byte(`{"object":"user","entry":[]}`))
	f.Add([]byte(`{"object":"page","entry":[{"messaging":[{"sender":{"id":"x"}}]}]}`))
	f.Add([]byte(`{`))
	f.Add(post(`{"sender":{"id":"7"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"postback":{"mid":"m_p","payload":"P","referral":{"source":"ADS","ad_id":"6001"}}}`,
		`{"sender":{"id":"100200300400500"},"recipient":{"id":"7"},"message":{"mid":"m_e","is_echo":true,"app_id":26390203743090,"metadata":"baton1:1-2"}}`,
		`{"recipient":{"id":"100200300400500"},"app_roles":{"5":["primary_receiver"]}}`,
		`{"sender":{"id":"7"},"recipient":{"id":"100200300400500"},"pass_thread_control":{"previous_owner_app_id":null,"new_owner_app_id":5}}`,
		`{"sender":{"id":"7"},"messaging_feedback":{"feedback_screens":[{"questions":{"q1":{"type":"csat"}}}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := &counting{}
		d := published(p)
		d.KnowsPage = func(uint64) bool { return true }
		s := service(t, ingress.Config{MaxBodyBytes: 4096}, d)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, signed(t, body))
		ingress.WaitForLanes(s)
		if !slices.Contains([]int{200, 400, 404, 413}, w.Code) || w.Code != 200 && p.messages.Load() > 0 {
			t.Errorf("%d, %d messages", w.Code, p.messages.Load())
		}
		if used := ingress.Used(s); used != 0 {
			t.Errorf("%d bytes are still reserved", used)
		}
		if parsed, err := webhook.Parse(body, webhook.Limits{MaxBytes: 4096}); err == nil && len(parsed.Events) > 0 != (p.messages.Load() > 0) {
			t.Errorf("%d events, %d messages", len(parsed.Events), p.messages.Load())
		}
	})
}
